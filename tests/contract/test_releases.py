"""Two releases side by side: each reads what the other writes (DECISIONS 5).

The frozen schemas stand for every release that was: events made from them, with the least and with
all they may hold, are read by the present code; and what the present code writes of them, the
frozen schemas allow. A release that is to come is the same with more fields and more words.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest

from shared.events import CASES, DATA_TYPES, CaseFacts, Draft, decode, encode
from tests.contract.freeze import SCHEMAS

FROZEN = {file.stem.rsplit(".", 1)[0]: json.loads(file.read_text()) for file in SCHEMAS.glob("*")}
# A field that may be null has lost its format in the schema: a time is a word anywhere.
TEXTS = {
    "uuid": str(UUID(int=7)),
    "date-time": "2026-07-01T12:30:00Z",
    "date": "2026-07-01",
    "time": "12:30:00",
}
LATER = {"of_the_next_release": {"a": [1, None]}}


def example(  # noqa: PLR0911  (one for each kind)
    schema: dict[str, Any], defs: dict[str, Any], *, full: bool
) -> Any:
    """Return a value that a schema allows: with what it requires, or with all its fields."""
    if "$ref" in schema:
        return example(defs[schema["$ref"].rsplit("/", 1)[1]], defs, full=full)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return example(kinds[0], defs, full=full)
    match schema.get("type"):
        case "object":
            names = schema.get("properties", {}) if full else schema.get("required", ())
            fields = schema.get("properties", {})
            return {name: example(fields[name], defs, full=full) for name in names}
        case "array":
            return [example(schema["items"], defs, full=full)] if full and "items" in schema else []
        case "string":
            return TEXTS.get(schema.get("format", ""), TEXTS["date-time"])
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return None


def written(event_type: str, data: object) -> bytes:
    """Return an event's bytes around some data."""
    at = datetime(2026, 7, 1, tzinfo=UTC)
    facts = CaseFacts(report_id=UUID(int=7), channel="web")
    draft = Draft(CASES, "case-created", str(UUID(int=1)), facts)
    _, value = encode(draft, source="/x", sequence=1, at=at, actor="x:y", traceparent=None)
    plain = msgspec.json.decode(value)
    named = {"type": event_type, "dataschema": f"urn:pashe:event:{event_type}:1", "data": data}
    return msgspec.json.encode(plain | named)


def test_every_type_that_a_release_had_is_here() -> None:
    assert FROZEN.keys() == DATA_TYPES.keys()
    assert len(FROZEN) > 50


@pytest.mark.parametrize("full", [False, True], ids=["least", "all"])
@pytest.mark.parametrize("event_type", sorted(FROZEN))
def test_an_event_of_an_earlier_release_is_read_and_written_back_as_it_may_be(
    event_type: str, *, full: bool
) -> None:
    schema = FROZEN[event_type]
    data = example(schema, schema["$defs"], full=full)
    allowed = jsonschema_rs.validator_for(schema)
    allowed.validate(data)
    event = decode(written(event_type, data))
    allowed.validate(msgspec.json.decode(msgspec.json.encode(event.data)))


@pytest.mark.parametrize("event_type", sorted(FROZEN))
def test_an_event_of_a_later_release_is_read_by_this_one(event_type: str) -> None:
    schema = FROZEN[event_type]
    data = example(schema, schema["$defs"], full=True)
    known = decode(written(event_type, data)).data
    assert decode(written(event_type, data | LATER)).data == known
