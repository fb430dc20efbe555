"""A form of plain HTML as the JSON that the interface takes: the names of its fields say where.

`goals.0.by` is the field `by` of the first of `goals`; `concerns[]` one more of a list; behind a
colon stands what it is: `:int`, `:bool`, `:time` (a day and an hour in Dhaka), `:years` (an age),
`:list` (words between commas). What is left empty is not sent; a row without anything neither.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from shared.text import ascii_digits, parse_whole

if TYPE_CHECKING:
    from collections.abc import Iterable

DHAKA: Final = "+06:00"

OURS: Final = frozenset({"once", "version", "back", "look"})
"""Fields of every form that are no part of what it says."""

_NAME: Final = re.compile(r"[a-z0-9][a-z_0-9]*(?:\.[a-z_0-9]+){0,4}(?:\[\])?(?::[a-z]+)?")

_LEVELS: Final = 50
"""Entries of a list that a form may name by number."""


def json_of(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return what a form says; a name that is none of ours is passed over."""
    root: dict[str, Any] = {}
    for name, value in fields:
        if name in OURS or not value or not _NAME.fullmatch(name):
            continue
        path, _, kind = name.partition(":")
        many = path.endswith("[]")
        *way, last = path.removesuffix("[]").split(".")
        at = root
        for part in way:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                break
        if not isinstance(at, dict):
            continue
        told = _value(value, kind)
        if many:
            at.setdefault(last, []).append(told)
        else:
            at[last] = told
    return {name: _rows(value) for name, value in root.items()}


def _rows(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Turn what was named by number into a list, in order."""
    if not isinstance(value, dict):
        return value
    known = {name: _rows(inner) for name, inner in value.items()}
    if known and all(parse_whole(name, _LEVELS - 1) is not None for name in known):
        return [known[name] for name in sorted(known, key=int)]
    return known


def _value(value: str, kind: str) -> Any:  # noqa: ANN401  (any JSON value)
    match kind:
        case "int":
            return _number(value)
        case "bool":
            return value in ("yes", "on", "true", "1")
        case "years":
            years = _number(value)
            return {"min": years, "max": years, "basis": "estimated"}
        case "time":
            return _time(value)
        case "list":
            return [word for word in re.split(r"[\s,،;]+", value) if word]
    return value


def _number(value: str) -> int | str:
    """Return a whole number in either digits; what is none stays for the interface to refuse."""
    plain = ascii_digits(value).strip()
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 10 else value  # noqa: PLR2004


def _time(value: str) -> str:
    """Return a browser's local day and hour as RFC 3339 of Dhaka."""
    try:
        return datetime.fromisoformat(value).isoformat(timespec="seconds") + DHAKA
    except ValueError:
        return value
