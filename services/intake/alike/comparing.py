"""Two cases compared field by field, and what their agreement weighs. Pure.

The score is a sum of weights in bits (Fellegi and Sunter), one for the level to which each field
agrees. What is not known of either weighs nothing. They stand in `weights.toml`; how they were
found: docs/linkage.md.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.intake.alike.features import phones, words
from services.intake.blind import FINE, ROUGH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from services.intake.alike.features import Features

FILE: Final = Path(__file__).with_name("weights.toml")

CROWD: Final = 4
"""A number that more reports than this came with is a shop's or a committee's: it says little."""

NOBODY: Final[frozenset[str]] = frozenset()

PERSON: Final = "person"
INCIDENT: Final = "incident"


@dataclass(frozen=True, slots=True)
class Model:
    """Weights by field and level, and the sum from which on a person looks at a pair."""

    weights: Mapping[str, Mapping[str, float]]
    look: float

    def score(self, levels: Mapping[str, str]) -> float:
        """Return the sum of the weights of levels."""
        return sum(self.weights[name][level] for name, level in levels.items())


@dataclass(frozen=True, slots=True)
class Alike:
    """What comparing came to: levels by field, a score for each question, and what is likely.

    `kind` is what the score speaks for (`same_person`, `same_incident`), or None for neither.
    """

    levels: Mapping[str, str]
    person: float
    incident: float
    kind: str | None

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """What speaks for it and against, strongest first, in words of both languages.

        Each with its `weight` in bits: above zero it speaks for, below against.
        """
        mine = models()[0 if self.kind != "same_incident" else 1]
        found = [
            {
                "field": name,
                "level": level,
                "weight": mine.weights[name][level],
                **load_reasons()[name][level],
            }
            for name, level in self.levels.items()
        ]
        return sorted(found, key=lambda one: -abs(one["weight"]))

    @property
    def grounds(self) -> tuple[str, ...]:
        """The levels as words that can be kept: `name:whole`."""
        return tuple(sorted(f"{name}:{level}" for name, level in self.levels.items()))


@cache
def load_weights() -> Mapping[str, Any]:
    """Read `weights.toml`."""
    return tomllib.loads(FILE.read_text("utf-8"))


@cache
def load_reasons() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Read `reasons.toml`: the words of each level, by field."""
    return tomllib.loads(FILE.with_name("reasons.toml").read_text("utf-8"))


@cache
def models() -> tuple[Model, Model]:
    """Return the models of one person and of one incident."""
    told = load_weights()
    person, incident = (Model(told[name]["weights"], told[name]["look"]) for name in _MODELS)
    return person, incident


_MODELS: Final = (PERSON, INCIDENT)


def compare(one: Features, other: Features, crowded: frozenset[str] = NOBODY) -> Alike:
    """Compare two cases of different reports; `crowded` are marks of numbers that many share."""
    levels = levels_of(one, other, crowded)
    person, incident = models()
    is_person, is_incident = person.score(levels), incident.score(levels)
    kind = None
    if is_incident >= incident.look:
        kind = "same_incident"
    if is_person >= person.look:
        kind = "same_person"
    return Alike(levels, is_person, is_incident, kind)


def levels_of(one: Features, other: Features, crowded: frozenset[str] = NOBODY) -> dict[str, str]:
    """Return how far two cases agree, by field; a field that one of them lacks is left out."""
    found = {
        "phone": _phone(one, other, crowded),
        "name": _name(one.own, other.own),
        "age": _age(one.age, other.age),
        "sex": None if not one.sex or not other.sex else _same(one.sex == other.sex),
        "place": _place(one, other),
        "time": _apart(one.received_at, other.received_at, _CAME),
        "happened": _happened(one, other),
        "concern": _concern(one.concerns, other.concerns),
        "alleged": _alleged(one, other),
    }
    return {name: level for name, level in found.items() if level is not None}


def _same(agrees: bool) -> str:  # noqa: FBT001  (a predicate turned into a word)
    return "same" if agrees else "other"


def _phone(one: Features, other: Features, crowded: frozenset[str]) -> str | None:
    mine, theirs = phones(one.own), phones(other.own)
    if (mine & theirs) - crowded:
        return "own"
    shared = (mine | phones(one.near)) & (theirs | phones(other.near))
    if shared:
        return "shared" if shared - crowded else "crowded"
    if phones(one.alleged) & phones(other.near) or phones(other.alleged) & phones(one.near):
        return "alleged"
    return "other" if mine and theirs else None


def _name(mine: frozenset[str], theirs: frozenset[str]) -> str | None:
    fine, their_fine = words(mine, FINE), words(theirs, FINE)
    if not fine or not their_fine:
        return None
    rough, their_rough = words(mine, ROUGH), words(theirs, ROUGH)
    same, sound = len(fine & their_fine), len(rough & their_rough)
    fewest = min(len(fine), len(their_fine))
    if same == fewest:
        return "whole" if same > 1 else "word"
    if sound >= min(len(rough), len(their_rough)):
        return "sound"
    return "part" if sound else "other"


_NEAR_YEARS: Final = 1
_FAR_YEARS: Final = 3


def _age(mine: tuple[int, int] | None, theirs: tuple[int, int] | None) -> str | None:
    if mine is None or theirs is None:
        return None
    gap = max(mine[0], theirs[0]) - min(mine[1], theirs[1])
    if gap <= 0:
        return "same"
    return "near" if gap <= _NEAR_YEARS else "far" if gap <= _FAR_YEARS else "other"


def _place(one: Features, other: Features) -> str | None:
    if one.district is None or other.district is None:
        return None
    if one.upazila is not None and one.upazila == other.upazila:
        return "upazila"
    return "district" if one.district == other.district else "other"


_CAME: Final = (("days", 2), ("week", 7), ("weeks", 14), ("month", 30), ("months", 90))
_HAPPENED: Final = (("days", 3), ("week", 8), ("month", 30))


def _apart(one: datetime, other: datetime, levels: tuple[tuple[str, int], ...]) -> str:
    gap = abs(one - other)
    return next((level for level, days in levels if gap.days < days), "other")


def _happened(one: Features, other: Features) -> str | None:
    if one.happened is None or other.happened is None:
        return None
    return _apart(one.happened, other.happened, _HAPPENED)


def _concern(mine: frozenset[str], theirs: frozenset[str]) -> str | None:
    if not mine or not theirs:
        return None
    if mine & theirs:
        return "same"
    groups = load_weights()["concerns"].values()
    return "kin" if any(mine & set(group) and theirs & set(group) for group in groups) else "other"


def _alleged(one: Features, other: Features) -> str | None:
    mine, theirs = words(one.alleged, FINE), words(other.alleged, FINE)
    return None if not mine or not theirs else _same(bool(mine & theirs))
