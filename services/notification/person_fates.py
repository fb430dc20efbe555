"""SQL of what is known of notices to people after they were sent, and of those nobody serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.notification.person_store import COLUMNS, PersonNotice, notice_from
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.domain import NoticeState

_NOTE: Final = text(
    "UPDATE person_notices n SET state = :state, reason = :reason, ended_at = :at,"  # noqa: S608
    " ask_at = NULL, due_at = NULL, lease = NULL, leased_until = NULL WHERE notice_id = :id"
    " AND notifier = ANY(CAST(:notifiers AS text[]))"
    " AND state IN ('in_flight', 'sent', 'unknown') AND state <> :state"
    f" RETURNING {COLUMNS}"
)


async def note_fate(
    conn: AsyncConnection,
    notice_id: UUID,
    state: NoticeState,
    reason: str | None,
    at: datetime,
    *,
    notifiers: Collection[str],
) -> PersonNotice | None:
    """Store what a gateway says of a notice that one of its notifiers has.

    Return it; None when it is not ours, was known, or is with a notifier of another way by now.
    """
    rows = await conn.execute(
        _NOTE,
        {
            "id": notice_id,
            "state": str(state),
            "reason": reason,
            "at": at,
            "notifiers": sorted(notifiers),
        },
    )
    row = rows.first()
    return None if row is None else notice_from(row)


_TO_ASK: Final = text(
    "WITH found AS (SELECT notice_id FROM person_notices WHERE notifier = :notifier"  # noqa: S608
    " AND state = 'unknown' AND ask_at <= :at ORDER BY ask_at LIMIT :n"
    " FOR NO KEY UPDATE SKIP LOCKED)"
    " UPDATE person_notices n SET asked = asked + 1, ask_at ="
    " CAST(:at AS timestamptz) + (CAST(:pauses AS interval[]))[n.asked + 1]"
    f" FROM found WHERE n.notice_id = found.notice_id RETURNING {COLUMNS}, n.in_flight_at"
)


async def claim_asks(
    conn: AsyncConnection, notifier: str, at: datetime, pauses: Sequence[timedelta], limit: int
) -> list[tuple[PersonNotice, datetime]]:
    """Return notices whose gateway is to be asked now, with when each was begun.

    Each is due again after the next of `pauses`, and after the last one never.
    """
    rows = await conn.execute(
        _TO_ASK, {"notifier": notifier, "at": at, "pauses": list(pauses), "n": limit}
    )
    return [(notice_from(row), row.in_flight_at) for row in rows]


_UNSERVED: Final = text(
    "UPDATE person_notices n SET state = 'withheld', reason = :reason, ended_at = :at,"  # noqa: S608
    " due_at = NULL, lease = NULL, leased_until = NULL WHERE state = 'waiting'"
    " AND (leased_until IS NULL OR leased_until <= :at) AND (useful_until < :late"
    " OR due_at < CAST(:forgotten AS timestamptz) OR notifier = CAST(:notifier AS text))"
    f" RETURNING {COLUMNS}"
)


async def withhold_unserved(
    conn: AsyncConnection,
    reason: str,
    at: datetime,
    *,
    late: datetime,
    forgotten: datetime | None,
    notifier: str | None,
) -> list[PersonNotice]:
    """Withhold what waits and nobody will send; return it.

    That is whatever was useful until before `late`, what is due since before `forgotten`, and all
    of `notifier`; the last two when they are given.
    """
    rows = await conn.execute(
        _UNSERVED,
        {
            "reason": reason,
            "at": at,
            "late": late,
            "forgotten": forgotten,
            "notifier": notifier,
        },
    )
    return [notice_from(row) for row in rows]


async def hand_over(conn: AsyncConnection, notice_id: UUID, lease: UUID, to: str) -> bool:
    """Give a leased notice, certainly unsent, to another notifier; False if the lease was lost."""
    rows = await conn.execute(
        text(
            "UPDATE person_notices SET notifier = :to, state = 'waiting', lease = NULL,"
            " leased_until = NULL, in_flight_at = NULL, recipient_mark = NULL"
            " WHERE notice_id = :id AND lease = :lease AND state IN ('waiting', 'in_flight')"
            " RETURNING notice_id"
        ),
        {"id": notice_id, "lease": lease, "to": to},
    )
    return rows.first() is not None


async def drop(conn: AsyncConnection, notice_id: UUID, lease: UUID) -> None:
    """Delete a leased notice that was never begun, by no notifier."""
    await conn.execute(
        text(
            "DELETE FROM person_notices WHERE notice_id = :id AND lease = :lease"
            " AND state = 'waiting' AND attempt = 0"
        ),
        {"id": notice_id, "lease": lease},
    )
