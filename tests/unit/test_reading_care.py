"""How much danger the reader hears, and how seldom it wakes a person for nothing."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from services.intake.reading import read
from shared.places import district_of
from shared.vocabulary import Concern, Urgency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.intake.reading import Reading

TODAY: Final = date(2026, 11, 25)
DATA: Final = Path(__file__).parents[1] / "data"
EXPLOITATION: Final = frozenset(
    {
        Concern.CHILD_TRAFFICKING,
        Concern.ADULT_TRAFFICKING,
        Concern.CHILD_SEXUAL_EXPLOITATION,
        Concern.ONLINE_SEXUAL_EXPLOITATION,
        Concern.FORCED_LABOUR,
        Concern.FORCED_BEGGING,
    },
)


@dataclass(slots=True)
class Score:
    """How often a value was read rightly, not read, and read although it is not so."""

    hit: int = 0
    missed: int = 0
    false: int = 0

    @property
    def recall(self) -> float:
        """Return the part of what is so that was read (1 when nothing is)."""
        return self.hit / (self.hit + self.missed) if self.hit + self.missed else 1.0

    @property
    def precision(self) -> float:
        """Return the part of what was read that is so (1 when nothing was)."""
        return self.hit / (self.hit + self.false) if self.hit + self.false else 1.0


def compare(message: dict[str, Any]) -> Iterator[tuple[str, set[Any], set[Any]]]:
    """Yield (field, what is so, what was read) for one message."""
    reading = read(message["text"], today=TODAY)
    yield "danger", _flag(message.get("t0")), _flag(reading.urgency == Urgency.T0)
    yield "self-harm", _flag(message.get("self_harm")), _flag(reading.self_harm)
    concerns = {concern.value for concern in reading.concerns} - {"unsure", "self_harm_risk"}
    yield "concern", set(message.get("c", ())), concerns - set(message.get("ok", ()))
    place, home = (_district(code) for code in (reading.place, reading.place_home))
    yield "place", {message[k] for k in ("place",) if k in message} or _named(message), place
    yield "home", _named(message), home
    yield "persons", *_persons(message, reading)
    yield "conflict", set(message.get("conflict", ())), set(reading.possible_conflict)
    if "in" in message:
        exploited = not EXPLOITATION.isdisjoint(reading.concerns)
        family = {"family"} if reading.family_alleged and not exploited else set()
        yield "in", {message["in"]}, family or ({"exploitation"} if exploited else set())


def _flag(said: object) -> set[bool]:
    return {True} if said else set()


def _district(code: str | None) -> set[str]:
    return {district_of(code)} if code else set()


def _named(message: dict[str, Any]) -> set[str]:
    return {message["home"]} if "home" in message else set()


def _persons(message: dict[str, Any], reading: Reading) -> tuple[set[int], set[int]]:
    """Compare how many persons; 2 is said of several who are not counted too."""
    said = {message["n"]} if "n" in message else set()
    most = reading.count[1] if reading.count else 2 if reading.several and said == {2} else 1
    return said, {most} if most > 1 else set()


def score(messages: list[dict[str, Any]]) -> dict[str, Score]:
    """Return the score of each field over the messages."""
    table: dict[str, Score] = {}
    for message in messages:
        for field, so, got in compare(message):
            row = table.setdefault(field, Score())
            row.hit += len(so & got)
            row.missed += len(so - got)
            row.false += len(got - so)
    return table
