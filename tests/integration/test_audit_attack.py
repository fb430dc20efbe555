"""Proof files and the monitor on a real database, and what its administrator cannot hide."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest

from services.audit import merkle
from services.audit.check_proof import Broken, CannotTell, check, read_keys
from services.audit.checkpoint import Checkpoint, NoteSigner
from services.audit.domain import commitment_of
from services.audit.monitor import Kind, Monitor
from services.audit.watching import LogSeen
from services.audit.witness.asking import Asking, Refused
from shared.errors import NotFound
from tests.integration.test_audit import AUDITOR, ORIGIN, SIGNERS, Log, ground, log
from tests.integration.test_audit_witness import Serving, asking, grow, serving
from tests.support.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from services.audit.checkpoint import VerifierKey

__all__ = ["ground", "log"]

CASE = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def trusted(key: VerifierKey, witness: Serving | None = None) -> dict[str, dict[str, Any]]:
    text = f"log {key}\nservice intake {SIGNERS['intake'].public.hex()}\n"
    if witness is not None:
        text += f"witness w {witness.key}\nquorum w\n"
    return read_keys(text)


async def write_case(log: Log, n: int) -> None:
    ledger = await log.begin()
    records = [log.maker.event(CASE, i) for i in range(1, n + 1)]
    await ledger.append("k", [log.maker.event("other", 1), *records, log.maker.event("x", 1)])
    await ledger.sign()


async def test_a_proof_file_holds_offline_and_stays_valid_over_an_erasure(log: Log) -> None:
    key = NoteSigner(ORIGIN, log.seed).vkey
    await write_case(log, 4)
    before = json.loads(json.dumps(await log.reading.proof(AUDITOR, CASE)))
    told = "\n".join(check(before, trusted(key)))
    assert "4 entries, 0 of them erased" in told
    assert told.count("signed by /intake") == 4
    ledger = await log.begin()
    await ledger.append("k", [log.maker.event(CASE, 5, kind="case-erased")])
    await ledger.sign()
    await ledger.erase()
    after = await log.reading.proof(AUDITOR, CASE)
    told = "\n".join(check(after, trusted(key)))
    assert "5 entries, 4 of them erased" in told
    assert "case-erased" in told
    assert not any(e["salt"] or e["event"] for e in after["entries"][:4])
    with pytest.raises(NotFound):
        await log.reading.proof(AUDITOR, "nobody")
    reads = await log.fetch("SELECT value FROM outbox WHERE value LIKE '%proof 1-%'")
    assert len(reads) == 2


async def test_the_monitor_says_nothing_of_a_real_log_and_names_what_was_done(
    log: Log, tmp_path: Path
) -> None:
    monitor = Monitor(tmp_path / "monitor", NoteSigner(ORIGIN, log.seed).vkey)
    seen = LogSeen(log.flow)
    for n in (3, 250, 40):
        await grow(log, n)
        assert await monitor.walk(seen) == []
    owner = await asyncpg.connect(log.admin)
    await owner.execute("SET search_path = audit")
    gone = await owner.fetch("DELETE FROM event_bytes WHERE idx = 5 RETURNING *")
    assert gone
    assert await monitor.walk(seen) == []  # erased: nothing is wrong
    await owner.execute("UPDATE event_bytes SET value = value || ' '::bytea WHERE idx = 7")
    await owner.execute("UPDATE entries SET commitment = sha256(commitment) WHERE idx = 260")
    found = {(each.kind, each.where) for each in await monitor.walk(seen)}
    assert found == {(Kind.EVENT, "7"), (Kind.CHANGED, "260")}
    await owner.execute("DELETE FROM entries WHERE idx = 100")
    found = {(each.kind, each.where) for each in await monitor.walk(seen)}
    assert (Kind.MISSING, "100") in found
    await owner.close()


async def forge(log: Log, index: int, value: bytes) -> None:
    """With the owner's rights: change one event, fix every hash, and sign with the stolen key."""
    owner = await asyncpg.connect(log.admin)
    await owner.execute("SET search_path = audit")
    salt = await owner.fetchval("SELECT salt FROM event_bytes WHERE idx = $1", index)
    await owner.execute("UPDATE event_bytes SET value = $2 WHERE idx = $1", index, value)
    changed = commitment_of(salt, value)
    await owner.execute("UPDATE entries SET commitment = $2 WHERE idx = $1", index, changed)
    rows = await owner.fetch("SELECT commitment FROM entries ORDER BY idx")
    leaves = [merkle.leaf_hash(row["commitment"]) for row in rows]
    tree, made = merkle.extend(merkle.Range(), leaves)
    for row in made:
        for at, hashed in enumerate(row.hashes, row.first):
            await owner.execute(
                "UPDATE nodes SET hash = $3 WHERE level = $1 AND idx = $2", row.level, at, hashed
            )
    note = NoteSigner(ORIGIN, log.seed).sign(Checkpoint(ORIGIN, tree.size, tree.root).text)
    await owner.execute("UPDATE log_head SET root = $1, checkpoint = $2", tree.root, note)
    await owner.close()
    (log.state / "audit.checkpoint").write_text(note, "utf-8")  # the file outside, too


