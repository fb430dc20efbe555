"""A release is rolled out on a schema that is newer than the processes which still serve."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import asyncpg

from shared.database import SERVES, Schema, find_schema, make_engine
from shared.migrate import head_of
from tests.integration.test_kernel_service import START, child_of, ready
from tests.support.lab import REVISION
from tests.support.platform import fresh_database
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.lab import Lab

NEXT = "of-the-next-release"


async def test_a_migration_leaves_word_of_the_oldest_code_that_the_schema_serves(
    postgres_admin_dsn: str,
) -> None:
    async with fresh_database(postgres_admin_dsn, "audit") as database:
        engine = make_engine(database.urls("audit")["DATABASE_WEB_URL"], size=1, name="test")
        try:
            assert await find_schema(engine) == Schema(head_of("audit"), "0001")
        finally:
            await engine.dispose()


async def test_an_old_process_serves_on_a_newer_schema_until_that_takes_away_what_it_needs(
    lab: Lab, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(lab.url("owner"))

    async def migrate(serves: str) -> None:
        await owner.execute("UPDATE alembic_version SET version_num = $1", NEXT)
        await owner.execute(f"COMMENT ON TABLE alembic_version IS '{SERVES}{serves}'")

    async def refused(port: int) -> bool:
        return not await ready(port)

    try:
        port = free_port()
        with child_of(lab, tmp_path / "old.log", port):
            await eventually(partial(ready, port), START, "the old process")
            await migrate(REVISION)
            assert (await ready(port))["schema"] == NEXT
            other = free_port()
            with child_of(lab, tmp_path / "again.log", other, REPLICA="2"):
                await eventually(partial(ready, other), START, "one that was started again")
            await migrate(NEXT)
            await eventually(partial(refused, port), START, "what serves it no more")
            await migrate(REVISION)
            await eventually(partial(ready, port), START, "what serves it again")
    finally:
        await owner.close()
