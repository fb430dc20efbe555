"""Free places with an expiry: told too long ago they count as unknown, and a timer says so.

Routing itself goes by when they were told (`eligibility.free_places`); the timer is for people and
systems: a `capacity-changed` that is `stale` asks the provider to tell them anew, and whoever waits
for one of its needs is looked at again, since a 0 of long ago is no longer a no.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from services.referral import listing_store, offers_store, store
from services.referral.ranking import policy_on
from shared.clock import day_of
from shared.events import REFERRALS, CapacityChanged, Draft
from shared.outbox import Stamp
from shared.timers import Timer, TimerKind, cancel, schedule_many

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.clock import Clock
    from shared.outbox import Outbox

STALE: Final = "referral.capacity"
"""Kind of the one timer of an offer whose free places were told."""


AFTER: Final = timedelta(seconds=1)
"""By how much the timer is later than the expiry: at the very moment the places count still."""


async def expire_later(
    conn: AsyncConnection, offer_id: str, told_at: datetime | None, at: datetime
) -> None:
    """Set the timer for places told at `told_at`, or take it back where none are told."""
    if told_at is None:
        await cancel(conn, STALE, offer_id)
        return
    await expire_all_later(conn, {offer_id: told_at}, at)


async def expire_all_later(
    conn: AsyncConnection, told: Mapping[str, datetime], at: datetime
) -> None:
    """Set the timers of many offers for places told then; what is stale already fires at once."""
    after = policy_on(day_of(at)).stale_after + AFTER
    due: dict[str, tuple[datetime, dict[str, Any]]] = {
        offer_id: (told_at + after, {}) for offer_id, told_at in told.items()
    }
    await schedule_many(conn, STALE, due, set_at=at)


def make_timer(outbox: Outbox, clock: Clock) -> TimerKind:
    """Make the kind of timer that says that an offer's places were told too long ago."""

    async def fire(conn: AsyncConnection, timer: Timer) -> None:
        at, offer = clock(), await offers_store.find_offer(conn, timer.subject)
        if offer is None or offer["places_free"] is None or offer["capacity_at"] is None:
            return
        told_at = min(offer["capacity_at"], at)
        if told_at < offer["capacity_at"]:  # told by a clock that ran ahead
            await listing_store.set_told_at(conn, timer.subject, told_at)
        if at - told_at <= policy_on(day_of(at)).stale_after:
            await expire_later(conn, timer.subject, told_at, at)
            return
        await outbox.append(conn, [(_told(offer), Stamp(at, "service:referral.deadlines"))])
        await store.hasten(conn, offer["needs"], at)

    return TimerKind(STALE, fire, _lock_offer)


def _told(offer: Mapping[str, Any]) -> Draft:
    data = CapacityChanged(
        offer_id=offer["offer_id"],
        provider_id=offer["provider_id"],
        places_free=None,
        places_total=offer["places_total"],
        stale=True,
    )
    return Draft(REFERRALS, "capacity-changed", offer["offer_id"], data, tuple(offer["needs"]))


async def _lock_offer(conn: AsyncConnection, timer: Timer) -> None:
    await offers_store.find_offer(conn, timer.subject, lock=True)
