"""An older backup is put back, on a database of its own: nothing erased comes back with it.

Without Kafka: what is asked is what stands in PostgreSQL's files, in backups, and in every schema.
The same on a whole stack is in test_erasure_shown.py.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from deploy.local.backup import run_tool
from deploy.local.database import DATABASE, prepare_database, service_urls
from deploy.local.home import Home, make_home
from deploy.local.keys import SERVICES, SUPERUSER, make_keys, make_passwords
from deploy.local.ports import Ports
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.scrub import scrub_database
from services.intake.erasure.listing import write_list
from services.intake.keys.providers import FileKeys
from services.intake.keys.ring import Ring
from services.intake.keys.rotation import EPOCH, GRACE, Rotation, check_keys
from services.intake.preparing import Secrets
from services.intake.reading import read
from services.intake.vault import Vault, VaultError
from services.notification.domain import NoticeState
from shared.database import make_engine
from shared.migrate import upgrade
from shared.outbox import Outbox
from shared.signing import Signer
from shared.timers import TimerLoop
from tests.integration.test_erasure import erase, kept, report
from tests.integration.test_erasure_copies import notice
from tests.integration.test_erasure_shown import Copy, copies_in, files_with, pashe_at, plain
from tests.support.platform import Database
from tests.support.room import AT, Room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(900)


@dataclass
class Site:
    """A state folder with a PostgreSQL and the keys of a stack, and no stack."""

    home: Home
    passwords: dict[str, str]
    server: EmbeddedPostgres

    @property
    def admin(self) -> str:
        return self.server.url(DATABASE)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Room]:
        """Run PostgreSQL, with intake's own code on it."""
        await self.server.prepare(self.home.log("postgres"))
        await self.server.start(self.home.log("postgres"))
        try:
            await prepare_database(self.server.url(), self.passwords)
            for name in SERVICES:
                await upgrade(name, self.url(name, "DATABASE_OWNER_URL"))
            engine = make_engine(self.url("intake", "DATABASE_URL"), size=4, name="site")
            keys = self.home.keys / "intake"
            vault = Vault(Ring(FileKeys(keys / "kek.key").load))
            secret = {
                name: bytes.fromhex((keys / f"{name}.key").read_text())
                for name in ("pepper", "index", "signing")
            }
            secrets = Secrets(
                secret["pepper"], secret["index"], secret["signing"], "http://127.0.0.1:0"
            )
            outbox = Outbox("intake", Signer(secret["signing"]))
            try:
                yield Room(Database(self.admin), engine, vault, secrets, outbox)
            finally:
                await engine.dispose()
        finally:
            await self.server.stop()

    def url(self, service: str, name: str) -> str:
        return service_urls(self.admin, service, self.passwords)[name]

    async def run(self, *statements: tuple[str, tuple[object, ...]]) -> list[asyncpg.Record]:
        """Run statements as the superuser; return what the last one found."""
        conn = await asyncpg.connect(self.admin)
        try:
            found: list[asyncpg.Record] = []
            for statement, values in statements:
                found = await conn.fetch(statement, *values)
            return found
        finally:
            await conn.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    read("সাহায্য চাই ঢাকা", today=AT.date())  # its indexes are built once, outside a transaction
    home = Home(tmp_path / "home")
    make_home(home)
    make_keys(home.keys, beside_data=False)
    passwords = make_passwords(home.passwords, beside_data=False)
    ports = Ports()
    port = ports.reserve()
    ports.close()
    return Site(home, passwords, EmbeddedPostgres(home.postgres, port, passwords[SUPERUSER]))


_CASE = "INSERT INTO referral.cases (case_id, sequence, status, facts) VALUES ($1, 1, 'open', $2)"
_NOTICE = """
INSERT INTO notification.person_notices (notice_id, notifier, recipient, case_id, referral_id,
  event_id, type, happened_at, template, state, test, useful_until, created_at)
VALUES ($1, 'sms', 'person', $2, $3, $4, $5, $6, $7, 'waiting', false, $6, $6)
"""
_ENTRY = (
    'INSERT INTO audit.entries (idx, commitment, event_id, cluster, stream, partition, "offset",'
    " subject, type, source, sequence) VALUES ($1, $2, gen_random_uuid(), 'x', 'cases', 0, $1, $3,"
    " 'case-created', '/intake', $4)"
)
_BYTES = "INSERT INTO audit.event_bytes (idx, salt, value) VALUES ($1, $2, 'coarse facts')"


async def copy_around(site: Site, case_id: UUID, other: UUID) -> None:
    """Let the other services hold what they hold of two cases."""
    facts = {"report_id": str(uuid4()), "channel": "web", "age": 15, "needs": ["shelter"]}
    told = notice(case_id, NoticeState.WAITING)
    await site.run(
        *((_CASE, (case, json.dumps(facts))) for case in (case_id, other)),
        (
            _NOTICE,
            (
                told.id,
                case_id,
                told.referral_id,
                told.event_id,
                told.type,
                AT,
                told.template,
            ),
        ),
        (_ENTRY, (0, b"0" * 32, str(case_id), 1)),
        (_BYTES, (0, b"s" * 32)),
        (_ENTRY, (1, b"1" * 32, str(other), 50)),
        (_BYTES, (1, b"s" * 32)),
    )


