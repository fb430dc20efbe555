"""The follower: gives one consumer its records, from the tap of its process or by its own fetch.

Why there is a tap, and why nothing is lost by it: `shared.tap`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import IllegalStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import TopicPartition

    from shared.batch import Hint, Record
    from shared.tap import Tap

MAX_RECORDS: Final = 200
"""Records in one batch, always set (DECISIONS 10)."""

POLL: Final = 1.0
"""Seconds of one wait; it ends as soon as there is a record."""

CATCH_UP_MS: Final = 100
"""Milliseconds of one fetch while a group follows the tap in some of its partitions only."""


class Follower:
    """Gives one consumer its records: from the tap where that holds them, else by its own fetch.

    `next` are the offsets before which everything of a followed partition was given or skipped.
    """

    def __init__(self, wants: Callable[[Hint | None], bool], tap: Tap | None = None) -> None:
        """Take what the consumer wants by header alone; without a tap it reads by itself."""
        self._wants = wants
        self._tap = tap
        self._marks: dict[TopicPartition, int] = {}
        self.next: dict[TopicPartition, int] = {}
        self.skipped = 0
        self.woken = asyncio.Event()
        if tap is not None:
            tap.add(self)

    def hear(
        self,
        place: TopicPartition,
        before: int,
        noted: Sequence[tuple[Record, Hint | None]],
        end: int,
    ) -> None:
        """Be told of records from `before` to `end`: wake up, or pass over them at once."""
        at = self.next.get(place)
        if at is None:
            return
        if any(self._wants(hint) for _, hint in noted):
            self.woken.set()
        elif before <= at < end:  # nothing that came before waits
            self.skipped += len(noted)
            self.next[place] = end

    def mark(self) -> None:
        """Let the next poll give only what the tap has read by now: what comes later waits."""
        found = {place: self._tap.stretch(place) for place in self.next} if self._tap else {}
        self._marks = {place: stretch.end for place, stretch in found.items() if stretch}

    def held(self, consumer: Any) -> set[TopicPartition]:  # noqa: ANN401  (aiokafka's, untyped)
        """Return the partitions that wait for a newer version of this program."""
        return set(consumer.paused()) - self.next.keys()

    def hold(self, consumer: Any, place: TopicPartition, offset: int) -> None:  # noqa: ANN401
        """Read nothing more of a partition, from this offset on, as long as it is assigned."""
        self.next.pop(place, None)
        consumer.seek(place, offset)
        consumer.pause(place)

    def go_back(self, consumer: Any, place: TopicPartition, offset: int) -> None:  # noqa: ANN401
        """Give everything from this offset on once more."""
        if place in self.next:
            self.next[place] = offset
        else:
            consumer.seek(place, offset)

    async def poll(self, consumer: Any) -> tuple[Record, ...]:  # noqa: ANN401
        """Return the next batch, in order within each partition; empty when nothing came."""
        # This shows the group that we live, too. A backlog leaves half of the room to the tap.
        found = await _fetch(consumer, 0, MAX_RECORDS // 2 if self.next else MAX_RECORDS)
        self.woken.clear()
        alone = await self._settle(consumer)
        found += self._take(MAX_RECORDS - len(found))
        if found:
            return tuple(found)
        if alone:
            return tuple(await _fetch(consumer, CATCH_UP_MS if self.next else int(POLL * 1e3)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await self.woken.wait()
        return ()  # what woke us is given by the next poll, if the partition is still ours

    async def _settle(self, consumer: Any) -> bool:  # noqa: ANN401
        """Follow the tap where it holds what comes next; say whether any partition is left alone.

        A pause ends with the assignment it was made in: a followed partition that is not paused is
        no longer the one that was followed.
        """
        paused = consumer.paused()
        for place in self.next.keys() - paused:
            del self.next[place]
        if self._tap is None:
            return True
        for place in consumer.assignment():
            at = self.next.get(place)
            if at is not None:
                if not self._tap.holds(place, at):
                    del self.next[place]
                    consumer.seek(place, at)
                    consumer.resume(place)
            elif place not in paused:
                at = await position_of(consumer, place)
                if at is None or place not in consumer.assignment():
                    continue
                if self._tap.holds(place, at):
                    consumer.pause(place)
                    self.next[place] = at
        return bool(consumer.assignment() - consumer.paused())

    def _take(self, room: int) -> list[Record]:
        """Take what is wanted from the tap, at most `room` records, and pass over the rest.

        A partition that fills the room comes last the next time: a flood in one starves no other.
        """
        taken: list[Record] = []
        for place, at in list(self.next.items()):
            stretch = self._tap.stretch(place) if self._tap is not None else None
            if stretch is None or not stretch.start <= at < stretch.end:
                continue
            end = self._marks.get(place, stretch.end)
            if end < stretch.end:
                self.woken.set()
            if end <= at:
                continue
            self.next[place] = end
            for record, hint in stretch.since(at):
                if record.offset >= end:
                    break
                if not self._wants(hint):
                    self.skipped += 1
                elif len(taken) < room:
                    taken.append(record)
                else:
                    del self.next[place]
                    self.next[place] = record.offset
                    return taken
        return taken


async def _fetch(consumer: Any, wait_ms: int, most: int = MAX_RECORDS) -> list[Record]:  # noqa: ANN401
    """Fetch by oneself; unlike FastStream's own, without a sleep after nothing (DECISIONS 31)."""
    found = await consumer.getmany(timeout_ms=wait_ms, max_records=most)
    return [record for records in found.values() for record in records]


async def position_of(
    consumer: Any,  # noqa: ANN401
    place: TopicPartition,
    within: float = 0.0,
) -> int | None:
    """Return from where the client reads a partition on; None: it does not know it yet."""
    try:
        async with asyncio.timeout(within):
            return int(await consumer.position(place))
    except (TimeoutError, IllegalStateError):
        return None
