"""Rows of a case are multiplied whole: other ids everywhere, and nothing that does not grow."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from shared.clock import new_case_id, new_event_id, time_of
from tests.bench.catalogue import SCHEMAS, UnknownTable, growing_tables
from tests.bench.filling import SETTINGS, SPAN, Filling, broken
from tests.bench.multiplying import statement
from tests.support.platform import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.bench

_REPORT = """
INSERT INTO intake.submissions (submission_id, channel, received_at, actor, entitled, case_ids,
  report, open_at, receipt_hash, state)
VALUES ($1, 'web', $3, 'anonymous', false, ARRAY[$2::uuid], '{}', $3, 'a receipt', 'opened')
"""
_CASE = """
INSERT INTO intake.cases (case_id, submission_id, status, facts)
VALUES ($2, $1, 'open', jsonb_build_object('status', 'open', 'report_id', $1::uuid))
"""
_SUBJECT = """
INSERT INTO intake.subjects (subject_id, case_id, submission_id, kind, commitment, kek, alike)
VALUES ($1, $2, $1, 'person', 'one', 'two', '{name:one,name:two}')
"""
_SEALED = "INSERT INTO intake.sealed (subject_id, field, ciphertext) VALUES ($1, 'name', 'x')"
_TASK = """
INSERT INTO intake.tasks (task_id, case_id, kind, about, level, opened_at)
VALUES ($1, $2, 'triage', '00000000-0000-0000-0000-000000000000', 'coordinator', now())
"""
_FEED = """
INSERT INTO referral.feeds (provider_id, seq) VALUES ('example', 1);
INSERT INTO notification.feed_heads (organisation, complete, seen) VALUES ('example', 1, 1)
"""
_ENTRY = """
INSERT INTO referral.feed_entries (provider_id, seq, event_id, type, referral_id, body)
VALUES ('example', 1, $1, 'referral-assigned', $1, '{}')
"""
_HEAD = "INSERT INTO intake.outbox_heads (stream, subject, sequence) VALUES ('cases', $1, 2)"


@asynccontextmanager
async def _database(admin: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    async with fresh_database(admin, *SCHEMAS) as database:
        conn = await asyncpg.connect(database.admin, server_settings=SETTINGS)
        try:
            yield conn
        finally:
            await conn.close()


async def test_one_case_becomes_many_and_each_is_whole(postgres_admin_dsn: str) -> None:
    at = datetime.now(UTC)
    async with _database(postgres_admin_dsn) as conn:
        report, case, event = new_case_id(), new_case_id(), new_event_id()
        for sql in (_REPORT, _CASE, _SUBJECT, _SEALED, _TASK):
            every = (report, case, at)
            await conn.execute(sql, *every[: sum(f"${n}" in sql for n in (1, 2, 3))])
        await conn.execute(_FEED)
        await conn.execute(_ENTRY, event)
        await conn.execute(_HEAD, str(case))
        told: list[float] = []
        filling = await Filling.begin(conn, 30)
        assert await filling.until(10, told.append) == 10
        assert await filling.until(30, told.append) == 30
        assert told[-1] == 1
        assert await broken(conn) == []
        cases = await conn.fetch(
            "SELECT c.case_id, c.status, s.case_ids, c.facts ->> 'report_id' AS report,"
            " s.submission_id, s.received_at, t.state, u.alike FROM intake.cases c"
            " JOIN intake.submissions s USING (submission_id) JOIN intake.tasks t USING (case_id)"
            " JOIN intake.subjects u USING (case_id) JOIN intake.sealed USING (subject_id)"
            " JOIN intake.outbox_heads h ON h.subject = c.case_id::text ORDER BY s.received_at DESC"
        )
        feed = await conn.fetch("SELECT seq, event_id FROM referral.feed_entries ORDER BY seq")
        head = await conn.fetchval("SELECT seq FROM referral.feeds")
    assert len(cases) == 30
    assert cases[0]["status"] == "open"
    for number, row in enumerate(cases):
        assert row["case_ids"] == [row["case_id"]]
        assert row["report"] == str(row["submission_id"])
        assert row["received_at"] == at - number * SPAN / 30
        assert (row["status"], row["state"]) == (("closed", "done") if number else ("open", "open"))
    assert len({word for row in cases for word in row["alike"]}) == 60
    assert [row["seq"] for row in feed] == list(range(1, 31))
    assert len({row["event_id"] for row in feed}) == head == 30
    for number, row in enumerate(feed):
        early = time_of(event) - time_of(row["event_id"]) - number * SPAN / 30
        assert abs(early) < timedelta(seconds=1)


async def test_a_table_that_nobody_thought_of_is_refused(postgres_admin_dsn: str) -> None:
    async with _database(postgres_admin_dsn) as conn:
        await conn.execute("CREATE TABLE intake.news (words text)")
        with pytest.raises(UnknownTable, match="news"):
            await growing_tables(conn)


async def test_a_unique_index_that_no_id_is_in_is_refused(postgres_admin_dsn: str) -> None:
    async with _database(postgres_admin_dsn) as conn:
        await conn.execute("CREATE TABLE intake.news (case_id uuid, words text UNIQUE)")
        [table] = [one for one in await growing_tables(conn) if one.name == "news"]
        with pytest.raises(UnknownTable, match="words"):
            statement(table)
