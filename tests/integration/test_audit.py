"""Audit on real PostgreSQL and Kafka: what is recorded, once, in one history that can be proven."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import random
import secrets
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from sqlalchemy import text

from deploy.local.database import prepare_database
from deploy.local.keys import make_keys
from deploy.local.ports import Ports
from deploy.local.topics import provision
from services.audit import known, merkle, nodes, tiles
from services.audit.checkpoint import Checkpoint, NoteSigner, open_checkpoint, parse_vkey
from services.audit.daily import Daily
from services.audit.domain import Arrival, Signers, commitment_of
from services.audit.flags import names_of
from services.audit.outside import NAME, OutsideCheckpoint
from services.audit.proofs import Proofs
from services.audit.reading import Page, Reading
from services.audit.service import Fenced, Ledger, LogBehind
from services.audit.settings import AuditSettings
from shared.access import Caller, make_token
from shared.clock import new_event_id
from shared.database import make_engine
from shared.errors import NotFound, SettingsError
from shared.events import CASES, STREAMS, CaseFacts, Draft, encode, headers_of
from shared.kafka import PARTITIONS, partition_of
from shared.migrate import upgrade
from shared.outbox import Outbox
from shared.signing import Signer
from shared.vocabulary import Role
from tests.bench.history_log import our_log
from tests.support import transparency
from tests.support.cut import Cut
from tests.support.platform import PASSWORDS, Database, Embedded
from tests.support.processes import Child
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
ORIGIN = "127.0.0.1/pashe"
SIGNERS = {
    name: Signer(bytes([n + 1]) * 32)
    for n, name in enumerate(("intake", "referral", "notification"))
}
AUDITOR = Caller("a1", Role.AUDITOR)
COORDINATOR = Caller("c1", Role.COORDINATOR)


# --- records, as producers make them ------------------------------------------------------------


@dataclass(slots=True)
class Maker:
    """Makes records with places in Kafka that were never given before."""

    signers: dict[str, Signer] = field(default_factory=lambda: SIGNERS)
    offset: int = 0

    def event(
        self,
        subject: str,
        sequence: int,
        *,
        source: str = "intake",
        stream: str = CASES,
        signer: str | None = None,
        event_id: UUID | None = None,
        reason: str | None = None,
        traceparent: str | None = None,
        kind: str = "case-updated",
    ) -> Arrival:
        facts = CaseFacts(report_id=UUID(int=1), channel="web", reason=reason)
        _, value = encode(
            Draft(stream, kind, subject, facts, id=event_id or new_event_id()),
            source=f"/{source}",
            sequence=sequence,
            at=AT,
            actor="coordinator:c7",
            traceparent=traceparent,
        )
        proof = self.signers[signer or source].header(value)
        headers = headers_of(kind, sequence, (), traceparent, proof)
        return self.raw(value, headers, key=subject.encode(), stream=stream)

    def raw(
        self,
        value: bytes | None,
        headers: Any = (),
        *,
        key: bytes | None = b"k",
        stream: str = CASES,
    ) -> Arrival:
        self.offset += 1
        return Arrival(stream, 0, self.offset, key, value, tuple(headers))


# --- a PostgreSQL and a Kafka of its own --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """A PostgreSQL server, a Kafka and keys; an empty log gets a database of its own."""

    server: str
    kafka: str
    keys: Path

    async def make_database(self) -> Database:
        name = f"audit_{secrets.token_hex(4)}"
        admin = await prepare_database(self.server, PASSWORDS, name, may_exist=False)
        database = Database(admin)
        await upgrade("audit", database.urls("audit")["DATABASE_OWNER_URL"])
        return database


@pytest.fixture(scope="module")
def ground(own_platform: Embedded) -> Ground:
    asyncio.run(provision(own_platform.kafka.admin, 1))
    make_keys(own_platform.folder / "keys", beside_data=False)
    server, bootstrap = own_platform.postgres.url(), own_platform.kafka.bootstrap
    return Ground(server, bootstrap, own_platform.folder / "keys")


# --- a log without Kafka ------------------------------------------------------------------------


@dataclass(slots=True)
class Log:
    """An empty log in a database of its own, written by calls."""

    admin: str
    urls: dict[str, str]
    flow: AsyncEngine
    web: AsyncEngine
    state: Path
    maker: Maker = field(default_factory=Maker)
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def outside(self) -> OutsideCheckpoint:
        return OutsideCheckpoint(self.state, NoteSigner(ORIGIN, self.seed).vkey)

    def make_ledger(self) -> Ledger:
        keys = {name: signer.public for name, signer in SIGNERS.items()}
        own = AuditSettings(NoteSigner(ORIGIN, self.seed), Signers(keys), self.state)
        return Ledger(self.flow, own, self.outside)

    async def begin(self) -> Ledger:
        ledger = self.make_ledger()
        await ledger.take_over()
        return ledger

    @property
    def proofs(self) -> Proofs:
        return Proofs(self.web)

    @property
    def reading(self) -> Reading:
        return Reading(self.web, Outbox("audit", Signer(b"a" * 32)), self.outside)

    async def fetch(self, sql: str, *values: object) -> list[Any]:
        async with self.flow.connect() as conn:
            return list((await conn.exec_driver_sql(sql, values)).all())

    async def flags(self) -> list[list[str]]:
        rows = await self.fetch("SELECT flags FROM entries ORDER BY idx")
        return [names_of(row.flags) for row in rows]

    async def recomputed(self) -> merkle.Range:
        """Return the tree over the stored commitments, computed from nothing else."""
        rows = await self.fetch("SELECT commitment FROM entries ORDER BY idx")
        return merkle.extend(merkle.Range(), [merkle.leaf_hash(r.commitment) for r in rows])[0]


@pytest.fixture
async def log(ground: Ground, tmp_path: Path) -> AsyncIterator[Log]:
    database = await ground.make_database()
    urls = database.urls("audit")
    flow = make_engine(urls["DATABASE_URL"], size=6, name="audit test")
    web = make_engine(urls["DATABASE_WEB_URL"], size=4, name="audit test web")
    yield Log(database.admin, urls, flow, web, tmp_path / "state")
    await flow.dispose()
    await web.dispose()


async def test_each_entry_commits_to_salt_and_exact_bytes_and_leads_to_the_root(log: Log) -> None:
    ledger = await log.begin()
    for size in (1, 7, 0, 300):
        await ledger.append("k", [log.maker.event(str(uuid4()), 1) for _ in range(size)])
    rows = await log.fetch(
        "SELECT e.idx, e.commitment, b.salt, b.value FROM entries e JOIN event_bytes b USING (idx)"
        " ORDER BY idx"
    )
    assert [row.idx for row in rows] == list(range(308))
    assert len({row.salt for row in rows}) == 308
    for row in rows:
        assert row.commitment == hashlib.sha256(row.salt + row.value).digest()
    head = (await log.fetch("SELECT * FROM log_head"))[0]
    tree = await log.recomputed()
    assert (head.size, head.root) == (308, tree.root)
    assert set(map(tuple, await log.flags())) == {()}


async def test_what_comes_again_is_recorded_once(log: Log) -> None:
    ledger = await log.begin()
    records = [log.maker.event("case", n) for n in (1, 2)] + [log.maker.raw(b"poison")]
    assert len((await ledger.append("k", [*records, *records])).entries) == 3
    assert (await ledger.append("k", records)).entries == []
    again = await log.begin()  # as after a crash between the commit here and that of the offset
    assert (await again.append("k", records)).entries == []
    assert len((await again.append("other cluster", records)).entries) == 1
    assert (await log.fetch("SELECT size FROM log_head"))[0].size == 4


async def test_the_signature_is_checked_against_the_source_and_its_streams(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    good = make.event("c", 1)
    unsigned = make.raw(make.event("d", 1).value, [("type", b"x")])
    twisted = make.event("e", 1)
    wrong = make.raw((twisted.value or b"").replace(b"web", b"sms"), twisted.headers)
    garbage = make.raw(make.event("f", 1).value, [("signature", b"\xff\x00?")])
    forged = make.event("g", 1, signer="referral")
    trespass = make.event("h", 1, source="referral")
    nobody = make.event("i", 1, source="nobody", signer="intake")
    await ledger.append("k", [good, unsigned, wrong, garbage, forged, trespass, nobody])
    assert await log.flags() == [
        [],
        ["unsigned"],
        ["bad-signature"],
        ["bad-signature"],
        ["bad-signature"],
        ["wrong-owner"],
        ["bad-signature", "wrong-owner"],
    ]
    kept = await log.fetch("SELECT headers FROM event_bytes WHERE idx = 3")
    assert json.loads(kept[0].headers) == [["signature", "\u00ff\u0000?"]]


POISON: dict[str, tuple[bytes | None, list[tuple[str, bytes | None]]]] = {
    "no value": (None, []),
    "empty": (b"", []),
    "not JSON": (b"{", []),
    "not UTF-8": (b"\xff\xfe", []),
    "null header": (b"{}", [("type", None), ("signature", None)]),
    "header not UTF-8": (b"{}", [("type", b"\xff"), ("signature", b"\xc3\x28")]),
    "header like an escape": (b"{}", [("type", rb"\u0000")]),
    "NUL": (b"NUL in a name", []),
    "long subject": (b"long subject", []),
    "sequence of many digits": (b"long sequence", []),
    "sequence in words": (b"wordy sequence", []),
    "time before history": (b"old time", []),
    "deep": (b"[" * 100_000, []),
}


def poison(name: str, maker: Maker) -> Arrival:
    value, headers = POISON[name]
    event = json.loads(maker.event("case", 1).value or b"")
    changes: dict[str, Any] = {
        "NUL": {"subject": "a\u0000b"},
        "long subject": {"subject": "x" * 5000},
        "sequence of many digits": {"sequence": "9" * 400},
        "sequence in words": {"sequence": "\u0661"},
        "time before history": {"time": "0001-01-01T00:00:00+14:00"},
    }
    if name in changes:
        value = json.dumps(event | changes[name]).encode()
    return maker.raw(value, headers)


async def test_a_lost_answer_to_a_commit_makes_no_second_entry(log: Log) -> None:
    url = log.urls["DATABASE_URL"]
    host, port = url.rpartition("@")[2].split("/")[0].split(":")
    records = [log.maker.event("case", n) for n in (1, 2, 3)]
    async with Cut(host, int(port)) as cut:
        through = make_engine(url.replace(f":{port}/", f":{cut.port}/"), size=2, name="cut")
        direct, log.flow = log.flow, through
        ledger = await log.begin()
        assert records[0].value is not None
        cut.swallow_commits(1, records[0].value)
        with pytest.raises(asyncpg.PostgresConnectionError):
            await ledger.append("k", records)
        assert (await ledger.append("k", records)).entries == []
        with pytest.raises(Fenced):
            await ledger.append("k", [log.maker.event("case", 4)])
        assert (await (await log.begin()).append("k", records)).entries == []
        await through.dispose()
        log.flow = direct
    assert await log.flags() == [[], [], []]


async def test_what_cannot_be_read_is_an_entry_and_harms_no_neighbour(log: Log) -> None:
    ledger = await log.begin()
    for start, name in zip(range(0, 3 * len(POISON), 3), POISON, strict=True):
        bad = poison(name, log.maker)
        neighbours = log.maker.event(f"a {name}", 1), log.maker.event(f"b {name}", 1)
        await ledger.append("k", [neighbours[0], bad, neighbours[1]])
        assert (await log.flags())[start:] == [[], ["unreadable"], []], name
        row = (await log.fetch("SELECT * FROM event_bytes WHERE idx = $1", start + 1))[0]
        assert row.value == bad.value
        kept = [[n, None if v is None else v.decode("latin-1")] for n, v in bad.headers]
        assert json.loads(row.headers) == kept
        entry = (await log.fetch("SELECT * FROM entries WHERE idx = $1", start + 1))[0]
        assert entry.commitment == commitment_of(row.salt, bad.value)
        assert (await ledger.append("k", [bad])).entries == []


async def test_a_null_header_beside_a_good_event_only_takes_its_proof(log: Log) -> None:
    ledger = await log.begin()
    good = log.maker.event("case", 1)
    await ledger.append("k", [log.maker.raw(good.value, [("signature", None), ("needs", None)])])
    assert await log.flags() == [["unsigned"]]
    assert (await log.fetch("SELECT subject FROM entries"))[0].subject == "case"


async def test_what_the_database_alone_refuses_becomes_an_entry_of_bytes_only(
    log: Log, ground: Ground
) -> None:
    owner = await asyncpg.connect(log.urls["DATABASE_OWNER_URL"])
    await owner.execute("ALTER TABLE entries ADD CONSTRAINT no CHECK (subject <> 'refused')")
    await owner.close()
    ledger = await log.begin()
    names = ("a", "refused", "b")
    await ledger.append("k", [log.maker.event(name, 1) for name in names])
    assert await log.flags() == [[], ["refused"], []]
    assert (await log.recomputed()).root == (await log.fetch("SELECT root FROM log_head"))[0].root


async def test_gaps_and_inversions_are_found_and_a_filled_gap_is_closed(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("case", 1), make.event("case", 5)])
    assert await log.flags() == [[], ["gap"]]
    await ledger.append("k", [make.event("case", 3), make.event("case", 6)])
    gap = (await log.fetch("SELECT * FROM gaps"))[0]
    assert (gap.stream, gap.subject, gap.first, gap.last) == (CASES, "case", 2, 4)
    assert (gap.filled, gap.closed_at) == (1, None)
    await ledger.append("k", [make.event("case", 4), make.event("case", 2)])
    gap = (await log.fetch("SELECT * FROM gaps"))[0]
    assert gap.filled == 3
    assert gap.closed_at is not None
    late = [["inversion"], [], ["inversion"], ["inversion"]]
    assert (await log.flags())[2:] == late
    shown = await log.reading.overview(AUDITOR)
    assert shown["gaps"]["open"] == 0
    assert shown["flags"]["inversion"] == 3


async def test_a_gap_within_one_batch_is_seen_too(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("x", n) for n in (2, 1, 3)])
    assert await log.flags() == [["gap"], ["inversion"], []]
    assert (await log.fetch("SELECT closed_at FROM gaps"))[0].closed_at is not None


async def test_a_sequence_that_another_event_has_is_flagged(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("x", 1), make.event("x", 2), make.event("x", 2)])
    await ledger.append("k", [make.event("x", 1)])
    assert await log.flags() == [[], [], ["repeated-sequence"], ["repeated-sequence"]]


async def test_what_is_not_proven_moves_no_sequence(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("x", 900, signer="referral"), make.event("x", 1)])
    await ledger.append("k", [make.event("x", 2)])
    assert await log.flags() == [["bad-signature"], [], []]


async def test_an_event_with_a_known_id_and_other_bytes_is_kept_as_evidence(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    event_id = new_event_id()
    first = make.event("x", 1, event_id=event_id)
    other = make.event("x", 1, event_id=event_id, reason="other")
    third = make.event("x", 1, event_id=event_id, reason="third")
    await ledger.append("k", [first, other])
    await ledger.append("k", [third, other, first])
    assert await log.flags() == [[], ["other-bytes"], ["other-bytes"]]
    rows = await log.fetch("SELECT event_id FROM entries ORDER BY idx")
    assert [row.event_id for row in rows] == [event_id, None, None]


# --- who may do what ----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["flow", "web"])
async def test_no_role_of_the_service_can_change_the_log(log: Log, role: str) -> None:
    ledger = await log.begin()
    await ledger.append("k", [log.maker.event("x", 1), log.maker.event("x", 2)])
    engine = {"flow": log.flow, "web": log.web}[role]
    verbs = ("UPDATE {t} SET idx = idx", "DELETE FROM {t}", "TRUNCATE {t}", "DROP TABLE {t}")
    for table in ("entries", "nodes", "event_bytes"):
        for verb in verbs:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with engine.begin() as conn:
                    await conn.execute(text(verb.format(t=table)))


async def test_the_web_role_reads_events_for_staff_only_and_writes_nothing(log: Log) -> None:
    ledger = await log.begin()
    await ledger.append("k", [log.maker.event("x", 1)])
    async with log.web.begin() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM entries")) == 0
        assert await conn.scalar(text("SELECT count(*) FROM event_bytes")) == 0
        assert await conn.scalar(text("SELECT count(*) FROM leaves")) == 1
    for statement in (
        "INSERT INTO nodes VALUES (1, 9, sha256(''))",
        "UPDATE log_head SET size = 0",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with log.web.begin() as conn:
                await conn.execute(text(statement))


# --- one writer, and the checkpoint outside -----------------------------------------------------


async def test_a_new_epoch_fences_the_old_writer(log: Log) -> None:
    old = await log.begin()
    await old.append("k", [log.maker.event("x", 1)])
    new = await log.begin()
    with pytest.raises(Fenced):
        await old.append("k", [log.maker.event("x", 2)])
    with pytest.raises(Fenced):
        await old.sign()
    await new.append("k", [log.maker.event("x", 2)])
    assert await log.flags() == [[], []]


async def test_two_writers_at_once_make_one_history(log: Log) -> None:
    async def work(records: list[Arrival]) -> int:
        done = 0
        while done < len(records):
            ledger = await log.begin()
            with contextlib.suppress(Fenced):
                while done < len(records):
                    await ledger.append("k", records[done : done + 7])
                    done += 7
        return done

    records = [log.maker.event(f"s{n % 9}", n // 9 + 1) for n in range(180)]
    await asyncio.gather(work(records), work(records))
    rows = await log.fetch("SELECT idx FROM entries ORDER BY idx")
    assert [row.idx for row in rows] == list(range(180))
    assert (await log.recomputed()).root == (await log.fetch("SELECT root FROM log_head"))[0].root


async def test_a_checkpoint_is_signed_once_for_each_size_and_kept_in_both_places(log: Log) -> None:
    ledger = await log.begin()
    assert (await ledger.sign()) is not None
    assert (await ledger.sign()) is None
    await ledger.append("k", [log.maker.event("x", 1)])
    told = await ledger.sign()
    assert told is not None
    note = await log.proofs.checkpoint()
    assert (log.state / NAME).read_text("utf-8") == note
    found = transparency.open_checkpoint(note, str(NoteSigner(ORIGIN, log.seed).vkey))
    assert (found.origin, found.size) == (ORIGIN, 1)
    assert found.root == (await log.recomputed()).root
    assert await (await log.begin()).sign() is None


async def _roll_back(log: Log, size: int) -> None:
    """Put the database back to an older state, as a restored backup would."""
    conn = await asyncpg.connect(log.admin)
    await conn.execute("SET search_path = audit")
    await conn.execute("DELETE FROM entries WHERE idx >= $1", size)
    await conn.execute("DELETE FROM event_bytes WHERE idx >= $1", size)
    await conn.execute("DELETE FROM nodes WHERE (idx + 1) << level > $1", size)
    rows = await conn.fetch("SELECT commitment FROM entries ORDER BY idx")
    tree, _ = merkle.extend(merkle.Range(), [merkle.leaf_hash(r["commitment"]) for r in rows])
    await conn.execute("UPDATE log_head SET size = $1, root = $2", size, tree.root)
    await conn.close()


async def test_each_day_has_one_checkpoint_that_never_changes(log: Log) -> None:
    daily, at = Daily(log.flow), datetime(2026, 7, 1, 19, tzinfo=UTC)
    ledger = await log.begin()
    assert not await daily.publish(at)  # nothing is signed yet
    for sequence, publishes in ((1, True), (2, False)):
        await ledger.append("k", [log.maker.event("case", sequence)])
        await ledger.sign()
        assert await daily.publish(at) is publishes
    await daily.publish(at + timedelta(days=1))
    shown = Daily(log.web)
    days = await shown.days()
    assert [str(day) for day in days] == ["2026-07-03", "2026-07-02"]  # of Dhaka
    key = NoteSigner(ORIGIN, log.seed).vkey
    sizes = [open_checkpoint((await shown.note(day)).encode(), key).size for day in days]
    assert sizes == [2, 1]
    with pytest.raises(NotFound):
        await shown.note(at.date())


async def test_a_database_behind_the_outside_checkpoint_refuses_to_sign(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("x", n) for n in range(1, 6)])
    await ledger.sign()
    assert await log.reading.trouble() is None
    kept = (log.state / NAME).read_bytes()
    await _roll_back(log, 3)
    assert await log.reading.trouble() == (
        "the database is behind the checkpoint kept outside of it"
    )
    with pytest.raises(LogBehind, match="behind"):
        await log.begin()
    with pytest.raises(LogBehind, match="lost entries"):
        await ledger.sign()
    with pytest.raises(Fenced):
        await ledger.append("k", [make.event("x", 9)])
    assert (log.state / NAME).read_bytes() == kept
    assert (await log.fetch("SELECT size FROM log_head"))[0].size == 3


async def test_a_database_that_went_another_way_refuses_too(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("x", n) for n in range(1, 6)])
    await ledger.sign()
    kept = (log.state / NAME).read_bytes()
    (log.state / NAME).unlink()
    await _roll_back(log, 3)
    other = await log.begin()
    await other.append("k", [make.event("y", n) for n in range(1, 9)])
    (log.state / NAME).write_bytes(kept)
    with pytest.raises(LogBehind, match="contradicts"):
        await other.sign()
    with pytest.raises(LogBehind, match="contradicts"):
        await log.begin()


async def test_an_outside_file_that_nobody_signed_is_not_believed(log: Log) -> None:
    await (await log.begin()).sign()
    (log.state / NAME).write_text("garbage\n")
    with pytest.raises(LogBehind, match="cannot be believed"):
        await log.begin()
    assert await log.reading.trouble() is not None


async def test_another_key_or_name_beside_a_begun_log_refuses_to_start(log: Log) -> None:
    await log.make_ledger().check_key()
    await log.make_ledger().check_key()
    log.seed = secrets.token_bytes(32)
    with pytest.raises(SettingsError, match="another AUDIT_ORIGIN"):
        await log.make_ledger().check_key()


# --- proofs and what is read --------------------------------------------------------------------


async def test_every_proof_and_tile_of_a_log_holds(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    total = 0
    for size in (1, 2, 255, 41):
        await ledger.append("k", [make.event(str(uuid4()), 1) for _ in range(size)])
        total += size
        await ledger.sign()
    for index in (*range(0, total, 13), total - 1):
        for at in (None, index + 1):
            proof = await log.proofs.inclusion(index, at)
            assert set(proof) == {"index", "size", "leaf_hash", "hashes", "root", "checkpoint"}
            path = [bytes.fromhex(step) for step in proof["hashes"]]
            leaf = bytes.fromhex(proof["leaf_hash"])
            root = transparency.root_from(index, proof["size"], leaf, path)
            assert root.hex() == proof["root"]
            assert root == (await _tree_at(log, proof["size"])).root
    for old, new in ((0, total), (3, 3), (3, 258), (256, total), (258, total)):
        proof = await log.proofs.consistency(old, new)
        roots = [bytes.fromhex(proof[name]) for name in ("from_root", "root")]
        steps = [bytes.fromhex(step) for step in proof["hashes"]]
        merkle.check_consistency(old, new, roots[0], roots[1], steps)
    for missing in (total, 10**12):
        with pytest.raises(NotFound):
            await log.proofs.inclusion(missing, None)
    with pytest.raises(NotFound):
        await log.proofs.consistency(0, total + 1)
    for tile in _tiles(total):
        raw = await log.proofs.tile(tile)
        assert len(raw) == tile.width * (34 if tile.level is None else 32)


async def test_hashes_that_are_kept_are_those_of_the_tree(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("TILES", 3), ("ALONE", 5), ("ONCE", 4)):
        monkeypatch.setattr(known, name, most)
    size, dice = 66_000, random.Random(5)
    async with our_log(ground.server, tmp_path) as log:
        await log.begin()
        await log.load(size)
        async with log.web.connect() as conn:
            entries = await nodes.list_commitments(conn, 0, size)
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        sizes = (1, 255, 256, 257, 512, 65_535, 65_536, 65_537, size)
        roots = {at: merkle.extend(merkle.Range(), leaves[:at])[0].root for at in sizes}
        for _ in range(60):
            at = dice.choice(sizes)
            index = min(at - 1, dice.choice((0, 255, 256, 600, 40_000, 65_535, 65_999)))
            proof = await log.proofs.inclusion(index, at)
            path = [bytes.fromhex(step) for step in proof["hashes"]]
            assert transparency.root_from(index, at, leaves[index], path) == roots[at]
            old, new = sorted(dice.sample(sizes, 2))
            told = await log.proofs.consistency(old, new)
            assert (told["from_root"], told["root"]) == (roots[old].hex(), roots[new].hex())
            steps = [bytes.fromhex(step) for step in told["hashes"]]
            merkle.check_consistency(old, new, roots[old], roots[new], steps)
        kept = log.proofs._known
        assert [len(each._held) for each in (kept._tiles, kept._alone, kept._once)] == [3, 5, 4]


async def test_a_checkpoint_that_was_read_just_now_serves_until_more_is_asked_for(log: Log) -> None:
    ledger, make, at = await log.begin(), log.maker, 0.0
    proofs = Proofs(log.web, lambda: at)
    await ledger.append("k", [make.event(str(uuid4()), 1) for _ in range(3)])
    await ledger.sign()
    assert (await proofs.inclusion(0, None))["size"] == 3
    await ledger.append("k", [make.event(str(uuid4()), 1) for _ in range(2)])
    await ledger.sign()
    assert (await proofs.inclusion(0, None))["size"] == 3
    assert (await proofs.inclusion(4, None))["size"] == 5
    await ledger.append("k", [make.event(str(uuid4()), 1)])
    await ledger.sign()
    at = 1.0
    assert (await proofs.inclusion(0, None))["size"] == 6


def _tiles(size: int) -> list[tiles.Tile]:
    return [*tiles.hash_tiles_of(size), *tiles.bundles_of(size)]


async def _tree_at(log: Log, size: int) -> merkle.Range:
    async with log.flow.connect() as conn:
        return await nodes.load_tree(conn, size)


async def test_reading_a_history_is_an_event_and_does_not_loop(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    case = str(uuid4())
    await ledger.append("k", [make.event(case, n) for n in range(1, 6)])
    lines, following = await log.reading.history(AUDITOR, case, Page(), 2)
    assert [line["index"] for line in lines] == [0, 1]
    assert lines[0]["event"]["data"]["channel"] == "web"
    told = await log.fetch("SELECT topic, type, value, key FROM outbox ORDER BY id")
    assert [(row.topic, row.type, row.key.decode()) for row in told] == [
        ("accesses", "history-read", case)
    ]
    assert json.loads(told[0].value)["data"] == {
        "reader": "a1",
        "role": "auditor",
        "what": "history 0-1",
    }
    seen = [0, 1]
    while following:  # each page adds an event; recorded at once, it must not make the list longer
        signed = Signer(b"a" * 32)
        for row in (await log.fetch("SELECT value FROM outbox ORDER BY id"))[-1:]:
            headers = [("signature", signed.header(row.value))]
            await ledger.append("k", [make.raw(row.value, headers, stream="accesses")])
        lines, following = await log.reading.history(AUDITOR, case, Page(*following), 2)
        seen += [line["index"] for line in lines]
    assert seen == [0, 1, 2, 3, 4]
    count = len(await log.fetch("SELECT 1 FROM outbox"))
    assert await log.reading.history(AUDITOR, str(uuid4()), Page(), 2) == ([], None)
    assert len(await log.fetch("SELECT 1 FROM outbox")) == count


async def test_only_an_auditor_reads_data_and_bytes(log: Log) -> None:
    ledger = await log.begin()
    record = log.maker.event("case", 1)
    await ledger.append("k", [record, log.maker.raw(b"\xff", [("h", None)])])
    full = await log.reading.entry(AUDITOR, 0)
    assert base64.b64decode(full["value"]) == record.value
    commitment = hashlib.sha256(bytes.fromhex(full["salt"]) + (record.value or b"")).digest()
    assert full["leaf_hash"] == merkle.leaf_hash(commitment).hex()
    unreadable = await log.reading.entry(AUDITOR, 1)
    assert (unreadable["type"], unreadable["event"]) == ("unreadable", None)
    assert base64.b64decode(unreadable["value"]) == b"\xff"
    part = await log.reading.entry(COORDINATOR, 0)
    assert "value" not in part
    assert "salt" not in part
    assert "data" not in part["event"]
    assert part["event"]["actor"] == part["actor_role"] == "coordinator"
    with pytest.raises(NotFound):
        await log.reading.entry(AUDITOR, 2)
    lines, following = await log.reading.entries(COORDINATOR, Page(), 1)
    assert len(lines) == 1
    assert following is not None
    assert len((await log.reading.entries(COORDINATOR, Page(*following), 5))[0]) == 1


async def test_erasing_an_events_bytes_leaves_every_proof_valid(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("case", n) for n in range(1, 4)])
    await ledger.sign()
    before = [await log.proofs.inclusion(n, None) for n in range(3)]
    conn = await asyncpg.connect(log.admin)
    await conn.execute("DELETE FROM audit.event_bytes WHERE idx = 1")
    await conn.close()
    assert [await log.proofs.inclusion(n, None) for n in range(3)] == before
    lines, _ = await log.reading.history(AUDITOR, "case", Page(), 9)
    assert [line["erased"] for line in lines] == [False, True, False]
    assert lines[1]["event"] is None
    assert (await ledger.append("k", [make.event("case", 4)])).entries


async def erased(log: Log, subject: str) -> list[bool]:
    lines, _ = await log.reading.history(AUDITOR, subject, Page(), 99)
    return [bool(line["erased"]) for line in lines]


async def test_an_erasure_takes_the_bytes_of_its_case_and_of_what_comes_late(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("case", 1), make.event("other", 1)])
    await ledger.sign()
    before = [await log.proofs.inclusion(n, 2) for n in range(2)]
    assert await ledger.erase() == 0
    await ledger.append("k", [make.event("case", 2, kind="case-erased")])
    assert await ledger.erase() == 1
    assert await ledger.erase() == 0
    assert await erased(log, "case") == [True, False]
    assert await erased(log, "other") == [False]
    late = make.event("case", 1, source="referral", stream="referrals", kind="referral-withdrawn")
    await ledger.append("k", [late, make.event("other", 2)])
    assert await ledger.erase() == 1
    assert await erased(log, "case") == [True, False, True]
    assert await erased(log, "other") == [False, False]
    assert [await log.proofs.inclusion(n, 2) for n in range(2)] == before
    assert (await log.recomputed()).root == (await log.fetch("SELECT root FROM log_head"))[0].root
    again = await ledger.append("k", [late])
    assert again.entries == []


async def test_an_erasure_that_intake_did_not_sign_erases_nothing(log: Log) -> None:
    ledger, make = await log.begin(), log.maker
    await ledger.append("k", [make.event("case", 1)])
    forged = make.event("case", 2, kind="case-erased", signer="referral")
    foreign = make.event("case", 3, kind="case-erased", source="referral")
    unsigned = make.event("case", 4, kind="case-erased")
    bare = make.raw(unsigned.value, (), key=b"case")
    elsewhere = make.event("case", 1, kind="case-erased", source="referral", stream="referrals")
    await ledger.append("k", [forged, foreign, bare, elsewhere])
    assert await ledger.erase() == 0
    assert not any(await erased(log, "case"))


# --- the service as processes, on real Kafka ----------------------------------------------------


@dataclass(slots=True)
class World:
    """A database and a Kafka for processes of the service; `maker` signs as the services do."""

    ground: Ground
    database: Database
    kafka: str
    state: Path
    maker: Maker
    ports: Ports = field(default_factory=Ports)

    def environment(self, replica: str, **more: str) -> dict[str, str]:
        return {
            **self.database.urls("audit"),
            "KAFKA_BOOTSTRAP": self.kafka,
            "KEYS_DIR": str(self.ground.keys / "audit"),
            "AUDIT_STATE_DIR": str(self.state),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.ports.reserve()),
            "PASHE_PUBLIC_URL": "http://127.0.0.1:8000",
            "REPLICA": replica,
            **more,
        }

    def bearer(self, role: Role) -> dict[str, str]:
        seed = (self.ground.keys / "pashe" / "tokens.key").read_text().strip()
        return {"authorization": f"Bearer {make_token(bytes.fromhex(seed), role, subject='t')}"}

    @contextlib.asynccontextmanager
    async def running(self, replica: str = "1", **more: str) -> AsyncIterator[Process]:
        """Run one process of the service until the end of the block."""
        env = self.environment(replica, **more)
        child = Child("services.audit.main", env, self.ground.keys / f"audit-{replica}.log")
        base = f"http://127.0.0.1:{env['HTTP_PORT']}"
        async with httpx.AsyncClient(base_url=base, timeout=5) as client:
            with child:
                process = Process(self, child, client, base)
                await eventually(process.live, 60, "the process")
                yield process

    async def publish(self, *records: Arrival) -> None:
        """Write records to Kafka by their keys, in order."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all")
        await producer.start()
        try:
            for record in records:
                where = partition_of(record.key) if record.key else 0
                await producer.send_and_wait(
                    record.stream,
                    record.value,
                    key=record.key,
                    partition=where,
                    headers=list(record.headers),
                )
        finally:
            await producer.stop()

    async def fetch(self, sql: str, *values: object) -> list[Any]:
        conn = await asyncpg.connect(self.database.admin, server_settings={"search_path": "audit"})
        try:
            return list(await conn.fetch(sql, *values))
        finally:
            await conn.close()

    async def sequences(self, subject: str) -> list[int]:
        """Return the sequences of the entries about a subject, in the order of the log."""
        rows = await self.fetch(
            "SELECT sequence FROM entries WHERE subject = $1 AND stream <> 'accesses' ORDER BY idx",
            subject,
        )
        return [row["sequence"] for row in rows]

    async def arrives(self, subject: str, wanted: list[int], within: float = 30) -> None:
        async def look() -> bool:
            found = await self.sequences(subject)
            assert sorted(found) == wanted, found
            return True

        await eventually(look, within, f"{len(wanted)} entries")

    async def check_tree(self) -> int:
        """Recompute the whole log from its commitments; return its size."""
        rows = await self.fetch("SELECT idx, commitment FROM entries ORDER BY idx")
        head = (await self.fetch("SELECT size, root FROM log_head"))[0]
        assert [row["idx"] for row in rows] == list(range(head["size"]))
        leaves = [merkle.leaf_hash(row["commitment"]) for row in rows]
        assert merkle.extend(merkle.Range(), leaves)[0].root == head["root"]
        events = await self.fetch("SELECT count(*) n, count(DISTINCT event_id) d FROM entries")
        unread = await self.fetch("SELECT count(*) n FROM entries WHERE event_id IS NULL")
        assert events[0]["n"] == events[0]["d"] + unread[0]["n"]
        return int(head["size"])


