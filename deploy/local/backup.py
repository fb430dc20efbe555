"""`pashe backup` and `restore`: copies of the database, and what they must forget.

A backup is one file of pg_dump. It holds no keys and no list of erasures: both are kept apart from
it. What is restored learns every erasure since from the list before any service serves.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import unquote, urlsplit

import asyncpg
import typer
from rich.console import Console

from deploy.local import keys, log_origin, services
from deploy.local.database import DATABASE, prepare_database, with_database
from deploy.local.errors import StackError
from deploy.local.home import (
    ROOT,
    find_home,
    load_passwords,
    make_home,
    take_lock,
    write_private,
)
from deploy.local.parked import admin_url
from deploy.local.ports import Ports
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.postgres_place import find_binaries
from deploy.local.process import run_once
from shared.erasure_list import CASE, list_path, read_list
from shared.errors import SettingsError
from shared.kafka import KafkaLogin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deploy.local.home import Home

WITHIN: Final = 3600.0
"""Seconds that one step may take."""

DRAFT: Final = "pashe_restoring"
"""The database that a backup is put into before it takes the place of the present one."""

_NOWHERE: Final = KafkaLogin("127.0.0.1:9")
_HISTORY: Final = "audit"
_CATCH_UP: Final = ("intake", "referral", "notification")

_BUSY: Final = """
SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'
"""
_HEADS: Final = """
UPDATE {schema}.outbox_heads h SET sequence = greatest(h.sequence, e.sequence)
FROM (SELECT stream, subject, max(sequence) AS sequence FROM audit.entries
  WHERE sequence IS NOT NULL GROUP BY 1, 2) e
WHERE h.stream = e.stream AND h.subject = e.subject
"""
_BYTES: Final = """
DELETE FROM audit.event_bytes b USING audit.entries e WHERE e.idx = b.idx
  AND e.subject = ANY($1::text[]) AND e.stream <> 'accesses' AND e.type <> 'case-erased'
"""
_LOST: Final = """
SELECT DISTINCT e.subject FROM audit.entries e WHERE e.type = 'case-created'
  AND e.stream = 'cases' AND NOT EXISTS
  (SELECT 1 FROM intake.cases c WHERE c.case_id::text = e.subject) ORDER BY 1
