"""SQL of serving notices to persons: who sends which, and what became of it.

A claim is a lease on the notice's row. A lease that ran out before the send began is taken by
another; one that ran out in flight makes the notice unknown, and nobody sends it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.notification.limits import HOUR, Begun
from services.notification.person_store import COLUMNS, PersonNotice, notice_from
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.domain import NoticeState
    from services.notification.limits import Limits

_CLAIM: Final = text(
    "WITH found AS (SELECT notice_id FROM person_notices WHERE notifier = :notifier"  # noqa: S608
    " AND state = 'waiting' AND due_at <= :at AND (leased_until IS NULL OR leased_until <= :at)"
    " ORDER BY due_at LIMIT :n FOR NO KEY UPDATE SKIP LOCKED)"
    " UPDATE person_notices n SET lease = gen_random_uuid(), leased_until = :until,"
    f" holder = :holder FROM found WHERE n.notice_id = found.notice_id RETURNING {COLUMNS}, lease"
)


async def claim(
    conn: AsyncConnection, notifier: str, at: datetime, until: datetime, holder: str, limit: int
) -> list[tuple[PersonNotice, UUID]]:
    """Lease due notices that nobody holds, each to one worker; return them with their leases."""
    rows = await conn.execute(
        _CLAIM,
        {"notifier": notifier, "at": at, "until": until, "holder": holder, "n": limit},
    )
    return [(notice_from(row), row.lease) for row in rows]


_UNSIFTED: Final = text(
    "SELECT notice_id, referral_id FROM person_notices WHERE notifier = :notifier"
    " AND state = 'waiting' AND recipient = 'provider' AND referral_id IS NOT NULL AND attempt = 0"
    " AND due_at <= :soon AND useful_until > :at AND (leased_until IS NULL OR leased_until <= :at)"
    " AND notice_id <> ALL (CAST(:sifted AS uuid[])) ORDER BY due_at LIMIT :n"
)


async def unsifted(
    conn: AsyncConnection,
    notifier: str,
    at: datetime,
    soon: datetime,
    sifted: Collection[UUID],
    limit: int,
) -> dict[UUID, UUID]:
    """Return notices to providers that are due by `soon`, untried and free; and their referrals."""
    rows = await conn.execute(
        _UNSIFTED,
        {"notifier": notifier, "at": at, "soon": soon, "sifted": list(sifted), "n": limit},
    )
    return {row.notice_id: row.referral_id for row in rows}


_FREE: Final = (
    " WHERE notice_id = ANY (CAST(:ids AS uuid[])) AND state = 'waiting' AND attempt = 0"
    " AND (leased_until IS NULL OR leased_until <= :at)"
)


async def drop_moot(conn: AsyncConnection, notices: Collection[UUID], at: datetime) -> None:
    """Forget notices that were never tried: nobody was meant."""
    await conn.execute(
        text(f"DELETE FROM person_notices{_FREE}"),  # noqa: S608  (our own words)
        {"ids": list(notices), "at": at},
    )


async def look_later(
    conn: AsyncConnection, notices: Collection[UUID], at: datetime, until: datetime
) -> None:
    """Let notices that were never tried wait until then."""
    await conn.execute(
        text(f"UPDATE person_notices SET due_at = :until{_FREE}"),  # noqa: S608  (our own words)
        {"ids": list(notices), "at": at, "until": until},
    )


_TAKE_TURN: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:turn, 0))")

_MAY_BEGIN: Final = text(
    "SELECT EXISTS (SELECT 1 FROM person_notices o WHERE o.recipient_mark = :mark"
    "  AND o.template = n.template AND o.notice_id <> n.notice_id"
    "  AND o.in_flight_at > CAST(:since AS timestamptz)"
    "  AND o.state IN ('in_flight', 'sent', 'delivered', 'unknown')) AS repeated,"
    " (SELECT count(*) FROM person_notices o WHERE o.recipient_mark = :mark"
    "  AND o.in_flight_at > :hour) >= :each AS crowded,"
    " (SELECT count(*) FROM person_notices o WHERE o.notifier = n.notifier"
    "  AND o.in_flight_at > :hour) >= :all AS full"
    " FROM person_notices n WHERE n.notice_id = :id AND n.lease = :lease AND n.state = 'waiting'"
)

_BEGIN: Final = text(
    "UPDATE person_notices SET state = 'in_flight', attempt = attempt + 1, in_flight_at = :at,"
    " leased_until = :until, recipient_mark = :mark"
    " WHERE notice_id = :id AND lease = :lease AND state = 'waiting' RETURNING attempt"
)


async def begin(
    conn: AsyncConnection,
    notice: PersonNotice,
    lease: UUID,
    mark: bytes,
    *,
    at: datetime,
    until: datetime,
    limits: Limits,
) -> Begun:
    """Put a leased notice in flight, within the limits; commit before the send.

    Two for one recipient, and two of one notifier, take turns: the second sees the first.
    """
    await conn.execute(_TAKE_TURN, {"turn": f"recipient {mark.hex()}"})
    await conn.execute(_TAKE_TURN, {"turn": f"notifier {notice.notifier}"})
    held = {"id": notice.id, "lease": lease, "mark": mark}
    told = await conn.execute(
        _MAY_BEGIN,
        {
            **held,
            "since": at - limits.window if limits.window else None,
            "hour": at - HOUR,
            "each": limits.recipient_per_hour,
            "all": limits.per_hour,
        },
    )
    row = told.first()
    if row is None:
        return Begun.LOST
    if row.repeated or row.crowded or row.full:
        return Begun.REPEATED if row.repeated else Begun.CROWDED if row.crowded else Begun.FULL
    found = await conn.execute(_BEGIN, {**held, "at": at, "until": until})
    return Begun.LOST if found.first() is None else Begun.YES


async def put_off(
    conn: AsyncConnection, notice: PersonNotice, lease: UUID, until: datetime, *, failed: bool
) -> bool:
    """Let a notice wait until then; False if its lease was lost. `failed` counts a try."""
    rows = await conn.execute(
        text(
            "UPDATE person_notices SET state = 'waiting', due_at = :until, lease = NULL,"
            " leased_until = NULL, tries = CASE WHEN :failed THEN tries + 1 ELSE tries END"
            " WHERE notice_id = :id AND lease = :lease AND state IN ('waiting', 'in_flight')"
            " RETURNING notice_id"
        ),
        {"id": notice.id, "lease": lease, "until": until, "failed": failed},
    )
    return rows.first() is not None


async def end(
    conn: AsyncConnection,
    notice: PersonNotice,
    lease: UUID,
    state: NoticeState,
    *,
    reason: str | None,
    status: int | None,
    at: datetime,
    ask_at: datetime | None,
) -> PersonNotice | None:
    """Store what became of a notice; return it as it is now, None if its lease was lost.

    `ask_at`: when the gateway is asked what it did, None for never.
    """
    rows = await conn.execute(
        text(
            "UPDATE person_notices n SET state = :state, reason = :reason, status = :status,"  # noqa: S608
            " ended_at = :at, ask_at = :ask, due_at = NULL, lease = NULL, leased_until = NULL"
            " WHERE notice_id = :id AND lease = :lease AND state IN ('waiting', 'in_flight')"
            f" RETURNING {COLUMNS}"
        ),
        {
            "id": notice.id,
            "lease": lease,
            "state": str(state),
            "reason": reason,
            "status": status,
            "at": at,
            "ask": ask_at,
        },
    )
    row = rows.first()
    return None if row is None else notice_from(row)


async def give_up_interrupted(
    conn: AsyncConnection,
    notifier: str,
    holder: str | None,
    at: datetime,
    ask_at: datetime | None,
) -> list[PersonNotice]:
    """Make what was in flight in a process that died unknown: it is never sent again.

    Those whose lease ran out, and all of `holder` when it is given; return them. `ask_at` as in
    `end`.
    """
    rows = await conn.execute(
        text(
            "WITH found AS (SELECT notice_id FROM person_notices WHERE notifier = :notifier"  # noqa: S608
            " AND state = 'in_flight' AND (leased_until <= :at OR holder = CAST(:holder AS text))"
            " FOR NO KEY UPDATE SKIP LOCKED)"
            " UPDATE person_notices n SET state = 'unknown', reason = 'interrupted',"
            " ended_at = :at, ask_at = :ask, due_at = NULL, lease = NULL, leased_until = NULL"
            f" FROM found WHERE n.notice_id = found.notice_id RETURNING {COLUMNS}"
        ),
        {"notifier": notifier, "holder": holder, "at": at, "ask": ask_at},
    )
    return [notice_from(row) for row in rows]


async def free_waiting(conn: AsyncConnection, notifier: str, holder: str) -> None:
    """Let go of what this replica had leased and not begun when it died."""
    await conn.execute(
        text(
            "UPDATE person_notices SET lease = NULL, leased_until = NULL WHERE notifier = :notifier"
            " AND state = 'waiting' AND holder = :holder AND leased_until IS NOT NULL"
        ),
        {"notifier": notifier, "holder": holder},
    )