@dataclass(slots=True)
class Process:
    """One running process of the service."""

    world: World
    child: Child
    client: httpx.AsyncClient
    base: str

    async def live(self) -> bool:
        assert self.child.running(), self.child.said()
        try:
            return (await self.client.get("/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def get(self, path: str, role: Role | None = None, **query: Any) -> httpx.Response:
        headers = self.world.bearer(role) if role else {}
        return await self.client.get(path, headers=headers, params=query)

    async def metric(self, name: str) -> float:
        for line in (await self.client.get("/metrics")).text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split(" ")[1])
        return 0.0

    async def ready_is(self, status: int) -> bool:
        return (await self.client.get("/ready")).status_code == status

    async def writes(self) -> bool:
        return await self.metric("pashe_audit_sequencer") == 1

    async def signed(self, index: int) -> str:
        """Wait for a checkpoint over an entry and return it."""

        async def look() -> str | None:
            answer = await self.get("/audit/log/checkpoint")
            if answer.status_code != 200:
                return None
            note = answer.text
            key = parse_vkey((await self.get("/audit/log/key")).text)
            return note if open_checkpoint(note.encode(), key).size > index else None

        return str(await eventually(look, 10, "a checkpoint"))


@pytest.fixture(scope="module")
def _world(ground: Ground) -> World:
    database = asyncio.run(ground.make_database())
    keys = {
        name: Signer(bytes.fromhex((ground.keys / name / "signing.key").read_text()))
        for name in ("intake", "referral", "notification", "audit")
    }
    return World(ground, database, ground.kafka, ground.keys / "state", Maker(keys))


@pytest.fixture
async def world(_world: World) -> World:
    return _world


async def test_a_published_event_is_in_the_history_and_provable_by_anyone(world: World) -> None:
    case, trace = str(uuid4()), f"00-{'ab' * 16}-{'cd' * 8}-01"
    async with world.running() as one:
        await world.publish(
            world.maker.event(case, 1, stream="submissions"),
            world.maker.event(case, 1, traceparent=trace),
            world.maker.event(case, 1, source="referral", stream="referrals"),
            world.maker.event(case, 1, source="notification", stream="notices"),
            world.maker.event("offer-1", 1, source="referral", stream="directory"),
        )
        await world.arrives(case, [1, 1, 1, 1])
        path = f"/audit/v1/cases/{case}/history"
        lines = (await one.get(path, Role.AUDITOR)).json()["items"]
        assert {line["stream"] for line in lines} == {
            "submissions",
            "cases",
            "referrals",
            "notices",
        }
        assert all(line["flags"] == [] for line in lines)
        assert trace in {line["traceparent"] for line in lines}
        vkey = (await one.get("/audit/log/key")).text
        note = await one.signed(max(line["index"] for line in lines))
        checkpoint = transparency.open_checkpoint(note, vkey)
        for line in lines:
            index = line["index"]
            query = {"index": index, "size": checkpoint.size}
            proof = (await one.get("/audit/v1/proofs/inclusion", **query)).json()
            steps = [bytes.fromhex(step) for step in proof["hashes"]]
            leaf = bytes.fromhex(line["leaf_hash"])
            root = transparency.root_from(index, checkpoint.size, leaf, steps)
            assert root == checkpoint.root

        async def read_back() -> bool:  # the read is an event of the case, and recorded once
            found = (await one.get(path, Role.SUPERVISOR)).json()["items"]
            return any(line["type"] == "history-read" for line in found)

        await eventually(read_back, 20, "the read in the history")
        for role, status in ((None, 401), (Role.PROVIDER_WORKER, 403), (Role.PARTNER, 403)):
            assert (await one.get(path, role)).status_code == status
        for bad in ("/audit/v1/entries/x", "/audit/v1/proofs/inclusion?index=-1"):
            answer = await one.get(bad, Role.AUDITOR)
            assert answer.status_code == 422
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await one.get(path, Role.AUDITOR, after="!!")).status_code == 422


