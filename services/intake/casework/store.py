"""SQL of the desk: tasks, the referrals it knows of, proposals to close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from services.intake.casework.review import Attempt, Closing
from services.intake.casework.tasks import CONTACT_BOUNCED, SAFEGUARDING
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.tasks import Task

    Cursor = tuple[int, int]


async def attempts_of(
    conn: AsyncConnection, cases: Collection[UUID]
) -> dict[UUID, dict[UUID, Attempt]]:
    """Return the known referrals of cases, by case and referral."""
    rows = await conn.execute(
        text(
            "SELECT case_id, referral_id, need, attempt, state, how_much, urgency, version,"
            " provider_id FROM case_referrals WHERE case_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(cases)},
    )
    found: dict[UUID, dict[UUID, Attempt]] = {case_id: {} for case_id in cases}
    for row in rows:
        found[row.case_id][row.referral_id] = Attempt(*row[1:])
    return found


async def received_of(conn: AsyncConnection, cases: Collection[UUID]) -> dict[UUID, datetime]:
    """Return when the report of each case came."""
    rows = await conn.execute(
        text(
            "SELECT c.case_id, s.received_at FROM cases c JOIN submissions s USING (submission_id)"
            " WHERE c.case_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(cases)},
    )
    return {row.case_id: row.received_at for row in rows}


async def save_attempts(conn: AsyncConnection, attempts: Sequence[tuple[UUID, Attempt]]) -> None:
    """Store what the desk now knows of referrals; an older version never wins."""
    if not attempts:
        return
    await conn.execute(
        text(
            "INSERT INTO case_referrals AS r (referral_id, case_id, need, attempt, state, how_much,"
            " urgency, version, provider_id) SELECT * FROM unnest(CAST(:r AS uuid[]),"
            " CAST(:c AS uuid[]), CAST(:n AS text[]), CAST(:a AS integer[]), CAST(:s AS text[]),"
            " CAST(:h AS text[]), CAST(:u AS text[]), CAST(:v AS integer[]), CAST(:p AS text[]))"
            " AS t (r, c, n, a, s, h, u, v, p) ORDER BY r"
            " ON CONFLICT (referral_id) DO UPDATE SET state = excluded.state,"
            " how_much = excluded.how_much, urgency = excluded.urgency,"
            " version = excluded.version, provider_id = excluded.provider_id"
            " WHERE r.version < excluded.version"
        ),
        {
            "r": [a.referral_id for _, a in attempts],
            "c": [case_id for case_id, _ in attempts],
            "n": [a.need for _, a in attempts],
            "a": [a.attempt for _, a in attempts],
            "s": [a.state for _, a in attempts],
            "h": [a.how_much for _, a in attempts],
            "u": [a.urgency for _, a in attempts],
            "v": [a.version for _, a in attempts],
            "p": [a.provider_id for _, a in attempts],
        },
    )


async def open_tasks(
    conn: AsyncConnection, tasks: Sequence[tuple[UUID, Task, str | None]], at: datetime
) -> None:
    """Open tasks of cases, each named to somebody or nobody.

    A task that is open already about the same thing is brought to its new level and urgency.
    """
    await conn.execute(
        text(
            "INSERT INTO tasks AS k (task_id, case_id, kind, about, urgency, level, named, detail,"
            " opened_at) SELECT i, c, k, a, u, l, n, d, :at FROM unnest(CAST(:i AS uuid[]),"
            " CAST(:c AS uuid[]), CAST(:k AS text[]), CAST(:a AS uuid[]), CAST(:u AS text[]),"
            " CAST(:l AS text[]), CAST(:n AS text[]), CAST(:d AS text[]))"
            " AS t (i, c, k, a, u, l, n, d) ORDER BY c, k, a"
            " ON CONFLICT (case_id, kind, about) WHERE state <> 'done' DO UPDATE SET"
            " urgency = least(excluded.urgency, k.urgency), detail = excluded.detail,"
            " level = excluded.level, named = excluded.named,"
            " state = CASE WHEN k.level = excluded.level THEN k.state ELSE 'open' END"
        ),
        {
            "i": [uuid4() for _ in tasks],
            "c": [case_id for case_id, _, _ in tasks],
            "k": [task.kind for _, task, _ in tasks],
            "a": [task.about for _, task, _ in tasks],
            "u": [task.urgency for _, task, _ in tasks],
            "l": [task.level for _, task, _ in tasks],
            "n": [named for _, _, named in tasks],
            "d": [task.detail for _, task, _ in tasks],
            "at": at,
        },
    )


async def end_tasks(
    conn: AsyncConnection,
    ends: Sequence[tuple[UUID, str | None, UUID | None]],
    by: str,
    at: datetime,
) -> None:
    """End the open tasks of (case, kind, about); with None for a kind, all of the case.

    What is before the safeguarding focal person goes on, whatever becomes of the case.
    """
    some = [end for end in ends if end[1] is not None]
    whole = [case_id for case_id, kind, _ in ends if kind is None]
    if some:
        await conn.execute(
            text(
                "UPDATE tasks t SET state = 'done', ended_by = :by, ended_at = :at FROM unnest("
                "CAST(:c AS uuid[]), CAST(:k AS text[]), CAST(:a AS uuid[])) AS x (c, k, a)"
                " WHERE t.case_id = x.c AND t.kind = x.k AND t.about = x.a AND t.state <> 'done'"
            ),
            {
                "by": by,
                "at": at,
                "c": [case_id for case_id, _, _ in some],
                "k": [kind for _, kind, _ in some],
                "a": [about for _, _, about in some],
            },
        )
    if whole:
        await conn.execute(
            text(
                "UPDATE tasks SET state = 'done', ended_by = :by, ended_at = :at"
                " WHERE case_id = ANY(CAST(:c AS uuid[])) AND state <> 'done'"
                " AND level <> :focal"
            ),
            {"by": by, "at": at, "c": whole, "focal": SAFEGUARDING},
        )


_COLUMNS = (
    "task_id, case_id, kind, about, urgency, level, named, detail, state, opened_at, claimed_by,"
    " claimed_at, ended_by, ended_at, outcome"
)


def _task(row: Any) -> dict[str, Any]:  # noqa: ANN401  (a database row)
    found = dict(row._mapping)  # noqa: SLF001  (SQLAlchemy's public name for it)
    found["about"] = found["about"] if found["about"].int else None
    return found


async def list_tasks(
    conn: AsyncConnection,
    *,
    state: str | None,
    kind: str | None,
    case_id: UUID | None,
    after: tuple[str, str, str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Read tasks worst first: by urgency, then the oldest; `after` is (urgency, opened, id)."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM tasks"  # noqa: S608
            " WHERE CASE WHEN CAST(:s AS text) IS NULL THEN state <> 'done' ELSE state = :s END"
            " AND (CAST(:k AS text) IS NULL OR kind = :k)"
            " AND (CAST(:c AS uuid) IS NULL OR case_id = :c)"
            " AND (CAST(:id AS uuid) IS NULL OR (coalesce(urgency, 'T9'), opened_at, task_id)"
            " > (:u, CAST(CAST(:o AS text) AS timestamptz), CAST(:id AS uuid)))"
            " ORDER BY coalesce(urgency, 'T9'), opened_at, task_id LIMIT :n"
        ),
        {
            "s": state,
            "k": kind,
            "c": case_id,
            "u": after[0] if after else None,
            "o": after[1] if after else None,
            "id": UUID(after[2]) if after else None,
            "n": limit,
        },
    )
    return [_task(row) for row in rows]


async def lock_task(conn: AsyncConnection, task_id: UUID) -> dict[str, Any] | None:
    """Lock and read one task; None if it is not there."""
    rows = await conn.execute(
        text(f"SELECT {_COLUMNS} FROM tasks WHERE task_id = :id FOR UPDATE"),  # noqa: S608
        {"id": task_id},
    )
    row = rows.first()
    return None if row is None else _task(row)


async def save_task(conn: AsyncConnection, task: Mapping[str, Any]) -> None:
    """Store who claimed a task, or who ended it and how."""
    await conn.execute(
        text(
            "UPDATE tasks SET state = :state, claimed_by = :claimed_by, claimed_at = :claimed_at,"
            " ended_by = :ended_by, ended_at = :ended_at, outcome = :outcome"
            " WHERE task_id = :task_id"
        ),
        {
            name: task[name]
            for name in (
                "task_id", "state", "claimed_by", "claimed_at", "ended_by", "ended_at", "outcome",
            )
        },
    )  # fmt: skip


async def proposal_of(conn: AsyncConnection, case_id: UUID) -> Closing | None:
    """Return the proposal to close a case that waits for a supervisor."""
    rows = await conn.execute(
        text("SELECT proposed_by, reason FROM closings WHERE case_id = :c"), {"c": case_id}
    )
    row = rows.first()
    return None if row is None else Closing(row.proposed_by, row.reason)


async def save_proposal(
    conn: AsyncConnection, case_id: UUID, closing: Closing, at: datetime
) -> None:
    """Keep a proposal to close; a newer one takes the place of an older."""
    await conn.execute(
        text(
            "INSERT INTO closings (case_id, proposed_by, reason, proposed_at)"
            " VALUES (:c, :by, :r, :at) ON CONFLICT (case_id) DO UPDATE SET"
            " proposed_by = excluded.proposed_by, reason = excluded.reason,"
            " proposed_at = excluded.proposed_at"
        ),
        {"c": case_id, "by": closing.by, "r": closing.reason, "at": at},
    )


async def drop_proposal(conn: AsyncConnection, case_id: UUID) -> None:
    """Forget a proposal to close: it was carried out, and a case opened again needs a new one."""
    await conn.execute(text("DELETE FROM closings WHERE case_id = :c"), {"c": case_id})


async def is_unchecked(conn: AsyncConnection, case_id: UUID) -> bool:
    """Say whether a person must first check how the case's person is reached: a text came back."""
    found = await conn.scalar(
        text(
            "SELECT EXISTS (SELECT 1 FROM tasks"
            " WHERE case_id = :c AND kind = :k AND state <> 'done')"
        ),
        {"c": case_id, "k": CONTACT_BOUNCED},
    )
    return bool(found)
