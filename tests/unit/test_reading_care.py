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
    district = district_of(code) if code else None
    return {district} if district else set()


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


# The least recall and precision, in hundredths. Of messages that words and rules were corrected on:
LEARNT: Final = {
    "danger": (95, 95),
    "self-harm": (90, 95),
    "concern": (80, 75),
    "place": (93, 85),
    "home": (75, 100),
    "persons": (85, 90),
    "conflict": (85, 100),
    "in": (80, 100),
}
# Of messages that nothing was tuned on, as first seen, less a margin: low, and true.
UNSEEN: Final = {
    "danger": (46, 76),
    "self-harm": (40, 60),
    "concern": (40, 55),
    "place": (93, 80),
    "home": (90, 70),
    "persons": (70, 80),
    "conflict": (100, 90),
    "in": (35, 100),
}


def load(name: str) -> list[dict[str, Any]]:
    """Return all messages of a file of the test data."""
    tables = tomllib.loads((DATA / name).read_text(encoding="utf-8"))
    return [message for messages in tables.values() for message in messages]


@pytest.mark.parametrize(
    ("name", "floors"),
    [("reading-danger.toml", LEARNT), ("reading-unseen.toml", UNSEEN)],
    ids=["learnt", "unseen"],
)
def test_each_field_is_heard_and_not_heard_wrongly_as_often_as_promised(
    name: str, floors: dict[str, tuple[int, int]]
) -> None:
    scores = score(load(name))
    seen = {f: (round(s.recall * 100), round(s.precision * 100)) for f, s in scores.items()}
    below = {f for f, (r, p) in floors.items() if seen[f][0] < r or seen[f][1] < p}
    assert not below, seen


DANGERS: Final = (
    "ওরা আমার গলা টিপে ধরছে",
    "baire theke tala, amra 4 jon, khaoa nai",
    "a man with a gun is at our door",
    "amare khujtese maliker lok, ami bathroom e",
    "she fainted and does not wake up",
)


@pytest.mark.parametrize("text", DANGERS)
def test_the_same_words_are_danger_now_and_none_when_supposed_played_past_or_over(
    text: str,
) -> None:
    assert _is_danger(text)
    assert not _is_danger(f"In the movie: {text.replace('amare', 'ore').replace('আমার', 'ওর')}")
    assert not _is_danger(f"{text}. It was a false alarm")
    assert _is_danger(f"it was a false alarm yesterday. Now {text}")


@pytest.mark.parametrize(
    ("text", "danger"),
    [
        ("two years ago he strangled me", False),
        ("two years ago we married, now he is strangling me", True),
        ("২ বছর আগে আমারে গলা টিপে ধরছিল", False),
        ("২ মাস আগে আনছে, ঘরে তালা দিয়া রাখছে, আমরা বাইর হইতে পারি না", True),
        ("since last week they have locked us in a room", True),
        ("if someone is locked in a room, whom should the neighbour call?", False),
        ("if i tell anyone he will kill me", True),
        ("আমরা এখন নিরাপদে আছি, আগে তালা দিয়া মারত", False),
        ("আমি নিরাপদ না, দরজার বাইরে ওরা দা নিয়া খাড়া", True),
        ("natoke ovinoyer kotha bole amake ghore tala diye rakhse, bachan", True),
        ("amakeatkayrakhse ghore, bachan", True),
        ("amk ghore atke rkhse, plz bachn", True),
    ],
)
def test_time_and_mood_decide_whether_it_is_danger(text: str, *, danger: bool) -> None:
    assert _is_danger(text) is danger


def _is_danger(text: str) -> bool:
    return read(text, today=TODAY).urgency == Urgency.T0