async def test_reading_settles_instead_of_feeding_itself(world: World) -> None:
    case = str(uuid4())
    async with world.running() as one:
        await world.publish(world.maker.event(case, 1))
        await world.arrives(case, [1])
        await one.get(f"/audit/v1/cases/{case}/history", Role.AUDITOR)
        reads = "SELECT count(*) AS n FROM entries WHERE subject = $1 AND stream = 'accesses'"

        async def told() -> bool:
            return bool((await world.fetch(reads, case))[0]["n"] == 1)

        await eventually(told, 20, "the read in the log")
        size = (await world.fetch("SELECT size FROM log_head"))[0]["size"]
        note = await one.signed(size - 1)
        assert open_checkpoint(note.encode(), parse_vkey((await one.get("/audit/log/key")).text))
        await one.get("/audit/v1/log", Role.OPERATIONS)
        assert (await world.fetch("SELECT size FROM log_head"))[0]["size"] == size


async def test_the_published_log_is_cacheable_and_holds_commitments_only(world: World) -> None:
    async with world.running() as one:
        await world.publish(*(world.maker.event("tiles", n) for n in range(1, 4)))
        await world.arrives("tiles", [1, 2, 3])
        size = (await world.fetch("SELECT size FROM log_head"))[0]["size"]
        await one.signed(size - 1)
        for tile in (tiles.hash_tiles_of(size)[0], tiles.bundles_of(size)[0]):
            answer = await one.get(f"/audit/log/tile/{tile.path}")
            assert answer.headers["content-type"] == "application/octet-stream"
            assert "immutable" in answer.headers["cache-control"]
            if tile.level is None:
                rows = await world.fetch("SELECT commitment FROM entries ORDER BY idx")
                wanted = tiles.encode_bundle([row["commitment"] for row in rows[: tile.width]])
                assert answer.content == wanted
        assert (await one.get("/audit/log/checkpoint")).headers["cache-control"] == "no-cache"
        for path in ("0/999", "0/x9", "entries/000.p/0", "7/000", f"0/000.p/{min(size + 1, 255)}"):
            answer = await one.get(f"/audit/log/tile/{path}")
            assert answer.status_code == (200 if size > 255 and path.startswith("0/000") else 404)


