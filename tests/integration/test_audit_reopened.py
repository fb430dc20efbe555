"""A history that comes from an older backup goes on under a new name, and names the old one."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import asyncpg
import pytest

from services.audit.checkpoint import NoteInvalid, NoteSigner, open_checkpoint
from services.audit.domain import Signers
from services.audit.monitor import Monitor
from services.audit.outside import NAME, OutsideCheckpoint
from services.audit.proofs import Proofs
from services.audit.reopening import (
    find_origin,
    keep_origin,
    must_reopen,
    next_origin,
    reopen,
    reopen_if_behind,
)
from services.audit.service import Ledger, LogBehind
from services.audit.settings import AuditSettings
from services.audit.watching import LogSeen
from tests.integration.test_audit import AUDITOR, ORIGIN, SIGNERS, Log, ground, log
from tests.support.transparency import root_from

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ground", "log"]


def test_each_name_has_one_that_follows() -> None:
    assert next_origin("centre.example/pashe") == "centre.example/pashe/2"
    assert next_origin("centre.example/pashe/2") == "centre.example/pashe/3"
    assert next_origin("centre") == "centre/2"


async def put_back(log: Log, size: int) -> asyncpg.Connection:
    """Make the database as a backup at this size would have it."""
    conn = await asyncpg.connect(log.admin)
    await conn.execute("SET search_path = audit")
    for table in ("entries", "event_bytes"):
        await conn.execute(f"DELETE FROM {table} WHERE idx >= $1", size)
    await conn.execute("DELETE FROM nodes WHERE (idx + 1) << level > $1", size)
    rows = await conn.fetch("SELECT commitment FROM entries ORDER BY idx")
    assert len(rows) == size
    tree = await log.recomputed()
    await conn.execute("UPDATE log_head SET size = $1, root = $2", size, tree.root)
    return conn


async def test_a_restore_opens_a_new_origin_that_commits_to_the_old_checkpoint(
    log: Log, tmp_path: Path
) -> None:
    ledger = await log.begin()
    for start in (0, 300):
        await ledger.append("k", [log.maker.event(str(start + n), 1) for n in range(300)])
        await ledger.sign()
    await ledger.check_key()
    at = 0.0
    serving = Proofs(log.web, lambda: at)  # of a process that lives through it all
    for index in (0, 1, 256, 300):
        await serving.inclusion(index, None)
    last = (log.state / NAME).read_text("utf-8")
    conn = await put_back(log, 300)
    before = await log.fetch("SELECT commitment FROM entries ORDER BY idx")
    with pytest.raises(LogBehind):
        await log.begin()

    with pytest.raises(NoteInvalid, match=r"log\.key"):
        await reopen(conn, bytes(32), last)
    origin = await reopen_if_behind(conn, log.seed, log.state)
    assert origin == f"{ORIGIN}/2"
    await keep_origin(conn, log.state)
    assert find_origin(log.state) == origin
    assert not (log.state / NAME).exists()

    signer = NoteSigner(origin, log.seed)
    outside = OutsideCheckpoint(log.state, signer.vkey)
    keys = Signers({name: each.public for name, each in SIGNERS.items()})
    fresh = Ledger(log.flow, AuditSettings(signer, keys, log.state), outside)
    await fresh.check_key()
    assert await fresh.take_over() == 301
    await fresh.append("k", [log.maker.event("after", 1)])
    told = await fresh.sign()
    assert told is not None
    assert open_checkpoint((await log.proofs.checkpoint()).encode(), signer.vkey) == told

    rows = await log.fetch("SELECT commitment FROM entries ORDER BY idx")
    assert rows[0].commitment == sha256(bytes(32) + last.encode()).digest()
    assert rows[1:301] == before
    at = 1.0
    for index in (0, 1, 256, 300, 301):
        proof = await serving.inclusion(index, None)
        leaf, path = bytes.fromhex(proof["leaf_hash"]), [bytes.fromhex(h) for h in proof["hashes"]]
        assert root_from(index, 302, leaf, path) == told.root
    assert await Monitor(tmp_path / "m", signer.vkey).walk(LogSeen(log.flow)) == []
    line = await log.reading.entry(AUDITOR, 0)
    assert (line["type"], line["subject"]) == ("log-continued", "log")
    known = [log.maker.event("after", 2)]
    assert len((await fresh.append("k", known)).entries) == 1
    await conn.close()


async def test_a_log_that_lost_nothing_keeps_its_name(log: Log) -> None:
    ledger = await log.begin()
    conn = await asyncpg.connect(log.admin)
    assert await must_reopen(conn, log.state) is None
    await ledger.check_key()
    await ledger.append("k", [log.maker.event("a", 1)])
    await ledger.sign()
    await ledger.append("k", [log.maker.event("a", 2)])
    assert await must_reopen(conn, log.state) is None
    await keep_origin(conn, log.state)
    assert find_origin(log.state) is None
    note = (log.state / NAME).read_text("utf-8")
    (log.state / NAME).unlink()  # nobody knows what was published since the backup
    assert await must_reopen(conn, log.state) == note
    await conn.close()
