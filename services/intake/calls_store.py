"""SQL of calls: one that is still being written down is a submission nobody was told of yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.domain import Submission
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

CHANNEL: Final = "helpline"
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Call:
    """A stored call: its submission, whose it is, how far it is, its last revision."""

    submission: Submission
    organisation: str
    actor: str
    state: str
    revision: int


def _call(row: Any) -> Call:  # noqa: ANN401  (a database row)
    report = row.report
    known = msgspec.json.decode(report) if isinstance(report, str | bytes) else report
    return Call(
        Submission(
            row.submission_id,
            CHANNEL,
            tuple(row.case_ids),
            known,
            row.entitled,
            row.received_at,
            row.test,
        ),
        row.organisation,
        row.actor,
        row.state,
        row.revision,
    )


_COLUMNS: Final = (
    "submission_id, case_ids, report, entitled, received_at, test, organisation, actor, state,"
    " revision"
)


async def lock_call(conn: AsyncConnection, call_id: UUID) -> Call | None:
    """Lock and read one call; None when there is none."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM submissions"  # noqa: S608  (names of columns)
            " WHERE submission_id = :id AND channel = 'helpline' FOR UPDATE"
        ),
        {"id": call_id},
    )
    row = rows.first()
    return None if row is None else _call(row)


async def lock_left(conn: AsyncConnection, at: datetime, limit: int = 50) -> list[Call]:
    """Lock calls of which nothing more came in time; another process's are passed over."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM submissions"  # noqa: S608  (likewise)
            " WHERE state = 'call' AND open_at <= :at ORDER BY submission_id LIMIT :n"
            " FOR UPDATE SKIP LOCKED"
        ),
        {"at": at, "n": limit},
    )
    return [_call(row) for row in rows]


async def remove(conn: AsyncConnection, call_id: UUID) -> None:
    """Remove what was written down of a call, in whose place the whole is stored anew."""
    owned = "(SELECT subject_id FROM subjects WHERE submission_id = :id)"
    for which in (
        f"sealed WHERE subject_id IN {owned}",
        "subjects WHERE submission_id = :id",
        "cases WHERE submission_id = :id",
        "submissions WHERE submission_id = :id",
    ):
        await conn.execute(text(f"DELETE FROM {which}"), {"id": call_id})  # noqa: S608  (ours)


async def set_revision(conn: AsyncConnection, call_id: UUID, revision: int) -> None:
    """Keep which save of a call this is."""
    await conn.execute(
        text("UPDATE submissions SET revision = :r WHERE submission_id = :id"),
        {"id": call_id, "r": revision},
    )


async def make_received(
    conn: AsyncConnection, calls: Sequence[UUID], at: datetime, *, reports: bool = False
) -> None:
    """Let calls be opened; `reports`: as reports, whatever they were taken for.

    Their rows are locked; the caller appends the event that tells of each.
    """
    await conn.execute(
        text(
            "UPDATE submissions SET state = 'received', open_at = :at, open_tries = 0,"
            " report = CASE WHEN :r THEN jsonb_set(report, '{call,report}', 'true') ELSE report END"
            " WHERE submission_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(calls), "at": at, "r": reports},
    )
    await conn.execute(
        text(
            "UPDATE cases SET status = 'submitted' WHERE status = 'no_case'"
            " AND submission_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(calls)},
    )


async def list_own(
    conn: AsyncConnection, actor: str, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Return the calls that somebody took, the newest first, with `seq`, their place in order."""
    rows = await conn.execute(
        text(
            "SELECT seq, submission_id AS call_id, case_ids, state, received_at, test,"
            " report #>> '{call,kind}' AS kind, report #>> '{call,caller}' AS caller"
            " FROM submissions WHERE channel = 'helpline' AND actor = :a"
            " AND (CAST(:b AS bigint) IS NULL OR seq < :b) ORDER BY seq DESC LIMIT :n"
        ),
        {"a": actor, "b": before, "n": limit},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  (SQLAlchemy's public name)


async def silences_of(conn: AsyncConnection, submissions: Sequence[UUID]) -> dict[UUID, int]:
    """Count for each silent call those of its number within a day, itself included.

    A call of a withheld number is in no count. Test calls count nowhere (SAFETY 30).
    """
    rows = await conn.execute(
        text(
            "SELECT s.submission_id, count(*) AS n FROM submissions s"
            " JOIN submissions b ON b.sender = s.sender AND b.channel = 'helpline'"
            " AND b.received_at > s.received_at - CAST(:day AS interval)"
            " AND b.received_at <= s.received_at AND NOT b.test"
            " AND b.report #>> '{call,kind}' = 'silent'"
            " WHERE s.submission_id = ANY(CAST(:ids AS uuid[])) AND s.channel = 'helpline'"
            " AND NOT s.test AND s.report #>> '{call,kind}' = 'silent' GROUP BY 1"
        ),
        {"ids": list(submissions), "day": DAY},
    )
    return {row.submission_id: row.n for row in rows}
