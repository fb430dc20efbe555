"""Our log as the bench of the history uses it: the real writer and reader, its own database."""

from __future__ import annotations

import itertools
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import asyncpg

from deploy.local.keys import make_keys
from deploy.local.ports import Ports
from deploy.local.services import service_env
from services.audit import merkle, nodes
from services.audit.checkpoint import NoteSigner
from services.audit.domain import Arrival, Signers, commitment_of
from services.audit.outside import OutsideCheckpoint
from services.audit.proofs import Proofs
from services.audit.service import Ledger
from services.audit.settings import AuditSettings
from shared.clock import new_event_id
from shared.database import make_engine
from shared.events import CASES, CaseFacts, Draft, encode, headers_of
from shared.kafka import KafkaLogin
from shared.signing import Signer
from tests.bench.servers import Server, serving
from tests.support.platform import PASSWORDS, fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support.platform import Database

ORIGIN: Final = "127.0.0.1/pashe"
NOWHERE: Final = "127.0.0.1:1"
"""A Kafka that is not there: the served log stands still."""

CASE_LONG: Final = 12
"""Events of one case."""

CHUNK: Final = 50_000
"""Entries loaded at once."""

AT: Final = datetime(2026, 7, 1, 12, tzinfo=UTC)


def make_event(producer: Signer, subject: str, sequence: int, kind: str, offset: int) -> Arrival:
    """Make a signed event of a case as it comes from Kafka."""
    facts = CaseFacts(report_id=UUID(int=1), channel="web", upazila="BD302638", age=11)
    _, value = encode(
        Draft(CASES, kind, subject, facts, id=new_event_id()),
        source="/intake",
        sequence=sequence,
        at=AT,
        actor="coordinator:c7",
        traceparent=None,
    )
    headers = headers_of(kind, sequence, (), None, producer.header(value))
    return Arrival(CASES, 0, offset, subject.encode(), value, tuple(headers))


def make_events(producer: Signer, count: int) -> list[Arrival]:
    """Make signed events of cases, in the order in which they would come."""
    made, subject = [], ""
    for number in range(count):
        sequence = number % CASE_LONG + 1
        subject = str(uuid4()) if sequence == 1 else subject
        kind = "case-created" if sequence == 1 else "case-updated"
        made.append(make_event(producer, subject, sequence, kind, number))
    return made


def write_events(producer: Signer, events: list[Arrival], path: Path) -> None:
    """Write them for the peer: length (32 bits, big-endian), signature, bytes."""
    with path.open("wb") as file:
        for event in events:
            value = event.value or b""
            file.write(len(value).to_bytes(4, "big") + producer.sign(value) + value)


