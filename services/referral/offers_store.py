"""SQL of the directory: providers, offers, and the look-up by need and area."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.referral.eligibility import Offer, Record
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

_ROUTED: Final = (
    "o.offer_id, o.provider_id, o.needs, o.area_level, o.area_pcode, o.min_age, o.max_age, o.sex,"
    " o.enrolment, o.accepting, o.serves_hijra, o.accepts_children, o.court_order, o.places_free,"
    " o.capacity_at, o.open_referrals, o.mode, o.languages, o.schedules, o.max_boy_age_with_mother,"
    " o.step_free, o.sign_language, o.latitude, o.longitude, o.trained_until, o.accredited_until,"
    " o.records, p.kinds"
)


def _offer(row: Any) -> Offer:  # noqa: ANN401  (a database row)
    return Offer(
        offer_id=row.offer_id,
        provider_id=row.provider_id,
        needs=frozenset(row.needs),
        area_level=row.area_level,
        area_pcode=row.area_pcode,
        min_age=row.min_age,
        max_age=row.max_age,
        sex=row.sex,
        kinds=frozenset(row.kinds),
        enrolment=row.enrolment,
        accepting=row.accepting,
        serves_hijra=row.serves_hijra,
        accepts_children=row.accepts_children,
        court_order=row.court_order,
        places_free=row.places_free,
        capacity_at=row.capacity_at,
        open_referrals=row.open_referrals,
        mode=row.mode,
        languages=frozenset(row.languages),
        schedules=tuple(row.schedules),
        max_boy_age_with_mother=row.max_boy_age_with_mother,
        step_free=row.step_free,
        sign_language=row.sign_language,
        latitude=row.latitude,
        longitude=row.longitude,
        trained_until=row.trained_until,
        accredited_until=row.accredited_until,
        records=_records(row.records) if row.records is not None else (),
    )


def _records(told: str | bytes | dict[str, Any]) -> tuple[tuple[str, Record], ...]:
    read = msgspec.json.decode(told) if isinstance(told, str | bytes) else told
    return tuple((need, Record(**record)) for need, record in read.items())


async def find_candidates(
    conn: AsyncConnection, wanted: Collection[tuple[str, str]]
) -> list[tuple[str, str, Offer]]:
    """Read the offers of these (need, area) pairs, without a lock: need, area, offer."""
    if not wanted:
        return []
    pairs = sorted(wanted)
    rows = await conn.execute(
        text(
            f"SELECT n.need, n.area_pcode AS area, {_ROUTED} FROM unnest(CAST(:needs AS text[]),"  # noqa: S608
            " CAST(:areas AS text[])) AS t (need, area) JOIN offer_needs n"
            " ON n.need = t.need AND n.area_pcode = t.area"
            " JOIN offers o ON o.offer_id = n.offer_id"
            " JOIN providers p ON p.provider_id = o.provider_id"
        ),
        {"needs": [need for need, _ in pairs], "areas": [area for _, area in pairs]},
    )
    return [(row.need, row.area, _offer(row)) for row in rows]


async def find_around(
    conn: AsyncConnection, need: str, areas: Sequence[str], most: int
) -> list[Offer]:
    """Read offers of a need in these areas, the first areas first, at most so many."""
    rows = await conn.execute(
        text(
            f"SELECT {_ROUTED} FROM unnest(CAST(:areas AS text[])) WITH ORDINALITY AS t (area, place)"  # noqa: S608, E501
            " JOIN offer_needs n ON n.need = :need AND n.area_pcode = t.area"
            " JOIN offers o ON o.offer_id = n.offer_id"
            " JOIN providers p ON p.provider_id = o.provider_id"
            " ORDER BY t.place, n.offer_id LIMIT :n"
        ),
        {"need": need, "areas": list(areas), "n": most},
    )
    return [_offer(row) for row in rows]


async def find_offers(conn: AsyncConnection, ids: Collection[str]) -> list[Offer]:
    """Read these offers without a lock; unknown ids are left out."""
    if not ids:
        return []
    rows = await conn.execute(
        text(
            f"SELECT {_ROUTED} FROM offers o JOIN providers p ON p.provider_id = o.provider_id"  # noqa: S608
            " WHERE o.offer_id = ANY(CAST(:ids AS text[]))"
        ),
        {"ids": sorted(ids)},
    )
    return [_offer(row) for row in rows]


async def lock_counted(conn: AsyncConnection, ids: Collection[str]) -> list[Offer]:
    """Lock, in order of id, those of these offers whose places are counted, and read them again.

    An offer that counts nothing is not contended for; its load is only added to at the end.
    """
    if not ids:
        return []
    rows = await conn.execute(
        text(
            f"SELECT {_ROUTED} FROM offers o JOIN providers p ON p.provider_id = o.provider_id"  # noqa: S608
            " WHERE o.offer_id = ANY(CAST(:ids AS text[])) AND o.places_free IS NOT NULL"
            " ORDER BY o.offer_id FOR UPDATE OF o"
        ),
        {"ids": sorted(ids)},
    )
    return [_offer(row) for row in rows]


async def move_places(
    conn: AsyncConnection, places: Mapping[str, int], loads: Mapping[str, int]
) -> None:
    """Add differences to free places (where they are counted) and to open referrals."""
    ids = sorted(key for key in {*places, *loads} if places.get(key) or loads.get(key))
    if not ids:
        return
    await conn.execute(
        text(
            "WITH t AS (SELECT * FROM unnest((SELECT CAST(:ids AS text[])),"
            " CAST(:places AS integer[]), CAST(:loads AS integer[])) AS t (id, places, loads)),"
            " held AS (SELECT o.offer_id FROM offers o JOIN t ON t.id = o.offer_id"
            " ORDER BY o.offer_id FOR UPDATE OF o)"
            " UPDATE offers o SET open_referrals = greatest(0, o.open_referrals + t.loads),"
            " places_free = CASE WHEN o.places_free IS NOT NULL THEN"
            " least(greatest(0, o.places_free + t.places),"
            " coalesce(o.places_total, 2147483647)) END"
            " FROM t JOIN held ON held.offer_id = t.id WHERE o.offer_id = t.id"
        ),
        {
            "ids": ids,
            "places": [places.get(key, 0) for key in ids],
            "loads": [loads.get(key, 0) for key in ids],
        },
    )


# --- Reading the directory ----------------------------------------------------------------------

_SHOWN: Final = (
    "o.offer_id, o.provider_id, o.needs, o.area_level, o.area_pcode, o.min_age, o.max_age, o.sex,"
    " o.hours, o.note, o.enrolment, o.reach, o.mode, o.languages, o.accepting, o.serves_hijra,"
    " o.accepts_children, o.max_boy_age_with_mother, o.step_free, o.sign_language, o.court_order,"
    " o.schedules, o.trained_until, o.accredited_until, o.places_total, o.places_free,"
    " o.capacity_at, o.version"
)


async def list_providers(
    conn: AsyncConnection, kind: str | None, after: str, limit: int
) -> list[dict[str, Any]]:
    """Read providers by their key."""
    rows = await conn.execute(
        text(
            "SELECT provider_id, kind, kinds, name_en, name_bn, note, version FROM providers"
            " WHERE provider_id > :after AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
            " ORDER BY provider_id LIMIT :n"
        ),
        {"after": after, "kind": kind, "n": limit},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  (SQLAlchemy's public name)


async def kinds_of_provider(conn: AsyncConnection, provider_id: str | None) -> frozenset[str]:
    """Return of which kinds a provider is; none where the directory does not know it."""
    found = await conn.scalar(
        text("SELECT kinds FROM providers WHERE provider_id = :id"), {"id": provider_id}
    )
    return frozenset(found or ())


async def names_of(conn: AsyncConnection, ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the names of providers by key and language; an unknown one is left out."""
    rows = await conn.execute(
        text(
            "SELECT provider_id, name_bn, name_en FROM providers"
            " WHERE provider_id = ANY(CAST(:ids AS text[]))"
        ),
        {"ids": sorted(ids)},
    )
    return {row.provider_id: {"bn": row.name_bn, "en": row.name_en} for row in rows}


