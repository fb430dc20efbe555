"""The lab: a service of its own for tests of the kernel — a schema, a topic, and one small handler.

Its handler writes each event as a row of `effects`, in order, with the name of its process. What an
event carries as `reason` makes it misbehave: `raise`, `invalid`, `refuse`, `world`, `slow`, `die`.
As a program (`python -m tests.support.lab`) it is the same service with the runtime around it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from faststream.kafka import KafkaBroker
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared import runtime
from shared.clock import new_event_id
from shared.consumer import DurableConsumer
from shared.database import make_engine
from shared.errors import RecordInvalid
from shared.events import DATA_TYPES, CaseFacts, Draft, Event, encode, headers_of
from shared.http import make_app
from shared.kafka import PARTITIONS, partition_of
from shared.migrate import Revisions, create_kernel
from shared.outbox import Outbox, Stamp
from shared.signing import Signer
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.tap import Tap

REVISION = "lab"
PASSWORD = "lab"
_PROBE = b"probe"
AT = datetime(2026, 7, 1, 12, tzinfo=UTC)

_TABLES = """
CREATE TABLE effects (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  consumer text NOT NULL,
  subject text NOT NULL,
  sequence bigint NOT NULL,
  event_id uuid NOT NULL,
  process text NOT NULL,
  note text CONSTRAINT refused CHECK (note <> 'refuse'),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION fail(state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = state; END $$;
GRANT SELECT, INSERT ON effects TO {schema}_flow
"""


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of `effects`."""

    consumer: str
    subject: str
    sequence: int
    event_id: UUID
    process: str
    at: datetime


@dataclass(slots=True)
class Recorder:
    """The lab's handler. `mended` is the same program after its bugs were repaired."""

    consumer: str
    process: str = "test"
    mended: bool = False
    pause: float = 0.0
    tries: int = 0
    gate: asyncio.Event | None = None
    only: frozenset[str] = frozenset(DATA_TYPES)
    batches: list[int] = field(default_factory=list)

    def wants(self, event_type: str, _: frozenset[str]) -> bool:
        return event_type in self.only

    async def load(self, _: AsyncConnection, events: Sequence[Event]) -> list[Event]:
        self.batches.append(len(events))
        return []

    def decide(self, state: list[Event], event: Event, _: Stamp) -> None:
        self.tries += 1
        reason = event.data.reason
        if not self.mended:
            if reason == "raise":
                raise ZeroDivisionError
            if reason == "invalid":
                raise RecordInvalid("lab-invalid")
            if reason == "die":
                os.kill(os.getpid(), signal.SIGKILL)
        state.append(event)

    async def flush(self, conn: AsyncConnection, state: list[Event]) -> None:
        if not self.mended and any(event.data.reason == "world" for event in state):
            await conn.execute(text("SELECT fail('55006')"))
        await conn.execute(
            text(
                "INSERT INTO effects (consumer, subject, sequence, event_id, process, note)"
                " SELECT :c, s, q, i, :p, n FROM unnest(CAST(:s AS text[]), CAST(:q AS bigint[]),"
                " CAST(:i AS uuid[]), CAST(:n AS text[])) WITH ORDINALITY AS t (s, q, i, n, o)"
                " ORDER BY o"
            ),
            {
                "c": self.consumer,
                "p": self.process,
                "s": [event.subject for event in state],
                "q": [event.sequence for event in state],
                "i": [event.id for event in state],
                "n": [None if self.mended else event.data.reason for event in state],
            },
        )
        if self.gate is not None:
            await self.gate.wait()
        if self.pause:
            await asyncio.sleep(self.pause)


@dataclass(slots=True)
class Lab:
    """One schema and one topic with its own roles; made by `make_lab`, removed at the end."""

    admin: str
    kafka: str
    schema: str
    folder: Path
    engine: AsyncEngine
    outbox: Outbox
    topic: str

    def url(self, role: str = "flow", port: int | None = None) -> str:
        """Return the address of the database as one of the lab's roles, maybe by a proxy's port."""
        parts = urlsplit(self.admin)
        place = f"{parts.hostname}:{port or parts.port}"
        user = f"{self.schema}_{role}:{PASSWORD}@{place}"
        return urlunsplit(("postgresql", user, parts.path, "", ""))

    def database(self) -> tuple[str, int]:
        parts = urlsplit(self.admin)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    def broker(self) -> tuple[str, int]:
        host, _, port = self.kafka.split(",")[0].rpartition(":")
        return host, int(port)

    # --- Topics and records ------------------------------------------------------------------

    async def make_topic(self, name: str = "") -> None:
        async with _kafka_admin(self.kafka) as admin:
            await admin.create_topics([NewTopic(name or self.topic, PARTITIONS, 1)])

    async def drop_topic(self) -> None:
        async with _kafka_admin(self.kafka) as admin:
            await admin.delete_topics([self.topic])

    async def limit_messages(self, size: int) -> None:
        """Set the largest batch in bytes that the broker takes for the topic, and see it hold."""
        change = ConfigResource(
            ConfigResourceType.TOPIC, self.topic, {"max.message.bytes": str(size)}
        )
        async with _kafka_admin(self.kafka) as admin, _producer(self.kafka) as producer:
            await admin.alter_configs([change])

            async def holds() -> bool:
                try:
                    await producer.send_and_wait(self.topic, b"x" * 3000, _PROBE, PARTITIONS - 1)
                except MessageSizeTooLargeError:
                    return size < 3000
                return size > 3000

            await eventually(holds, what="the new limit")

    def draft(self, subject: str, reason: str | None = None, type_: str = "case-updated") -> Draft:
        facts = CaseFacts(report_id=UUID(int=1), channel="web", reason=reason)
        return Draft(self.topic, type_, subject, facts)

    def record(
        self,
        subject: str,
        sequence: int,
        reason: str | None = None,
        type_: str = "case-updated",
        event_id: UUID | None = None,
    ) -> dict[str, Any]:
        """Return an event as the relay would send it."""
        draft = self.draft(subject, reason, type_)
        event_id, value = encode(
            Draft(draft.stream, type_, subject, draft.data, id=event_id or new_event_id()),
            source="/lab",
            sequence=sequence,
            at=AT,
            actor="service:lab",
            traceparent=None,
        )
        headers = headers_of(type_, sequence, (), None, b"signature")
        return {"key": subject.encode(), "value": value, "headers": headers, "id": event_id}

    async def send(self, *records: dict[str, Any]) -> None:
        """Send records by key as one Kafka batch for each partition."""
        async with _producer(self.kafka) as producer:
            batches: dict[int, Any] = {}
            for record in records:
                batch = batches.setdefault(partition_of(record["key"]), _new_batch(producer))
                kept = {name: record[name] for name in ("key", "value", "headers")}
                assert batch.append(timestamp=None, **kept) is not None
            sent = [
                await producer.send_batch(batch, self.topic, partition=partition)
                for partition, batch in batches.items()
            ]
            await asyncio.gather(*sent)

    async def log(self) -> dict[int, list[Any]]:
        """Read the topic without our probes: each partition's records, in order."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            places = [TopicPartition(self.topic, p) for p in range(PARTITIONS)]
            ends = await consumer.end_offsets(places)
            consumer.assign([place for place in places if ends[place]])
            found: dict[int, list[Any]] = defaultdict(list)
            while sum(map(len, found.values())) < sum(ends.values()):
                for place, records in (await consumer.getmany(timeout_ms=1000)).items():
                    found[place.partition] += records
            return {
                partition: kept
                for partition, records in found.items()
                if (kept := [record for record in records if record.key != _PROBE])
            }
        finally:
            await consumer.stop()

    # --- The database ------------------------------------------------------------------------

    async def append(self, *drafts: Draft) -> list[UUID]:
        """Append events to the outbox in one transaction."""
        async with self.engine.begin() as conn:
            appended = await self.outbox.append(
                conn, [(draft, Stamp(AT, "service:lab")) for draft in drafts]
            )
        return [event_id for event_id, _ in appended]

    async def fetch(self, sql: str, *values: object) -> list[Any]:
        """Read as the flow role, on a connection of its own: never by a proxy."""
        async with self.engine.connect() as conn:
            found = await conn.exec_driver_sql(sql, values)
            return list(found.all())

    async def effects(self, consumer: str | None = None) -> list[Effect]:
        rows = await self.fetch(
            "SELECT consumer, subject, sequence, event_id, process, at FROM effects ORDER BY id"
        )
        return [Effect(*row) for row in rows if consumer is None or row[0] == consumer]

    async def sequences(self, consumer: str | None = None) -> dict[str, list[int]]:
        """Return the handled sequences of each subject in the order they were handled."""
        found: dict[str, list[int]] = defaultdict(list)
        for effect in await self.effects(consumer):
            found[effect.subject].append(effect.sequence)
        return dict(found)

    async def parked(self) -> list[tuple[str, str, str]]:
        """Return key, reason and state of what is or was parked, in order."""
        rows = await self.fetch("SELECT key, reason, state FROM parked ORDER BY id")
        return [(bytes(row[0] or b"").decode(), row[1], row[2]) for row in rows]

    # --- Running it --------------------------------------------------------------------------

    @asynccontextmanager
    async def consuming(
        self,
        handler: Recorder,
        *,
        replica: str = "1",
        port: int | None = None,
        guards: bool = True,
        tap: Tap | None = None,
        polls: int | None = None,
        pace: float = 0.0,
    ) -> AsyncIterator[DurableConsumer[Any]]:
        """Run one durable consumer in this process; `port`: reach the database by a proxy.

        With a `tap` it takes its records from there, as far as the test runs that. `polls` are the
        milliseconds within which it must ask for more, so that a test need not take minutes.
        """
        engine = make_engine(self.url(port=port), size=4, name=f"lab {replica}")
        broker = KafkaBroker(
            self.kafka,
            apply_types=False,
            allow_auto_create_topics=False,
            graceful_timeout=6,
            logger=logging.getLogger("faststream"),
        )
        consumer: DurableConsumer[Any] = DurableConsumer(
            handler.consumer, (self.topic,), handler, engine, guards=guards, pace=pace
        )
        if tap is not None:
            consumer.follow(tap)
        consumer.attach(broker, replica)
        if polls is not None:
            consumer._subscriber._connection_args["max_poll_interval_ms"] = polls
        await broker.start()
        try:
            yield consumer
        finally:
            consumer.stop()
            await broker.stop()
            await engine.dispose()

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a child that runs the lab as a service."""
        return {
            "LAB_SCHEMA": self.schema,
            "LAB_TOPIC": self.topic,
            "DATABASE_URL": self.url(),
            "DATABASE_WEB_URL": self.url("web"),
            "KAFKA_BOOTSTRAP": self.kafka,
            "KEYS_DIR": str(self.folder),
            "HTTP_PORT": "0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "",
        } | more


@asynccontextmanager
async def make_lab(admin: str, kafka: str, folder: Path) -> AsyncIterator[Lab]:
    """Make a lab: `admin` is a superuser's URL of a database, `folder` takes the service's keys."""
    schema = f"lab{secrets.token_hex(4)}"
    seed = secrets.token_bytes(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    (folder / "signing.key").write_text(seed.hex())
    (folder / "tokens.pub").write_text(public.hex())
    conn = await asyncpg.connect(admin)
    roles = [f"{schema}_{role}" for role in ("owner", "flow", "web")]
    for role in roles:
        await conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        await conn.execute(f"ALTER ROLE {role} SET search_path = {schema}")
    await conn.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {roles[0]}")
    await conn.execute(f"GRANT USAGE ON SCHEMA {schema} TO {roles[1]}, {roles[2]}")
    lab = Lab(
        admin=admin,
        kafka=kafka,
        schema=schema,
        folder=folder,
        engine=make_engine(admin, size=1, name="lab"),
        outbox=Outbox(schema, Signer(seed)),
        topic=f"{schema}-cases",
    )
    lab.engine = make_engine(lab.url(), size=24, name="lab test")
    try:
        await _make_tables(lab)
        await lab.make_topic()
        yield lab
    finally:
        await lab.engine.dispose()
        await lab.drop_topic()
        await conn.execute(f"DROP SCHEMA {schema} CASCADE")
        for role in roles:
            await conn.execute(f"DROP OWNED BY {role}")
            await conn.execute(f"DROP ROLE {role}")
        await conn.close()


async def _make_tables(lab: Lab) -> None:
    url = lab.url("owner").replace("postgresql://", "postgresql+asyncpg://", 1)
    owner = create_async_engine(url)  # SQLAlchemy's own, for what migrates

    def kernel(conn: Any) -> None:
        conn.exec_driver_sql("CREATE TABLE alembic_version (version_num text PRIMARY KEY)")
        conn.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{REVISION}')")
        create_kernel(SimpleNamespace(get_bind=lambda: conn), lab.schema)  # type: ignore[arg-type]
        for statement in _TABLES.replace("{schema}", lab.schema).split(";\n"):
            conn.exec_driver_sql(statement)

    async with owner.begin() as conn:
        await conn.run_sync(kernel)
    await owner.dispose()


@asynccontextmanager
async def _kafka_admin(bootstrap: str) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _producer(bootstrap: str) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=500_000)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _new_batch(producer: Any) -> Any:
    """Return a batch that writes whatever bytes a header's name gives (`RawName`)."""
    batch = producer.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 500_000)
    return batch


def main() -> None:
    """Run the lab as a service process: `LAB_CONSUMER` names its group, `LAB_RELAY=1` relays.

    `LAB_ELSEWHERE` names a topic that another consumer reads, which comes before that one.
    """
    schema, topic = os.environ["LAB_SCHEMA"], os.environ["LAB_TOPIC"]
    known = {"revisions_of": lambda _: Revisions(REVISION, frozenset({REVISION}))}
    vars(runtime).update(known)  # the lab has no Alembic scripts
    service = runtime.make_service(schema, owns=(topic,) if os.environ.get("LAB_RELAY") else ())
    process = f"{service.settings.replica}:{os.getpid()}"
    if elsewhere := os.environ.get("LAB_ELSEWHERE"):
        name = f"{schema}.elsewhere"
        recorder = Recorder(name, process=process)
        service.consumers.append(DurableConsumer(name, (elsewhere,), recorder, service.flow))
    if group := os.environ.get("LAB_CONSUMER"):
        recorder = Recorder(group, process=process)
        service.consumers.append(
            DurableConsumer(group, (topic,), recorder, service.flow, guards=True)
        )
    runtime.run(service, make_app(service, "lab", "a lab"))


if __name__ == "__main__":
    main()
