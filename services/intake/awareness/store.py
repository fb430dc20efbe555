"""Counts of courtyard talks, and how many reports came from around them. No SQL elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.lean import text

if TYPE_CHECKING:
    from datetime import date, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Talk:
    """A talk that was held: of which set, in which upazila, on which day, and how many came."""

    session_id: UUID
    set_name: str
    place: str
    held_on: date
    women: int
    men: int
    girls: int
    boys: int


async def keep(conn: AsyncConnection, talk: Talk, by: str) -> None:
    """Keep a count; `by` is the pseudonym of who counted, never of who came."""
    await conn.execute(
        text(
            "INSERT INTO awareness_sessions"
            " (session_id, set_name, place, held_on, women, men, girls, boys, counted_by)"
            " VALUES (:id, :set, :place, :day, :women, :men, :girls, :boys, :by)"
        ),
        {
            "id": talk.session_id,
            "set": talk.set_name,
            "place": talk.place,
            "day": talk.held_on,
            "women": talk.women,
            "men": talk.men,
            "girls": talk.girls,
            "boys": talk.boys,
            "by": by,
        },
    )


async def drop(conn: AsyncConnection, session_id: UUID) -> bool:
    """Take a count out; False if there is none."""
    done = await conn.execute(
        text("DELETE FROM awareness_sessions WHERE session_id = :id"), {"id": session_id}
    )
    return done.rowcount > 0


async def list_talks(
    conn: AsyncConnection, around: timedelta, most: int
) -> list[tuple[Talk, int, int]]:
    """Return the latest talks, and how many reports came from each upazila before and after it.

    Days are those of Dhaka; the day of the talk belongs to what came after. Test reports and those
    whose upazila is not known count nowhere.
    """
    rows = await conn.execute(
        text(
            "WITH latest AS (SELECT session_id, set_name, place, held_on, women, men, girls, boys,"
            "   held_on::timestamp AT TIME ZONE 'Asia/Dhaka' AS at FROM awareness_sessions"
            "   ORDER BY held_on DESC, session_id LIMIT :most)"
            " SELECT t.session_id, t.set_name, t.place, t.held_on, t.women, t.men, t.girls, t.boys,"
            " r.before, r.after FROM latest t CROSS JOIN LATERAL ("
            "   SELECT count(DISTINCT submission_id) FILTER (WHERE s.received_at < t.at) AS before,"
            "     count(DISTINCT submission_id) FILTER (WHERE s.received_at >= t.at) AS after"
            "   FROM cases c JOIN submissions s USING (submission_id)"
            "   WHERE c.facts ->> 'upazila' = t.place AND NOT s.test"
            "     AND s.received_at >= t.at - CAST(:around AS interval)"
            "     AND s.received_at < t.at + CAST(:around AS interval)) r"
            " ORDER BY t.held_on DESC, t.session_id"
        ),
        {"around": around, "most": most},
    )
    return [(Talk(*row[:8]), row[8], row[9]) for row in rows]