async def test_poison_on_a_stream_is_recorded_once_and_the_rest_flows(world: World) -> None:
    case = str(uuid4())
    count = "SELECT count(*) AS n FROM entries WHERE flags & 1 <> 0"
    before = (await world.fetch(count))[0]["n"]
    key = case.encode()
    async with world.running() as one:
        await world.publish(
            world.maker.event(case, 1),
            world.maker.raw(None, [], key=key),
            world.maker.raw(b"{", [("type", b"\xff\xfe")], key=key),
            world.maker.raw(b"{}", [("type", None), ("signature", None)], key=None),
            world.maker.event(case, 2),
        )
        await world.arrives(case, [1, 2])
        assert (await world.fetch(count))[0]["n"] == before + 3
        assert 'pashe_audit_flags_total{flag="unreadable"}' in (await one.get("/metrics")).text
        assert (await one.get("/audit/v1/log", Role.OPERATIONS)).json()["flags"]["unreadable"] >= 3
    await world.check_tree()


@pytest.mark.slow
async def test_a_crash_between_both_commits_makes_no_second_entry(world: World) -> None:
    case = str(uuid4())
    async with world.running() as one:
        await world.publish(*(world.maker.event(case, n) for n in range(1, 21)))
        await world.arrives(case, list(range(1, 21)))
        size = await world.check_tree()
        one.child.send(signal.SIGKILL)
    group = AIOKafkaConsumer(bootstrap_servers=world.kafka, group_id="audit")
    await group.start()
    places = [TopicPartition(topic, p) for topic in STREAMS for p in range(PARTITIONS)]
    group.assign(places)

    async def rewound() -> bool:  # the dead member is remembered until its session ends
        with contextlib.suppress(Exception):
            await group.commit(dict.fromkeys(places, 0))
            return True
        return False

    await eventually(rewound, 30, "the rewound group")
    await group.stop()
    async with world.running():
        await world.publish(world.maker.event(case, 21))
        await world.arrives(case, list(range(1, 22)))
        assert await world.check_tree() == size + 1


