"""The durable consumer: batches from Kafka, one database transaction each, nothing lost or doubled.

The rules it keeps are DECISIONS 10 and 26–31; the facts they answer are KAFKA-FACTS 1–8. A service
writes a `Handler` (load, decide purely, flush); reading is `shared.batch`, storing is
`shared.delivery`, and `shared.tap` spares many consumers of one process what they would skip.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from aiokafka import ConsumerRebalanceListener, TopicPartition
from faststream import AckPolicy
from faststream.kafka.message import KafkaAckableMessage

from shared import telemetry
from shared.batch import Handler, may_want
from shared.clock import now
from shared.delivery import Delivery, TakeApart
from shared.fetching import REST_MS
from shared.follower import MAX_RECORDS, Follower, position_of
from shared.patience import be_patient
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faststream.kafka import KafkaBroker
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.batch import Hint, Record
    from shared.parked import OnParked
    from shared.tap import Tap

__all__ = ["UNHURRIED", "DurableConsumer", "Handler"]

PART_BYTES: Final = 64 * 1024
"""Bytes of one partition in one fetch: the client gives them all before it turns to the next."""

COMMIT_EVERY: Final = 1.0
"""Seconds between two commits of offsets; the inbox drops what a dead process did since."""

SKIPS_EVERY: Final = 3.0
"""Seconds between two commits of a group that only skipped: many groups skip much."""

HOLD_SLICE: Final = 45.0
"""Seconds to hold inside a handler before the batch is given back; far below the poll limit."""

UNHURRIED: Final = 0.25
"""Seconds as `pace` of a consumer of which nobody sees a quarter of a second."""

LONGEST_PAUSE: Final = 3.0
"""Seconds between two tries while the world is down."""

LEAVE_WITHIN: Final = 5.0
"""Seconds that a consumer which could not join may take to leave."""

LOOK_TIMEOUT: Final = 1.0
"""Seconds to wait for the client to tell its positions."""

S = TypeVar("S")


class DurableConsumer(Generic[S]):
    """One consumer group of one purpose, such as `referral.rule.shelter`.

    `guards` makes it the one consumer of its service that parks what nobody can read; the others
    skip such records, so that one poison record is parked once a service.
    """

    def __init__(  # noqa: PLR0913  (what a group is, by name)
        self,
        name: str,
        topics: Sequence[str],
        handler: Handler[S],
        engine: AsyncEngine,
        *,
        guards: bool = False,
        pace: float = 0.0,
        on_parked: OnParked | None = None,
        wake: Callable[[], None] = lambda: None,
        wake_relay: Callable[[], None] = lambda: None,
        clock: Callable[[], Any] = now,
    ) -> None:
        """Take the group's name, its topics, what to do, and where to store; see `Delivery`.

        `pace` is how many seconds a batch fills, from its first record or the batch before it: one
        of a few records costs almost what one of many does, and nobody waits for this consumer so
        closely. What the tap gives it is at least that old, so that who is waited for has the rows
        that they share first, and need not wait for the end of a long batch. `wake`
        is called after each batch that was handled, `wake_relay` after one that appended to the
        outbox.
        """
        self.name = name
        self.topics = tuple(topics)
        self.guards = guards
        self._pattern: str | None = None
        self._handler = handler
        self._delivery = Delivery(
            name, handler, engine, guards=guards, on_parked=on_parked, clock=clock
        )
        self._wake = wake
        self._wake_relay = wake_relay
        self._log = Log("consumer")
        self._stopping = asyncio.Event()
        self._pause = 0.0
        self._subscriber: Any = None
        self._done: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._commit_at = self._skips_at = self._due = 0.0
        self.pace = self._fill = pace
        self._follower = Follower(self._may_want)
        self.held = False

    def read_others(self, pattern: str, take_apart: TakeApart) -> None:
        """Read topics that others write and that come and go, by a regular expression of names.

        They hold no events of ours: `take_apart` reads them. Before `attach`; a broker that `finds`
        topics finds a new one, and the tap reads none of them.
        """
        self._pattern = pattern
        self._delivery.take_apart = take_apart

    def follow(self, tap: Tap) -> None:
        """Take records from a tap of this process where it holds them; before `attach`.

        A tap that fills its fetches fills the batches.
        """
        self._follower = Follower(self._may_want, tap)
        self._fill = max(0.0, self.pace - tap.every)

    def _may_want(self, hint: Hint | None) -> bool:
        try:
            return may_want(hint, self._handler, guards=self.guards)
        except Exception:  # noqa: BLE001  (reading the record comes to the same, and parks it)
            return True

    def attach(self, broker: KafkaBroker, replica: str) -> None:
        """Make the FastStream subscriber; its parser and decoder touch nothing and cannot raise."""
        be_patient()
        subscriber = broker.subscriber(
            *self.topics,
            pattern=self._pattern,
            batch=True,
            group_id=self.name,
            group_instance_id=f"{self.name}.{replica}",
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=MAX_RECORDS,
            fetch_max_wait_ms=500,
            consumer_timeout_ms=REST_MS,
            max_partition_fetch_bytes=PART_BYTES,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
            no_reply=True,
            listener=_Listener(self._on_revoked, self._on_assigned),
            parser=self._parse,
            decoder=self._decode,
        )
        subscriber(self.handle)
        subscriber.get_msg = self._poll  # type: ignore[method-assign]  # its own sleeps
        self._subscriber = subscriber

    async def join(self) -> None:
        """Join the group and read from now on; after `attach`, and once the broker is connected.

        Raises:
            Exception: Kafka is away or refuses; it can be tried again.

        """
        try:
            await self._subscriber.start()
        except Exception as error:
            if not self.held:
                self._log.error("consumer-cannot-join", error, consumer=self.name)
            self._hold_up(held=True)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LEAVE_WITHIN):
                    await self._subscriber.stop()
            raise
        self._hold_up(held=False)

    def _hold_up(self, *, held: bool) -> None:
        self.held = held
        telemetry.CONSUMER_HELD.labels(self.name).set(held)

    async def _parse(self, records: Any) -> KafkaAckableMessage:  # noqa: ANN401  (FastStream's)
        return KafkaAckableMessage(
            raw_message=records, body=b"", consumer=self._subscriber.consumer
        )

    @staticmethod
    async def _decode(message: KafkaAckableMessage) -> Any:  # noqa: ANN401
        return message.raw_message

    async def _poll(self, consumer: Any) -> tuple[Record, ...]:  # noqa: ANN401
        """Commit what is due, and get the next batch; nothing is in hand when this is called."""
        at = asyncio.get_running_loop().time()
        self._done.update(self._follower.next)  # what was skipped is done, too
        if at >= self._skips_at:
            self._skips_at = at + SKIPS_EVERY
            skips = self._follower.next.items() - self._committed.items()
            self._uncommitted |= dict(skips)
        if skipped := self._follower.skipped:
            telemetry.CONSUMED.labels(self.name, "skipped").inc(skipped)
            self._follower.skipped = 0
        if self._uncommitted and at >= self._commit_at:
            await self.commit()
        if (early := self._due - at) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(early):
                    await self._stopping.wait()
        if self._stopping.is_set():  # what was given back is not taken again
            await asyncio.sleep(0.1)
            return ()
        records = await self._follower.poll(consumer)
        if records or self._follower.woken.is_set():
            self._due = asyncio.get_running_loop().time() + self._fill
            if self._fill:
                self._follower.mark()
        return records

    def _on_revoked(self) -> None:
        self._done.clear()
        self._uncommitted.clear()
        self._committed.clear()
        self._follower.next.clear()
        self._delivery.forget()

    def _on_assigned(self) -> None:
        self._follower.woken.set()

    def paused(self) -> set[TopicPartition]:
        """Return the partitions that wait for a newer version of this program."""
        consumer = self._subscriber.consumer if self._subscriber is not None else None
        return self._follower.held(consumer) if consumer is not None else set()

    async def progress(self) -> dict[TopicPartition, int | None]:
        """Return the next offset of every partition that this process reads; None: not yet known.

        It moves when records were handled, not when they were fetched.
        """
        consumer = self._subscriber.consumer if self._subscriber is not None else None
        if consumer is None:
            return {}
        found: dict[TopicPartition, int | None] = {}
        for place in consumer.assignment():
            found[place] = self._done.get(place)
            if found[place] is None:
                position = await position_of(consumer, place, LOOK_TIMEOUT)
                if position is not None:
                    found[place] = self._done.setdefault(place, position)
        return found

    def stop(self) -> None:
        """End every hold at once; what is in hand is given back to Kafka."""
        self._stopping.set()

    async def handle(self, records: tuple[Record, ...]) -> None:
        """Handle one batch of raw records, then commit their offsets; never raises."""
        consumer = self._subscriber.consumer
        held_until = asyncio.get_running_loop().time() + HOLD_SLICE
        while not self._stopping.is_set():
            try:
                batch = self._delivery.read(records)
                await self._delivery.take(batch)
            except Exception as error:  # noqa: BLE001  (the world: hold, and say so)
                if await self._hold(error, held_until):
                    continue
                break
            self._pause, self.held = 0.0, False
            if batch.needs_database:
                self._wake()
            if self._delivery.appended:
                self._delivery.appended = False
                self._wake_relay()
            self._done.update(batch.ends)
            self._uncommitted.update(batch.ends)
            for place in batch.held.keys() & consumer.assignment():
                self._follower.hold(consumer, place, batch.held[place])
            telemetry.CONSUMER_HELD.labels(self.name).set(1 if self.paused() else 0)
            return
        firsts: dict[TopicPartition, int] = {}
        for record in records:
            firsts.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        for place in firsts.keys() & consumer.assignment():  # one that has left is let go
            self._follower.go_back(consumer, place, firsts[place])

    async def commit(self) -> None:
        """Commit the offsets of what is done; called now and then, and at the end."""
        consumer = self._subscriber.consumer if self._subscriber is not None else None
        if consumer is None:
            return
        self._commit_at = asyncio.get_running_loop().time() + COMMIT_EVERY
        ends, self._uncommitted = self._uncommitted, {}
        ends = {place: ends[place] for place in ends.keys() & consumer.assignment()}
        if not ends:
            return
        try:
            await consumer.commit(ends)
            self._committed |= ends
        except Exception as error:  # noqa: BLE001  (a rebalance; the inbox drops what comes again)
            telemetry.COMMIT_FAILURES.labels(self.name).inc()
            self._log.warning(
                "offset-commit-failed", consumer=self.name, error=type(error).__name__
            )

    async def _hold(self, error: Exception, until: float) -> bool:
        """Wait while the world is down. False: give the batch back (stopping, or held too long)."""
        if not self.held:
            self._log.error("consumer-held", error, consumer=self.name)
        self._hold_up(held=True)
        self._pause = min(max(self._pause * 2, 0.05), LONGEST_PAUSE)
        try:
            async with asyncio.timeout(self._pause):
                await self._stopping.wait()
        except TimeoutError:
            return asyncio.get_running_loop().time() < until
        return False

    async def replay(self, conn: AsyncConnection, record: Record) -> None:
        """Handle one parked record inside the caller's transaction; see `Delivery.replay`."""
        await self._delivery.replay(conn, record)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the consumer when partitions are taken away and when others are given."""

    def __init__(self, on_revoked: Callable[[], None], on_assigned: Callable[[], None]) -> None:
        self._on_revoked = on_revoked
        self._on_assigned = on_assigned

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ANN401
        del revoked
        self._on_revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ANN401
        del assigned
        self._on_assigned()
