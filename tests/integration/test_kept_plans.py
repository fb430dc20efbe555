"""Plans that PostgreSQL made while a table was empty, and keeps: none reads a grown one whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import text

from shared import relay, timers
from shared.lean import fetch

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tests.support.lab import Lab

MADE = 8
"""PostgreSQL keeps a plan after five executions."""

GROWN = 5000
AT = datetime(2026, 12, 1, tzinfo=UTC)


def _kept(statement: str) -> str:
    return f"SELECT name FROM pg_prepared_statements WHERE statement LIKE '{statement}%'"


async def _plan(conn: AsyncConnection, statement: str, values: str) -> str:
    """Return the plan that the session's prepared statement has for these values."""
    ((name,),) = await fetch(conn, f"{_kept(statement)} AND generic_plans > 0")
    lines = await fetch(conn, f"EXPLAIN EXECUTE {name} ({values})")
    return "\n".join(line for (line,) in lines)


async def test_rows_are_looked_up_though_the_table_was_empty_when_the_plan_was_made(
    lab: Lab,
) -> None:
    changed = text(
        "UPDATE kept SET says = says || :more"
        " FROM unnest((SELECT CAST(:n AS int[]))) AS t (k) WHERE n = t.k"
    )
    owner: asyncpg.Connection[Any] = await asyncpg.connect(lab.url("owner"))
    await owner.execute("CREATE TABLE kept (n int UNIQUE, says text); GRANT ALL ON kept TO PUBLIC")
    try:
        async with lab.engine.connect() as conn:
            for _ in range(MADE):
                await conn.execute(changed, {"n": [1], "more": "b"})
            await fetch(conn, "INSERT INTO kept SELECT n, 'a' FROM generate_series(1, $1) n", GROWN)
            plan = await _plan(conn, "UPDATE kept", "'b', ARRAY[1, 2]")
    finally:
        await owner.execute("DROP TABLE kept")
        await owner.close()
    assert "Seq Scan" not in plan


async def test_a_look_for_due_timers_reads_none_of_those_that_are_not_due(lab: Lab) -> None:
    given = {"now": AT, "later": AT + timedelta(minutes=5), "kinds": ["kept"], "n": 100}
    async with lab.engine.begin() as conn:
        for _ in range(MADE):
            await conn.execute(timers._DUE, given)
        due: dict[str, tuple[datetime, dict[str, Any]]] = {
            str(n): (AT + timedelta(days=1), {}) for n in range(GROWN)
        }
        await timers.schedule_many(conn, "kept", due, set_at=AT)
        plan = await _plan(
            conn,
            "(SELECT id, kind, subject, due_at",
            f"'{given['now']}', ARRAY['kept'], 100, '{given['later']}'",
        )
    conditions = [line.strip() for line in plan.splitlines() if "Index Cond" in line]
    assert len(conditions) == 2, plan
    assert any("set_at >" in each for each in conditions), plan


async def test_a_relay_marks_rows_by_their_ids(lab: Lab) -> None:
    owner: asyncpg.Connection[Any] = await asyncpg.connect(
        lab.url(), server_settings={"enable_seqscan": "off"}
    )
    try:
        for _ in range(MADE):
            await owner.execute(relay._MARK, [1], AT, AT)
        name = await owner.fetchval(_kept("\nUPDATE outbox"))
        lines = await owner.fetch(f"EXPLAIN EXECUTE {name} (ARRAY[1, 2], '{AT}', '{AT}')")
    finally:
        await owner.close()
    conditions = [line.strip() for (line,) in lines if "Cond" in line]
    assert conditions
    assert all("id = ANY" in each for each in conditions)