@pytest.mark.slow
async def test_a_standby_takes_over_from_a_killed_holder(world: World) -> None:
    case = str(uuid4())
    async with world.running("1") as one, world.running("2") as two:
        await eventually(one.writes, 20, "the holder")
        assert not await two.writes()
        await world.publish(*(world.maker.event(case, n) for n in range(1, 6)))
        await world.arrives(case, list(range(1, 6)))
        one.child.send(signal.SIGKILL)
        await world.publish(*(world.maker.event(case, n) for n in range(6, 11)))
        await world.arrives(case, list(range(1, 11)))
        assert await two.writes()
    await world.check_tree()


@pytest.mark.slow
async def test_a_frozen_holder_is_replaced_and_harms_nothing_when_it_wakes(world: World) -> None:
    case = str(uuid4())
    async with world.running("1") as one, world.running("2") as two:
        await eventually(one.writes, 20, "the holder")
        await world.publish(*(world.maker.event(case, n) for n in range(1, 4)))
        await world.arrives(case, [1, 2, 3])
        one.child.send(signal.SIGSTOP)
        await world.publish(*(world.maker.event(case, n) for n in range(4, 7)))
        await world.arrives(case, list(range(1, 7)))
        assert await two.writes()
        one.child.send(signal.SIGCONT)
        await world.publish(*(world.maker.event(case, n) for n in range(7, 10)))
        await world.arrives(case, list(range(1, 10)), 20)

        async def stands_by() -> bool:
            return not await one.writes() and await two.writes()

        await eventually(stands_by, 20, "one holder")
        assert await world.sequences(case) == list(range(1, 10))
        two.child.send(signal.SIGTERM)
        assert await two.child.ended(20) in (0, -signal.SIGTERM)
        await world.publish(world.maker.event(case, 10))
        await world.arrives(case, list(range(1, 11)), 20)
    await world.check_tree()


