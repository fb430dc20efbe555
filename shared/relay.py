"""The relay: the only code that sends events to Kafka (DECISIONS 7, 30; KAFKA-FACTS 10–16).

A shard is one topic and partition. Its owner holds a session advisory lock on a connection of its
own. Each round it reads unsent rows in order of id, sends one batch a shard, and sends the next of
that shard only after the first was acknowledged. What was acknowledged is marked sent soon after,
many rows at once; until then this process remembers it. A batch whose outcome is unknown, and one
that a dead relay had not marked yet, is sent again: consumers drop what they have seen. A standby
ends the session of a holder that has been silent for three seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from shared import telemetry
from shared.clock import now
from shared.database import COMMAND_TIMEOUT, CONNECT_TIMEOUT
from shared.events import headers_of
from shared.kafka import PARTITIONS, find_refusal, label_of
from shared.outbox import is_from_here
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Record

    from shared.kafka import KafkaLogin

Shard = tuple[str, int]

BATCH_BYTES: Final = 512 * 1024
"""Largest batch that is sent to one partition at once."""

ROWS_A_SHARD: Final = 400
"""Rows read for one shard in one round."""

SEND_TIMEOUT: Final = 8.0
"""Seconds until a batch without acknowledgement counts as unknown and is sent again."""

UNANSWERED: Final = 10.0
"""Seconds without any answer for a shard, from the first try that had none, until the producer is
given up for a new one: a client library can come to wait for what never comes."""

POLL: Final = 0.5
"""Seconds between looks at the table when nobody notified."""

MARK_EVERY: Final = 0.05
"""Seconds after which acknowledged rows are marked sent, together with those that came since."""

MARK_ROWS: Final = 400
"""Acknowledged rows that are marked at once."""

GLANCE: Final = 400
"""New rows of all shards that are read at once; if there are more, each shard is asked."""

LEAVE_WITHIN: Final = 2.0
"""Seconds that a producer may take to end."""

BEAT: Final = 1.0
"""Seconds between signs of life of a holder."""

SILENT: Final = 3.0
"""Seconds of silence after which a standby ends the holder's session."""

_COLUMNS = (
    "id, created_at, topic, partition, key, type, sequence, needs, traceparent, value, signature"
)
_GLANCE = f"""
SELECT {_COLUMNS} FROM outbox
WHERE sent_at IS NULL AND created_at > $1 AND id <> ALL ($2::bigint[])
ORDER BY topic, partition, id LIMIT $3
"""  # noqa: S608  (our own words)
_READ = f"""
SELECT r.* FROM unnest($1::text[], $2::smallint[]) AS s (topic, partition)
CROSS JOIN LATERAL (
  SELECT {_COLUMNS} FROM outbox o
  WHERE o.topic = s.topic AND o.partition = s.partition AND o.sent_at IS NULL
    AND o.created_at > $3 AND o.id <> ALL ($5::bigint[])
  ORDER BY o.id LIMIT $4
) r ORDER BY r.topic, r.partition, r.id
"""  # noqa: S608  (our own words)
_FAMILY = """
SELECT DISTINCT topic FROM outbox
WHERE sent_at IS NULL AND created_at > $2 AND starts_with(topic, $1)
"""
_MARK = """
UPDATE outbox SET sent_at = now()
WHERE id = ANY ($1::bigint[]) AND created_at >= $2 AND created_at <= $3
"""
_BEAT = """
INSERT INTO relays (topic, partition, pid)
SELECT t, p, pg_backend_pid() FROM unnest($1::text[], $2::smallint[]) AS s (t, p)
ON CONFLICT (topic, partition) DO UPDATE SET pid = excluded.pid, seen_at = clock_timestamp()
"""
_END_SILENT = """
SELECT pg_terminate_backend(r.pid) FROM relays r JOIN pg_locks l ON l.pid = r.pid
  AND l.locktype = 'advisory' AND l.granted AND l.classid = $3::oid
WHERE r.topic = ANY($1::text[]) AND r.seen_at < clock_timestamp() - make_interval(secs => $2)
GROUP BY r.pid
"""
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


class Unanswered(KafkaError):  # type: ignore[misc]  # noqa: N818  (it says what is wrong)
    """The producer has not been told anything for too long, not even that it was refused."""


