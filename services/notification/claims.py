"""All SQL of serving subscriptions: who is due, who holds it, what became of each attempt.

Transactions are the callers'. A claim is a lease on the subscription's row, so that one notice a
subscription is in flight, and a worker that died is followed by another. Lock order: subscriptions
by id, then notices, then the outbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from services.notification.domain import (
    Entry,
    Head,
    NoticeId,
    ProviderId,
    Standing,
    SubscriptionId,
)
from services.notification.feed import ENTRY_COLUMNS, entry_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.domain import Answer, Why

WITHHOLD: Final = 200
"""Notices withheld in one statement."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A subscription that this worker serves alone until its lease ends; the secret is sealed."""

    id: SubscriptionId
    organisation: ProviderId
    url: str
    secret: bytes
    standing: Standing
    failures: int


_CLAIMED: Final = "s.id, s.organisation, s.url, s.secret, s.standing, s.failures"


def _claimed(row: Row[Any]) -> Claimed:
    return Claimed(
        SubscriptionId(row.id),
        ProviderId(row.organisation),
        row.url,
        bytes(row.secret),
        Standing(row.standing),
        row.failures,
    )


_CLAIM: Final = text(
    "WITH found AS (SELECT id FROM subscriptions WHERE due_at <= :at AND slow = :slow"  # noqa: S608
    " AND (leased_until IS NULL OR leased_until <= :at)"
    " ORDER BY due_at LIMIT :n FOR NO KEY UPDATE SKIP LOCKED)"
    " UPDATE subscriptions s SET leased_until = :until, holder = :holder FROM found"
    f" WHERE s.id = found.id RETURNING {_CLAIMED}"
)


async def claim(
    conn: AsyncConnection, at: datetime, until: datetime, holder: str, limit: int, *, slow: bool
) -> list[Claimed]:
    """Claim due subscriptions that nobody holds; a lease that ran out is taken again."""
    rows = await conn.execute(
        _CLAIM,
        {"at": at, "until": until, "holder": holder, "n": limit, "slow": slow},
    )
    return [_claimed(row) for row in rows]


_FIND_HELD: Final = text(
    f"SELECT {_CLAIMED} FROM subscriptions s WHERE id = :id AND lease = :lease"  # noqa: S608
    " FOR NO KEY UPDATE"
)


async def find_held(
    conn: AsyncConnection, subscription_id: SubscriptionId, lease: UUID
) -> Claimed | None:
    """Lock a subscription that is still held under this lease; None if it was taken away."""
    rows = await conn.execute(
        _FIND_HELD,
        {"id": subscription_id, "lease": lease},
    )
    row = rows.first()
    return None if row is None else _claimed(row)


_HEADS: Final = text(
    f"SELECT n.subscription_id, n.notice_id, n.attempt, n.useful_until, f.arrived_at,"  # noqa: S608
    f" {ENTRY_COLUMNS}, f.feed_seq = 1 OR EXISTS (SELECT 1 FROM feed p"
    " WHERE p.organisation = f.organisation AND p.feed_seq = f.feed_seq - 1) AS follows"
    " FROM unnest(CAST(:ids AS uuid[])) AS s (id) CROSS JOIN LATERAL"
    " (SELECT * FROM notices w WHERE w.subscription_id = s.id AND w.state = 'waiting'"
    " ORDER BY w.feed_seq LIMIT 1) n"
    " JOIN feed f ON f.organisation = n.organisation AND f.feed_seq = n.feed_seq"
)


async def list_heads(
    conn: AsyncConnection, ids: Sequence[SubscriptionId]
) -> dict[SubscriptionId, Head]:
    """Read the first waiting notice of each subscription. Lock the subscriptions before."""
    rows = await conn.execute(
        _HEADS,
        {"ids": list(ids)},
    )
    return {
        SubscriptionId(row.subscription_id): Head(
            NoticeId(row.notice_id),
            entry_from(row),
            row.attempt,
            row.useful_until,
            row.arrived_at,
            row.follows,
        )
        for row in rows
    }


_BEGIN: Final = text(
    "WITH x AS (SELECT * FROM unnest(CAST(:s AS uuid[]), CAST(:n AS uuid[]),"
    " CAST(:l AS uuid[])) AS t (s, n, l)), counted AS (UPDATE notices SET"
    " attempt = attempt + 1 FROM x WHERE notice_id = x.n)"
    " UPDATE subscriptions SET lease = x.l, leased_until = :until FROM x WHERE id = x.s"
)


async def begin_attempts(
    conn: AsyncConnection, sends: Sequence[tuple[UUID, UUID, UUID]], until: datetime
) -> None:
    """Count an attempt and set the lease of each (subscription, notice, lease)."""
    await conn.execute(
        _BEGIN,
        {
            "s": [s for s, _, _ in sends],
            "n": [n for _, n, _ in sends],
            "l": [lease for _, _, lease in sends],
            "until": until,
        },
    )


_REST: Final = text(
    "UPDATE subscriptions SET lease = NULL, leased_until = NULL, due_at = x.d"
    " FROM unnest(CAST(:s AS uuid[]), CAST(:d AS timestamptz[])) AS x (s, d)"
    " WHERE id = x.s"
)


async def rest(
    conn: AsyncConnection, rests: Sequence[tuple[SubscriptionId, datetime | None]]
) -> None:
    """Let go of subscriptions, each due again at its time, or when something new comes."""
    await conn.execute(
        _REST,
        {"s": [s for s, _ in rests], "d": [due for _, due in rests]},
    )


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


async def free_holder(conn: AsyncConnection, holder: str) -> int:
    """Let go of what this replica held when it died; return how many subscriptions."""
    rows = await conn.execute(
        text(
            "UPDATE subscriptions SET lease = NULL, leased_until = NULL"
            " WHERE holder = :holder AND leased_until IS NOT NULL RETURNING id"
        ),
        {"holder": holder},
    )
    return len(rows.all())
