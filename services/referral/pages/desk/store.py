"""SQL of the desk's list of free places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection

MOST: Final = 100
"""Offers on one page; who looks for more says where, and for what."""


async def list_places(
    conn: AsyncConnection, need: str | None, areas: Collection[str]
) -> list[dict[str, Any]]:
    """Return offers that take people in some areas: who has free places first, who said it last."""
    rows = await conn.execute(
        text(
            "SELECT o.offer_id, o.provider_id, p.name_bn AS bn, p.name_en AS en, o.needs,"
            " o.area_pcode, o.enrolment, o.accepting, o.places_total, o.places_free, o.capacity_at"
            " FROM offers o JOIN providers p USING (provider_id)"
            " WHERE (CAST(:need AS text) IS NULL OR :need = ANY(o.needs))"
            " AND o.area_pcode = ANY(CAST(:areas AS text[]))"
            " ORDER BY o.accepting DESC, o.places_free DESC NULLS LAST,"
            " o.capacity_at DESC NULLS LAST, o.enrolment = 'active' DESC, o.offer_id LIMIT :n"
        ),
        {"need": need, "areas": sorted(areas), "n": MOST},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  (SQLAlchemy's public name)
