"""SQL of who asked for the notices of awareness: a number, a district, a language, and no more.

The key is the blind index of the number; the number is sealed for it. Nothing leads to a report.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from shared.lean import text

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.awareness.asking import Ask

KEPT: Final = timedelta(days=7)
"""How long a message is known that asked; gateways tell one again for a day."""


def seal_id(index: bytes) -> UUID:
    """Return what the number of an index is sealed for."""
    return UUID(bytes=index[:16])


async def note_asked(conn: AsyncConnection, gateway: str, mark: bytes, at: datetime) -> bool:
    """Note that a message asked; False when it was noted before: a gateway tells it once more."""
    await conn.execute(
        text("DELETE FROM awareness_asked WHERE asked_at < :before"), {"before": at - KEPT}
    )
    found = await conn.execute(
        text(
            "INSERT INTO awareness_asked (gateway, message_key, asked_at) VALUES (:g, :m, :at)"
            " ON CONFLICT DO NOTHING RETURNING 1"
        ),
        {"g": gateway, "m": mark, "at": at},
    )
    return found.first() is not None


async def begin(conn: AsyncConnection, index: bytes, number: bytes, ask: Ask, since: date) -> None:
    """Keep a number (sealed) that asked; place and language change where it asked before."""
    await conn.execute(
        text(
            "INSERT INTO awareness_subscribers (number_index, number, district, language, since)"
            " VALUES (:i, :n, :d, :l, :since) ON CONFLICT (number_index) DO UPDATE SET"
            " district = coalesce(excluded.district, awareness_subscribers.district),"
            " language = excluded.language"
        ),
        {"i": index, "n": number, "d": ask.district, "l": ask.notices, "since": since},
    )


async def end(conn: AsyncConnection, index: bytes) -> bool:
    """Forget a number, and what it was still to get; False if it had not asked."""
    await conn.execute(
        text("DELETE FROM awareness_sendings WHERE number_index = :i AND state = 'planned'"),
        {"i": index},
    )
    found = await conn.execute(  # of what was sent only the count stays: see the table
        text("DELETE FROM awareness_subscribers WHERE number_index = :i RETURNING 1"),
        {"i": index},
    )
    return found.first() is not None


async def count_by_division(conn: AsyncConnection) -> dict[str | None, int]:
    """Return how many ask by division (P-code); None: they named no place."""
    rows = await conn.execute(
        text("SELECT left(district, 4) AS division, count(*) FROM awareness_subscribers GROUP BY 1")
    )
    return {row[0]: row[1] for row in rows}
