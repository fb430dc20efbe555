"""SQL of what became of each attempt, of its notice and of its subscription.

Transactions are the callers'. Lock order: subscriptions by id, then notices, then the outbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.notification.domain import Entry, NoticeId, Standing, SubscriptionId
from services.notification.feed import ENTRY_COLUMNS, entry_from
from shared.lean import text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.domain import Why
    from services.notification.verdicts import Answer

WITHHOLD: Final = 200
"""Notices withheld in one statement."""


async def withhold(
    conn: AsyncConnection,
    subscription_id: SubscriptionId,
    reason: Why,
    at: datetime,
    *,
    stale: bool,
) -> list[tuple[NoticeId, int, Entry]]:
    """Withhold up to `WITHHOLD` waiting notices, or only stale ones; return them, feed order."""
    rows = await conn.execute(
        text(
            "WITH gone AS (UPDATE notices n SET state = 'withheld', reason = :reason,"  # noqa: S608
            " ended_at = :at FROM (SELECT notice_id FROM notices"
            " WHERE subscription_id = :s AND state = 'waiting'"
            " AND (NOT :stale OR (attempt = 0 AND useful_until < :at))"
            " ORDER BY feed_seq LIMIT :n) w"
            " WHERE n.notice_id = w.notice_id"
            " RETURNING n.notice_id, n.attempt, n.organisation, n.feed_seq)"
            f" SELECT g.notice_id, g.attempt, {ENTRY_COLUMNS} FROM gone g JOIN feed f"
            " ON f.organisation = g.organisation AND f.feed_seq = g.feed_seq ORDER BY f.feed_seq"
        ),
        {"s": subscription_id, "reason": str(reason), "at": at, "stale": stale, "n": WITHHOLD},
    )
    return [(NoticeId(row.notice_id), row.attempt, entry_from(row)) for row in rows]


async def note_status(conn: AsyncConnection, notice_id: NoticeId, status: int | None) -> None:
    """Store the last HTTP status that a waiting notice got; None if there was no answer."""
    await conn.execute(
        text("UPDATE notices SET status = :status WHERE notice_id = :id AND state = 'waiting'"),
        {"id": notice_id, "status": status},
    )


async def end_notice(
    conn: AsyncConnection, notice_id: NoticeId, reason: Why, status: int | None, at: datetime
) -> bool:
    """Store that a waiting notice failed for good; False if it had ended."""
    rows = await conn.execute(
        text(
            "UPDATE notices SET state = 'failed', reason = :reason, status = :status,"
            " ended_at = :at WHERE notice_id = :id AND state = 'waiting' RETURNING notice_id"
        ),
        {"id": notice_id, "reason": str(reason), "status": status, "at": at},
    )
    return rows.first() is not None


_DELIVER: Final = text(
    "WITH held AS (UPDATE subscriptions SET failures = 0, last_success_at = :at,"
    " last_status = :status, last_trouble = NULL, last_cursor = greatest(last_cursor, :cursor),"
    " slow = :slow WHERE id = :id AND lease = :lease RETURNING standing),"
    " done AS (UPDATE notices SET state = 'delivered', reason = NULL, status = :status,"
    " ended_at = :at FROM held WHERE notice_id = :notice AND state = 'waiting' RETURNING notice_id)"
    " SELECT held.standing, done.notice_id IS NOT NULL AS done FROM held LEFT JOIN done ON true"
)


async def deliver(
    conn: AsyncConnection,
    *,
    subscription_id: SubscriptionId,
    lease: UUID,
    notice_id: NoticeId,
    cursor: int,
    status: int | None,
    slow: bool,
    at: datetime,
) -> tuple[Standing, bool] | None:
    """Store a success in one statement: the notice is told, the failures are forgotten.

    Return the subscription's standing and whether the notice was waiting, and leave the
    subscription's row locked; None if the lease was lost.
    """
    rows = await conn.execute(
        _DELIVER,
        {
            "id": subscription_id,
            "lease": lease,
            "notice": notice_id,
            "cursor": cursor,
            "status": status,
            "slow": slow,
            "at": at,
        },
    )
    row = rows.first()
    return None if row is None else (Standing(row.standing), row.done)


_REST_IDLE: Final = text(
    "UPDATE subscriptions s SET lease = NULL, leased_until = NULL, due_at = NULL WHERE id = :id"
    " AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.subscription_id = :id"
    " AND n.state = 'waiting') RETURNING id"
)


async def rest_idle(conn: AsyncConnection, subscription_id: SubscriptionId) -> bool:
    """Let go of a subscription for which nothing waits; False if something does. Lock it before."""
    return (await conn.execute(_REST_IDLE, {"id": subscription_id})).first() is not None


async def note_failure(
    conn: AsyncConnection, subscription_id: SubscriptionId, answer: Answer, at: datetime
) -> None:
    """Store that a subscription did not take a notice: from now on it is in the slow lane."""
    await conn.execute(
        text(
            "UPDATE subscriptions SET failures = failures + 1, last_failure_at = :at,"
            " last_status = :status, last_trouble = :trouble, slow = true WHERE id = :id"
        ),
        {"id": subscription_id, "at": at, "status": answer.status, "trouble": answer.trouble},
    )


async def end_subscription(
    conn: AsyncConnection,
    subscription_id: SubscriptionId,
    standing: Standing,
    why: Why,
    at: datetime,
) -> None:
    """End a subscription that is locked and active."""
    await conn.execute(
        text(
            "UPDATE subscriptions SET standing = :standing, ended_at = :at, ended_why = :why"
            " WHERE id = :id"
        ),
        {"id": subscription_id, "standing": str(standing), "why": str(why), "at": at},
    )
