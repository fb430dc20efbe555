"""Timers: once, over replicas and restarts; a failing one backs off and delays nobody."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from shared.clock import AHEAD
from shared.database import make_engine
from shared.timers import (
    Timer,
    TimerKind,
    TimerLoop,
    cancel,
    cancel_many,
    schedule,
    schedule_many,
)
from tests.support.cut import Cut
from tests.support.lab import AT, Lab
from tests.support.wait import eventually

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_EFFECT = text(
    "INSERT INTO effects (consumer, subject, sequence, event_id, process)"
    " VALUES ('timer', :s, :a, :i, :p)"
)


def recording(process: str, pause: float = 0.0) -> TimerKind:
    async def fire(conn: AsyncConnection, timer: Timer) -> None:
        await conn.execute(
            _EFFECT, {"s": timer.subject, "a": timer.attempt, "i": timer.id, "p": process}
        )
        await asyncio.sleep(pause)

    return TimerKind("lab", fire)


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_two_replicas_and_a_restart_fire_each_timer_once(lab: Lab) -> None:
    engines = [make_engine(lab.url(), size=2, name=f"timers {n}") for n in range(3)]
    async with lab.engine.begin() as conn:
        for n in range(60):
            await schedule(conn, "lab", f"s{n}", AT, {"n": n})
    loops = [
        asyncio.create_task(TimerLoop(engine, [recording(str(n), 0.01)]).run())
        for n, engine in enumerate(engines[:2])
    ]
    await eventually(lambda: _fired(lab, 20))
    await end(loops[0])
    loops.append(asyncio.create_task(TimerLoop(engines[2], [recording("2")]).run()))
    await eventually(lambda: _fired(lab, 60))
    await eventually(lambda: _none_left(lab))
    await end(*loops)
    for engine in engines:
        await engine.dispose()
    found = await lab.effects("timer")
    assert Counter(e.subject for e in found) == Counter(f"s{n}" for n in range(60))
    assert len({e.process for e in found}) > 1


async def _fired(lab: Lab, least: int) -> bool:
    return len(await lab.effects("timer")) >= least


async def _none_left(lab: Lab) -> bool:
    return await lab.fetch("SELECT 1 FROM timers") == []


async def test_a_failing_timer_backs_off_and_the_others_fire(lab: Lab) -> None:
    tries: list[int] = []
    now = [AT]

    async def fail(conn: AsyncConnection, timer: Timer) -> None:
        tries.append(timer.attempt)
        await conn.execute(_EFFECT, {"s": "half", "a": 0, "i": timer.id, "p": "x"})
        raise ZeroDivisionError

    async def world(conn: AsyncConnection, _: Timer) -> None:
        await conn.execute(text("SELECT fail('57014')"))

    kinds = [TimerKind("bad", fail), TimerKind("world", world), recording("1")]
    loop = TimerLoop(lab.engine, kinds, clock=lambda: now[0])
    async with lab.engine.begin() as conn:
        await schedule(conn, "bad", "b", AT - timedelta(seconds=2))
        await schedule(conn, "world", "w", AT - timedelta(seconds=1))
        await schedule(conn, "lab", "good", AT)
    assert await loop.round() == 1
    assert [e.subject for e in await lab.effects()] == ["good"], "a failure leaves nothing half"
    assert await loop.round() == 0
    for step in (1, 2, 4, 8):
        now[0] += timedelta(seconds=step) - timedelta(milliseconds=1)
        await loop.round()
        before = len(tries)
        now[0] += timedelta(milliseconds=1)
        await loop.round()
        assert len(tries) == before + 1, f"the next try comes after {step} s"
    assert tries == [0, 1, 2, 3, 4]


async def test_a_timer_is_moved_by_scheduling_it_again_and_taken_back_by_cancel(lab: Lab) -> None:
    loop = TimerLoop(lab.engine, [recording("1")], clock=lambda: AT)
    async with lab.engine.begin() as conn:
        await schedule(conn, "lab", "moved", AT)
        await schedule(conn, "lab", "moved", AT + timedelta(hours=1))
        await schedule(conn, "lab", "gone", AT)
        await cancel(conn, "lab", "gone")
        await schedule(conn, "other", "not mine", AT)
    assert await loop.round() == 0
    assert await lab.effects() == []


async def test_what_a_clock_ahead_set_fires_at_once_and_an_hour_that_is_meant_does_not(
    lab: Lab,
) -> None:
    now, later = [AT + timedelta(days=1)], AT + timedelta(days=2)

    async def fail(_: AsyncConnection, __: Timer) -> None:
        raise ZeroDivisionError

    loop = TimerLoop(lab.engine, [recording("1"), TimerKind("bad", fail)], clock=lambda: now[0])
    async with lab.engine.begin() as conn:
        await schedule_many(conn, "lab", {"ahead": (later, {})}, set_at=now[0])
        await schedule_many(conn, "lab", {"meant": (later, {})}, set_at=AT)
        await schedule_many(conn, "lab", {"nearly": (later, {})}, set_at=AT + AHEAD)
        await schedule_many(conn, "lab", {"unjudged": (later, {})})
        await schedule_many(conn, "bad", {"b": (AT, {})}, set_at=AT)
    assert await loop.round() == 0
    now[0] = AT
    assert await loop.round() == 1
    assert [e.subject for e in await lab.effects()] == ["ahead"]
    [bad] = await lab.fetch("SELECT attempt FROM timers WHERE kind = 'bad'")
    assert bad.attempt == 2, "it failed again: it was put off by a clock ahead"


async def test_many_are_set_moved_and_taken_back_at_once(lab: Lab) -> None:
    loop = TimerLoop(lab.engine, [recording("1")], clock=lambda: AT)
    names = [f"s{n}" for n in range(50)]
    async with lab.engine.begin() as conn:
        await schedule_many(conn, "lab", {name: (AT, {"n": name}) for name in names})
        later = AT + timedelta(seconds=1)
        await schedule_many(conn, "lab", {name: (later, {}) for name in names[:20]})
        await cancel_many(conn, "lab", names[20:30])
        await schedule_many(conn, "lab", {})
        await cancel_many(conn, "lab", [])
    assert await loop.round() == 20
    assert sorted(e.subject for e in await lab.effects()) == sorted(names[30:])
    assert len(await lab.fetch("SELECT 1 FROM timers")) == 20


async def test_a_lost_database_after_a_busy_round_makes_no_hot_loop(lab: Lab) -> None:
    rounds = 0
    async with Cut(*lab.database()) as cut:
        engine = make_engine(lab.url(port=cut.port), size=2, name="timers")

        async def fire(_: AsyncConnection, __: Timer) -> None:
            await cut.refuse()

        loop = TimerLoop(engine, [TimerKind("lab", fire)])
        real = loop.round

        async def counted() -> int:
            nonlocal rounds
            rounds += 1
            if rounds == 1:
                return 1  # something fired: no pause follows
            return await real()

        loop.round = counted  # type: ignore[method-assign]
        await cut.refuse()
        task = asyncio.create_task(loop.run())
        started = time.monotonic()
        await eventually(lambda: time.monotonic() - started > 1.5, 3)
        await end(task)
        await engine.dispose()
    assert 2 <= rounds < 8


async def test_the_lock_comes_before_the_timer(lab: Lab) -> None:
    order: list[str] = []

    async def lock(conn: AsyncConnection, timer: Timer) -> None:
        left = await conn.scalar(text("SELECT count(*) FROM timers"))
        order.append(f"lock {left}")

    async def fire(conn: AsyncConnection, timer: Timer) -> None:
        left = await conn.scalar(text("SELECT count(*) FROM timers"))
        order.append(f"fire {left} {dict(timer.payload)}")

    async with lab.engine.begin() as conn:
        await schedule(conn, "lab", "s", AT, {"a": 1})
    kinds: list[Any] = [TimerKind("lab", fire, lock)]
    assert await TimerLoop(lab.engine, kinds).round() == 1
    assert order == ["lock 1", "fire 0 {'a': 1}"]