@pytest.mark.slow
async def test_a_holder_that_froze_before_a_statement_does_not_keep_the_log(world: World) -> None:
    """PostgreSQL takes its session for busy, so that no bound on idle transactions ends it."""
    case = str(uuid4())
    async with world.running("1") as one, world.running("2"):
        await eventually(one.writes, 20, "the holder")
        frozen = await asyncpg.connect(world.database.urls("audit")["DATABASE_URL"])
        await frozen.execute("BEGIN; SELECT FROM log_head FOR UPDATE")
        await frozen.prepare("SELECT $1::integer")
        one.child.send(signal.SIGSTOP)
        await world.publish(world.maker.event(case, 1))
        await world.arrives(case, [1])
        one.child.send(signal.SIGCONT)
        assert frozen.is_closed()
    await world.check_tree()


async def test_while_the_database_is_gone_nothing_is_lost_hot_or_kept_from_ending(
    world: World,
) -> None:
    case = str(uuid4())
    host, port = world.database.admin.rpartition("@")[2].split("/")[0].split(":")
    urls = world.database.urls("audit")
    async with Cut(host, int(port)) as cut:
        through = {name: url.replace(f":{port}/", f":{cut.port}/") for name, url in urls.items()}
        async with world.running("1", **through) as one:
            await eventually(one.writes, 20, "the holder")
            await cut.refuse()
            await world.publish(*(world.maker.event(case, n) for n in range(1, 4)))
            before = psutil.Process(one.child.pid).cpu_times()
            await eventually(lambda: one.ready_is(503), 15, "not ready")
            begun = time.monotonic()
            await eventually(lambda: time.monotonic() - begun > 5, 8, "an outage of 5 s")
            after = psutil.Process(one.child.pid).cpu_times()
            assert after.user + after.system - before.user - before.system < 2.5
            await cut.open()
            await world.arrives(case, [1, 2, 3], 20)
            await cut.refuse()
            one.child.send(signal.SIGTERM)
            await one.child.ended(25)
    await world.check_tree()


