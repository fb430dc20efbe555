"""Thousands of schedules of the whole path of a case, each from a seed; and bugs that they find."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.simulation.bugs import PLANTED, copy
from tests.simulation.centre import run_schedule
from tests.simulation.checker import INVARIANTS

SHORT, LONG = 20, 5000
"""Schedules of a run; of small ones five times as many.

`PASHE_SEED` is the first seed, else one that the time gives.
"""

TRIES = 150
"""Schedules in which a planted bug must be found."""


def first_seed() -> int:
    return int(os.environ.get("PASHE_SEED", "0")) or int(time.time())


def run_many(count: int, *, small: bool) -> str:
    """Live through schedules; say how many of what there was, or fail with the first bad seed."""
    first, began, worked = first_seed(), time.monotonic(), time.process_time()
    counted, faults = Counter[str](), Counter[str]()
    for seed in range(first, first + count):
        outcome = run_schedule(seed, small=small)
        how = f"python -m tests.simulation.run {seed} 1{' small' * small}"
        assert not outcome.wrong, f"{how}: {outcome.wrong[:3]}"
        counted.update(steps=outcome.steps, deaths=outcome.deaths, events=outcome.events)
        faults.update(outcome.faults)
    pace = 60 * count / (time.monotonic() - began)
    of_processor = 60 * count / (time.process_time() - worked)
    return (
        f"{count} schedules from seed {first}, {pace:.0f} a minute ({of_processor:.0f} of processor"
        f" time): {dict(counted)}, faults {faults.total()}, wrong 0"
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("small", [False, True])
def test_nothing_goes_wrong_in_any_schedule(*, small: bool) -> None:
    print(f"\n{run_many(SHORT * (5 if small else 1), small=small)}")


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("small", [False, True])
def test_nor_in_any_of_thousands(*, small: bool) -> None:
    print(f"\n{run_many(LONG * (5 if small else 1), small=small)}")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("invariant", INVARIANTS)
def test_a_bug_that_is_planted_is_found(invariant: str) -> None:
    with PLANTED[invariant]():
        for tried in range(1, TRIES + 1):
            wrong = run_schedule(tried).wrong
            if any(line.startswith(invariant) for line in wrong):
                print(f"\n{invariant}: found in schedule {tried}: {wrong[0]}")
                return
    pytest.fail(f"{invariant}: not found in {TRIES} schedules")


def test_a_copy_of_what_was_voided_is_no_inversion() -> None:
    """A bug that these schedules found: with it planted again, schedule 967 finds it again."""
    with copy():
        wrong = run_schedule(967, small=True).wrong
    assert any(line.startswith("inversion") for line in wrong)
    assert run_schedule(967, small=True).wrong == []


def test_the_same_seed_is_the_same_schedule_step_by_step() -> None:
    """In this process, again, and in another one with other hashes of words."""
    once, again = run_schedule(3), run_schedule(3)
    assert once == again
    assert once.steps > 500
    assert run_schedule(4).trace != once.trace
    other = subprocess.run(
        [sys.executable, "-m", "tests.simulation.run", "3"],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"seed 3 trace {once.trace}" in other.stdout
