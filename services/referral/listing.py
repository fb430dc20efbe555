"""The use cases of the directory: an offer is listed or changed, its free places are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.referral import listing_store, offers_store, store
from services.referral.calendars import parse_hours
from services.referral.freshness import expire_later
from shared.errors import InvalidBody, NotFound
from shared.events import DIRECTORY, REFERRALS, CapacityChanged, Draft, OfferListed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.outbox import Outbox, Stamp


async def list_offer(
    conn: AsyncConnection, outbox: Outbox, row: Mapping[str, Any], stamp: Stamp
) -> dict[str, Any]:
    """Store an offer that a person lists or changes, with its event; return it.

    Raises:
        InvalidBody: there is no such provider.

    """
    if await offers_store.find_provider(conn, row["provider_id"]) is None:
        raise InvalidBody(None, errors=[{"field": "provider_id", "rule": "unknown"}])
    stored = {**row, "needs": ";".join(row["needs"]), "languages": ";".join(row["languages"])}
    stored["schedules"] = "\n".join(row["schedules"] or parse_hours(row["hours"]))
    changed = await listing_store.save_offers(conn, [stored], stamp.at, edited=True)
    found = await offers_store.find_offer(conn, row["offer_id"])
    if found is None:
        raise NotFound
    if changed:
        names = ["offer_id", "provider_id", "needs", "area_level", "area_pcode", "enrolment"]
        names += ["min_age", "max_age", "sex", "version"]
        listed = OfferListed(**{name: found[name] for name in names})
        draft = Draft(DIRECTORY, "offer-listed", found["offer_id"], listed)
        await outbox.append(conn, [(draft, stamp)])
        counted = found["places_free"] is not None
        await expire_later(
            conn, found["offer_id"], found["capacity_at"] if counted else None, stamp.at
        )
        await store.hasten(conn, found["needs"], stamp.at)
    return found


async def change_capacity(
    conn: AsyncConnection,
    outbox: Outbox,
    offer: Mapping[str, Any],
    free: int | None,
    total: int | None,
    stamp: Stamp,
) -> dict[str, Any]:
    """Set how many places a locked offer has free, with its event; return the offer."""
    offer_id, total = offer["offer_id"], offer["places_total"] if total is None else total
    await listing_store.set_capacity(conn, offer_id, free, total, stamp.at)
    data = CapacityChanged(
        offer_id=offer_id,
        provider_id=offer["provider_id"],
        places_free=free,
        places_total=total,
    )
    draft = Draft(REFERRALS, "capacity-changed", offer_id, data, tuple(offer["needs"]))
    await outbox.append(conn, [(draft, stamp)])
    await expire_later(conn, offer_id, None if free is None else stamp.at, stamp.at)
    if free is None or free > 0:
        await store.hasten(conn, offer["needs"], stamp.at)
    return {**offer, "places_free": free, "places_total": total, "capacity_at": stamp.at}
