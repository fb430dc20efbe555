"""The facts of HSDS 3 as data: its kinds of objects, their fields and how they hang together."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_FACTS: Final = Path(__file__).with_name("kinds.toml")

NUMBERS: Final = frozenset(
    (
        *("minimum_age", "maximum_age", "latitude", "longitude", "timezone", "count", "interval"),
        *("extension", "amount", "year_incorporated", "available", "maximum"),
    )
)
"""Fields that are numbers, whatever kind they are of."""


@dataclass(frozen=True, slots=True)
class Held:
    """One object that another names: its kind, and the column that names it."""

    kind: str
    column: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object.

    `links`: column → kind that it names, for all columns that name one. `holds`: JSON member → the
    one object it is. `lists`: JSON member → kind of the objects listed. `of`: parent's kind →
    column that names the parent. `anywhere`: columns of the parent's id and kind, where the parent
    may be of any kind.
    """

    name: str
    file: str
    fields: tuple[str, ...]
    needs: tuple[str, ...]
    rows: tuple[str, ...]
    links: Mapping[str, str]
    holds: Mapping[str, Held]
    lists: Mapping[str, str]
    of: Mapping[str, str]
    anywhere: tuple[str, str] | None


@cache
def kinds() -> Mapping[str, Kind]:
    """Return every kind by its name, those that others name first."""
    read = tomllib.loads(_FACTS.read_text("utf-8"))
    return {name: _kind(name, facts, read) for name, facts in read.items()}


def _kind(name: str, facts: Mapping[str, Any], read: Mapping[str, Any]) -> Kind:
    holds = {member: Held(*named) for member, named in facts.get("holds", {}).items()}
    of = {parent: f"{parent}_id" for parent in facts.get("of", {})}
    lists = {}
    for child, told in read.items():
        if name in told.get("of", {}):
            lists[told["of"][name]] = child
        if "anywhere" in told:
            lists[told["anywhere"][2]] = child
    named = {held.column: held.kind for held in holds.values()}
    return Kind(
        name=name,
        file=facts["file"],
        fields=("id", *facts["fields"].split()),
        needs=("id", *facts.get("needs", ())),
        rows=tuple(facts.get("rows", ())),
        links={**{column: kind for kind, column in of.items()}, **named, **facts.get("links", {})},
        holds=holds,
        lists=lists,
        of=of,
        anywhere=tuple(facts["anywhere"][:2]) if "anywhere" in facts else None,
    )


@cache
def kinds_by_file() -> Mapping[str, str]:
    """Return the kind of each name a file or a list of objects may have: plural or singular."""
    plural = {kind.file: name for name, kind in kinds().items()}
    return {**plural, **{name: name for name in kinds()}, "service_at_locations": _AT}


_AT: Final = "service_at_location"
