"""What waits for the desk is found without reading all that was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from services.intake.casework.store import list_tasks
from shared.database import make_engine, transaction
from tests.support.platform import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

DONE, OPEN = 30_000, 60
CASE = uuid4()

_FILL = """
INSERT INTO intake.tasks (task_id, case_id, kind, about, urgency, level, state, opened_at)
SELECT gen_random_uuid(), gen_random_uuid(), 'triage', gen_random_uuid(), 'T2', 'coordinator',
  CASE WHEN n > $1 THEN CASE n % 2 WHEN 0 THEN 'open' ELSE 'claimed' END ELSE 'done' END,
  now() - n * interval '1 minute'
FROM generate_series(1, $2::integer) AS n
"""
_ONE = """
INSERT INTO intake.tasks (task_id, case_id, kind, about, urgency, level, state, opened_at)
SELECT gen_random_uuid(), $1, 'triage', gen_random_uuid(), 'T2', 'coordinator', state, now()
FROM unnest(ARRAY['open', 'done', 'done']) AS state
"""
_READ = text(
    "SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_xact_user_tables WHERE relname = 'tasks'"
)
"""How many tasks this transaction read one after the other."""


@pytest.fixture
async def web(postgres_admin_dsn: str) -> AsyncIterator[AsyncEngine]:
    async with fresh_database(postgres_admin_dsn, "intake") as database:
        conn = await asyncpg.connect(database.admin)
        await conn.execute(_FILL, DONE, DONE + OPEN)
        await conn.execute(_ONE, CASE)
        await conn.execute("VACUUM ANALYZE intake.tasks")
        await conn.close()
        engine = make_engine(database.urls("intake")["DATABASE_WEB_URL"], size=1, name="task list")
        try:
            yield engine
        finally:
            await engine.dispose()


async def test_no_list_of_tasks_reads_all_that_were_done(web: AsyncEngine) -> None:
    wanted: dict[str, Any] = {"state": None, "kind": None, "case_id": None, "after": None}
    asked: list[tuple[dict[str, Any], int]] = [
        ({}, 50),
        ({"state": "open"}, OPEN // 2 + 1),
        ({"state": "claimed", "kind": "triage"}, OPEN // 2),
        ({"after": ("T2", "2020-11-29T12:00:00+00:00", str(UUID(int=0)))}, 50),
        ({"case_id": CASE}, 1),
        ({"case_id": CASE, "state": "done"}, 2),
    ]
    for one, count in asked:
        async with transaction(web, "*") as conn:
            assert len(await list_tasks(conn, **{**wanted, **one}, limit=50)) == count, one
            assert await conn.scalar(_READ) == 0, one
