"""The durable consumer: batches from Kafka, one database transaction each, nothing lost or doubled.

The rules it keeps are DECISIONS 10 and 26–31; the facts they answer are KAFKA-FACTS 1–8. A service
writes a `Handler` (load, decide purely, flush); reading is `shared.batch`, storing is
`shared.delivery`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError
from faststream import AckPolicy
from faststream.kafka.message import KafkaAckableMessage

from shared import telemetry
from shared.batch import Handler
from shared.clock import now
from shared.delivery import Delivery
from shared.patience import be_patient
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faststream.kafka import KafkaBroker
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.batch import Record
    from shared.parked import OnParked

__all__ = ["DurableConsumer", "Handler"]

MAX_RECORDS: Final = 200
"""Records in one batch, always set (DECISIONS 10)."""

POLL_MS: Final = 1000
"""Length of one poll; it returns as soon as there is a record."""

HOLD_SLICE: Final = 45.0
"""Seconds to hold inside a handler before the batch is given back; far below the poll limit."""

LONGEST_PAUSE: Final = 3.0
"""Seconds between two tries while the world is down."""

LOOK_TIMEOUT: Final = 1.0
"""Seconds to wait for the client to tell its positions."""

S = TypeVar("S")


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
        on_parked: OnParked | None = None,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], Any] = now,
    ) -> None:
        """Take the group's name, its topics, what to do, and where to store; see `Delivery`."""
        self.name = name
        self.topics = tuple(topics)
        self.guards = guards
        self._delivery = Delivery(
            name, handler, engine, guards=guards, on_parked=on_parked, clock=clock
        )
        self._wake = wake
        self._log = Log("consumer")
        self._stopping = asyncio.Event()
        self._pause = 0.0
        self._subscriber: Any = None
        self._positions: dict[TopicPartition, int] = {}
        self.held = False

    def attach(self, broker: KafkaBroker, replica: str) -> None:
        """Make the FastStream subscriber; its parser and decoder touch nothing and cannot raise."""
        be_patient()
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
            listener=_Listener(self._on_revoked),
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

    def _on_revoked(self) -> None:
        self._positions.clear()
        self._delivery.forget()

    def paused(self) -> set[TopicPartition]:
        """Return the partitions that wait for a newer version of this program."""
        consumer = self._subscriber.consumer if self._subscriber is not None else None
        return set(consumer.paused()) if consumer is not None else set()

    async def progress(self) -> dict[TopicPartition, int | None]:
        """Return the next offset of every partition that this process reads; None: not yet known.

        It moves when records were handled, not when they were fetched.
        """
        consumer = self._subscriber.consumer if self._subscriber is not None else None
        if consumer is None:
            return {}
        found: dict[TopicPartition, int | None] = {}
        for place in consumer.assignment():
            found[place] = self._positions.get(place)
            if found[place] is None:
                try:
                    async with asyncio.timeout(LOOK_TIMEOUT):
                        position = await consumer.position(place)
                except (TimeoutError, IllegalStateError):
                    continue
                found[place] = self._positions.setdefault(place, position)
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
            self._wake()
            await self._commit(consumer, batch.ends)
            self._go_to(consumer, batch.held, wait=True)
            telemetry.CONSUMER_HELD.labels(self.name).set(1 if self.paused() else 0)
            return
        firsts: dict[TopicPartition, int] = {}
        for record in records:
            firsts.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        self._go_to(consumer, firsts, wait=False)

    @staticmethod
    def _go_to(consumer: Any, offsets: dict[TopicPartition, int], *, wait: bool) -> None:  # noqa: ANN401
        """Read on from these offsets, or wait before them; a partition that has left is let go."""
        for place in offsets.keys() & consumer.assignment():
            consumer.seek(place, offsets[place])
            if wait:
                consumer.pause(place)

    async def _commit(self, consumer: Any, ends: dict[TopicPartition, int]) -> None:  # noqa: ANN401
        self._positions.update(ends)
        if not ends:
            return
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
            async with asyncio.timeout(self._pause):
                await self._stopping.wait()
        except TimeoutError:
            return asyncio.get_running_loop().time() < until
        return False

    async def replay(self, conn: AsyncConnection, record: Record) -> None:
        """Handle one parked record inside the caller's transaction; see `Delivery.replay`."""
        await self._delivery.replay(conn, record)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the consumer when partitions are taken away."""

    def __init__(self, on_revoked: Callable[[], None]) -> None:
        self._on_revoked = on_revoked

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ANN401
        del revoked
        self._on_revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ANN401
        del assigned


async def _poll(consumer: Any) -> tuple[Record, ...]:  # noqa: ANN401
    """Poll once; unlike FastStream's own, do not sleep after an empty answer (DECISIONS 31)."""
    found = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
    return tuple(record for records in found.values() for record in records)