"""
File = Annotated[Path, typer.Argument(help="The file of the backup")]
console = Console(highlight=False)


async def run_tool(name: str, url: str, words: Sequence[str], log: Path) -> None:
    """Run pg_dump or pg_restore on a database; the password is no argument that others see.

    Raises:
        StackError: it failed.

    """
    parts = urlsplit(url)
    env = {
        **os.environ,
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
    }
    argv = [str(find_binaries() / name), *words]
    await run_once(name, argv, log, within=WITHIN, env=env)


def back_up(file: File) -> None:
    """Copy the database of the running stack into one file, as it is at one moment.

    Keep it apart from the keys folder and from the list of erasures.
    """
    home, file = find_home(), file.absolute()
    if file.exists():
        message = f"{file} exists already: nothing is overwritten"
        raise StackError(message)
    make_home(home)
    url, draft = admin_url(), file.with_name(f".{file.name}.{os.getpid()}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        words = ["--format=custom", f"--file={draft}"]
        asyncio.run(run_tool("pg_dump", url, words, home.log("backup")))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    console.print(f"Backed up to {file}. The keys and the list of erasures are not in it:")
    console.print(f"  {home.keys}\n  {home.path / 'erasures'}")


def restore(file: File) -> None:
    """Put a backup in the place of the database, and erase in it what was erased since.

    The stack must be down; a PostgreSQL that is not embedded (PASHE_POSTGRES_URL) must be up. The
    history that is here stays as it is: it is never put back.
    """
    home, file = find_home(), file.absolute()
    if not file.is_file():
        message = f"there is no file {file}"
        raise StackError(message)
    make_home(home)
    lock = take_lock(home)
    if lock is None:
        message = "the stack is up: end it first (pashe down)"
        raise StackError(message)
    try:
        given = os.environ.get("PASHE_POSTGRES_URL")
        asyncio.run(_restore_elsewhere(home, file, given) if given else _restore_here(home, file))
    finally:
        os.close(lock)


async def _restore_here(home: Home, file: Path) -> None:
    """Restore into the embedded PostgreSQL, which runs only for it."""
    new = not home.postgres.exists()
    passwords = keys.make_passwords(home.passwords, beside_data=not new)
    ports = Ports()
    server = EmbeddedPostgres(home.postgres, ports.reserve(), passwords[keys.SUPERUSER])
    try:
        await server.prepare(home.log("postgres"))
        await server.start(home.log("postgres"))
        try:
            await _Restoring(home, file, server.url(), passwords).run()
        finally:
            await server.stop()
    finally:
        ports.close()


async def _restore_elsewhere(home: Home, file: Path, admin: str) -> None:
    """Restore into a PostgreSQL that runs, of which nobody of ours may make use meanwhile."""
    try:
        conn = await asyncpg.connect(with_database(admin, "postgres"), timeout=10)
        try:
            busy = await conn.fetchval(_BUSY, DATABASE)
        finally:
            await conn.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        message = f"the database cannot be asked: {error}"
        raise StackError(message) from None
    if busy:
        message = f"the stack is up: {busy} connections to its database. End the services first"
        raise StackError(message)
    await _Restoring(home, file, admin, load_passwords(home)).run()


class _Restoring:
    """One restore: into a database beside the present one, which it replaces when all went well."""

    def __init__(self, home: Home, file: Path, admin: str, passwords: Mapping[str, str]) -> None:
        self.home = home
        self.file = file
        self.log = home.log("restore")
        keys.make_keys(home.keys, beside_data=True)
        self.passwords = passwords
        self.admin = with_database(admin, "postgres")
        self.database = with_database(admin, DATABASE)
        self.draft = with_database(admin, DRAFT)

    async def run(self) -> None:
        """Do all of it; the present database stays untouched until the last step."""
        try:
            kept = await self._has_history()
            await self._fill(kept=kept)
            lost = await self._forget(kept=kept)
            origin = None if kept else await log_origin.reopen(self.draft, self.home.keys)
            await self._swap()
            await log_origin.remember(self.database, self.home.keys)
        finally:
            await self._drop(DRAFT)
        self._tell(lost, origin)

    async def _has_history(self) -> bool:
        conn = await asyncpg.connect(self.admin, timeout=10)
        try:
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            there = await conn.fetchval(query, DATABASE) is not None
        finally:
            await conn.close()
        if not there:
            return False
        conn = await asyncpg.connect(self.database, timeout=10)
        try:
            return await conn.fetchval("SELECT to_regclass('audit.log_head')") is not None
        finally:
            await conn.close()

    async def _fill(self, *, kept: bool) -> None:
        """Put the backup into the database beside, with the history that is here if there is one.

        Roles and the settings of the database are made as at every start; the schemas come from
        the backup.
        """
        await self._drop(DRAFT)
        await prepare_database(self.admin, self.passwords, DRAFT)
        schemas = (*keys.SERVICES, keys.ACCOUNTS)
        await self._execute(*(f"DROP SCHEMA {name} CASCADE" for name in schemas))
        but = [f"--exclude-schema={_HISTORY}"] if kept else []
        words = ["--exit-on-error", f"--dbname={DRAFT}"]
        await run_tool("pg_restore", self.draft, [*words, *but, str(self.file)], self.log)
        if kept:
            await self._execute(f"DROP SCHEMA IF EXISTS {_HISTORY} CASCADE")
            copy = self.home.path / f".history.{os.getpid()}"
            try:
                dump = ["--format=custom", f"--schema={_HISTORY}", f"--file={copy}"]
                await run_tool("pg_dump", self.database, dump, self.log)
                await run_tool("pg_restore", self.draft, [*words, str(copy)], self.log)
            finally:
                copy.unlink(missing_ok=True)
        await self._run(
            "migrating the database",
            services.migrate_command(keys.SERVICES),
            services.migrate_env(keys.SERVICES, self.draft, self.passwords),
        )

    async def _forget(self, *, kept: bool) -> list[str]:
        """Apply the list of erasures everywhere; return the cases that only the history knows."""
        path = list_path(self._env("intake"))
        try:
            lines = read_list(path)
        except SettingsError as error:
            raise StackError(str(error)) from None
        if not lines:
            console.print(f"There is no erasure in {path}: if there should be, stop and look.")
        await asyncio.gather(
            *(
                self._run(
                    f"erasing again in {name}",
                    [*services.service_command(name), "--check"],
                    self._env(name),
                )
                for name in _CATCH_UP
            )
        )
        conn = await asyncpg.connect(self.draft, timeout=10)
        try:
            cases = [str(line.case_id) for line in lines if line.subject == CASE]
            await conn.execute(_BYTES, cases)
            if kept:  # no number of an event comes twice in the history
                for name in keys.SERVICES:
                    await conn.execute(_HEADS.format(schema=name))
            return [row["subject"] for row in await conn.fetch(_LOST)]
        finally:
            await conn.close()

    async def _swap(self) -> None:
        conn = await asyncpg.connect(self.admin, timeout=10)
        try:
            old = f"{DATABASE}_before"
            await conn.execute(f'DROP DATABASE IF EXISTS "{old}" WITH (FORCE)')
            there = "SELECT 1 FROM pg_database WHERE datname = $1"
            if await conn.fetchval(there, DATABASE):
                await conn.execute(f'ALTER DATABASE "{DATABASE}" RENAME TO "{old}"')
            await conn.execute(f'ALTER DATABASE "{DRAFT}" RENAME TO "{DATABASE}"')
            await conn.execute(f'DROP DATABASE IF EXISTS "{old}" WITH (FORCE)')
        finally:
            await conn.close()

    def _tell(self, lost: Sequence[str], origin: str | None) -> None:
        console.print("Restored; what was erased since the backup is erased in it.")
        if lost:
            path = self.home.path / "lost-cases.txt"
            write_private(path, "".join(f"{case}\n" for case in lost).encode())
            console.print(
                f"[bold]{len(lost)} cases came after the backup and are not in it[/bold]: the "
                f"history knows that they were, and nothing knows who they are about. {path}"
            )
        if origin:
            console.print(
                f"[bold]The history came from the backup and lacks what came after it: the log was "
                f"begun anew as {origin}[/bold]; its first entry names the last checkpoint before. "
                "Tell those who verify and witness it: its key has changed with its name."
            )
        console.print("Start it again, and `pashe replay SERVICE` if Kafka lost anything.")

    def _env(self, service: str) -> dict[str, str]:
        return services.service_env(
            service,
            keys=self.home.keys,
            admin=self.draft,
            passwords=self.passwords,
            kafka=_NOWHERE,
            ports=dict.fromkeys(keys.SERVICES, 0),
            origin="http://127.0.0.1:0",
        )

    async def _run(self, what: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        await run_once(what, command, self.log, within=WITHIN, env=env, cwd=ROOT)

    async def _execute(self, *statements: str) -> None:
        conn = await asyncpg.connect(self.draft, timeout=10)
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()

    async def _drop(self, name: str) -> None:
        conn = await asyncpg.connect(self.admin, timeout=10)
        try:
            await conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await conn.close()
