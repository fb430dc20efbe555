"""The whole of an erasure on a stack of its own: asked for, done, restored, scrubbed, searched for.

What is searched for is the *wrapped* key of the person, what was sealed under it, and the name.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from deploy.local.postgres_place import find_binaries
from services.intake.keys.providers import FileKeys
from services.intake.keys.ring import Ring
from services.intake.vault import SealedField, Subject, Vault, VaultError
from shared.database import make_engine
from shared.erasure_list import read_list
from shared.vocabulary import Role
from tests.integration.test_erasure_chain import blank, history, proof
from tests.support.callers import NAME, Callers, report
from tests.support.stack import PASHE, Stack, StackError
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = [pytest.mark.timeout(1200), pytest.mark.long]

OTHER = "Invented Otherperson"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path / "home") as running:
        yield running


def pashe(stack: Stack, *words: str, token: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command and return its exit code and what it said, on one line."""
    return pashe_at(stack.home, *words, token=token)


def pashe_at(home: Path, *words: str, token: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command on a state folder."""
    bearer = (token or {}).get("authorization", "").removeprefix("Bearer ")
    done = subprocess.run(
        [*PASHE, *words],
        env={**os.environ, "PASHE_HOME": str(home), "PASHE_TOKEN": bearer},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@dataclass(frozen=True)
class Copy:
    """What somebody copied out of the database before the erasure."""

    subject: Subject
    sealed: SealedField


async def copies(stack: Stack, case_id: str) -> list[Copy]:
    engine = make_engine(stack.environment("intake")["DATABASE_URL"], size=1, name="copies")
    try:
        return await copies_in(engine, UUID(case_id))
    finally:
        await engine.dispose()


async def copies_in(engine: AsyncEngine, case_id: UUID) -> list[Copy]:
    """Copy out of intake's schema what it holds of everyone in the report of a case."""
    async with engine.connect() as conn:
        rows = await conn.execute(
            text(
                "SELECT s.subject_id, s.case_id, s.kind, s.ref, s.wrapped_key, s.commitment, s.kek,"
                " f.field, f.ciphertext, f.version FROM subjects s JOIN sealed f USING (subject_id)"
                " WHERE s.submission_id = (SELECT submission_id FROM cases WHERE case_id = :c)"
            ),
            {"c": case_id},
        )
        return [
            Copy(
                Subject(r[0], r[1], r[2], r[3], bytes(r[4]), bytes(r[5]), bytes(r[6])),
                SealedField(r[7], bytes(r[8]), r[9]),
            )
            for r in rows
        ]


def files_with(folder: Path, needles: list[bytes]) -> list[str]:
    """Return the files below a folder in which one of some bytes is; servers go on writing them."""
    found = []
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                if any(view.find(needle) >= 0 for needle in needles):
                    found.append(str(path.relative_to(folder)))
    return found


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.lstat().st_size
    return size


def plain(dump: Path) -> bytes:
    """Return a backup as the text that it is made of; bytes stand in it in hex."""
    words = [str(find_binaries() / "pg_restore"), "-f", "-", str(dump)]
    return subprocess.run(words, capture_output=True, check=True).stdout


def erase_by_two(stack: Stack, case_id: str) -> None:
    """Ask and approve on the command line, trying on the way what must be refused."""
    desk = stack.bearer(Role.COORDINATOR, subject="c1")
    boss = stack.bearer(Role.SUPERVISOR, subject="s1")
    asked = ("erase", case_id, "--asked-by", "person", "--checked", "document")
    assert "who are you?" in pashe(stack, *asked)[1]
    code, said = pashe(stack, "erase", case_id, "--dry-run", token=desk)
    assert (code, "Would go: 3 keys" in said, "Nobody asked" in said) == (0, True, True)
    assert "say who asks" in pashe(stack, "erase", case_id, token=desk)[1]
    auditor = stack.bearer(Role.AUDITOR)
    code, said = pashe(stack, *asked, token=auditor)
    assert (code, "you may not" in said) == (1, True)
    code, said = pashe(stack, *asked, token=desk)
    assert (code, "Nothing is erased yet" in said) == (4, True)
    with stack.client(timeout=20, headers=boss) as http:
        hold = f"/intake/v1/cases/{case_id}/hold"
        assert http.post(hold, json={"reason": "complaint"}).is_success
        assert pashe(stack, *asked, token=boss)[0] == 5
        assert http.delete(hold).is_success
    code, said = pashe(stack, *asked, token=boss)
    assert (code, "Erased at" in said, "Complete by" in said) == (0, True, True)


async def turn_keys(stack: Stack, callers: Callers, case_id: str) -> None:
    """Change the month's key and let the day pass after which the old one is destroyed."""
    keys = stack.home / "keys" / "intake" / "kek.key"
    stack.pashe("rotate-keys")

    async def gone() -> bool:
        conn = await stack.connect("intake")
        try:
            await conn.execute(
                "UPDATE timers SET due_at = now() WHERE kind = 'key-epoch'"
                " AND payload ->> 'step' = 'retire'"
            )
        finally:
            await conn.close()
        return len(keys.read_text().split()) == 1

    await eventually(gone, 60, "the old key to be destroyed", every=0.5)

    def complete() -> bool:
        path = f"/intake/v1/cases/{case_id}/erase"
        return bool(callers.http.get(path, headers=callers.desk).json()["complete"])

    await eventually(complete, 20, "the erasure to be complete")


@dataclass
class Evidence:
    """What was noted before the erasure."""

    case_id: str
    referral: dict[str, Any]
    kept: dict[str, Any]
    copies: list[Copy]
    size: int
    proof: dict[str, Any]


async def gather(stack: Stack, callers: Callers) -> Evidence:
    """Bring two persons to a provider, and copy out of the database what there is of the first."""
    referral = await callers.assigned(report())
    case_id = referral["case_id"]
    await callers.accepted(referral)
    kept = await callers.assigned(report(persons=[report()["persons"][0] | {"name": OTHER}]))
    await callers.accepted(kept)

    def known() -> list[dict[str, Any]] | None:
        found = history(callers, case_id)
        return found if len(found) >= 5 else None

    before = await eventually(known, 20, "the history")
    size = max(line["index"] for line in before) + 1

    def proved() -> dict[str, Any] | None:
        found = proof(callers, 0, size)
        return found if "hashes" in found else None

    old = await eventually(proved, 20, "a proof")
    return Evidence(case_id, referral, kept, await copies(stack, case_id), size, old)


async def nothing_came_back(stack: Stack, callers: Callers, was: Evidence) -> None:
    """See that the case is erased in every service, the other is not, and old proofs hold."""
    case_id = was.case_id
    facts = callers.http.get(f"/intake/v1/cases/{case_id}", headers=callers.desk).json()
    assert facts["status"] == "erased"
    assert callers.disclose(was.referral).status_code == 404
    assert callers.disclose(was.kept).json()["person"]["name"] == OTHER
    assert await copies(stack, case_id) == []
    for service in ("intake", "referral", "notification"):
        await eventually(partial(blank, callers, service, case_id), 30, service)

    def forgotten() -> bool:
        found = history(callers, case_id)
        return {line["type"] for line in found if not line["erased"]} <= {"case-erased"}

    await eventually(forgotten, 20, "the history to be erased")
    assert proof(callers, 0, was.size)["hashes"] == was.proof["hashes"]
    code, said = pashe(stack, "audit", "verify")
    assert (code, "begins with the" in said) == (0, True), said


async def test_an_erasure_from_the_asking_to_the_last_copy(stack: Stack, tmp_path: Path) -> None:
    old, new = tmp_path / "old.dump", tmp_path / "new.dump"
    with stack.client(timeout=20) as http:
        callers = Callers(stack, http)
        was = await gather(stack, callers)
        assert pashe(stack, "audit", "verify")[0] == 0
        assert "erasures" in stack.pashe("backup", str(old))
        with pytest.raises(StackError, match="exists already"):
            stack.pashe("backup", str(old))
        with pytest.raises(StackError, match="the stack is up"):
            stack.pashe("restore", str(old))
        erase_by_two(stack, was.case_id)
        path = stack.home / "erasures" / "erasures.jsonl"
        (line,) = await eventually(lambda: read_list(path), 20, "the list")
        assert (str(line.case_id), line.subject) == (was.case_id, "case")
        later = await callers.assigned(report())

    # A restore of the older backup: nothing erased comes back, nothing else is lost silently.
    stack.pashe("down")
    assert "1 cases came after the backup" in pashe(stack, "restore", str(old))[1]
    assert (stack.home / "lost-cases.txt").read_text().split() == [later["case_id"]]
    stack.pashe("up", "--detach")
    with stack.client(timeout=20) as http:
        callers = Callers(stack, http)
        await nothing_came_back(stack, callers, was)
        # The month's key goes, the disk is rewritten: now nothing of it is anywhere.
        await turn_keys(stack, callers, was.case_id)
        stack.pashe("backup", str(new))
        stack.pashe("scrub")
        await look_everywhere(stack, old, new, was.copies)

    # What is left in the old backup opens with no key that is left; it cannot even be restored.
    ring = Ring(FileKeys(stack.home / "keys" / "intake" / "kek.key").load)
    for copy in was.copies:
        with pytest.raises(VaultError):
            Vault(ring).open(copy.subject, copy.sealed)
    stack.pashe("down")
    code, said = pashe(stack, "restore", str(old))
    assert (code, "put the old key back" in said) == (1, True), said
    stack.pashe("up", "--detach")
    with stack.client(timeout=20) as http:
        assert Callers(stack, http).disclose(was.kept).json()["person"]["name"] == OTHER


async def look_everywhere(stack: Stack, old: Path, new: Path, taken: list[Copy]) -> None:
    """Search every sink for wrapped keys, what was sealed, and the name; say what was searched."""
    wrapped = [copy.subject.wrapped_key for copy in taken]
    sealed = [copy.sealed.ciphertext for copy in taken]
    hexes = [key.hex().encode() for key in (*wrapped, *sealed)]
    dump = plain(old)
    assert all(one in dump for one in hexes), "the search finds what is there"
    dump = plain(new)
    assert not any(one in dump for one in (*hexes, NAME.encode()))
    lasting = await copies(stack, str(await any_case(stack)))
    needles = [*wrapped, *sealed, *hexes, NAME.encode()]
    searched = {}
    for sink in ("postgres", "kafka", "logs", "sms", "erasures", "verify"):
        folder = stack.home / sink
        searched[sink] = size_of(folder)
        assert files_with(folder, needles) == [], sink
    assert searched["postgres"] > 10**6
    assert searched["kafka"] > 10**4
    found = files_with(stack.home / "postgres", [lasting[0].subject.wrapped_key])
    assert found, "the search finds a key that lives"
    print(f"searched, in bytes: {searched}, and two backups; 0 hits")


async def any_case(stack: Stack) -> Any:
    conn = await stack.connect("intake")
    try:
        return await conn.fetchval(
            "SELECT c.case_id FROM cases c JOIN subjects s USING (submission_id)"
            " WHERE s.wrapped_key IS NOT NULL LIMIT 1"
        )
    finally:
        await conn.close()
