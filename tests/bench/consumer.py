"""The durable consumer's way through FastStream against raw aiokafka: decoding only, no database.

Both read the same topic from its beginning as a group of their own, 200 records a poll as the
durable consumer does, on uvloop, and decode every record by `shared.events.decode`. Ours goes the
whole way of `DurableConsumer.handle` (FastStream's subscriber, middleware and parser; the batch
taken apart by headers) except for the transaction. In the first row nobody commits offsets, in the
second both commit once a second, after what was handled, as at-least-once needs.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import uvloop
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faststream.kafka import KafkaBroker

from shared.batch import take_apart
from shared.consumer import COMMIT_EVERY, DurableConsumer
from shared.events import CaseFacts, ConsentState, Draft, decode, encode, headers_of
from shared.kafka import PARTITIONS
from shared.runtime import settle_memory
from tests.bench.figures import Figure, mean_of, ratio_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.batch import Batch, Record
    from shared.events import Event
    from shared.outbox import Stamp
    from tests.bench.servers import Platform
    from tests.bench.telling import Told

FLOOR, AMBITIOUS = 0.5, 0.64
DIFFERENT = 1000
AT_ONCE = 200
"""Records a poll, as the durable consumer has it."""

WITHIN = 120.0
"""Seconds that one reading of the topic may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many records, and how often each side reads them."""

    records: int = 200_000
    rounds: int = 5


QUICK = Plan(records=40_000, rounds=2)
SMOKE = Plan(records=2_000, rounds=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the topic: seconds from the first batch to the last, CPU of the process."""

    records: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def each(self) -> dict[str, float]:
        """CPU microseconds a record."""
        return {"consumer": self.cpu / self.records * 1e6}


@dataclass(slots=True)
class Clock:
    """Counts records; the first batch is not counted, its wait was for the group to form."""

    wanted: int
    seen: int = 0
    first: int = 0
    started: float = 0.0
    cpu: float = 0.0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    result: Reading | None = None

    def count(self, records: int) -> None:
        if not self.seen:
            self.first, self.started, self.cpu = records, time.perf_counter(), time.process_time()
        self.seen += records
        if self.seen >= self.wanted and self.result is None:
            seconds = time.perf_counter() - self.started
            spent = time.process_time() - self.cpu
            self.result = Reading(self.seen - self.first, seconds, spent)
            self.done.set()

    async def wait(self) -> Reading:
        async with asyncio.timeout(WITHIN):
            await self.done.wait()
        assert self.result is not None
        return self.result


class _Nothing:
    """A handler that wants every event and does nothing."""

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        del event_type, needs
        return True

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> None:
        del conn, events

    def decide(self, state: None, event: Event, stamp: Stamp) -> None:
        del state, event, stamp

    async def flush(self, conn: AsyncConnection, state: None) -> None:
        del conn, state


class _NoDatabase:
    """In the place of `shared.delivery.Delivery`: reads a batch as it does, and stores nothing."""

    appended = False

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._handler = _Nothing()
        self._clock = clock

    def forget(self) -> None:
        return

    def passes(self, records: Sequence[Record]) -> bool:
        del records
        return False

    def read(self, records: Sequence[Record]) -> Batch:
        return take_apart(records, self._handler, guards=True, consumer=self._name)

    async def take(self, batch: Batch) -> None:
        assert not batch.parkings
        self._clock.count(len(batch.events))


async def ours(kafka: str, topic: str, records: int, *, commits: bool) -> Reading:
    """Read the topic by the durable consumer without its database."""
    clock = Clock(records)
    name = f"bench.ours.{token_hex(4)}"
    broker = KafkaBroker(
        kafka,
        apply_types=False,
        allow_auto_create_topics=False,
        graceful_timeout=6,
        logger=logging.getLogger("kafka.client"),
    )
    engine = cast("AsyncEngine", None)  # nothing asks for it
    consumer: DurableConsumer[None] = DurableConsumer(
        name, (topic,), _Nothing(), engine, guards=True
    )
    consumer._delivery = _NoDatabase(name, clock)  # type: ignore[assignment]
    if not commits:
        consumer.commit = _no_commit  # type: ignore[method-assign]
    consumer.attach(broker, "1")
    await broker.start()
    try:
        reading = await clock.wait()
        assert consumer._done, "no batch was handled to its end"
        return reading
    finally:
        consumer.stop()
        await broker.stop()


async def _no_commit() -> None:
    return


