"""Migrations: `python -m shared.migrate SERVICE …`, as the owner role, once, under a lock.

Each service keeps its Alembic scripts in `services/<service>/migrations`. The tables of the kernel
(outbox, inbox, parked, timers …) are made by `create_kernel`, which a first migration calls.
"""

from __future__ import annotations

import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.database import SERVES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.operations import Operations
    from sqlalchemy import Connection

    from shared.database import Schema

_KERNEL_SQL = Path(__file__).with_name("kernel.sql")
_REACH_SQL = Path(__file__).with_name("reach.sql")


def create_kernel(op: Operations, schema: str) -> None:
    """Create the kernel's tables in a service's schema and grant them to its roles."""
    _run_file(op, _KERNEL_SQL, schema)


def create_reach(op: Operations, schema: str) -> None:
    """Create what policies ask of a case; its table `cases` (`case_id`, `facts`) must be there."""
    _run_file(op, _REACH_SQL, schema)


def _run_file(op: Operations, path: Path, schema: str) -> None:
    for statement in path.read_text("utf-8").replace("{schema}", schema).split("\n\n\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def config_of(service: str) -> Config:
    """Return the Alembic configuration of a service; nothing is read from an ini file."""
    root = Path(__file__).resolve().parent.parent
    config = Config()
    config.set_main_option("script_location", str(root / "services" / service / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def head_of(service: str) -> str:
    """Return the newest revision that this code knows for a service."""
    head = ScriptDirectory.from_config(config_of(service)).get_current_head()
    return head or ""


@dataclass(frozen=True, slots=True)
class Revisions:
    """The schemas that this code knows: all, and the newest, which it needs."""

    head: str = ""
    known: frozenset[str] = frozenset()

    def run_on(self, schema: Schema | None) -> bool:
        """Say whether this code runs on a schema (DECISIONS 20).

        That is its own newest, or a later one that still serves code as old as this: while a
        release is rolled out, the old processes go on serving on the new schema. On an earlier one
        it waits for the migration.
        """
        if schema is None:
            return False
        if schema.version in self.known:
            return schema.version == self.head
        return schema.serves in self.known


def revisions_of(service: str) -> Revisions:
    """Return the revisions that this code knows for a service."""
    script = ScriptDirectory.from_config(config_of(service))
    return Revisions(head_of(service), frozenset(one.revision for one in script.walk_revisions()))


def serves_of(script: ScriptDirectory) -> str:
    """Return the oldest revision whose code runs on the newest schema.

    A migration that takes something away (contract) says so by `serves = "REVISION"`, the first
    whose code does without it; one that only adds (expand) says nothing.
    """
    revisions = list(script.walk_revisions())  # the newest first
    for revision in revisions:
        if said := getattr(revision.module, "serves", ""):
            return str(said)
    return revisions[-1].revision


def _upgrade(connection: Connection, service: str) -> None:
    connection.execute(text("SET lock_timeout = '3s'"))
    connection.execute(text("SELECT pg_advisory_lock(:k)"), {"k": zlib.crc32(service.encode())})
    connection.execute(text(f'SET search_path = "{service}"'))
    connection.commit()
    config = config_of(service)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    serves = serves_of(ScriptDirectory.from_config(config))
    connection.exec_driver_sql(f"COMMENT ON TABLE alembic_version IS '{SERVES}{serves}'")
    connection.commit()


def run_env(config: Config) -> None:
    """Run the migrations on the connection that `upgrade` put into the configuration.

    Each service's `migrations/env.py` is one call of this.
    """
    connection = config.attributes["connection"]
    from alembic import context as environment  # noqa: PLC0415  (exists only inside a run)

    environment.configure(connection=connection, transaction_per_migration=True)
    with environment.begin_transaction():
        environment.run_migrations()


async def upgrade(service: str, owner_url: str) -> None:
    """Bring a service's schema to the newest revision; a second run at the same time waits."""
    engine = create_async_engine(
        owner_url.replace("postgresql://", "postgresql+asyncpg://", 1), hide_parameters=True
    )
    try:
        async with engine.connect() as conn:
            await conn.run_sync(_upgrade, service)
    finally:
        await engine.dispose()


async def upgrade_each(owners: Mapping[str, str]) -> None:
    """Bring the schemas of several services to the newest revision, by their owners' addresses."""
    for service, owner_url in owners.items():
        try:
            await upgrade(service, owner_url)
        except Exception as error:
            error.add_note(f"while migrating {service}")
            raise


if __name__ == "__main__":
    import asyncio

    env, url, names = os.environ, "DATABASE_OWNER_URL", sys.argv[1:]
    only = env.get(url, "") if len(names) == 1 else ""  # each schema has an owner of its own
    owners = {name: env.get(f"{url}_{name.upper()}") or only for name in names}
    if not owners or not all(owners.values()):
        sys.exit(
            "usage: DATABASE_OWNER_URL=postgresql://… python -m shared.migrate SERVICE; "
            "of several, DATABASE_OWNER_URL_INTAKE and so on"
        )
    asyncio.run(upgrade_each(owners))
