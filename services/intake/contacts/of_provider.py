"""How the workers of a referral's provider are reached, at the moment of sending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.intake.contacts import workers_store
from shared.vocabulary import ReferralState

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.numbers import Numbers


_BEFORE: Final = (ReferralState.PLANNED, ReferralState.WAITING)


async def reach_provider(
    conn: AsyncConnection, numbers: Numbers, referral_id: UUID | None, ways: Collection[str]
) -> dict[str, Any]:
    """Answer where the provider that has a referral hears of it, or that it is withheld and why.

    `not-yet`: it is not known here that somebody has it; `taken`: it waits for no answer any more;
    `no-worker`: nobody of the provider is reached by us. The first way of `ways` that a worker has,
    and the worker who was entered first.
    """
    found = None if referral_id is None else await workers_store.standing_of(conn, referral_id)
    if found is None or found.provider_id is None or found.state in _BEFORE:
        return _withheld("not-yet")
    if found.state != ReferralState.ASSIGNED:
        return _withheld("taken")
    known = await workers_store.contacts_of(conn, found.provider_id)
    for way in ways:
        one = next((one for one in known if one.way == way), None)
        if one is not None:
            where = "address" if way == "email" else "number"
            opened = numbers.open(one.number_id, one.sealed)
            return {"decision": "contact", "way": way, where: opened, "urgency": found.urgency}
    return _withheld("no-worker")


def _withheld(reason: str) -> dict[str, Any]:
    return {"decision": "withheld", "reason": reason, "urgency": None}