async def raw(kafka: str, topic: str, records: int, *, commits: bool) -> Reading:
    """Read the topic by aiokafka alone."""
    clock = Clock(records)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka,
        group_id=f"bench.raw.{token_hex(4)}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=500,
    )
    await consumer.start()
    commit_at = 0.0
    try:
        async with asyncio.timeout(WITHIN):
            while clock.result is None:
                found = await consumer.getmany(timeout_ms=1000, max_records=AT_ONCE)
                number = 0
                for batch in found.values():
                    for record in batch:
                        decode(record.value)
                        number += 1
                if number:
                    clock.count(number)
                    if commits and time.monotonic() >= commit_at:
                        commit_at = time.monotonic() + COMMIT_EVERY
                        await consumer.commit()
        return clock.result
    finally:
        await consumer.stop()


@asynccontextmanager
async def filled(kafka: str, records: int) -> AsyncIterator[str]:
    """Make a topic of so many events of cases; it is deleted at the end."""
    topic = f"bench-{token_hex(4)}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(20)
    try:
        await asyncio.to_thread(_fill, kafka, topic, records)
        yield topic
    finally:
        admin.delete_topics([topic])[topic].result(20)


def _fill(kafka: str, topic: str, records: int) -> None:
    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "linger.ms": 20,
            "batch.size": 500_000,
            "queue.buffering.max.messages": 500_000,
        }
    )
    made: list[tuple[bytes, Any]] = [_event(n) for n in range(DIFFERENT)]
    for number in range(records):
        value, headers = made[number % DIFFERENT]
        producer.produce(topic, value, key=b"k", partition=number % PARTITIONS, headers=headers)
        if number % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(60):
        message = f"{left} records were not taken"
        raise RuntimeError(message)


def _event(number: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    facts = CaseFacts(
        report_id=uuid4(),
        channel="partner",
        age=12 + number % 5,
        sex="female",
        upazila="BD30260038",
        district="BD3026",
        concerns=["child_labour"],
        needs=["education"],
        urgency="T2",
        languages=["bn"],
        consent=ConsentState(given=True, basis="consent"),
        entitled=True,
    )
    draft = Draft("cases", "case-created", str(UUID(int=number)), facts, ("education",))
    trace = f"00-{uuid4().hex}-{uuid4().hex[:16]}-00"
    _, value = encode(
        draft,
        source="/intake",
        sequence=1,
        at=datetime.now(UTC),
        actor="partner:0123456789ab",
        traceparent=trace,
    )
    return value, headers_of(draft.type, 1, draft.needs, trace, b"s" * 88)


async def measure(platform: Platform, plan: Plan, told: Told) -> list[Figure]:
    """Alternate both and return their figures."""
    sides = {
        (name, commits): list[Reading]() for commits in (False, True) for name in ("our", "raw")
    }
    total = plan.rounds * len(sides) + 1
    told.step(0, total, f"writing {plan.records} records")
    done = 1
    async with filled(platform.kafka, plan.records) as topic:
        for number in range(plan.rounds):
            for name, commits in list(sides) if number % 2 else list(sides)[::-1]:
                told.step(done, total, f"round {number + 1} of {plan.rounds}: {name}")
                read = ours if name == "our" else raw
                reading = await read(platform.kafka, topic, plan.records, commits=commits)
                sides[name, commits].append(reading)
                done += 1
    told.step(done, total, "done")
    return [
        _figure(sides["our", commits], sides["raw", commits], plan, commits=commits)
        for commits in (False, True)
    ]


def _figure(mine: list[Reading], peer: list[Reading], plan: Plan, *, commits: bool) -> Figure:
    rates = [r.rate for r in mine], [r.rate for r in peer]
    how = "offsets committed once a second" if commits else "decoding only"
    return Figure(
        bench="consumer",
        what=f"durable consumer by FastStream, {how}",
        unit="records/s",
        ours=statistics.median(rates[0]),
        peer=statistics.median(rates[1]),
        peer_is="raw aiokafka",
        ratio=ratio_of(*rates),
        cpu=mean_of([r.each for r in mine]),
        peer_cpu=mean_of([r.each for r in peer]),
        floor=None if commits else FLOOR,
        ambitious=None if commits else AMBITIOUS,
        notes=[f"{plan.records} records, {plan.rounds} rounds, alternated"],
    )


def run(platform: Platform, plan: Plan, told: Told) -> list[Figure]:
    """Measure on uvloop and with the collector of cycles as the services have it."""
    settle_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(platform, plan, told))
