"""Deadlines as actors: one timer a referral, which looks at it when something of it may be due.

What is due lies in the referral (`silence.next_look`); the timer only wakes, in any process of the
service, whichever rules it runs. Timers are found without a lock, then the case is locked, then the
timer is deleted (DECISIONS 14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from services.referral import store
from services.referral.silence import DUE
from shared.outbox import Stamp
from shared.timers import Timer, TimerKind

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.service import Referrals
    from shared.clock import Clock


def make_timers(referrals: Referrals, clock: Clock) -> list[TimerKind]:
    """Make the kinds of timers of this service."""

    async def look(conn: AsyncConnection, timer: Timer) -> None:
        stamp = Stamp(clock(), "service:referral.deadlines")
        await referrals.fall_due(conn, UUID(timer.subject), _case_of(timer), stamp)

    return [TimerKind(DUE, look, _lock_case)]


def _case_of(timer: Timer) -> UUID:
    return UUID(timer.payload["case_id"])


async def _lock_case(conn: AsyncConnection, timer: Timer) -> None:
    await store.lock_cases(conn, [_case_of(timer)])
