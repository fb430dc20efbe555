"""The one consumer group of audit, on all streams. It never parks: every record becomes an entry.

The rules of `shared.consumer` hold here too (own parser and decoder, own polling, no exception out
of the handler), but there is no inbox, no filter and no one-by-one: the log itself drops what it
has. Whatever fails ends the run; the sequencer begins again from what the database holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError
from faststream import AckPolicy
from faststream.kafka.message import KafkaAckableMessage

from services.audit.domain import Arrival
from shared import telemetry
from shared.broker import make_broker
from shared.events import STREAMS
from shared.fetching import REST_MS, keep_sessions
from shared.kafka import find_refusal
from shared.patience import be_patient
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiokafka import ConsumerRecord
    from faststream.kafka import KafkaBroker

    from shared.kafka import KafkaLogin

    Record: TypeAlias = ConsumerRecord[Any, Any]

GROUP: Final = "audit"
"""The consumer group. Its one static member is whoever holds the sequencer's lock, so that a new
holder takes the place of a dead or frozen one at once."""

MAX_RECORDS: Final = 2000
"""Records in one batch."""

POLL_MS: Final = 1000
"""Length of one poll in milliseconds; it returns as soon as there is a record."""

FILL: Final = 0.25
"""Seconds that a fetch fills, so that the log is written in batches (DECISIONS 33 has 0.05)."""

LONGEST_PAUSE: Final = 3.0
"""Seconds between two tries to join while Kafka is down."""

STOP_TIMEOUT: Final = 8.0
"""Seconds until a broker that does not let go politely is left."""


class AuditConsumer:
    """Reads every stream into the log while the sequencer lets it run."""

    name = GROUP
    topics = STREAMS

    def __init__(
        self,
        kafka: KafkaLogin,
        client_id: str,
        append: Callable[[str, Sequence[Arrival]], Awaitable[object]],
    ) -> None:
        """Take where Kafka is, and what takes a cluster's records."""
        self._kafka = kafka
        self._client_id = client_id
        self._append = append
        self._log = Log("consumer")
        self._cluster = ""
        self._subscriber: Any = None
        self._positions: dict[TopicPartition, int] = {}
        self._ended = asyncio.Event()
        self._failure: asyncio.Future[None] | None = None
        self.held = False

    # --- What the runtime asks of every consumer ---------------------------------------------

    def attach(self, broker: KafkaBroker, replica: str) -> None:
        """Stay off the service's broker: only the holder of the lock reads, with one of its own."""

    async def join(self) -> None:
        """Do nothing: the holder of the lock joins when it reads."""

    async def commit(self) -> None:
        """Do nothing: what was appended is acknowledged with each batch."""

    def paused(self) -> set[TopicPartition]:
        """Return the partitions that wait for a newer version: none, every version is recorded."""
        return set()

    def stop(self) -> None:
        """End a wait; the sequencer ends the run."""
        self._ended.set()

    async def progress(self) -> dict[TopicPartition, int | None]:
        """Return the next offset of every partition that this process reads; None: not known."""
        consumer = self._subscriber.consumer if self._subscriber is not None else None
        if consumer is None:
            return {}
        found: dict[TopicPartition, int | None] = {}
        for place in consumer.assignment():
            found[place] = self._positions.get(place)
            if found[place] is None:
                try:
                    async with asyncio.timeout(1):
                        position = await consumer.position(place)
                except (TimeoutError, IllegalStateError):
                    continue
                found[place] = self._positions.setdefault(place, position)
        return found

    # --- One run -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Join Kafka, waiting for it if it is down, and read until cancelled.

        Raises:
            Exception: what the append raised; nothing of that batch was acknowledged.

        """
        self._ended.clear()
        self._failure = asyncio.get_running_loop().create_future()
        broker: KafkaBroker | None = None
        pause = 0.2
        try:
            while True:
                try:
                    self._cluster = await cluster_id(self._kafka)
                    broker = self._make_broker()
                    await broker.start()
                    keep_sessions(self._subscriber.consumer, every=FILL)
                    break
                except Exception as error:  # noqa: BLE001  (Kafka may come later)
                    if why := await find_refusal(self._kafka):
                        self._log.error("kafka-refuses", why=why)
                    else:
                        self._log.warning("kafka-not-there", error=telemetry.describe(error))
                    await _leave(broker)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            self._log.info("audit-reading")
            await self._failure
        finally:
            self._ended.set()
            await _leave(broker)
            self._subscriber = None
            self._positions.clear()

    def _make_broker(self) -> KafkaBroker:
        broker = make_broker(self._kafka, self._client_id)
        be_patient()
        subscriber: Any = broker.subscriber(
            *self.topics,
            batch=True,
            group_id=GROUP,
            group_instance_id=GROUP,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=MAX_RECORDS,
            fetch_max_wait_ms=500,
            consumer_timeout_ms=REST_MS,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
            no_reply=True,
            parser=self._parse,
            decoder=self._decode,
        )
        subscriber(self.handle)
        subscriber.get_msg = self._poll
        self._subscriber = subscriber
        return broker

    async def _parse(self, records: Any) -> KafkaAckableMessage:  # noqa: ANN401  (FastStream's)
        return KafkaAckableMessage(
            raw_message=records, body=b"", consumer=self._subscriber.consumer
        )

    @staticmethod
    async def _decode(message: KafkaAckableMessage) -> Any:  # noqa: ANN401
        return message.raw_message

    async def _poll(self, consumer: Any) -> tuple[Record, ...]:  # noqa: ANN401
        found = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        return tuple(record for part in found.values() for record in part)

    async def handle(self, records: tuple[Record, ...]) -> None:
        """Append one batch, then commit its offsets; a failure ends the run, and waits for that."""
        consumer, failure = self._subscriber.consumer, self._failure
        if failure is None or failure.done():
            await self._ended.wait()
            return
        try:
            await self._append(self._cluster, [_arrival(record) for record in records])
        except Exception as error:  # noqa: BLE001  (it is raised by `run`)
            self.held = True
            telemetry.CONSUMER_HELD.labels(GROUP).set(1)
            failure.set_exception(error)
            await self._ended.wait()
            return
        self.held = False
        telemetry.CONSUMER_HELD.labels(GROUP).set(0)
        telemetry.CONSUMED.labels(GROUP, "handled").inc(len(records))
        ends: dict[TopicPartition, int] = {}
        for record in records:
            place = TopicPartition(record.topic, record.partition)
            ends[place] = max(ends.get(place, 0), record.offset + 1)
        self._positions.update(ends)
        try:
            await consumer.commit(ends)
        except Exception as error:  # noqa: BLE001  (the log drops what comes again)
            telemetry.COMMIT_FAILURES.labels(GROUP).inc()
            self._log.warning("offset-commit-failed", consumer=GROUP, error=type(error).__name__)


def _arrival(record: Record) -> Arrival:
    headers = tuple((str(name), value) for name, value in record.headers)
    return Arrival(record.topic, record.partition, record.offset, record.key, record.value, headers)


async def cluster_id(kafka: KafkaLogin) -> str:
    """Return the id of the Kafka cluster, which makes the place of a record unique for ever.

    Raises:
        KafkaError, OSError, TimeoutError: Kafka is not there.

    """
    admin = AIOKafkaAdminClient(**kafka.client(), request_timeout_ms=5000)
    try:
        async with asyncio.timeout(8):
            await admin.start()
            return str((await admin.describe_cluster()).get("cluster_id"))
    finally:
        with contextlib.suppress(Exception):  # it only asked
            await admin.close()


async def _leave(broker: KafkaBroker | None) -> None:
    if broker is not None:
        with contextlib.suppress(Exception):  # a broker that is gone cannot be left politely
            async with asyncio.timeout(STOP_TIMEOUT):
                await broker.stop()
