"""The AsyncAPI document of the feeds: valid, always the same, true of the bytes that are sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest

from services.notification.asyncapi import EXAMPLE_ORIGIN, make_document, render
from services.notification.domain import REFERRAL_TYPES, Entry, ProviderId
from services.notification.facts import provider_draft, render_body
from services.notification.settings import SCHEDULE
from shared.events import encode, headers_of
from shared.feed import StreamEntry

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = json.loads((ROOT / "tests/data/asyncapi-3.0.0.json").read_text("utf-8"))
DOCUMENT: dict[str, Any] = make_document(EXAMPLE_ORIGIN)
AT = datetime(2026, 11, 29, 6, 10, 0, 250_000, tzinfo=UTC)
ENTRY = Entry(
    organisation=ProviderId("example-shelter-keraniganj"),
    feed_seq=7,
    event_id=UUID(int=1),
    type="referral-assigned",
    happened_at=AT,
    case_id=UUID(int=2),
    referral_id=UUID(int=3),
    state="assigned",
    version=3,
    test=False,
)


def schema_of(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


def errors(name: str, value: object) -> list[str]:
    checked = jsonschema_rs.Draft202012Validator(schema_of(name), validate_formats=True)
    return [error.message for error in checked.iter_errors(value)]


def topic_event() -> dict[str, Any]:
    _, value = encode(
        provider_draft(ENTRY, EXAMPLE_ORIGIN),
        source="/notification",
        sequence=1,
        at=AT,
        actor="service:referral",
        traceparent=None,
    )
    found: dict[str, Any] = json.loads(value)
    return found


def test_it_is_valid_by_the_published_schema() -> None:
    published = jsonschema_rs.validator_for(PUBLISHED)
    assert [error.message for error in published.iter_errors(DOCUMENT)] == []
    for broken in (
        DOCUMENT | {"asyncapi": "2.6.0"},
        DOCUMENT | {"channel": {}},
        {key: part for key, part in DOCUMENT.items() if key != "info"},
    ):
        assert not published.is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [ref for inner in part.values() for ref in references(inner)]
        return (
            [ref for inner in part for ref in references(inner)] if isinstance(part, list) else []
        )

    found = set(references(DOCUMENT))
    assert len(found) > 10
    for reference in found:
        place: Any = DOCUMENT
        for word in reference.removeprefix("#/").split("/"):
            place = place[word]


def test_it_is_the_same_in_every_process_and_as_published_in_the_docs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.notification.asyncapi"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    kept = (ROOT / "docs/asyncapi.json").read_bytes()
    assert done.stdout == render(EXAMPLE_ORIGIN) == kept, (
        "write it anew: python -m services.notification.asyncapi > docs/asyncapi.json"
    )


def test_it_names_the_origin_that_it_is_served_from() -> None:
    servers = make_document("http://127.0.0.1:8000")["servers"]
    assert (servers["origin"]["host"], servers["origin"]["protocol"]) == ("127.0.0.1:8000", "http")


@pytest.mark.parametrize("kind", sorted(REFERRAL_TYPES))
def test_what_is_sent_fits(kind: str) -> None:
    entry = replace(ENTRY, type=kind)
    assert errors("WebhookMessage", json.loads(render_body(entry, EXAMPLE_ORIGIN))) == []
    for name in ("WebhookMessage", "TopicEvent", "StreamEntry"):
        assert kind in DOCUMENT["components"]["schemas"][name]["properties"]["type"]["examples"]


def test_what_stands_in_a_topic_and_in_the_stream_fits_and_what_does_not_is_seen() -> None:
    event = topic_event()
    assert errors("TopicEvent", event) == []
    body = StreamEntry(
        seq=7,
        type="referral-assigned",
        event_id=UUID(int=1),
        case_id=UUID(int=2),
        sequence=1,
        time=AT,
        referral={"state": "assigned"},
    )
    assert errors("StreamEntry", json.loads(msgspec.json.encode(body))) == []
    assert errors("TopicEvent", event | {"data": event["data"] | {"cursor": "7"}})
    assert errors("TopicEvent", {key: part for key, part in event.items() if key != "id"})
    headers = {name for name, _ in headers_of("a", 1, (), "00-a-b-01", b"s")}
    assert set(DOCUMENT["components"]["messages"]["topic"]["headers"]["properties"]) <= headers


def test_the_examples_fit_and_the_schedule_is_the_one_that_is_kept() -> None:
    for message in DOCUMENT["components"]["messages"].values():
        name = message["payload"]["$ref"].rsplit("/", 1)[1]
        for example in message["examples"]:
            assert errors(name, example["payload"]) == []
    assert SCHEDULE == "0,5,300,1800,7200,18000,36000,86400"
    said = "5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 24 h"
    assert said in DOCUMENT["channels"]["webhook"]["description"]
