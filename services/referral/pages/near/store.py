"""SQL of the public list of places of help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.referral.exchange.hsds.confidential import NEEDS as HIDDEN
from shared import places
from shared.lean import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MOST = 60
"""Lines of the list; a need makes it shorter."""

NOT_LISTED = ("police", "up_chair", "ctc_member")
"""Kinds of bodies that nobody is sent to by a list: a person decides about them (SAFETY 6)."""


@dataclass(frozen=True, slots=True)
class Near:
    """One place of help: its names, what it gives, its area, and when it is open as it says."""

    name_bn: str
    name_en: str
    needs: tuple[str, ...]
    area_pcode: str
    mode: str
    hours: str


async def list_near(conn: AsyncConnection, district: str, need: str | None) -> list[Near]:
    """Return who gives help in a district, the nearest areas first, without what is hidden."""
    inside = [p.pcode for p in places.all_places().values() if p.parent == district]
    areas = [district, *sorted(inside), *places.ancestors(district)[1:]]
    rows = await conn.execute(
        text(
            "SELECT p.name_bn, p.name_en, o.needs, o.area_pcode, o.mode, o.hours"
            " FROM unnest(CAST(:areas AS text[])) WITH ORDINALITY AS t (area, place)"
            " JOIN offers o ON o.area_pcode = t.area"
            " JOIN providers p ON p.provider_id = o.provider_id"
            " WHERE o.accepting AND (CAST(:need AS text) IS NULL OR :need = ANY(o.needs))"
            " AND NOT p.kinds && CAST(:not_listed AS text[])"
            " AND NOT EXISTS (SELECT 1 FROM offers other WHERE other.provider_id = o.provider_id"
            " AND other.needs && CAST(:hidden AS text[]))"
            " ORDER BY t.place, p.name_en, o.offer_id LIMIT :most"
        ),
        {
            "areas": areas,
            "need": need,
            "not_listed": list(NOT_LISTED),
            "hidden": sorted(HIDDEN),
            "most": MOST,
        },
    )
    return [Near(r.name_bn, r.name_en, tuple(r.needs), r.area_pcode, r.mode, r.hours) for r in rows]