async def turn_keys(site: Site, room: Room) -> None:
    """Let a month and a day pass, so that the first key is destroyed."""
    keys = FileKeys(site.home.keys / "intake" / "kek.key")
    loop = TimerLoop(
        room.engine, [Rotation(room.vault, keys, room.clock).timer()], clock=room.clock
    )
    for pause in (EPOCH, GRACE, timedelta(seconds=1)):
        room.now += pause
        while await loop.round():
            pass
    assert len(keys.load()) == 1


@pytest.mark.slow
async def test_an_older_backup_brings_back_nothing_that_was_erased(
    site: Site, tmp_path: Path
) -> None:
    old = tmp_path / "old.dump"
    async with site.up() as room:
        await check_keys(room.engine, room.vault, room.now)
        (case_id,) = await report(room, "a")
        (other,) = await report(room, "b")
        await copy_around(site, case_id, other)
        taken = await copies_in(room.engine, case_id)
        assert len(taken) >= 5
        await run_tool("pg_dump", site.admin, ["-Fc", f"--file={old}"], site.home.log("backup"))
        await erase(room, case_id)
        path = site.home.path / "erasures" / "erasures.jsonl"
        assert await write_list(room.engine, path) == 1
        (later,) = await report(room, "c")
        await site.run((_ENTRY, (2, b"2" * 32, str(later), 1)))
    code, said = pashe_at(site.home.path, "restore", str(old))
    assert code == 0, said
    assert "1 cases came after the backup" in said
    assert (site.home.path / "lost-cases.txt").read_text().split() == [str(later)]
    async with site.up() as room:
        await nothing_came_back(site, room, case_id, other)
        await turn_keys(site, room)
        await gone_from_the_disk(site, room, taken, other)
    for copy in taken:  # of the backup, with every key that is left
        left = Vault(Ring(FileKeys(site.home.keys / "intake" / "kek.key").load))
        with pytest.raises(VaultError):
            left.open(copy.subject, copy.sealed)
    code, said = pashe_at(site.home.path, "restore", str(old))
    assert (code, "put the old key back" in said) == (1, True), said
    async with site.up() as room:
        assert await kept(room, other) == {"personb", "reporter", "alleged"}


@pytest.mark.slow
async def test_a_backup_is_put_back_on_a_server_that_is_not_ours(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.dump"
    async with site.up() as room:
        monkeypatch.setenv("PASHE_POSTGRES_URL", site.server.url())
        await check_keys(room.engine, room.vault, room.now)
        (case_id,) = await report(room, "a")
        (gone,) = await report(room, "b")
        code, said = pashe_at(site.home.path, "backup", str(old))
        assert code == 0, said
        await erase(room, gone)
        path = tmp_path / "elsewhere" / "erasures.jsonl"
        assert await write_list(room.engine, path) == 1
        monkeypatch.setenv("ERASURES_FILE", str(path))
        await report(room, "c")
        code, said = pashe_at(site.home.path, "restore", str(old))
        assert (code, "the stack is up: 1 connections" in said) == (1, True), said
        await room.engine.dispose()
        code, said = pashe_at(site.home.path, "restore", str(old))
        assert code == 0, said
        assert await kept(room, case_id) == {"persona", "reporter", "alleged"}
        assert await kept(room, gone) == set()
        (row,) = await site.run(("SELECT count(*) AS cases FROM intake.cases", ()))
        assert row["cases"] == 2


async def nothing_came_back(site: Site, room: Room, case_id: UUID, other: UUID) -> None:
    """See that each schema has erased the one case and kept the other."""
    assert await kept(room, case_id) == set()
    assert await kept(room, other) == {"personb", "reporter", "alleged"}
    assert (await room.facts(case_id))["status"] == "erased"
    (told,) = [e for e in await room.events(case_id) if e["type"] == "case-erased"]
    assert told["actor"] == "service:intake.restore"
    rows = await site.run(("SELECT case_id, status, facts FROM referral.cases", ()))
    found = {row["case_id"]: (row["status"], json.loads(row["facts"])) for row in rows}
    assert (found[case_id][0], found[case_id][1]["age"]) == ("erased", None)
    assert (found[other][0], found[other][1]["age"]) == ("open", 15)
    (row,) = await site.run(("SELECT type, template FROM notification.person_notices", ()))
    assert tuple(row) == ("erased", "")
    rows = await site.run(("SELECT idx FROM audit.event_bytes", ()))
    assert [row["idx"] for row in rows] == [1]
    (row,) = await site.run(
        ("SELECT sequence FROM intake.outbox_heads WHERE subject = $1", (str(other),))
    )
    assert row["sequence"] == 50, "no number of an event comes twice in the history"


async def gone_from_the_disk(site: Site, room: Room, taken: list[Copy], other: UUID) -> None:
    """Rewrite the tables and drop old WAL; then search files, WAL and a new backup."""
    needles = [one for c in taken for one in (c.subject.wrapped_key, c.sealed.ciphertext)]
    hexes = [needle.hex().encode() for needle in needles]
    new = site.home.path / "new.dump"
    await run_tool("pg_dump", site.admin, ["-Fc", f"--file={new}"], site.home.log("backup"))
    conn = await asyncpg.connect(site.admin)
    try:
        await scrub_database(conn)
    finally:
        await conn.close()
    text = plain(site.home.path.parent / "old.dump")
    assert all(one in text for one in hexes), "the search finds what is there"
    text = plain(new)
    assert not any(one in text for one in (*hexes, b"Canary a"))
    living = (await copies_in(room.engine, other))[0].subject.wrapped_key
    assert files_with(site.home.postgres, [living]), "the search finds a key that lives"
    assert files_with(site.home.path, [*needles, *hexes, b"Canary a"]) == []
