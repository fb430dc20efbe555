"""Freeze the JSON schema of event types: `python -m tests.contract.freeze` writes new ones only.

A frozen schema is never rewritten: a changed meaning is a new type or a new major version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from shared.events import DATA_TYPES, VERSION

SCHEMAS = Path(__file__).with_name("schemas")


def schema_now(event_type: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the data of an event type, as the code has it."""
    (_,), parts = msgspec.json.schema_components(
        [DATA_TYPES[event_type]], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pashe:event:{event_type}:{VERSION}",
        "$ref": f"#/$defs/{DATA_TYPES[event_type].__name__}",
        "$defs": {name: _without_words(part) for name, part in sorted(parts.items())},
    }


def _without_words(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in {"description", "title"}}


def main() -> None:
    """Write the schemas that are not frozen yet."""
    SCHEMAS.mkdir(exist_ok=True)
    for event_type in DATA_TYPES:
        file = SCHEMAS / f"{event_type}.{VERSION}.json"
        if not file.exists():
            file.write_text(json.dumps(schema_now(event_type), indent=1) + "\n", "utf-8")
            print(f"frozen: {file.name}")


if __name__ == "__main__":
    main()
