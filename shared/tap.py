"""The tap: one reader a process, from which its consumers take the records that they want.

Every rule and notifier is a consumer group of its own, and by header each wants few of the records
of its topics: 28 groups that each fetch, wake for and commit all of them cost 8 ms of CPU a record.
So the tap reads the end of every topic once, without a group, and keeps each partition's last
records. A follower (`shared.follower`) stands between it and one consumer: where the tap holds what
comes next for the group, the group's partition is paused and its records come from the tap; a
record that the group does not want costs it no fetch, no wake-up and no commit of its own.

Nothing is lost by it: where the tap does not hold what comes next (a backlog, a new group, a tap
that failed, fell behind or started again) the consumer fetches by itself from its own position, as
if there were no tap, until it has caught up. Membership, assignment and offsets stay the group's.

A process has two of them: one gives each record as it comes, to those that somebody waits for; the
other fills its fetches, for those that are not in a hurry.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared import telemetry
from shared.batch import hint_of
from shared.fetching import REST_MS, keep_sessions
from shared.kafka import PARTITIONS
from shared.patience import be_patient
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shared.batch import Hint, Record
    from shared.consumer import DurableConsumer
    from shared.follower import Follower
    from shared.kafka import KafkaLogin

POLL: Final = 1.0
"""Seconds of one wait; it ends as soon as there is a record."""

KEPT_RECORDS: Final = 500
"""Records of a partition that the tap keeps."""

KEPT_BYTES: Final = 1024 * 1024
"""Bytes of a partition's values that the tap keeps."""

START_TIMEOUT: Final = 10.0
"""Seconds in which the tap must have found the ends of its topics."""

LONGEST_PAUSE: Final = 3.0
"""Seconds between two tries while Kafka is down."""

_log = Log("tap")


@dataclass(slots=True)
class Stretch:
    """What the tap has read of a partition: every record from `start` up to `end`, kept or gone."""

    start: int
    end: int
    kept: deque[tuple[Record, Hint | None]] = field(default_factory=deque)
    size: int = 0

    def take(self, noted: Sequence[tuple[Record, Hint | None]]) -> None:
        """Keep what was read; let go of the oldest when it is too much."""
        self.kept.extend(noted)
        self.size += sum(len(record.value or b"") for record, _ in noted)
        self.end = noted[-1][0].offset + 1
        while len(self.kept) > KEPT_RECORDS or self.size > KEPT_BYTES:
            gone, _ = self.kept.popleft()
            self.size -= len(gone.value or b"")
            self.start = gone.offset + 1

    def since(self, offset: int) -> list[tuple[Record, Hint | None]]:
        """Return what is kept from an offset on."""
        found = list(takewhile(lambda noted: noted[0].offset >= offset, reversed(self.kept)))
        found.reverse()
        return found


class Tap:
    """Reads the end of some topics for all consumers of a process; `run` it beside them."""

    def __init__(self, login: KafkaLogin, topics: Iterable[str], *, every: float = 0.0) -> None:
        """Take where Kafka is and the topics that the consumers read.

        `every` is how many seconds a fetch fills; 0: each record is given as it comes.
        """
        self._login = login
        self.every = every
        self._places = [
            TopicPartition(t, p) for t in sorted(set(topics)) for p in range(PARTITIONS)
        ]
        self._followers: list[Follower] = []
        self._stretches: dict[TopicPartition, Stretch] = {}
        self._behind: dict[TopicPartition, int] = {}
        self._stuck = False

    def add(self, follower: Follower) -> None:
        """Tell this follower what it wants from now on."""
        self._followers.append(follower)

    def stretch(self, place: TopicPartition) -> Stretch | None:
        """Return what the tap holds of a partition; None while it reads nothing of it."""
        return self._stretches.get(place)

    def holds(self, place: TopicPartition, offset: int) -> bool:
        """Say whether every record of the partition from the offset on comes from the tap."""
        stretch = self._stretches.get(place)
        return stretch is not None and stretch.start <= offset

    def check(self, ends: Mapping[TopicPartition, int]) -> None:
        """Start again if a partition has more than was read, and had at the last look already."""
        behind = {
            place: stretch.end
            for place, stretch in self._stretches.items()
            if stretch.end < ends.get(place, 0)
        }
        self._stuck = any(self._behind.get(place) == end for place, end in behind.items())
        self._behind = behind

    async def run(self) -> None:
        """Read until cancelled; while it does not, each consumer reads by itself."""
        be_patient()
        pause = 0.1
        while True:
            try:
                await self._read()
            except Exception as error:  # noqa: BLE001  (the tap is a saving, never a need)
                _log.warning("tap-lost", error=telemetry.describe(error))
                pause = 0.1 if self._stretches else min(pause * 2, LONGEST_PAUSE)
            finally:
                self._stretches = {}
                self._behind = {}
                self._stuck = False
                for follower in self._followers:
                    follower.woken.set()
            await asyncio.sleep(pause)

    async def _read(self) -> None:
        """Follow the ends of all partitions; only an error ends it."""
        reader = AIOKafkaConsumer(
            **self._login.client(),
            auto_offset_reset="none",  # an offset that is gone is an error: start again at the end
            enable_auto_commit=False,
            fetch_max_wait_ms=500,
            consumer_timeout_ms=REST_MS,
            request_timeout_ms=10_000,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await reader.start()
                keep_sessions(reader, every=self.every)
                ends = await reader.end_offsets(self._places)
            reader.assign(self._places)
            for place, end in ends.items():
                reader.seek(place, end)
            self._stretches = {place: Stretch(end, end) for place, end in ends.items()}
            for follower in self._followers:
                follower.woken.set()
            while not self._stuck:
                for place, records in (await reader.getmany(timeout_ms=int(POLL * 1e3))).items():
                    self._keep(place, records)
            raise TapStuckError
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await reader.stop()

    def _keep(self, place: TopicPartition, records: Sequence[Record]) -> None:
        stretch = self._stretches[place]
        before = stretch.end
        noted = [(record, hint_of(record)) for record in records]
        stretch.take(noted)
        for follower in self._followers:
            follower.hear(place, before, noted, stretch.end)


def make_taps(login: KafkaLogin, consumers: Sequence[DurableConsumer[Any]]) -> list[Tap]:
    """Make the taps of a process and let its consumers follow them; a single one needs none."""
    if len(consumers) < 2:  # noqa: PLR2004
        return []
    awaited = {topic for consumer in consumers if not consumer.pace for topic in consumer.topics}
    groups: dict[bool, list[DurableConsumer[Any]]] = {True: [], False: []}
    for consumer in consumers:
        groups[awaited.issuperset(consumer.topics)].append(consumer)
    taps = []
    for at_once, group in groups.items():
        topics = {topic for consumer in group for topic in consumer.topics}
        if not topics:
            continue
        tap = Tap(login, topics, every=0.0 if at_once else min(one.pace for one in group))
        for consumer in group:
            consumer.follow(tap)
        taps.append(tap)
    return taps


class TapStuckError(Exception):
    """The tap's client stands still before waiting records."""
