"""SQL of notices: who gets one, what became of it, and what came before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.lean import text

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

STATES: Final = ("planned", "sent", "failed", "unknown")
"""What became of a notice to one number; what is being sent counts as planned."""


@dataclass(frozen=True, slots=True)
class Message:
    """A notice: of which set, to which divisions and districts, who decided it and when.

    `districts` are all districts of `places`; both are empty for everywhere.
    """

    message_id: UUID
    set_name: str
    places: tuple[str, ...]
    districts: tuple[str, ...]
    by: str
    planned_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """One sending that is this process's to make; `number` is sealed for `index`."""

    sending_id: UUID
    set_name: str
    index: bytes
    number: bytes
    language: str


async def forget_old(conn: AsyncConnection, before: datetime) -> None:
    """Let go of whom old sendings went to; their count stays."""
    await conn.execute(
        text(
            "UPDATE awareness_sendings SET number_index = NULL"
            " WHERE number_index IS NOT NULL AND state <> 'planned' AND changed_at < :before"
        ),
        {"before": before},
    )


async def plan(
    conn: AsyncConnection,
    message: Message,
    *,
    at: datetime,
    until: datetime,
    same_set: datetime,
    any_set: datetime,
) -> int:
    """Keep a notice and claim those who ask there now; return how many.

    Passed over is who stopped, who has one planned, got one since `any_set`, or this set since
    `same_set`. Two that are planned at once wait for each other.
    """
    await conn.exec_driver_sql("LOCK TABLE awareness_messages IN SHARE ROW EXCLUSIVE MODE")
    values = {
        "id": message.message_id,
        "set": message.set_name,
        "places": list(message.places),
        "districts": list(message.districts),
        "by": message.by,
        "at": at,
    }
    await conn.execute(
        text(
            "INSERT INTO awareness_messages (message_id, set_name, places, districts, planned_by,"
            " planned_at) VALUES (:id, :set, :places, :districts, :by, :at)"
        ),
        values,
    )
    done = await conn.execute(
        text(
            "INSERT INTO awareness_sendings (sending_id, message_id, number_index, state,"
            " not_before, send_before, changed_at)"
            " SELECT gen_random_uuid(), :id, a.number_index, 'planned', :at, :until, :at"
            " FROM awareness_subscribers a"
            " WHERE (:everywhere OR a.district = ANY(CAST(:districts AS text[])))"
            " AND NOT EXISTS (SELECT 1 FROM stopped_numbers n WHERE n.number = a.number_index)"
            " AND NOT EXISTS (SELECT 1 FROM awareness_sendings s"
            "  JOIN awareness_messages m USING (message_id)"
            "  WHERE s.number_index = a.number_index AND s.state <> 'failed'"
            "  AND (s.state = 'planned' OR s.changed_at > :any_set"
            "   OR (m.set_name = :set AND s.changed_at > :same_set)))"
        ),
        {
            **{name: values[name] for name in ("id", "set", "districts", "at")},
            "until": until,
            "everywhere": not message.places,
            "any_set": any_set,
            "same_set": same_set,
        },
    )
    return done.rowcount


async def give_up(conn: AsyncConnection, at: datetime, lost: datetime) -> dict[str, int]:
    """End what is too late, and what was being sent by a process that died; return how many."""
    rows = await conn.execute(
        text(
            "UPDATE awareness_sendings SET changed_at = :at,"
            " state = CASE state WHEN 'planned' THEN 'failed' ELSE 'unknown' END"
            " WHERE (state = 'planned' AND send_before <= :at)"
            " OR (state = 'sending' AND changed_at < :lost) RETURNING state"
        ),
        {"at": at, "lost": lost},
    )
    found = [row.state for row in rows]
    return {state: found.count(state) for state in set(found)}


