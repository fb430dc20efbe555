"""How often the reader is right over invented messages; a wrong value costs more than none."""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from services.intake.reading import read
from shared.places import district_of
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.intake.reading import Reading

TODAY: Final = date(2026, 11, 25)
DATA: Final = Path(__file__).parents[1] / "data"
MESSAGES: Final = tomllib.loads((DATA / "reading.toml").read_text(encoding="utf-8"))["m"]
HELD_OUT: Final = tomllib.loads((DATA / "reading-held-out.toml").read_text(encoding="utf-8"))["m"]


def judge(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (field, right|missed|wrong) for all that the message says or must leave open."""
    reading = read(message["text"], today=TODAY)
    for concern in message.get("c", ()):
        yield "concern", "right" if concern in reading.concerns else "missed"
    for concern in message.get("no", ()):
        yield "not-concern", "wrong" if concern in reading.concerns else "right"
    for field in ("age", "sex"):
        yield field, _compare(message.get(field), getattr(reading, field))
    if "home_ok" not in message:
        said = {message[role] for role in ("place", "home") if role in message}
        got = district_of(reading.place) if reading.place else None
        yield "place", "right" if got in said else _compare(message.get("place"), got)
    if "home" in message:
        home = district_of(reading.place_home) if reading.place_home else None
        yield "home", _compare(message["home"], home)
    yield from _judge_care(message, reading)


def _judge_care(message: dict[str, Any], reading: Reading) -> Iterator[tuple[str, str]]:
    if message.get("t0"):
        yield "danger", "right" if reading.urgency == Urgency.T0 else "missed"
    yield "self-harm", _compare(message.get("self_harm"), reading.self_harm or None)
    for kind in message.get("conflict", ()):
        yield "conflict", "right" if kind in reading.possible_conflict else "missed"
    if "lang" in message:
        yield "language", _compare(message["lang"], reading.language)
    if message.get("noise"):
        yield "noise", _compare(message["noise"], reading.noise)
    else:
        yield "not-noise", "wrong" if reading.noise else "right"
    if not message.get("t0"):
        yield "not-danger", "wrong" if reading.urgency == Urgency.T0 else "right"
    if message.get("several"):
        counted = reading.several or (reading.count or (0, 0))[1] > 1
        yield "several", "right" if counted else "missed"


def _compare(expected: object, got: object) -> str:
    if expected == got:
        return "right"
    return "missed" if got is None else "wrong"


def count(messages: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return how often each field is right, missed and wrong."""
    table: dict[str, Counter[str]] = {}
    for message in messages:
        for field, verdict in judge(message):
            table.setdefault(field, Counter())[verdict] += 1
    return table


# The least right of those said (in hundredths), and the most wrong; a wrong value costs more.
FLOORS: Final = {
    "concern": (80, 0),
    "not-concern": (85, 1),
    "age": (90, 0),
    "sex": (90, 0),
    "place": (90, 0),
    "home": (60, 0),
    "danger": (100, 0),
    "self-harm": (97, 1),
    "conflict": (100, 0),
    "several": (60, 0),
}


# What was seen over the messages that nothing but danger was tuned on, less a margin.
FLOORS_HELD_OUT: Final = {
    "concern": (76, 0),
    "not-concern": (70, 3),
    "age": (90, 0),
    "sex": (82, 5),
    "place": (88, 7),
    "home": (100, 0),
    "danger": (95, 0),
    "not-danger": (92, 3),
    "self-harm": (97, 1),
    "conflict": (100, 0),
    "several": (50, 0),
    "language": (95, 1),
    "noise": (60, 0),
    "not-noise": (98, 0),
}


@pytest.mark.parametrize("field", FLOORS_HELD_OUT)
def test_messages_that_nothing_was_tuned_on_are_read_as_when_first_seen(field: str) -> None:
    verdicts = count(HELD_OUT)[field]
    least, most_wrong = FLOORS_HELD_OUT[field]
    assert verdicts["right"] * 100 >= least * verdicts.total()
    assert verdicts["wrong"] <= most_wrong


@pytest.mark.parametrize("half", [0, 1], ids=["even", "odd"])
@pytest.mark.parametrize("field", FLOORS)
def test_each_field_is_read_as_often_and_as_carefully_as_promised(field: str, half: int) -> None:
    verdicts = count(MESSAGES[half::2]).get(field, Counter())
    least, most_wrong = FLOORS[field]
    assert verdicts["right"] * 100 >= least * verdicts.total()
    assert verdicts["wrong"] <= most_wrong