@dataclass(slots=True)
class OurLog:
    """The log: `ledger` writes it, `proofs` reads it, `serve` publishes it."""

    database: Database
    flow: AsyncEngine
    web: AsyncEngine
    folder: Path
    settings: AuditSettings
    producer: Signer
    proofs: Proofs
    ledger: Ledger = field(init=False)

    async def begin(self) -> None:
        """Take the turn to write, as a sequencer that starts does."""
        outside = OutsideCheckpoint(self.settings.state_dir, self.settings.signer.vkey)
        self.ledger = Ledger(self.flow, self.settings, outside)
        await self.ledger.check_key()
        await self.ledger.take_over()
        await self.ledger.sign()

    async def append(self, events: list[Arrival], batch: int) -> None:
        """Append events in batches, each committed before the next.

        Raises:
            RuntimeError: something of them was not new, or not proven.

        """
        for start in range(0, len(events), batch):
            part = events[start : start + batch]
            done = await self.ledger.append("bench", part)
            if len(done.entries) != len(part) or any(entry.flags for entry in done.entries):
                message = "the log did not take these events as they are"
                raise RuntimeError(message)

    async def load(self, size: int) -> None:
        """Fill the log up to a size by COPY as the superuser, and sign it.

        What is loaded are cases of twelve events as `make_events` makes them, but one event's bytes
        again and again; commitments, salts, ids, tree and indexes are real.
        """
        conn = await asyncpg.connect(self.database.admin, server_settings={"search_path": "audit"})
        value = make_event(self.producer, "loaded", 1, "case-updated", 0).value or b""
        try:
            head = await conn.fetchrow("SELECT size FROM log_head")
            async with self.flow.begin() as reading:
                tree = await nodes.load_tree(reading, head["size"])
            while tree.size < size:
                tree = await _load_chunk(conn, tree, min(CHUNK, size - tree.size), value)
            await conn.execute("UPDATE log_head SET size = $1, root = $2", tree.size, tree.root)
            await conn.execute("UPDATE erasing SET upto = $1", tree.size)
            await conn.execute("ANALYZE entries, nodes, event_bytes")
        finally:
            await conn.close()
        await self.begin()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Server]:
        """Run the service on this log until the block ends; then the turn is ours again."""
        ports = Ports()
        port = ports.reserve()
        env = service_env(
            "audit",
            keys=self.folder / "keys",
            admin=self.database.admin,
            passwords=PASSWORDS,
            kafka=KafkaLogin(NOWHERE),
            ports={"audit": port},
            origin=f"http://127.0.0.1:{port}",
        )
        env |= {"AUDIT_ORIGIN": ORIGIN, "AUDIT_STATE_DIR": str(self.settings.state_dir)}
        env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}
        log = self.folder / "audit.log"
        try:
            async with serving(
                "services.audit.main", port, env, log, "/audit/log/checkpoint"
            ) as server:
                yield server
        finally:
            ports.close()
        await self.begin()


async def _load_chunk(
    conn: asyncpg.Connection[asyncpg.Record], tree: merkle.Range, count: int, value: bytes
) -> merkle.Range:
    start, salts = tree.size, os.urandom(32 * count)
    commitments = [commitment_of(salts[at * 32 : at * 32 + 32], value) for at in range(count)]
    tree, rows = merkle.extend(tree, [merkle.leaf_hash(each) for each in commitments])
    cases = [str(uuid4()) for _ in range(count // CASE_LONG + 1)]
    entries = [
        (
            *(start + n, commitments[n], uuid4(), "loaded", CASES, 0, start + n),
            *(cases[n // CASE_LONG], "case-updated", "/intake", n % CASE_LONG + 1, AT, "system", 0),
        )
        for n in range(count)
    ]
    columns = ("idx", "commitment", "event_id", "cluster", "stream", "partition", "offset")
    more = ("subject", "type", "source", "sequence", "time", "actor", "flags")
    async with conn.transaction():
        await conn.copy_records_to_table("entries", records=entries, columns=[*columns, *more])
        await conn.copy_records_to_table(
            "event_bytes",
            records=((start + n, salts[n * 32 : n * 32 + 32], value) for n in range(count)),
            columns=["idx", "salt", "value"],
        )
        fresh = (
            zip(itertools.repeat(r.level), itertools.count(r.first), r.hashes, strict=False)
            for r in rows
        )
        await conn.copy_records_to_table(
            "nodes",
            records=itertools.chain.from_iterable(fresh),
            columns=["level", "idx", "hash"],
        )
    return tree


@asynccontextmanager
async def our_log(server: str, folder: Path) -> AsyncIterator[OurLog]:
    """Make an empty log on a PostgreSQL; the database is dropped at the end."""
    make_keys(folder / "keys", beside_data=False)
    seed, own = (
        bytes.fromhex((folder / "keys" / name).read_text("ascii"))
        for name in ("audit/log.key", "intake/signing.key")
    )
    producer = Signer(own)
    signers = Signers({"intake": producer.public})
    settings = AuditSettings(NoteSigner(ORIGIN, seed), signers, folder / "state")
    async with fresh_database(server, "audit") as database:
        urls = database.urls("audit")
        flow = make_engine(urls["DATABASE_URL"], size=3, name="bench history flow")
        web = make_engine(urls["DATABASE_WEB_URL"], size=3, name="bench history web")
        try:
            yield OurLog(database, flow, web, folder, settings, producer, Proofs(web))
        finally:
            await flow.dispose()
            await web.dispose()
