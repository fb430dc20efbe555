"""Bugs to plant, one an invariant: each takes one rule out of the product's own code."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from sqlalchemy import text

from shared import inbox, timers
from shared.course import Course
from shared.events import SAFETY_TYPES
from shared.relay import Relay, _headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


@contextmanager
def lost() -> Iterator[None]:
    """The relay takes a batch for sent before Kafka has said so."""

    async def send(self: Any, producer: Any, shard: Any, rows: Any) -> None:
        builder = producer.create_batch()
        taken = sum(
            builder.append(key=r["key"], value=r["value"], timestamp=None, headers=_headers(r))
            is not None
            for r in rows
        )
        self._held.difference_update(row["id"] for row in rows[taken:])
        await producer.send_batch(builder, shard[0], partition=shard[1])
        self._acked.extend(rows[:taken])
        self._busy.pop(shard, None)
        self._wake_up()

    with patch.object(Relay, "_send", send):
        yield


@contextmanager
def twice() -> Iterator[None]:
    """The inbox takes everything for new."""
    begin = inbox.begin

    async def begin_all(conn: Any, consumer: str, events: Any) -> Any:
        begun = await begin(conn, consumer, events)
        return inbox.Begun({event.id for _, event in events}, {}, begun.blocked)

    with patch.object(inbox, "begin", begin_all):
        yield


@contextmanager
def order() -> Iterator[None]:
    """What waits for a person blocks nothing behind it."""
    begin = inbox.begin

    async def begin_free(conn: Any, consumer: str, events: Any) -> Any:
        begun = await begin(conn, consumer, events)
        return inbox.Begun(begun.fresh, begun.heads, set())

    with patch.object(inbox, "begin", begin_free):
        yield


@contextmanager
def inversion() -> Iterator[None]:
    """The relay sends what came next of a shard before Kafka has answered for the batch before."""
    read_and_send, send = Relay._read_and_send, Relay._send
    under_way: set[int] = set()

    async def overlap(self: Any, conn: Any, producer: Any) -> None:
        self._busy = {}
        await read_and_send(self, conn, producer)

    async def send_next(self: Any, producer: Any, shard: Any, rows: Any) -> None:
        following = [row for row in rows if row["id"] not in under_way]
        ids = {row["id"] for row in following}
        under_way.update(ids)
        try:
            if following:
                await send(self, producer, shard, following)
        finally:
            under_way.difference_update(ids)

    with (
        patch.object(Relay, "_read_and_send", overlap),
        patch.object(Relay, "_send", send_next),
    ):
        yield


@contextmanager
def timer() -> Iterator[None]:
    """A timer is deleted, and not looked at whether it was there still."""

    async def fire(self: Any, one: Any) -> bool:
        kind = self._kinds[one.kind]
        async with self._engine.begin() as conn:
            if kind.lock is not None:
                await kind.lock(conn, one)
            await conn.execute(
                text("DELETE FROM timers WHERE id = :id RETURNING id"), {"id": one.id}
            )
            await kind.fire(conn, one)
        return True

    with patch.object(timers.TimerLoop, "_fire", fire):
        yield


@contextmanager
def safety() -> Iterator[None]:
    """A safety event waits behind what is parked, as any other."""
    judge = Course.judge

    def judge_alike(self: Any, record: Any, event: Any) -> Any:
        if event.type in SAFETY_TYPES and record.key in self._blocked:
            return inbox.Parking(record, "behind")
        return judge(self, record, event)

    with patch.object(Course, "judge", judge_alike):
        yield


@contextmanager
def copy() -> Iterator[None]:
    """A voided event is unseen again: a bug that these schedules found."""

    async def nothing(*_: Any) -> set[Any]:
        return set()

    with patch.object(inbox, "end", nothing):
        yield


PLANTED: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "lost": lost,
    "twice": twice,
    "order": order,
    "inversion": inversion,
    "timer": timer,
    "safety": safety,
}
"""A bug for each invariant of `checker.INVARIANTS`."""
