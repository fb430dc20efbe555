"""SQL that writes the directory: providers, offers with their look-up, and capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

PROVIDER_COLUMNS: Final = ("provider_id", "kind", "kinds", "name_en", "name_bn", "note")
_PROVIDERS: Final = text("""
INSERT INTO providers (provider_id, kind, kinds, name_en, name_bn, note, edited)
SELECT id, kind, string_to_array(kinds, ';'), en, bn, note, :edited
FROM unnest(CAST(:provider_id AS text[]), CAST(:kind AS text[]), CAST(:kinds AS text[]),
  CAST(:name_en AS text[]), CAST(:name_bn AS text[]), CAST(:note AS text[]))
  AS t (id, kind, kinds, en, bn, note) ORDER BY id
ON CONFLICT (provider_id) DO UPDATE SET kind = excluded.kind, kinds = excluded.kinds,
  name_en = excluded.name_en, name_bn = excluded.name_bn, note = excluded.note,
  version = providers.version + 1, edited = excluded.edited OR providers.edited
WHERE (excluded.edited OR NOT providers.edited)
  AND (excluded.kind, excluded.kinds, excluded.name_en, excluded.name_bn, excluded.note)
    IS DISTINCT FROM
    (providers.kind, providers.kinds, providers.name_en, providers.name_bn, providers.note)
""")

_TYPES: Final = {
    "offer_id": "text",
    "provider_id": "text",
    "needs": "text",
    "area_level": "text",
    "area_pcode": "text",
    "min_age": "integer",
    "max_age": "integer",
    "sex": "text",
    "hours": "text",
    "note": "text",
    "enrolment": "text",
    "reach": "text",
    "mode": "text",
    "languages": "text",
    "accepting": "boolean",
    "serves_hijra": "boolean",
    "accepts_children": "boolean",
    "max_boy_age_with_mother": "integer",
    "step_free": "boolean",
    "sign_language": "boolean",
    "court_order": "boolean",
    "schedules": "text",
    "latitude": "double precision",
    "longitude": "double precision",
    "trained_until": "date",
    "accredited_until": "date",
}
OFFER_COLUMNS: Final = tuple(_TYPES)
_LISTS: Final = {"needs": "';'", "languages": "';'", "schedules": "E'\\n'"}
"""Columns that are lists, and what joins them in what is stored, as SQL."""
_CAPACITY: Final = {"places_total": "integer", "places_free": "integer"}


def _array(name: str, kind: str) -> str:
    """Return a parameter as an array; days come as ISO 8601 texts."""
    given = f"CAST(:{name} AS text[])" if kind == "date" else f":{name}"
    return f"CAST({given} AS {kind}[])"


def _picked(name: str) -> str:
    joint = _LISTS.get(name)
    return name if joint is None else f"string_to_array({name}, {joint})"


def _offers_statement() -> str:
    typed = {**_TYPES, **_CAPACITY}
    names = ", ".join(typed)
    picked = ", ".join(_picked(n) for n in typed)
    arrays = ", ".join(_array(n, kind) for n, kind in typed.items())
    sets = ", ".join(f"{n} = excluded.{n}" for n in _TYPES if n != "offer_id")
    new = ", ".join(f"excluded.{n}" for n in _TYPES)
    old = ", ".join(f"offers.{n}" for n in _TYPES)
    return (
        f"INSERT INTO offers ({names}, capacity_at, edited)"  # noqa: S608  (names of this module)
        f" SELECT {picked}, CASE WHEN places_free IS NOT NULL THEN CAST(:at AS timestamptz) END,"
        f" :edited FROM unnest({arrays}) AS t ({names}) ORDER BY offer_id"
        f" ON CONFLICT (offer_id) DO UPDATE SET {sets}, version = offers.version + 1,"
        " edited = excluded.edited OR offers.edited"
        " WHERE (excluded.edited OR NOT offers.edited)"
        f" AND ({new}) IS DISTINCT FROM ({old}) RETURNING offer_id"
    )


_OFFERS: Final = text(_offers_statement())


async def save_providers(
    conn: AsyncConnection, providers: Sequence[Mapping[str, Any]], *, edited: bool
) -> None:
    """Store providers; a file never overwrites what a person edited. `kinds` joined by `;`."""
    columns = {n: [p[n] for p in providers] for n in PROVIDER_COLUMNS}
    await conn.execute(_PROVIDERS, {**columns, "edited": edited})


async def save_offers(
    conn: AsyncConnection, offers: Sequence[Mapping[str, Any]], at: datetime, *, edited: bool
) -> list[str]:
    """Store offers and their look-up; return the ids that are new or changed.

    Lists are joined as `_LISTS` says. Free places are taken for new offers only: afterwards they
    are counted.
    """
    columns = {n: [offer[n] for offer in offers] for n in (*OFFER_COLUMNS, *_CAPACITY)}
    rows = await conn.execute(_OFFERS, {**columns, "at": at, "edited": edited})
    changed = [row.offer_id for row in rows]
    if changed:
        ids = {"ids": changed}
        await conn.execute(
            text("DELETE FROM offer_needs WHERE offer_id = ANY(CAST(:ids AS text[]))"), ids
        )
        await conn.execute(
            text(
                "INSERT INTO offer_needs (need, area_pcode, offer_id)"
                " SELECT DISTINCT need, area_pcode, offer_id FROM offers, unnest(needs) AS n (need)"
                " WHERE offer_id = ANY(CAST(:ids AS text[]))"
            ),
            ids,
        )
    return changed


async def set_told_at(conn: AsyncConnection, offer_id: str, at: datetime) -> None:
    """Put right when an offer's free places were told."""
    await conn.execute(
        text("UPDATE offers SET capacity_at = :at WHERE offer_id = :id"),
        {"id": offer_id, "at": at},
    )


async def set_capacity(
    conn: AsyncConnection, offer_id: str, free: int | None, total: int | None, at: datetime
) -> None:
    """Set how many places an offer has free and in all; None is unknown."""
    await conn.execute(
        text(
            "UPDATE offers SET places_free = :free, places_total = :total,"
            " capacity_at = :at, version = version + 1 WHERE offer_id = :id"
        ),
        {"id": offer_id, "free": free, "total": total, "at": at},
    )
