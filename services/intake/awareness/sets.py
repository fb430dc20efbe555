"""The sets of awareness as they stand in `content/`, and when each is in season; pure.

A set says one thing for every channel: an SMS, a radio script, a poster, a talk in a courtyard. Its
languages say the same. People who work here print and read it; the SMS goes to who asked for it.
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from shared.places import ancestors
from shared.text import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.intake.helplines import Line
    from shared.pages.languages import Language

_HERE: Final = Path(__file__).parent

LINES: Final = "{lines}"
"""Where a radio script names the numbers to call."""

_OR: Final = {"bn": " বা ", "en": " or "}

Headline = Annotated[str, Meta(min_length=1, max_length=45)]
PosterLine = Annotated[str, Meta(min_length=1, max_length=50)]
Some = Annotated[tuple[str, ...], Meta(min_length=3, max_length=6)]


class Season(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"begins": "from"}
):
    """When a set is in season: `months` of every year, or `begins` to `until`, both included.

    `places` are P-codes of divisions or districts, none for everywhere.
    """

    bn: str
    en: str
    months: tuple[Annotated[int, Meta(ge=1, le=12)], ...] = ()
    begins: date | None = None
    until: date | None = None
    places: tuple[str, ...] = ()

    def holds(self, day: date, place: str | None = None) -> bool:
        """Say whether it is this season on a day; with a place, whether it is so there."""
        if self.begins is not None and self.until is not None:
            now = self.begins <= day <= self.until
        else:
            now = day.month in self.months
        here = place is None or not self.places or not set(self.places).isdisjoint(ancestors(place))
        return now and here


class Poster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A headline and three lines, short enough for big type on A4."""

    headline: Headline
    lines: Annotated[tuple[PosterLine, ...], Meta(min_length=3, max_length=3)]


class Courtyard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A talk in a courtyard: what to say, what to ask, what never to do."""

    points: Some
    questions: Some
    never: Some


class Guide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How any courtyard talk is held: before, during, after."""

    before: Some
    during: Some
    after: Some


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: Headline
    about: str
    sms: str
    radio: str
    poster: Poster
    courtyard: Courtyard


class _Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    lines: Annotated[tuple[str, ...], Meta(min_length=1)]
    season: Annotated[tuple[Season, ...], Meta(min_length=1)]


class Set(msgspec.Struct, frozen=True, kw_only=True):
    """One set in one language; `lines` are numbers of helplines that its texts name."""

    name: str
    number: int
    lines: tuple[str, ...]
    seasons: tuple[Season, ...]
    title: str
    about: str
    sms: str
    radio: str
    poster: Poster
    courtyard: Courtyard

    def now(self, day: date, place: str | None = None) -> tuple[Season, ...]:
        """Return the seasons that it is on a day, in a place if one is given."""
        return tuple(one for one in self.seasons if one.holds(day, place))


@cache
def list_sets(language: Language) -> tuple[Set, ...]:
    """Return the sets of a language in their order.

    Raises:
        msgspec.ValidationError: a file is not written as above.

    """
    terms = msgspec.convert(_toml(_HERE / "sets.toml"), dict[str, _Terms])
    return tuple(
        _read(name, language, told)
        for name, told in sorted(terms.items(), key=lambda item: item[1].number)
    )


def find_set(language: Language, name: str) -> Set | None:
    """Return a set by its name."""
    return next((one for one in list_sets(language) if one.name == name), None)


def in_season_first(sets: Iterable[Set], day: date, place: str | None = None) -> list[Set]:
    """Return the sets whose season it is on a day (in a place) first, each part in its order."""
    return sorted(sets, key=lambda one: (not one.now(day, place), one.number))


@cache
def load_guide(language: Language) -> Guide:
    """Return how a courtyard talk is held."""
    return msgspec.convert(_toml(_HERE / "content" / language / "guide.toml"), Guide)


def lines_of(told: Set, lines: Sequence[Line], day: date) -> list[Line]:
    """Return the lines that a set names and that answer; for a silent one those in its place."""
    by_number = {one.number: one for one in lines}
    found: dict[str, Line] = {}
    for number in told.lines:
        named = by_number[number]
        instead = (by_number[one] for one in named.instead if one in by_number)
        answering = [
            one for one in (named, *instead) if one.status == "answers" and one.holds_on(day)
        ]
        for one in answering[:1]:
            found[one.number] = one
    return list(found.values())


def with_danger(told: Sequence[Line], lines: Sequence[Line], day: date) -> list[Line]:
    """Return these lines, then those for danger that answer and are not among them."""
    more = [one for one in lines if one.danger and one.status == "answers" and one.holds_on(day)]
    return [*told, *(one for one in more if one not in told)]


def say_radio(told: Set, numbers: Sequence[str], language: Language) -> list[str]:
    """Return the sentences of a radio script, line by line, with the numbers to call."""
    return told.radio.strip().replace(LINES, _OR[language].join(numbers)).splitlines()


def _read(name: str, language: Language, terms: _Terms) -> Set:
    file = _HERE / "content" / language / f"{terms.number}-{name}.toml"
    words = msgspec.convert(_toml(file), _Words)
    return Set(
        name=name,
        number=terms.number,
        lines=terms.lines,
        seasons=terms.season,
        **{field: getattr(words, field) for field in words.__struct_fields__},
    )


def _toml(file: Path) -> dict[str, object]:
    return tomllib.loads(normalise(file.read_text("utf-8")))
