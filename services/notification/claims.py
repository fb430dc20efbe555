"""SQL of serving subscriptions: who is due, who holds it, what is next; outcomes.py has the rest.

Transactions are the callers'. A claim is a lease on the subscription's row, so that one notice a
subscription is in flight, and a worker that died is followed by another. Lock order: subscriptions
by id, then notices, then the outbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.notification.domain import (
    Head,
    NoticeId,
    ProviderId,
    Standing,
    SubscriptionId,
)
from services.notification.feed import ENTRY_COLUMNS, entry_from
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection


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
    f"SELECT n.subscription_id, n.notice_id, n.attempt, n.useful_until, {ENTRY_COLUMNS},"  # noqa: S608
    " f.feed_seq <= coalesce(h.complete, 0) AS follows"
    " FROM unnest(CAST(:ids AS uuid[])) AS s (id) CROSS JOIN LATERAL"
    " (SELECT * FROM notices w WHERE w.subscription_id = s.id AND w.state = 'waiting'"
    " ORDER BY w.feed_seq LIMIT 1) n"
    " JOIN feed f ON f.organisation = n.organisation AND f.feed_seq = n.feed_seq"
    " LEFT JOIN feed_heads h ON h.organisation = f.organisation"
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
