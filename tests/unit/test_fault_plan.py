"""The nemesis strikes as often as its plan says, and the same seed strikes in the same order."""

from __future__ import annotations

import random
from collections import Counter

from tests.faults.nemesis import Plan
from tests.faults.run import LONG, SHORT
from tests.support.stack import SERVICES


def test_the_short_plan_kills_each_service_five_times_and_both_stores_once() -> None:
    struck = Counter(SHORT.rounds(random.Random(1)))
    assert struck == {("kill", s): 5 for s in SERVICES} | {
        ("kill", "kafka"): 1,
        ("kill", "postgres"): 1,
    }


def test_the_long_plan_kills_everything_twenty_times_and_stops_and_freezes_it() -> None:
    struck = Counter(LONG.rounds(random.Random(1)))
    assert all(struck["kill", part] == 20 for part in (*SERVICES, "kafka", "postgres"))
    assert all(struck["term", part] == 20 for part in SERVICES)
    assert all(struck["freeze", part] == 5 for part in SERVICES)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert LONG.rounds(random.Random(7)) == LONG.rounds(random.Random(7))
    assert LONG.rounds(random.Random(7)) != LONG.rounds(random.Random(8))


def test_no_service_is_killed_twice_in_a_row_without_the_others() -> None:
    plan = [part for what, part in Plan(kills=5, brokers=0, databases=0).rounds(random.Random(3))]
    for start in range(0, len(plan), len(SERVICES)):
        assert set(plan[start : start + len(SERVICES)]) == set(SERVICES)
