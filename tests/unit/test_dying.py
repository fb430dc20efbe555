"""The device that lets a process die at each place where it waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.dying import dying, life

if TYPE_CHECKING:
    from pathlib import Path

WAITS = 5
HERE = ("test_dying.py",)


async def work() -> None:
    """Wait five times, in two tasks."""
    await asyncio.sleep(0)
    await asyncio.gather(asyncio.create_task(part()), asyncio.sleep(0))
    await asyncio.sleep(0)


async def part() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)


def test_a_fork_dies_at_each_wait_of_its_tasks_and_lives_beyond_the_last(tmp_path: Path) -> None:
    done = tmp_path / "done"

    async def whole() -> None:
        await work()
        done.write_text("lived")

    assert [life(at, HERE, whole) for at in range(1, WAITS + 1)] == [True] * WAITS
    assert not done.exists()
    assert not life(WAITS + 1, HERE, whole)
    assert not life(0, HERE, whole)
    assert done.exists()


def test_a_fork_that_fails_is_no_death() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(SystemExit):
        life(0, HERE, fail)


async def test_a_coroutine_dies_where_it_waits_and_what_it_waited_for_happens_or_not() -> None:
    steps = await dying(work(), at=0)
    for at in range(1, steps + 1):
        dead = dying(work(), at)
        await dead
        assert dead.died
