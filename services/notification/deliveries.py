"""What gateways say later of a message: stored with its event, once, whoever says it how often.

A notice goes from in flight, sent or unknown to delivered or failed, and from unknown to sent; what
is delivered or failed stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.notification import person_fates
from services.notification.domain import NoticeState
from services.notification.facts import person_draft
from services.notification.policy import WAYS
from shared import telemetry
from shared.outbox import Stamp
from shared.sms import Fate
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.notification.person_store import PersonNotice
    from shared.outbox import Outbox

STATES = {
    Fate.SENT: NoticeState.SENT,
    Fate.DELIVERED: NoticeState.DELIVERED,
    Fate.FAILED: NoticeState.FAILED,
}

UNDELIVERED = "undelivered"
"""Why a message that a gateway took has failed, when it says no more."""

_log = Log("deliveries")


class Deliveries:
    """Hears what became of notices; any number of replicas may."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        """Take the flow engine, the outbox and the clock."""
        self._engine = engine
        self._outbox = outbox
        self._clock = clock

    async def hear(self, notice_id: UUID, fate: Fate, way: str, reason: str | None = None) -> bool:
        """Store what became of a notice that went by a way.

        False when it is none of ours, that was known, or it was given to another way since.
        """
        at = self._clock()
        notifiers = [name for name, one in WAYS.items() if one == way]
        why = (reason or UNDELIVERED) if fate is Fate.FAILED else None
        async with self._engine.begin() as conn:
            notice = await person_fates.note_fate(
                conn, notice_id, STATES[fate], why, at, notifiers=notifiers
            )
            if notice is None:
                return False
            await tell(conn, self._outbox, notice, at)
        if fate is Fate.FAILED:
            _log.warning("not-delivered", notice=notice_id, reason=why)
        return True


async def tell(conn: AsyncConnection, outbox: Outbox, notice: PersonNotice, at: datetime) -> None:
    """Append the event that says what became of a notice, and count it."""
    trace = telemetry.current_traceparent() or notice.traceparent
    stamp = Stamp(at, f"service:notification.{notice.notifier}", trace)
    await outbox.append(conn, [(person_draft(notice), stamp)])
    telemetry.NOTICES.labels(notice.notifier, str(notice.state)).inc()
