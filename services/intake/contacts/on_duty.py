"""How whoever was paged about a case, or gets a digest, is reached at the moment of sending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.intake.casework.paging import PAGES
from services.intake.casework.paging_store import find_paged, is_unclaimed
from services.intake.casework.roster import way_of, way_of_entry

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.numbers import Numbers
    from services.intake.casework.roster import Way


async def reach_on_duty(
    conn: AsyncConnection,
    numbers: Numbers,
    case_id: UUID,
    page: UUID | None,
    at: datetime,
    ways: Collection[str],
) -> dict[str, Any]:
    """Answer the way and number of whom this page of a case is to, or that it is withheld and why.

    `taken`: somebody answered the page already. `at-desk`: they look at the desk by themselves.
    """
    if not await is_unclaimed(conn, case_id, PAGES):
        return _withheld("taken", "T0")
    person = await find_paged(conn, case_id, page)
    way = await way_of(conn, person, at) if person is not None else None
    return _answer(numbers, way, way.way if way else "", ways, "T0")


async def reach_supervisor(
    conn: AsyncConnection, numbers: Numbers, duty_id: UUID, at: datetime, ways: Collection[str]
) -> dict[str, Any]:
    """Answer the way and number of an entry of the roster, or that it is withheld and why.

    A digest never rings: whoever is paged by a call reads it.
    """
    way = await way_of_entry(conn, duty_id, at)
    name = "" if way is None else "sms" if way.way == "call" else way.way
    return _answer(numbers, way, name, ways, None)


def _answer(
    numbers: Numbers, way: Way | None, name: str, ways: Collection[str], urgency: str | None
) -> dict[str, Any]:
    if way is None:
        return _withheld("no-number", urgency)
    if name == "desk":
        return _withheld("at-desk", urgency)
    if name not in ways:
        return _withheld("no-safe-way", urgency)
    if way.number is None:
        return _withheld("no-number", urgency)
    opened = numbers.open(way.duty_id, way.number)
    where = "address" if name == "push" else "number"
    return {"decision": "contact", "way": name, where: opened, "urgency": urgency}


def _withheld(reason: str, urgency: str | None) -> dict[str, Any]:
    return {"decision": "withheld", "reason": reason, "urgency": urgency}
