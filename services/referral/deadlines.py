"""Deadlines as actors: silence ends a referral and the next is asked; waiting looks again.

Timers are found without a lock, then the case is locked, then the timer is deleted (DECISIONS 14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from services.referral import store
from services.referral.answers import expire, retry
from services.referral.world import RESPOND, WAITING
from shared.outbox import Stamp
from shared.timers import Timer, TimerKind

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.service import Referrals
    from shared.clock import Clock


def make_timers(referrals: Referrals, clock: Clock) -> list[TimerKind]:
    """Make the kinds of timers of this service."""

    async def on_silence(conn: AsyncConnection, timer: Timer) -> None:
        stamp = Stamp(clock(), "service:referral.deadlines")
        await referrals.fall_due(conn, UUID(timer.subject), _case_of(timer), expire, stamp)

    async def on_waiting(conn: AsyncConnection, timer: Timer) -> None:
        stamp = Stamp(clock(), "service:referral.deadlines")
        await referrals.fall_due(conn, UUID(timer.subject), _case_of(timer), retry, stamp)

    return [
        TimerKind(RESPOND, on_silence, _lock_case),
        TimerKind(WAITING, on_waiting, _lock_case),
    ]


def _case_of(timer: Timer) -> UUID:
    return UUID(timer.payload["case_id"])


async def _lock_case(conn: AsyncConnection, timer: Timer) -> None:
    await store.lock_cases(conn, [_case_of(timer)])