class Relay:
    """Relays the outbox of one service; run as many replicas as you like, one works a shard."""

    def __init__(
        self, service: str, database_url: str, kafka: KafkaLogin, topics: Sequence[str]
    ) -> None:
        """Take the service (its schema), where database and Kafka are, and the topics it owns.

        `name.*` stands for topics of one partition that come while it runs.
        """
        self._service = service
        self._url = database_url
        self._kafka = kafka
        self._families = [topic.removesuffix("*") for topic in topics if topic.endswith("*")]
        streams = [topic for topic in topics if not topic.endswith("*")]
        shards = ((topic, partition) for topic in streams for partition in range(PARTITIONS))
        self._shards: dict[Shard, int] = {shard: lock for lock, shard in enumerate(shards)}
        self._space = zlib.crc32(f"relay.{service}".encode()) & 0x7FFFFFFF
        self._log = Log("relay")
        self._wake = asyncio.Event()
        self._owned: set[Shard] = set()
        self._busy: dict[Shard, asyncio.Task[None]] = {}
        self._unanswered: dict[Shard, float] = {}
        self._acked: list[Record] = []
        self._mark_at = 0.0
        self._held: set[int] = set()
        self._missed: set[Shard] = set()
        self._look = True
        self._since = _BEGINNING

    def wake(self) -> bool:
        """Look at the table soon; say whether no other relay of the service needs to be told."""
        self._wake_up()
        return len(self._owned) == len(self._shards)

    async def run(self) -> None:
        """Relay until cancelled; whatever fails is tried again with a growing pause."""
        pause = 0.1
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._session()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._log.error("relay-database-lost", error)
            except KafkaError as error:
                if why := await find_refusal(self._kafka):
                    self._log.error("kafka-refuses", why=why)
                else:
                    self._log.error("relay-kafka-lost", error)
            except Exception as error:  # noqa: BLE001  (the relay must outlive every surprise)
                self._log.error("relay-failed", error)
            if asyncio.get_running_loop().time() - started > 10:  # noqa: PLR2004  (healthy run)
                pause = 0.1
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _session(self) -> None:
        """One database session and one producer: lock, relay, let go of everything at the end."""
        conn = await asyncpg.connect(
            self._url,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={
                "application_name": f"{self._service} relay",
                "timezone": "UTC",
                "synchronous_commit": "off",  # a mark that is lost costs a copy
                "enable_seqscan": "off",  # a plan that was made while the table was small stays
            },
        )
        producer = AIOKafkaProducer(
            **self._kafka.client(),
            acks="all",
            enable_idempotence=False,  # a frozen broker then fails a send in bounded time
            max_batch_size=BATCH_BYTES,
            max_request_size=BATCH_BYTES * 2,
            request_timeout_ms=5000,
            retry_backoff_ms=100,
        )
        try:
            async with asyncio.timeout(10):
                await producer.start()
            await conn.add_listener(f"outbox_{self._service}", self._hear)
            await self._relay(conn, producer)
        finally:
            await self._let_go(conn, producer)

    async def _let_go(self, conn: asyncpg.Connection[Any], producer: AIOKafkaProducer) -> None:
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        self._busy.clear()
        self._unanswered.clear()
        self._acked.clear()
        self._held.clear()
        self._missed.clear()
        self._owned.clear()
        telemetry.RELAY_SHARDS.set(0)
        with contextlib.suppress(
            TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError
        ):
            await conn.close(timeout=1)
        await _give_up(producer)

    async def _relay(self, conn: asyncpg.Connection[Any], producer: AIOKafkaProducer) -> None:
        """Read only when there may be something: told so, shards finished late, or after `POLL`."""
        loop = asyncio.get_running_loop()
        beat_at = full_at = 0.0
        self._look = True
        while True:
            if loop.time() >= beat_at:
                await self._take_and_beat(conn)
                beat_at = loop.time() + BEAT
            if loop.time() >= full_at:  # once an hour look at the whole table, else at two days
                self._since = _BEGINNING
                full_at = loop.time() + 3600
            self._wake.clear()
            if self._acked and (loop.time() >= self._mark_at or len(self._acked) >= MARK_ROWS):
                await self._mark(conn)
            if self._look:
                self._look = False
                await self._read_and_send(conn, producer)
            if not self._look:
                rest = min(POLL, max(0.0, self._mark_at - loop.time())) if self._acked else POLL
                try:
                    async with asyncio.timeout(rest):
                        await self._wake.wait()
                except TimeoutError:
                    self._look = rest == POLL

    def _hear(self, _conn: object, _pid: int, _channel: str, payload: str) -> None:
        if not is_from_here(payload):  # `wake` said so
            self._wake_up()

    def _wake_up(self) -> None:
        """Look at the table soon."""
        self._look = True
        self._wake.set()

    async def _take_and_beat(self, conn: asyncpg.Connection[Any]) -> None:
        """Try for shards that nobody holds, tell that we live, end a holder that does not."""
        for family in self._families:
            for row in await conn.fetch(_FAMILY, family, self._since):
                if (shard := (row["topic"], 0)) not in self._shards:
                    self._shards[shard] = zlib.crc32(row["topic"].encode()) & 0x7FFFFFFF
                    self._look = True
        free = {lock: shard for shard, lock in self._shards.items() if shard not in self._owned}
        if free:
            rows = await conn.fetch(
                "SELECT k, pg_try_advisory_lock($1, k) AS got FROM unnest($2::int[]) AS k",
                self._space,
                list(free),
            )
            self._owned |= {free[row["k"]] for row in rows if row["got"]}
            telemetry.RELAY_SHARDS.set(len(self._owned))
            lost = {t for t, _ in self._shards if any(o not in self._owned for o in self._shards)}
            if lost:
                ended = await conn.fetch(_END_SILENT, list(lost), SILENT, self._space)
                if ended:
                    self._log.warning("relay-holder-ended", sessions=len(ended))
        if self._owned:
            owned = sorted(self._owned)
            await conn.execute(_BEAT, [t for t, _ in owned], [p for _, p in owned])

    async def _mark(self, conn: asyncpg.Connection[Any]) -> None:
        rows, self._acked = self._acked, []
        ids, days = [row["id"] for row in rows], [row["created_at"] for row in rows]
        await conn.execute(_MARK, ids, min(days), max(days))
        self._held.difference_update(ids)

    async def _read_and_send(
        self, conn: asyncpg.Connection[Any], producer: AIOKafkaProducer
    ) -> None:
        for shard, task in list(self._busy.items()):
            if task.done() and (error := task.exception()) is not None:
                self._log.warning("relay-batch-refused", error=telemetry.describe(error))
                telemetry.RELAY_FAILURES.inc()
                del self._busy[shard]
                self._judge(shard, error)
        self._missed |= self._busy.keys()
        idle = self._owned - self._busy.keys()
        if not idle:
            return
        rows = await self._read(conn, sorted(idle))
        if not rows and not self._busy:
            self._since = now() - timedelta(days=2)
        for shard, found in groupby(rows, lambda row: (row["topic"], row["partition"])):
            if shard not in idle:
                continue
            batch = list(found)
            self._held.update(row["id"] for row in batch)
            self._busy[shard] = asyncio.create_task(self._send(producer, shard, batch))
            if len(batch) == ROWS_A_SHARD:
                self._missed.add(shard)

    def _judge(self, shard: Shard, error: BaseException) -> None:
        """Note since when nobody answers for a shard; a refusal is an answer.

        Raises:
            Unanswered: for too long.

        """
        if not isinstance(error, TimeoutError | KafkaTimeoutError):
            self._unanswered.pop(shard, None)
            return
        at = asyncio.get_running_loop().time()
        if at - self._unanswered.setdefault(shard, at) > UNANSWERED:
            raise Unanswered

    async def _read(self, conn: asyncpg.Connection[Any], idle: Sequence[Shard]) -> list[Record]:
        """Read new rows in order of shard and id: of all shards, or of each if that is too much."""
        held = list(self._held)
        rows: list[Record] = await conn.fetch(_GLANCE, self._since, held, GLANCE)
        if len(rows) == GLANCE:
            topics, partitions = [t for t, _ in idle], [p for _, p in idle]
            rows = await conn.fetch(_READ, topics, partitions, self._since, ROWS_A_SHARD, held)
        return rows

    async def _send(self, producer: AIOKafkaProducer, shard: Shard, rows: list[Record]) -> None:
        """Send the first rows that fit into one batch and wait for its acknowledgement."""
        topic, partition = shard
        builder = producer.create_batch()
        fit = 0
        for row in rows:
            added = builder.append(
                key=row["key"], value=row["value"], timestamp=None, headers=_headers(row)
            )
            if added is None:
                break
            fit += 1
        sent = rows[:fit]
        try:
            with telemetry.batch_span(
                f"{self._service}.relay {label_of(topic).removesuffix('.*')}",
                telemetry.SpanKind.PRODUCER,
                (row["traceparent"] for row in sent),
                fit,
            ):
                async with asyncio.timeout(SEND_TIMEOUT):
                    future = await producer.send_batch(builder, topic, partition=partition)
                async with asyncio.timeout(SEND_TIMEOUT):
                    await future
        except BaseException:
            await asyncio.sleep(0.2)  # the same rows are read again: never in a hot loop
            self._held.difference_update(row["id"] for row in rows)
            self._wake_up()
            raise
        self._unanswered.pop(shard, None)
        self._held.difference_update(row["id"] for row in rows[fit:])
        telemetry.RELAY_SENT.labels(label_of(topic)).inc(fit)
        telemetry.RELAY_DELAY.observe(max(0.0, time.time() - rows[0]["created_at"].timestamp()))
        if not self._acked:
            self._mark_at = asyncio.get_running_loop().time() + MARK_EVERY
        self._acked.extend(sent)
        self._busy.pop(shard, None)
        if fit < len(rows) or shard in self._missed:  # the last look could not read all of it
            self._missed.discard(shard)
            self._look = True
        self._wake.set()


async def _give_up(producer: AIOKafkaProducer) -> None:
    """End a producer, politely if it can: what it holds is read from the table again."""
    with contextlib.suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(LEAVE_WITHIN):
            await producer.stop()
            return
    sender = producer._sender.sender_task  # noqa: SLF001  (else it would send what it holds later)
    while sender is not None and not sender.done():  # its first cancel waits for what never comes
        sender.cancel()
        await asyncio.wait([sender], timeout=0.2)
    producer._message_accumulator.fail_all(Unanswered())  # noqa: SLF001  (what waits for it)
    with contextlib.suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(LEAVE_WITHIN):
            await producer.client.close()


def _headers(row: Record) -> list[tuple[str, bytes]]:
    needs = row["needs"].split(",") if row["needs"] else ()
    return headers_of(row["type"], row["sequence"], needs, row["traceparent"], row["signature"])
