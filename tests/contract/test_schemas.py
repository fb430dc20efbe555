"""Events only grow: what was frozen can be read, and what is written now can be read by it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from shared.events import DATA_TYPES, VERSION
from tests.contract.freeze import SCHEMAS, schema_now

Schema = dict[str, Any]


def breaks(old: Schema, new: Schema) -> list[str]:
    """Say what a reader or writer of the old schema would trip over in the new one."""
    found: list[str] = []
    for name, was in old["$defs"].items():
        now = new["$defs"].get(name)
        if now is None:
            found.append(f"{name} is gone")
            continue
        for prop, kind in was.get("properties", {}).items():
            present = now["properties"].get(prop)
            if present is None:
                found.append(f"{name}.{prop} is gone")
            elif _without_growth(present, kind) != kind:
                found.append(f"{name}.{prop} has changed")
        required = set(now.get("required", ())) - set(was.get("required", ()))
        found += [f"{name}.{prop} has become required" for prop in sorted(required)]
        if {k: v for k, v in was.items() if k not in {"properties", "required"}} != {
            k: v for k, v in now.items() if k not in {"properties", "required"}
        }:
            found.append(f"{name} itself has changed")
    if old["$ref"] != new["$ref"]:
        found.append("it carries other data")
    return found


def _without_growth(now: Schema, was: Schema) -> Schema:
    """Return a property without what its default, an object, has more than it had."""
    old, new = was.get("default"), now.get("default")
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return now
    return now | {"default": {name: value for name, value in new.items() if name in old}}


@pytest.mark.parametrize("event_type", sorted(DATA_TYPES))
def test_a_frozen_schema_exists_and_the_present_type_only_grew(event_type: str) -> None:
    file = SCHEMAS / f"{event_type}.{VERSION}.json"
    assert file.exists(), "freeze it: python -m tests.contract.freeze"
    assert breaks(json.loads(file.read_text("utf-8")), schema_now(event_type)) == []


def test_no_frozen_type_was_taken_away() -> None:
    frozen = {file.name.rsplit(".", 2)[0] for file in SCHEMAS.glob("*.json")}
    assert frozen <= set(DATA_TYPES)


def changed(change: Any) -> list[str]:
    old = schema_now("case-created")
    new = copy.deepcopy(old)
    change(new["$defs"]["CaseFacts"])
    return breaks(old, new)


def test_the_check_allows_a_new_field_with_a_default() -> None:
    assert changed(lambda c: c["properties"].update(later={"type": "string", "default": ""})) == []
    assert changed(lambda c: c["properties"]["consent"]["default"].update(later="")) == []


def test_the_check_sees_each_way_to_break_a_reader() -> None:
    assert changed(lambda c: c["properties"].pop("age")) == ["CaseFacts.age is gone"]
    assert changed(lambda c: c["required"].append("age")) == ["CaseFacts.age has become required"]
    assert changed(lambda c: c["properties"].update(count={"type": "string"})) == [
        "CaseFacts.count has changed"
    ]
    assert changed(lambda c: c["properties"]["consent"]["default"].update(given=True)) == [
        "CaseFacts.consent has changed"
    ]
    assert changed(lambda c: c.update(additionalProperties=False)) == [
        "CaseFacts itself has changed"
    ]
