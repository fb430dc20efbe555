"""SQL of the steps that people take with cases: an append-only list, and what is sealed of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec

from services.intake.casework.rules import is_night
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Taken:
    """A step: its kind, who took it, when, on which version of the case, and coarse details.

    `note` names what is sealed of it with the person; None when nothing is.
    """

    kind: str
    by: str
    at: datetime
    version: int
    detail: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    step_id: UUID = field(default_factory=uuid4)


async def add_step(conn: AsyncConnection, case_id: UUID, step: Taken) -> None:
    """Store a step; none is ever changed."""
    await conn.execute(
        text(
            "INSERT INTO case_steps (step_id, case_id, kind, by, at, version, detail, note,"
            " night) VALUES (:i, :c, :k, :by, :at, :v, CAST(:d AS jsonb), :n, :night)"
        ),
        {
            "i": step.step_id,
            "c": case_id,
            "k": step.kind,
            "by": step.by,
            "at": step.at,
            "v": step.version,
            "d": msgspec.json.encode(step.detail).decode(),
            "n": step.note,
            "night": is_night(step.at),
        },
    )


async def steps_of(conn: AsyncConnection, case_id: UUID, kind: str | None = None) -> list[Taken]:
    """Return the steps of a case, or those of a kind, oldest first."""
    rows = await conn.execute(
        text(
            "SELECT kind, by, at, version, detail, note, step_id FROM case_steps"
            " WHERE case_id = :c AND (CAST(:k AS text) IS NULL OR kind = :k)"
            " ORDER BY at, version, step_id"
        ),
        {"c": case_id, "k": kind},
    )
    return [_taken(row) for row in rows]


def _taken(row: Any) -> Taken:  # noqa: ANN401  (a database row)
    detail = row.detail
    known = msgspec.json.decode(detail) if isinstance(detail, str | bytes) else detail
    return Taken(row.kind, row.by, row.at, row.version, known, row.note, row.step_id)


async def open_cases_of(conn: AsyncConnection, worker: str) -> int:
    """Count the open cases that a worker has."""
    found = await conn.scalar(
        text(
            "SELECT count(*) FROM cases WHERE facts #>> '{work,worker}' = :w"
            " AND status IN ('open', 'review_due')"
        ),
        {"w": worker},
    )
    return int(found or 0)


async def loads(
    conn: AsyncConnection, since: datetime, heavy: Sequence[str], week: datetime
) -> list[dict[str, Any]]:
    """Return each pseudonym's open cases, those at T0, and the steps, also by night, since then.

    `heavy` are concerns: cases with one of them, or at T0, that somebody took on since `week`.
    """
    rows = await conn.execute(
        text(
            "WITH held AS (SELECT regexp_replace(facts #>> '{work,worker}', '^.*:', '') AS who,"
            "  count(*) AS open_cases, count(*) FILTER (WHERE facts ->> 'urgency' = 'T0') AS t0"
            "  FROM cases WHERE status IN ('open', 'review_due')"
            "  AND facts #>> '{work,worker}' IS NOT NULL GROUP BY 1),"
            " done AS (SELECT regexp_replace(by, '^.*:', '') AS who, count(*) AS steps,"
            "  count(*) FILTER (WHERE night) AS by_night FROM case_steps WHERE at > :since"
            "  AND by NOT LIKE 'service:%' GROUP BY 1),"
            " taken AS (SELECT"
            "  regexp_replace(coalesce(detail ->> 'worker', by), '^.*:', '') AS who,"
            "  count(DISTINCT case_id) AS heavy_this_week FROM case_steps s JOIN cases c USING"
            "  (case_id) WHERE s.at > :week AND s.kind IN ('assign', 'claim')"
            "  AND (facts ->> 'urgency' = 'T0' OR facts -> 'concerns' ?| CAST(:heavy AS text[]))"
            "  GROUP BY 1)"
            " SELECT who, coalesce(open_cases, 0) AS open_cases,"
            " coalesce(t0, 0) AS t0, coalesce(steps, 0) AS steps,"
            " coalesce(by_night, 0) AS by_night,"
            " coalesce(heavy_this_week, 0) AS heavy_this_week FROM held FULL JOIN done USING (who)"
            " FULL JOIN taken USING (who) ORDER BY 2 DESC, 1"
        ),
        {"since": since, "heavy": list(heavy), "week": week},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  (SQLAlchemy's public name for it)


async def due_of(conn: AsyncConnection, case_id: UUID) -> list[dict[str, Any]]:
    """Return what will fall due of a case, by kind of timer."""
    rows = await conn.execute(
        text(
            "SELECT kind, due_at FROM timers WHERE subject = :c AND kind LIKE 'case-%'"
            " ORDER BY due_at"
        ),
        {"c": str(case_id)},
    )
    return [{"kind": row.kind, "due_at": row.due_at} for row in rows]


async def count_of_report(conn: AsyncConnection, submission_id: UUID) -> dict[str, int]:
    """Return how many cases one report has come to: of persons, and of a place."""
    rows = await conn.execute(
        text(
            "SELECT count(*) FILTER (WHERE facts ->> 'about' = 'person') AS cases,"
            " count(*) FILTER (WHERE facts ->> 'about' = 'place') AS places"
            " FROM cases WHERE submission_id = :s AND in_reach(facts)"
        ),
        {"s": submission_id},
    )
    row = rows.one()
    return {"cases": row.cases, "places": row.places}


async def previous_of(
    conn: AsyncConnection, submission_id: UUID, linked: Sequence[UUID], case_id: UUID
) -> list[dict[str, Any]]:
    """Return the cases that belong to a case: of the same report, and linked or merged.

    The caller has set how far it reaches (`set_reach`).
    """
    rows = await conn.execute(
        text(
            "SELECT case_id, status, facts ->> 'reason' AS reason, changed_at,"
            " submission_id = :s AS same_report FROM cases WHERE case_id <> :c"
            " AND facts IS NOT NULL AND status <> 'erased'"
            " AND (submission_id = :s OR case_id = ANY(CAST(:l AS uuid[])))"
            " AND in_reach(facts) ORDER BY changed_at, case_id"
        ),
        {"s": submission_id, "c": case_id, "l": list(linked)},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  (likewise)
