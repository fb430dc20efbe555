"""The places of Bangladesh: division › district › upazila, city corporation or thana › union.

Frozen, loaded once at first use from `shared/data/geo` (sources and attribution in its
LICENCE.md). A parent is always read from the data, never from the prefix of a code.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COUNTRY: Final = "BD"
GEO: Final = Path(__file__).parent / "data" / "geo"


class PlaceUnknown(LookupError):  # noqa: N818  (says what went wrong)
    """No place has this code: check it with `find` before it is stored."""


class Level(StrEnum):
    """How large a place is, from the country down."""

    COUNTRY = "country"
    DIVISION = "division"
    DISTRICT = "district"
    UPAZILA = "upazila"
    CITY_CORPORATION = "city_corporation"
    THANA = "thana"
    UNION = "union"


@dataclass(frozen=True, slots=True)
class Place:
    """One place. `pcode` is the P-code, or the union's own id where it has none."""

    pcode: str
    level: Level
    name_en: str
    name_bn: str
    aliases: tuple[str, ...]
    parent: str | None
    latitude: float | None
    longitude: float | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that a text may mean: score 0–100, why, and where in the text (character offsets)."""

    pcode: str
    level: Level
    score: int
    reason: str
    start: int
    end: int


def find(pcode: str) -> Place | None:
    """Return the place with this P-code or union id, or None."""
    return all_places().get(pcode) or _unions_by_id().get(pcode)


def ancestors(pcode: str) -> tuple[str, ...]:
    """Return the codes from the place itself upward, ending in `BD`; raise `PlaceUnknown`."""
    chain = [_load(pcode)]
    while (parent := chain[-1].parent) is not None:
        chain.append(all_places()[parent])
    return tuple(place.pcode for place in chain)


def coarse(pcode: str) -> str:
    """Return the code that an event may carry: never finer than an upazila or thana.

    A union becomes its upazila; anything larger is itself. Raise `PlaceUnknown`.
    """
    place = _load(pcode)
    if place.level is Level.UNION and place.parent is not None:
        return place.parent
    return place.pcode


def district_of(pcode: str) -> str | None:
    """Return the district that the place is or lies in, None above; raise `PlaceUnknown`."""
    for code in ancestors(pcode):
        if all_places()[code].level is Level.DISTRICT:
            return code
    return None


def resolve(text: str) -> tuple[Candidate, ...]:
    """Return the places that a normalised text names, best first; ties share their score.

    Below about 80 ask instead of accepting. Needs the `intake` extra (RapidFuzz), which is why
    the resolver is imported here and not by everybody who looks up a code.
    """
    from shared.gazetteer import resolve as resolve_text  # noqa: PLC0415  (see the docstring)

    return resolve_text(text)


@cache
def all_places() -> Mapping[str, Place]:
    """Return every place by code, the country and larger places first."""
    places = (_country(), *_divisions(), *_districts(), *_upazilas(), *_thanas(), *_unions())
    return MappingProxyType({place.pcode: place for place in places})


@cache
def _unions_by_id() -> Mapping[str, Place]:
    codes = {row["union_id"]: row["union_pcode"] or row["union_id"] for row in _rows(_UNIONS)}
    return MappingProxyType({union: all_places()[code] for union, code in codes.items()})


def _load(pcode: str) -> Place:
    place = find(pcode)
    if place is None:
        raise PlaceUnknown
    return place


_UNIONS: Final = "bd_geo_unions.csv"


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (GEO / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _place(row: dict[str, str], pcode: str, level: Level, parent: str, names: str) -> Place:
    aliases = row.get("union_aliases_en", row.get("aliases_en", ""))
    return Place(
        pcode=pcode,
        level=level,
        name_en=row[f"{names}_en"],
        name_bn=row[f"{names}_bn"],
        aliases=tuple(alias for alias in aliases.split(";") if alias),
        parent=parent,
        latitude=float(row["lat"]) if row["lat"] else None,
        longitude=float(row["lon"]) if row["lon"] else None,
    )


def _country() -> Place:
    return Place(COUNTRY, Level.COUNTRY, "Bangladesh", "বাংলাদেশ", (), None, None, None)


def _divisions() -> Iterator[Place]:
    for row in _rows("divisions.csv"):
        yield _place(row, row["pcode"], Level.DIVISION, COUNTRY, "name")


def _districts() -> Iterator[Place]:
    for row in _rows("districts.csv"):
        yield _place(row, row["pcode"], Level.DISTRICT, row["division_pcode"], "name")


def _upazilas() -> Iterator[Place]:
    for row in _rows("upazilas.csv"):
        yield _place(row, row["pcode"], Level(row["kind"]), row["district_pcode"], "name")


def _thanas() -> Iterator[Place]:
    for row in _rows("metro_thanas.csv"):
        parent = row["adm3_v03"] or row["district_pcode"]
        yield _place(row, row["pcode"], Level.THANA, parent, "thana")


def _unions() -> Iterator[Place]:
    for row in _rows(_UNIONS):
        pcode = row["union_pcode"] or row["union_id"]
        yield _place(row, pcode, Level.UNION, row["upazila_pcode"], "union")
