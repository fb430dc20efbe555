"""Once a day: who has turned 18, and what was kept long enough. One timer does it, in steps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.intake.consent.of_age import ask_at_18
from services.intake.erasure.retention import keep_to_it
from shared.clock import now
from shared.lean import text
from shared.timers import Timer, TimerKind, schedule

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.erasure.service import Erasures

KIND: Final = "daily"
"""The one timer of this kind has the subject `intake`."""

EVERY: Final = timedelta(days=1)


def make_timer(erasures: Erasures, clock: Callable[[], datetime] = now) -> TimerKind:
    """Make the timer; it sets itself again, at once when more is left."""

    async def fire(conn: AsyncConnection, timer: Timer) -> None:
        at = clock()
        more = await keep_to_it(conn, erasures, at)
        await ask_at_18(conn, at)
        await schedule(conn, KIND, timer.subject, at if more else at + EVERY)

    return TimerKind(KIND, fire)


async def begin(engine: AsyncEngine, at: datetime) -> None:
    """See to it that the timer is set."""
    async with engine.begin() as conn:
        await conn.execute(
            text(
                "INSERT INTO timers (id, kind, subject, due_at) VALUES (gen_random_uuid(), :k,"
                " 'intake', :at) ON CONFLICT DO NOTHING"
            ),
            {"k": KIND, "at": at},
        )
