"""The durable consumer: batches from Kafka, one database transaction each, nothing lost or doubled.

The rules it keeps are DECISIONS 10–14 and 26–31; the facts they answer are KAFKA-FACTS 1–8. A
service writes a `Handler` (load, decide purely, flush); everything about delivery is here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar

from aiokafka import TopicPartition
from faststream import AckPolicy
from faststream.kafka.message import KafkaAckableMessage
from sqlalchemy import text

from shared import inbox, telemetry
from shared.clock import now
from shared.database import Blame, blame
from shared.errors import RecordInvalid
from shared.events import SAFETY_TYPES, Event, NewerVersion, decode
from shared.inbox import Parking
from shared.outbox import Stamp
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aiokafka import ConsumerRecord
    from faststream.kafka import KafkaBroker
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    Record: TypeAlias = ConsumerRecord[Any, Any]

MAX_RECORDS: Final = 200
"""Records in one batch, always set (DECISIONS 10)."""

POLL_MS: Final = 1000
"""Length of one poll; it returns as soon as there is a record."""

HOLD_SLICE: Final = 45.0
"""Seconds to hold inside a handler before the batch is given back; far below the poll limit."""

LONGEST_PAUSE: Final = 3.0
"""Seconds between two tries while the world is down."""

DEATHS: Final = 3
"""Process deaths at one offset after which its record is parked."""

WORLD_TRIES: Final = 5
"""World errors of one record, with the database answering, after which it is parked."""

UNKNOWN_PAUSES: Final = (0.05, 0.15, 0.3)
"""Pauses in seconds between the tries of a record that raised an unknown exception."""


S = TypeVar("S")


class Handler(Protocol[S]):
    """What a service does with events; one instance a consumer."""

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Say from the headers alone whether this consumer cares."""
        ...

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> S:
        """Lock and read what the decisions need, in the lock order of DECISIONS 14."""
        ...

    def decide(self, state: S, event: Event, stamp: Stamp) -> None:
        """Decide purely and keep the outcome in `state`; what it raises parks this event alone."""
        ...

    async def flush(self, conn: AsyncConnection, state: S) -> None:
        """Store what was decided, outbox included, in few statements."""
        ...


@dataclass(slots=True)
class _Batch:
    """One batch taken apart: events to handle, records to park, partitions to hold."""

    events: list[tuple[Record, Event]] = field(default_factory=list)
    parkings: list[Parking] = field(default_factory=list)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    held: dict[TopicPartition, int] = field(default_factory=dict)
    skipped: int = 0

    @property
    def records(self) -> list[Record]:
        return [record for record, _ in self.events] + [p.record for p in self.parkings]


