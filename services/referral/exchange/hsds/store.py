"""SQL of what came as HSDS 3: every object as it is kept, and the offers made of services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.referral.exchange.hsds.fields import HIDDEN
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

PAGE: Final = 1000
"""Rows of one statement."""

OFFER_FIELDS: Final = (
    *("provider_id", "needs", "area_level", "area_pcode", "min_age", "max_age", "sex", "hours"),
    *("note", "mode", "languages", "accepting", "serves_hijra", "accepts_children"),
    *("max_boy_age_with_mother", "step_free", "sign_language", "court_order", "schedules"),
    *("trained_until", "accredited_until"),
)
"""What a package says of an offer; how a provider is reached and enrolled is this centre's own."""

HARMLESS: Final = frozenset(("hours", "note", "languages", "accepting", "schedules"))
"""Fields that move no person elsewhere; a change of any other must be confirmed by a person."""

_SHOWN: Final = ", ".join(f"o.{name}" for name in OFFER_FIELDS)


async def alone(conn: AsyncConnection) -> bool:
    """Hold the import for this transaction; False when another one does."""
    held = await conn.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('directory import'))"))
    return bool(held)


async def save_objects(
    conn: AsyncConnection, page: Sequence[tuple[str, str, bytes]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Store objects (kind, id, JSON); return how many of each kind are new, and how many changed.

    One that came without what is confidential does not replace what is whole.
    """
    rows = await conn.execute(
        text(
            "INSERT INTO directory_objects (kind, id, body)"  # noqa: S608  (a name of this project)
            " SELECT kind, CAST(id AS uuid), CAST(body AS jsonb) FROM unnest("
            "CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:bodies AS text[]))"
            " AS t (kind, id, body) ORDER BY kind, id"
            " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body"
            " WHERE excluded.body IS DISTINCT FROM directory_objects.body"
            f" AND NOT (excluded.body ? '{HIDDEN}' AND NOT directory_objects.body ? '{HIDDEN}')"
            " RETURNING kind, xmax = 0 AS new"
        ),
        {
            "kinds": [kind for kind, _, _ in page],
            "ids": [key for _, key, _ in page],
            "bodies": [body.decode() for _, _, body in page],
        },
    )
    new: dict[str, int] = {}
    changed: dict[str, int] = {}
    for row in rows:
        counts = new if row.new else changed
        counts[row.kind] = counts.get(row.kind, 0) + 1
    return new, changed


async def read_objects(conn: AsyncConnection) -> AsyncIterator[tuple[str, str, bytes]]:
    """Read every object: kind, id, JSON; page by page."""
    after = ("", "00000000-0000-0000-0000-000000000000")
    while True:
        rows = await conn.execute(
            text(
                "SELECT kind, CAST(id AS text) AS id, CAST(body AS text) AS body"
                " FROM directory_objects"
                " WHERE (kind, id) > (:kind, CAST(CAST(:id AS text) AS uuid))"
                " ORDER BY kind, id LIMIT :n"
            ),
            {"kind": after[0], "id": after[1], "n": PAGE},
        )
        page = rows.all()
        for row in page:
            yield row.kind, row.id, row.body.encode()
        if len(page) < PAGE:
            return
        after = (page[-1].kind, page[-1].id)


async def find_providers(conn: AsyncConnection, keys: Collection[str]) -> dict[str, Any]:
    """Read providers by their key."""
    rows = await conn.execute(
        text(
            "SELECT provider_id, kind, kinds, name_en, name_bn, note, edited FROM providers"
            " WHERE provider_id = ANY(CAST(:keys AS text[]))"
        ),
        {"keys": sorted(keys)},
    )
    return {row.provider_id: dict(row._mapping) for row in rows}  # noqa: SLF001


async def lock_offers(conn: AsyncConnection, ids: Collection[str]) -> dict[str, Any]:
    """Lock these offers in the order of their ids, and read what a package says of them."""
    rows = await conn.execute(
        text(
            f"SELECT o.offer_id, {_SHOWN}, o.enrolment, o.reach, o.latitude, o.longitude, o.edited,"  # noqa: S608
            " o.version, o.capacity_at, CAST(o.service_id AS text) AS service_id FROM offers o"
            " WHERE o.offer_id = ANY(CAST(:ids AS text[])) ORDER BY o.offer_id FOR UPDATE"
        ),
        {"ids": sorted(ids)},
    )
    return {row.offer_id: dict(row._mapping) for row in rows}  # noqa: SLF001


async def come_from(conn: AsyncConnection, services: Sequence[tuple[str, str]]) -> None:
    """Remember of which service offers are: pairs of offer and service."""
    await conn.execute(
        text(
            "UPDATE offers o SET service_id = CAST(t.service AS uuid) FROM unnest("
            "CAST(:offers AS text[]), CAST(:services AS text[])) AS t (offer, service)"
            " WHERE o.offer_id = t.offer AND o.service_id IS DISTINCT FROM CAST(t.service AS uuid)"
        ),
        {"offers": [o for o, _ in services], "services": [s for _, s in services]},
    )


async def newer_places(
    conn: AsyncConnection, told: Sequence[tuple[str, int, int | None, datetime]]
) -> list[Any]:
    """Take free places that were counted later than what is known; return the changed offers."""
    rows = await conn.execute(
        text(
            "UPDATE offers o SET places_free = t.free, places_total = t.total, capacity_at = t.at,"
            " version = version + 1 FROM unnest(CAST(:ids AS text[]), CAST(:free AS integer[]),"
            " CAST(:totals AS integer[]), CAST(:times AS timestamptz[])) AS t (id, free, total, at)"
            " WHERE o.offer_id = t.id AND (o.capacity_at IS NULL OR o.capacity_at < t.at)"
            " RETURNING o.offer_id, o.provider_id, o.needs, o.places_free, o.places_total,"
            " o.capacity_at"
        ),
        {
            "ids": [one[0] for one in told],
            "free": [one[1] for one in told],
            "totals": [one[2] for one in told],
            "times": [one[3] for one in told],
        },
    )
    return list(rows)


async def close_missing(
    conn: AsyncConnection, services: Collection[str], offers: Collection[str]
) -> list[str]:
    """Close the offers of these services that no longer come of them; return their ids."""
    rows = await conn.execute(
        text(
            "UPDATE offers SET accepting = false, version = version + 1"
            " WHERE service_id = ANY(CAST(CAST(:services AS text[]) AS uuid[])) AND accepting"
            " AND NOT offer_id = ANY(CAST(:offers AS text[])) RETURNING offer_id"
        ),
        {"services": sorted(services), "offers": sorted(offers)},
    )
    return [row.offer_id for row in rows]


async def count_absent(
    conn: AsyncConnection, organizations: Collection[str], services: Collection[str]
) -> int:
    """Count the stored services of these organizations that are not among the given ones."""
    found = await conn.scalar(
        text(
            "SELECT count(*) FROM directory_objects d"
            " JOIN unnest(CAST(:organizations AS text[])) AS o (id)"
            " ON d.body->>'organization_id' = o.id"
            " LEFT JOIN unnest(CAST(:services AS text[])) AS s (id) ON CAST(d.id AS text) = s.id"
            " WHERE d.kind = 'service' AND s.id IS NULL"
        ),
        {"organizations": sorted(organizations), "services": sorted(services)},
    )
    return int(found or 0)


async def read_listed(conn: AsyncConnection, ids: Collection[str]) -> list[Any]:
    """Read offers as their event tells them."""
    rows = await conn.execute(
        text(
            "SELECT offer_id, provider_id, needs, area_level, area_pcode, enrolment, min_age,"
            " max_age, sex, version FROM offers WHERE offer_id = ANY(CAST(:ids AS text[]))"
            " ORDER BY offer_id"
        ),
        {"ids": sorted(ids)},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001


async def read_offers(conn: AsyncConnection) -> AsyncIterator[dict[str, Any]]:
    """Read every offer with its provider's names, page by page."""
    after = ""
    while True:
        rows = await conn.execute(
            text(
                f"SELECT o.offer_id, {_SHOWN}, o.edited, o.places_free, o.places_total,"  # noqa: S608
                " o.capacity_at, CAST(o.service_id AS text) AS service_id, p.kind, p.name_en,"
                " p.name_bn FROM offers o JOIN providers p USING (provider_id)"
                " WHERE o.offer_id > :after ORDER BY o.offer_id LIMIT :n"
            ),
            {"after": after, "n": PAGE},
        )
        page = [dict(row._mapping) for row in rows]  # noqa: SLF001
        for row in page:
            yield row
        if len(page) < PAGE:
            return
        after = page[-1]["offer_id"]