async def test_a_process_that_starts_without_kafka_serves_and_signs(world: World) -> None:
    database = await world.ground.make_database()
    alone = World(world.ground, database, "127.0.0.1:9", world.state / "alone", world.maker)
    async with alone.running("3") as one:
        assert (await one.signed(-1)).splitlines()[1] == "0"


async def test_readiness_says_when_the_database_is_behind_its_checkpoint(world: World) -> None:
    database = await world.ground.make_database()
    own = World(world.ground, database, world.kafka, world.state / "behind", world.maker)
    async with own.running("4") as one:
        await one.signed(-1)
        seed = (world.ground.keys / "audit" / "log.key").read_text().strip()
        signer = NoteSigner(ORIGIN, bytes.fromhex(seed))
        ahead = signer.sign(Checkpoint(ORIGIN, 10**6, bytes(32)).text)
        kept = (own.state / NAME).read_bytes()
        (own.state / NAME).write_text(ahead, "utf-8")
        answer = await one.get("/ready")
        assert answer.status_code == 503
        assert "behind the checkpoint" in answer.json()["log"]
        (own.state / NAME).write_bytes(kept)
        await eventually(one.live, 10, "readiness again")


async def _verify(*words: str) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.audit.verify",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=Path(__file__).parents[2],
    )
    out, _ = await child.communicate()
    return child.returncode or 0, out.decode()