async def find_provider(conn: AsyncConnection, provider_id: str) -> dict[str, Any] | None:
    """Read one provider, or None."""
    rows = await conn.execute(
        text(
            "SELECT provider_id, kind, kinds, name_en, name_bn, note, version FROM providers"
            " WHERE provider_id = :id"
        ),
        {"id": provider_id},
    )
    row = rows.first()
    return None if row is None else dict(row._mapping)  # noqa: SLF001


async def list_offers(
    conn: AsyncConnection,
    *,
    need: str | None,
    area: str | None,
    provider_id: str | None,
    after: str,
    limit: int,
) -> list[dict[str, Any]]:
    """Read offers by their id."""
    rows = await conn.execute(
        text(
            f"SELECT {_SHOWN} FROM offers o WHERE o.offer_id > :after"  # noqa: S608
            " AND (CAST(:need AS text) IS NULL OR :need = ANY(o.needs))"
            " AND (CAST(:area AS text) IS NULL OR o.area_pcode = :area)"
            " AND (CAST(:provider AS text) IS NULL OR o.provider_id = :provider)"
            " ORDER BY o.offer_id LIMIT :n"
        ),
        {"after": after, "need": need, "area": area, "provider": provider_id, "n": limit},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001


async def find_offer(
    conn: AsyncConnection, offer_id: str, *, lock: bool = False
) -> dict[str, Any] | None:
    """Read one offer as the interface shows it, or None."""
    rows = await conn.execute(
        text(
            f"SELECT {_SHOWN} FROM offers o WHERE o.offer_id = :id"  # noqa: S608
            + (" FOR UPDATE" if lock else "")
        ),
        {"id": offer_id},
    )
    row = rows.first()
    return None if row is None else dict(row._mapping)  # noqa: SLF001