async def claim(conn: AsyncConnection, at: datetime) -> Claimed | None:
    """Claim the next sending to somebody who still asks; None when nothing is due."""
    rows = await conn.execute(
        text(
            "WITH next AS (SELECT s.sending_id, a.number_index, a.number, a.language"
            "  FROM awareness_sendings s JOIN awareness_subscribers a USING (number_index)"
            "  WHERE s.state = 'planned' AND s.not_before <= :at AND s.send_before > :at"
            "  AND NOT EXISTS (SELECT 1 FROM stopped_numbers n WHERE n.number = a.number_index)"
            "  ORDER BY s.not_before, s.sending_id LIMIT 1 FOR UPDATE OF s, a SKIP LOCKED)"
            " UPDATE awareness_sendings s SET state = 'sending', changed_at = :at"
            " FROM next, awareness_messages m"
            " WHERE s.sending_id = next.sending_id AND m.message_id = s.message_id"
            " RETURNING s.sending_id, m.set_name, next.number_index, next.number, next.language"
        ),
        {"at": at},
    )
    row = rows.first()
    return None if row is None else Claimed(row[0], row[1], bytes(row[2]), bytes(row[3]), row[4])


async def mark(
    conn: AsyncConnection, sending_id: UUID, state: str, at: datetime, again: datetime | None = None
) -> None:
    """Note what became of a sending; `again` is when one that was certainly not sent is due."""
    await conn.execute(
        text(
            "UPDATE awareness_sendings SET state = :s, changed_at = :at,"
            " not_before = coalesce(:again, not_before) WHERE sending_id = :id"
        ),
        {"s": state, "at": at, "again": again, "id": sending_id},
    )


async def list_messages(
    conn: AsyncConnection, around: timedelta, most: int
) -> list[tuple[Message, dict[str, int], int, int]]:
    """Return the latest notices: how many are in each state, and reports from there around it.

    Days are those of Dhaka; the day of the notice belongs to what came after. Test reports count
    nowhere, and those whose district is not known only where a notice went everywhere.
    """
    rows = await conn.execute(
        text(
            "WITH latest AS (SELECT message_id, set_name, places, districts, planned_by,"
            "   planned_at, date_trunc('day', planned_at AT TIME ZONE 'Asia/Dhaka')"
            "     AT TIME ZONE 'Asia/Dhaka' AS day FROM awareness_messages"
            "   ORDER BY planned_at DESC, message_id LIMIT :most)"
            " SELECT m.message_id, m.set_name, m.places, m.districts, m.planned_by, m.planned_at,"
            " g.planned, g.sent, g.failed, g.unknown, r.before, r.after FROM latest m"
            " CROSS JOIN LATERAL (SELECT"
            "   count(*) FILTER (WHERE state IN ('planned', 'sending')) AS planned,"
            "   count(*) FILTER (WHERE state = 'sent') AS sent,"
            "   count(*) FILTER (WHERE state = 'failed') AS failed,"
            "   count(*) FILTER (WHERE state = 'unknown') AS unknown"
            "   FROM awareness_sendings s WHERE s.message_id = m.message_id) g"
            " CROSS JOIN LATERAL ("
            "  SELECT count(DISTINCT submission_id) FILTER (WHERE s.received_at < m.day) AS before,"
            "     count(DISTINCT submission_id) FILTER (WHERE s.received_at >= m.day) AS after"
            "   FROM cases c JOIN submissions s USING (submission_id)"
            "   WHERE (cardinality(m.places) = 0 OR c.facts ->> 'district' = ANY(m.districts))"
            "     AND c.facts IS NOT NULL AND NOT s.test"
            "     AND s.received_at >= m.day - CAST(:around AS interval)"
            "     AND s.received_at < m.day + CAST(:around AS interval)) r"
            " ORDER BY m.planned_at DESC, m.message_id"
        ),
        {"around": around, "most": most},
    )
    return [
        (
            Message(row[0], row[1], tuple(row[2]), tuple(row[3]), row[4], row[5]),
            dict(zip(STATES, row[6:10], strict=True)),
            row[10],
            row[11],
        )
        for row in rows
    ]