async def test_anyone_verifies_the_log_and_sees_when_it_was_changed(
    world: World, tmp_path: Path
) -> None:
    async with world.running() as one:
        await world.publish(*(world.maker.event("verify", n) for n in range(1, 401)))
        await world.arrives("verify", list(range(1, 401)))
        size = (await world.fetch("SELECT size FROM log_head"))[0]["size"]
        await one.signed(size - 1)
        words = ("--url", one.base, "--state", str(tmp_path / "v"))
        code, said = await _verify(*words)
        assert code == 0, said
        assert "is pinned" in said
        await world.publish(world.maker.event("verify", 401))
        await one.signed(size)
        code, said = await _verify(*words)
        assert code == 0, said
        assert "that were verified before" in said
        proof = tmp_path / "proof.json"
        proof.write_text((await one.get("/audit/v1/proofs/inclusion", index=5)).text)
        code, said = await _verify("--state", str(tmp_path / "v"), "--file", str(proof))
        assert code == 0, said
        proof.write_text(proof.read_text().replace('"index":5', '"index":6'))
        assert (await _verify("--state", str(tmp_path / "v"), "--file", str(proof)))[0] == 1
        assert (await _verify("--state", str(tmp_path / "n"), "--file", str(proof)))[0] == 2
        flipped = "UPDATE entries SET commitment = sha256(commitment) WHERE idx = 7 RETURNING 1"
        kept = (await world.fetch("SELECT commitment FROM entries WHERE idx = 7"))[0][0]
        await world.fetch(flipped)
        code, said = await _verify(*words)
        assert (code, "BROKEN" in said) == (1, True), said
        await world.fetch("UPDATE entries SET commitment = $1 WHERE idx = 7", kept)
        other = NoteSigner(ORIGIN, bytes(32)).vkey
        (tmp_path / "v" / "checkpoint").unlink()
        (tmp_path / "v" / "key").write_text(f"{other}\n")
        code, said = await _verify(*words)
        assert (code, "KEY OF THE LOG HAS CHANGED" in said) == (1, True), said
    code, said = await _verify("--url", one.base, "--state", str(tmp_path / "w"))
    assert (code, "Cannot tell" in said) == (2, True), said