async def test_an_administrator_with_the_stolen_key_is_exposed(log: Log, tmp_path: Path) -> None:
    key = NoteSigner(ORIGIN, log.seed).vkey
    async with serving(tmp_path / "w", key) as witness:
        await write_case(log, 4)
        async with asking(log, witness.known):

            async def cosigned() -> bool:
                return witness.key.name in await log.proofs.checkpoint()

            await eventually(cosigned, 30, "a cosignature")
        yesterday = await log.reading.proof(AUDITOR, CASE)
        assert check(yesterday, trusted(key, witness))
        monitor = Monitor(tmp_path / "monitor", key)
        assert await monitor.walk(LogSeen(log.flow)) == []

        forged = log.maker.event(CASE, 2, reason="never happened").value or b""
        await forge(log, 2, forged)

        # The forged history is whole in itself; but for the signature of the service that made
        # the event, which was not stolen, whoever knows only the log's key would believe it.
        await log.begin()
        today = await log.reading.proof(AUDITOR, CASE)
        lines = check({**today, "checkpoint": _bare(today["checkpoint"])}, trusted(key))
        assert "NOT PROVEN to be by /intake" in "\n".join(lines)

        # Yesterday's proof file and today's checkpoint cannot both be true.
        assert check(yesterday, trusted(key, witness))
        assert _size(yesterday) == _size(today)
        assert _root(yesterday) != _root(today)
        # Nobody can prove the forged history with the cosignature that is asked for,
        with pytest.raises(CannotTell, match="has not signed"):
            check({**today, "checkpoint": _bare(today["checkpoint"])}, trusted(key, witness))
        stolen = yesterday["checkpoint"].rpartition("\n\n")[2].splitlines()[1]
        note = f"{_bare(today['checkpoint'])}{stolen}\n"
        with pytest.raises(Broken, match="does not hold"):
            check({**today, "checkpoint": note}, trusted(key, witness))
        # the witness refuses it now and for every larger size,
        for n in (0, 5):
            if n:
                await grow(log, n)
            async with httpx.AsyncClient() as client:
                note = _bare(await log.proofs.checkpoint())
                with pytest.raises(Refused) as told:
                    await Asking(log.flow, [])._ask(client, witness.known, note)
                assert told.value.grave
        # and the monitor, which kept a copy, names the row.
        found = await monitor.walk(LogSeen(log.flow))
        assert {each.kind for each in found} >= {Kind.FORK, Kind.CHANGED}
        assert [each.where for each in found if each.kind is Kind.CHANGED] == ["2"]


def _bare(note: str) -> str:
    """Leave only the signature of the log itself."""
    text, _, lines = note.rpartition("\n\n")
    return f"{text}\n\n{lines.splitlines()[0]}\n"


def _size(proof: dict[str, Any]) -> str:
    return str(proof["checkpoint"]).split("\n")[1]


def _root(proof: dict[str, Any]) -> str:
    return str(proof["checkpoint"]).split("\n")[2]
