"""How whoever was paged about a case is reached, at the moment of sending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.intake.casework.paging import PAGES
from services.intake.casework.paging_store import find_paged, is_unclaimed
from services.intake.casework.roster import way_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.numbers import Numbers


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
        return _withheld("taken")
    person = await find_paged(conn, case_id, page) if page is not None else None
    way = await way_of(conn, person, at) if person is not None else None
    if way is None:
        return _withheld("no-number")
    if way.way == "desk":
        return _withheld("at-desk")
    if way.way not in ways:
        return _withheld("no-safe-way")
    if way.number is None:
        return _withheld("no-number")
    opened = numbers.open(way.duty_id, way.number)
    where = "address" if way.way == "push" else "number"
    return {"decision": "contact", "way": way.way, where: opened, "urgency": "T0"}


def _withheld(reason: str) -> dict[str, Any]:
    return {"decision": "withheld", "reason": reason, "urgency": "T0"}