class DurableConsumer(Generic[S]):
    """One consumer group of one purpose, such as `referral.rule.shelter`.

    `guards` makes it the one consumer of its service that parks what nobody can read; the others
    skip such records, so that one poison record is parked once a service.
    """

    def __init__(
        self,
        name: str,
        topics: Sequence[str],
        handler: Handler[S],
        engine: AsyncEngine,
        *,
        guards: bool = False,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], Any] = now,
    ) -> None:
        """Take the group's name, its topics, what to do, and where to store."""
        self.name = name
        self.topics = tuple(topics)
        self.guards = guards
        self._handler = handler
        self._engine = engine
        self._wake = wake
        self._clock = clock
        self._log = Log("consumer")
        self._stopping = asyncio.Event()
        self._pause = 0.0
        self._known: set[TopicPartition] = set()
        self._subscriber: Any = None
        self.positions: dict[TopicPartition, int] = {}
        self.held = False

    # --- FastStream edge -------------------------------------------------------------------

    def attach(self, broker: KafkaBroker, replica: str) -> None:
        """Make the FastStream subscriber; its parser and decoder touch nothing and cannot raise."""
        subscriber = broker.subscriber(
            *self.topics,
            batch=True,
            group_id=self.name,
            group_instance_id=f"{self.name}.{replica}",
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=MAX_RECORDS,
            fetch_max_wait_ms=500,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
            no_reply=True,
            parser=self._parse,
            decoder=self._decode,
        )
        subscriber(self.handle)
        subscriber.get_msg = _poll  # type: ignore[method-assign]  # its own sleeps after each poll
        self._subscriber = subscriber

    async def _parse(self, records: Any) -> KafkaAckableMessage:  # noqa: ANN401  (FastStream's)
        return KafkaAckableMessage(
            raw_message=records, body=b"", consumer=self._subscriber.consumer
        )

    @staticmethod
    async def _decode(message: KafkaAckableMessage) -> Any:  # noqa: ANN401
        return message.raw_message

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions that this process now reads."""
        consumer = self._subscriber.consumer if self._subscriber is not None else None
        return set(consumer.assignment()) if consumer is not None else set()

    def stop(self) -> None:
        """End every hold at once; what is in hand is given back to Kafka."""
        self._stopping.set()

    async def handle(self, records: tuple[Record, ...]) -> None:
        """Handle one batch of raw records, then commit their offsets; never raises."""
        consumer = self._subscriber.consumer
        held_until = asyncio.get_running_loop().time() + HOLD_SLICE
        while not self._stopping.is_set():
            try:
                batch = self._sort(records)
                await self.take(batch)
            except Exception as error:  # noqa: BLE001  (the world: hold, and say so)
                if await self._hold(error, held_until):
                    continue
                break
            self._pause, self.held = 0.0, False
            telemetry.CONSUMER_HELD.labels(self.name).set(0)
            self._wake()
            for place, offset in batch.held.items():
                consumer.pause(place)
                consumer.seek(place, offset)
            await self._commit(consumer, batch.ends)
            return
        for record in reversed(records):  # give the whole batch back, each partition's first last
            place = TopicPartition(record.topic, record.partition)
            if place in consumer.assignment():
                consumer.seek(place, record.offset)

    async def _commit(self, consumer: Any, ends: dict[TopicPartition, int]) -> None:  # noqa: ANN401
        self.positions.update(ends)
        try:
            await consumer.commit(ends)
        except Exception as error:  # noqa: BLE001  (a rebalance; the inbox drops what comes again)
            telemetry.COMMIT_FAILURES.labels(self.name).inc()
            self._log.warning(
                "offset-commit-failed", consumer=self.name, error=type(error).__name__
            )

    async def _hold(self, error: Exception, until: float) -> bool:
        """Wait while the world is down. False: give the batch back (stopping, or held too long)."""
        if not self.held:
            self._log.error("consumer-held", error, consumer=self.name)
        self.held = True
        telemetry.CONSUMER_HELD.labels(self.name).set(1)
        self._pause = min(max(self._pause * 2, 0.05), LONGEST_PAUSE)
        try:
            await asyncio.wait_for(self._stopping.wait(), self._pause)
        except TimeoutError:
            return asyncio.get_running_loop().time() < until
        return False

    # --- Taking a batch apart ----------------------------------------------------------------

    def _sort(self, records: Iterable[Record]) -> _Batch:
        batch = _Batch()
        for record in records:
            place = TopicPartition(record.topic, record.partition)
            if place in batch.held:
                continue
            try:
                event = self._read(record)
            except NewerVersion:
                batch.held[place] = record.offset
                self._log.error("newer-version-held", consumer=self.name, topic=record.topic)
                continue
            except RecordInvalid as error:
                batch.parkings.append(Parking(record, error.reason, error.detail))
            else:
                if event is None:
                    batch.skipped += 1
                else:
                    batch.events.append((record, event))
            batch.ends[place] = record.offset + 1
        if batch.skipped:
            telemetry.CONSUMED.labels(self.name, "skipped").inc(batch.skipped)
        return batch

    def _read(self, record: Record) -> Event | None:
        """Decode a record that this consumer wants; None for one it does not."""
        event_type = needs = None
        for name, value in record.headers:
            if name == "type" and isinstance(value, bytes):
                event_type = value.decode("ascii", "replace")
            elif name == "needs" and isinstance(value, bytes):
                needs = value.decode("ascii", "replace")
        told = event_type is not None and needs is not None
        if told and not self.guards:
            asked = frozenset((needs or "").split(",")) - {""}
            if not self._handler.wants(event_type or "", asked):
                return None
        try:
            event = decode(record.value)
        except RecordInvalid:
            if self.guards or told:
                raise
            return None  # the guard of this service parks it
        wanted = self._handler.wants(event.type, frozenset(getattr(event.data, "needs", ())))
        return event if wanted else None

    # --- One transaction ---------------------------------------------------------------------

    async def take(self, batch: _Batch) -> None:
        """Handle a batch; a world error leaves it to the caller, everything else ends here."""
        if not batch.records:
            return
        first = {TopicPartition(r.topic, r.partition) for r in batch.records} - self._known
        careful = [r for r in batch.records if TopicPartition(r.topic, r.partition) in first]
        suspects: set[tuple[str, int, int]] = set()
        if careful:
            async with self._engine.begin() as conn:
                before = await inbox.begin_attempts(conn, self.name, careful, again=False)
            suspects = {place for place, deaths in before.items() if deaths}
        if suspects:
            await self._one_by_one(batch)
        else:
            for _ in range(3):
                try:
                    await self._transact(batch, attempted=careful)
                    break
                except Exception as error:
                    fault = blame(error)
                    if fault is Blame.RETRY:
                        continue
                    if fault is Blame.WORLD:
                        raise
                    self._log.warning(
                        "batch-refused", consumer=self.name, error=telemetry.describe(error)
                    )
                    await self._one_by_one(batch)
                    break
            else:
                await self._one_by_one(batch)
        self._known |= first

    async def _one_by_one(self, batch: _Batch) -> None:
        """Handle record by record, so that one bad record never fails its neighbours."""
        parkings = {id(p.record): p for p in batch.parkings}
        events = {id(record): event for record, event in batch.events}
        for record in sorted(batch.records, key=lambda r: (r.topic, r.partition, r.offset)):
            single = _Batch()
            if id(record) in parkings:
                single.parkings.append(parkings[id(record)])
            else:
                single.events.append((record, events[id(record)]))
            async with self._engine.begin() as conn:
                before = await inbox.begin_attempts(conn, self.name, [record], again=True)
            if max(before.values(), default=0) >= DEATHS:
                single = _Batch(parkings=[Parking(record, "process-death")])
            await self._single(single, record)

    async def _single(self, single: _Batch, record: Record) -> None:
        unknown = world = 0
        while True:
            try:
                await self._transact(single, attempted=[record])
            except Exception as error:
                fault = blame(error)
                if fault is Blame.RETRY:
                    continue
                if fault is Blame.WORLD:
                    world += 1
                    if world < WORLD_TRIES or not await self._database_answers():
                        raise
                elif fault is Blame.UNKNOWN and unknown < len(UNKNOWN_PAUSES):
                    await asyncio.sleep(UNKNOWN_PAUSES[unknown])
                    unknown += 1
                    continue
                reason = {Blame.RECORD: "refused-by-database", Blame.WORLD: "only-this-record"}
                parking = Parking(record, reason.get(fault, "bug"), telemetry.describe(error))
                self._log.error("record-parked", error, consumer=self.name)
                single = _Batch(parkings=[parking])
                continue
            return

    async def _database_answers(self) -> bool:
        try:
            async with self._engine.connect() as conn:
                await conn.execute(text("SELECT 1"))
        except Exception:  # noqa: BLE001  (that is the answer)
            return False
        return True

    async def _transact(self, batch: _Batch, attempted: Sequence[Record]) -> None:
        async with self._engine.begin() as conn:
            await inbox.share_consumer(conn, self.name)
            outcome = await self._handle(conn, batch)
            if attempted:
                await inbox.end_attempts(conn, self.name, attempted)
        for name, count in outcome.items():
            if count:
                telemetry.CONSUMED.labels(self.name, name).inc(count)

    async def _handle(
        self, conn: AsyncConnection, batch: _Batch, *, replay: bool = False
    ) -> dict[str, int]:
        """Inbox, order, blocks, load, decide, flush, park: all inside the caller's transaction."""
        parkings = list(batch.parkings)
        placed = [(record.topic, event) for record, event in batch.events]
        fresh = await inbox.take(conn, self.name, (e.id for _, e in placed)) if placed else set()
        todo = []
        for record, event in batch.events:
            if event.id in fresh:
                fresh.remove(event.id)  # the same event may come twice in one batch
                todo.append((record, event))
        duplicates = len(batch.events) - len(todo)
        heads = await inbox.heads_of(conn, self.name, placed) if todo else {}
        keys = [r.key for r, _ in todo if r.key is not None]
        blocked = await inbox.blocked_keys(conn, self.name, keys) if keys and not replay else set()
        poison = {p.record.key: p.record.offset for p in reversed(parkings) if p.record.key}
        overtaken = [r.key for r, e in todo if r.key in blocked and e.type in SAFETY_TYPES]
        state = await self._handler.load(conn, [e for _, e in todo]) if todo else None
        moved: dict[tuple[str, str], int] = {}
        returned = []
        for record, event in todo:
            place = (record.topic, event.subject)
            if poison.get(record.key, record.offset) < record.offset:
                blocked.add(record.key)
            parking = self._judge(record, event, heads.get(place, 0), blocked, replay=replay)
            if parking is None:
                parking = self._decide(state, record, event)  # type: ignore[arg-type]
            if parking is None:
                heads[place] = moved[place] = max(event.sequence, heads.get(place, 0))
                continue
            parkings.append(parking)
            returned.append(event.id)
            if record.key is not None:
                blocked.add(record.key)
        if state is not None:
            await self._handler.flush(conn, state)
        await inbox.give_back(conn, self.name, returned)
        await inbox.move_heads(conn, self.name, moved)
        await inbox.void(conn, self.name, overtaken)
        new = 0
        if not replay:
            new = await inbox.park(conn, self.name, parkings)
            for parking in parkings:
                self._log.error("parked", consumer=self.name, reason=parking.reason)
        elif parkings:
            raise RecordInvalid(parkings[0].reason, parkings[0].detail)
        return {
            "handled": len(todo) - len(returned),
            "duplicate": duplicates,
            "parked": new,
        }

    async def replay(self, conn: AsyncConnection, record: Record) -> None:
        """Handle one parked record inside the caller's transaction, through the inbox.

        Raises:
            RecordInvalid: it still cannot be handled.

        """
        batch = self._sort([record])
        if batch.held:
            raise RecordInvalid("newer-version")
        await self._handle(conn, batch, replay=True)

    @staticmethod
    def _judge(
        record: Record, event: Event, head: int, blocked: set[bytes], *, replay: bool
    ) -> Parking | None:
        if record.key in blocked and event.type not in SAFETY_TYPES:
            return Parking(record, "behind", "an earlier record of this key waits")
        if event.sequence < head and not replay:
            return Parking(record, "inversion", "an event with a higher sequence was handled")
        return None

    def _decide(self, state: S, record: Record, event: Event) -> Parking | None:
        try:
            with telemetry.span(f"{self.name} {event.type}", event.traceparent):
                stamp = Stamp(
                    self._clock(), f"service:{self.name}", telemetry.current_traceparent()
                )
                self._handler.decide(state, event, stamp)
        except RecordInvalid as error:
            return Parking(record, error.reason, error.detail)
        except Exception as error:  # noqa: BLE001  (a decision is pure: trying again changes nothing)
            self._log.error("decision-failed", error, consumer=self.name)
            return Parking(record, "bug", f"{telemetry.describe(error)} {telemetry.where(error)}")
        return None


async def _poll(consumer: Any) -> tuple[Record, ...]:  # noqa: ANN401
    """Poll once; unlike FastStream's own, do not sleep after an empty answer (DECISIONS 31)."""
    found = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
    return tuple(record for records in found.values() for record in records)
