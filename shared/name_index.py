"""The names of all places by key, with the other names people use: built once, at first use."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from shared.places import GEO, Level, Place, all_places, district_of
from shared.spelling import fold, plain
from shared.text import normalise, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ADMIN_WORDS: Final = frozenset(
    (
        "upazila", "upozila", "upazilla", "upojela", "thana", "zila", "zilla", "jela", "jila",
        "district", "dist", "division", "bibhag", "union", "unioner", "village", "gram", "sadar",
        "sodor", "ps", "po", "city", "town", "pourashava", "para", "ward",
        "উপজেলা", "উপজেলার", "উপজেলায়", "থানা", "থানার", "থানায়", "জেলা", "জেলার", "জেলায়", "বিভাগ",
        "ইউনিয়ন", "ইউনিয়নে", "ইউনিয়নের", "গ্রাম", "গ্রামে", "সদর", "সদরে", "শহর", "শহরে", "পৌরসভা",
        "ওয়ার্ড",
    ),
)  # fmt: skip
_BRACKETS: Final = re.compile(r"\(([^)]*)\)")
_SADAR: Final = re.compile(r"\bSadar\b(?! Dakkhin)")
_RESPELT: Final = "another spelling of the district"
_MIDDLE: Final = (Level.UPAZILA, Level.CITY_CORPORATION, Level.THANA)


@dataclass(frozen=True, slots=True)
class NameIndex:
    """Codes by plain name and by folded key, nationally and inside each district."""

    plain: dict[str, tuple[str, ...]]
    folded: dict[str, tuple[str, ...]]
    reasons: dict[tuple[str, str], str]
    districts: dict[str, tuple[str, ...]]
    middle: dict[str, tuple[str, ...]]
    not_places: frozenset[str]
    _middle_of: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    _unions_of: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)

    def middle_of(self, district: str) -> dict[str, tuple[str, ...]]:
        """Return upazilas, city corporations and thanas of a district by folded key."""
        return self._middle_of.get(district, {})

    def unions_of(self, district: str) -> dict[str, tuple[str, ...]]:
        """Return the unions of a district by folded key."""
        return self._unions_of.get(district, {})

    def is_common(self, word: str) -> bool:
        """Tell whether this is an everyday word, not to be taken for a misspelt place."""
        return any(word in words_of(language) for language in ("bn", "banglish", "en", "common"))

    def is_word(self, word: str) -> bool:
        """Tell whether a name is also a word: it names a place only beside another place."""
        return word in self.not_places or self.is_common(word)


@cache
def name_index() -> NameIndex:
    """Build the index from the places and `aliases.csv`; the same object every time."""
    exact: dict[str, dict[str, None]] = defaultdict(dict)
    folded: dict[str, dict[str, None]] = defaultdict(dict)
    levels: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    reasons: dict[tuple[str, str], str] = {}
    for name, code, reason in list_names():
        key = plain(normalise(name))
        exact[key][code] = None
        folded[spelling := fold(key)][code] = None
        if reason:
            reasons[key, code] = reason
        for group in _groups(all_places()[code]):
            levels[group][spelling][code] = None
    sizes = {group: _frozen(names) for group, names in levels.items()}
    return NameIndex(
        plain=_frozen(exact),
        folded=_frozen(folded),
        reasons=reasons,
        districts=sizes["districts"],
        middle=sizes["middle"],
        not_places=frozenset(plain(normalise(row["word"])) for row in _rows("not_places.csv")),
        _middle_of={g[7:]: names for g, names in sizes.items() if g.startswith("middle:")},
        _unions_of={g[7:]: names for g, names in sizes.items() if g.startswith("unions:")},
    )


def _groups(place: Place) -> tuple[str, ...]:
    if place.level is Level.DISTRICT:
        return ("districts",)
    if place.level in _MIDDLE:
        return ("middle", f"middle:{district_of(place.pcode)}")
    if place.level is Level.UNION:
        return (f"unions:{district_of(place.pcode)}",)
    return ()


def _frozen(names: dict[str, dict[str, None]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(codes) for name, codes in names.items() if name}


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (GEO / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def list_names() -> Iterator[tuple[str, str, str]]:
    """Yield name, code and, for a name that is not the official one, the reason."""
    aliases = [(row["alias"], row["pcode"], row["reason"]) for row in _rows("aliases.csv")]
    yield from aliases
    of_districts: dict[str, list[str]] = defaultdict(list)
    for alias, code, reason in aliases:
        if reason == _RESPELT:
            of_districts[code].append(alias)
    for place in all_places().values():
        if place.level is not Level.COUNTRY:
            yield from _own_names(place)
        if place.level is Level.DISTRICT:
            of_districts[place.pcode] += [place.name_en, place.name_bn, *place.aliases]
    for place in all_places().values():
        if place.level in _MIDDLE and _SADAR.search(place.name_en):
            for name in of_districts[district_of(place.pcode) or ""]:
                for sadar in ("Sadar", "Sodor", "সদর"):
                    yield f"{name} {sadar}", place.pcode, "the sadar of the district"


def _own_names(place: Place) -> Iterator[tuple[str, str, str]]:
    for name in (place.name_en, place.name_bn, *place.aliases):
        yield name, place.pcode, ""
        if inner := _BRACKETS.search(name):
            yield _BRACKETS.sub("", name), place.pcode, ""
            yield inner[1], place.pcode, "the name in brackets"
