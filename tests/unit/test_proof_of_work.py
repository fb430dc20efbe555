"""Work brings a report forward under load; without it nothing is refused, and nobody starves."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from services.intake.lanes import Lanes
from services.intake.proof_of_work import VALID, Work, work_from
from shared.errors import SettingsError

AT = datetime(2026, 11, 25, tzinfo=UTC)
KEY = b"k" * 32


def make(load: int = 0, clock: Any = lambda: AT) -> Work:
    return Work(KEY, lambda: load, bits=8, when=10, clock=clock)


def solve(challenge: str, bits: int = 8) -> str:
    for number in count():
        said = f"{challenge}:{number}"
        if int.from_bytes(hashlib.sha256(said.encode()).digest()) >> (256 - bits) == 0:
            return said
    raise AssertionError


def test_work_is_asked_for_under_load_only() -> None:
    assert make(9).challenge()["bits"] == 0
    assert make(10).challenge()["bits"] == 8


def test_what_was_found_counts_once_and_for_a_while() -> None:
    moment = [AT]
    work = make(clock=lambda: moment[0])
    said = solve(work.challenge()["challenge"])
    late = solve(work.challenge()["challenge"])
    assert work.is_done(said)
    assert not work.is_done(said)
    moment[0] += VALID
    assert not work.is_done(late)


@pytest.mark.parametrize("said", [None, "", ":", "a:b", "é:1", "AAAA:1", "AAAA:" + "1" * 99])
def test_what_is_no_work_does_not_count(said: str | None) -> None:
    assert not make().is_done(said)


def test_a_challenge_that_is_not_ours_or_was_not_solved_does_not_count() -> None:
    other = Work(b"o" * 32, lambda: 0, bits=8)
    assert not make().is_done(solve(other.challenge()["challenge"]))
    work = make()
    challenge = work.challenge()["challenge"]
    wrong = next(
        f"{challenge}:{n}"
        for n in count()
        if hashlib.sha256(f"{challenge}:{n}".encode()).digest()[0]
    )
    assert not work.is_done(wrong)


def test_settings_that_no_phone_could_do_are_refused() -> None:
    assert work_from(KEY, lambda: 0, {"INTAKE_WORK_BITS": "20"}).bits == 20
    for env in ({"INTAKE_WORK_BITS": "25"}, {"INTAKE_WORK_WHEN": "x"}, {"INTAKE_WORK_BITS": "0"}):
        with pytest.raises(SettingsError):
            work_from(KEY, lambda: 0, env)


def test_those_behind_come_after_the_others_and_always_have_some_places() -> None:
    lanes: Lanes[str] = Lanes()
    for name in ["b1", "b2", "b3", "b4", "b5"]:
        lanes.add(name, behind=True)
    for name in ["f1", "f2", "f3", "f4"]:
        lanes.add(name, behind=False)
    assert (len(lanes), lanes.behind) == (9, 5)
    assert lanes.take(4, kept=1) == ["f1", "f2", "f3", "b1"]
    assert lanes.take(4, kept=1) == ["f4", "b2", "b3", "b4"]
    assert lanes.take(4, kept=1) == ["b5"]
    assert lanes.take(4, kept=1) == []
    lanes.add("f5", behind=False)
    assert lanes.take(1, kept=1) == ["f5"], "a place that nobody behind needs is the others'"
