"""SQL of the providers' feeds: gapless numbers under each provider's row lock (DECISIONS 17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.lean import later, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncConnection

_HEADS: Final = "SELECT provider_id, seq FROM feeds WHERE provider_id = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed; `body` is the exact JSON that is sent, the same for every reader."""

    provider_id: str
    seq: int
    event_id: UUID
    type: str
    referral_id: UUID
    body: str


async def take_numbers(conn: AsyncConnection, wanted: Mapping[str, int]) -> dict[str, int]:
    """Lock the feeds in order, take so many numbers of each, and return the first of each."""
    if not wanted:
        return {}
    names = sorted(wanted)
    rows = await conn.execute(
        text(
            "INSERT INTO feeds AS f (provider_id, seq) SELECT * FROM unnest(CAST(:names AS text[]),"
            " CAST(:counts AS bigint[])) AS t (name, n) ORDER BY name"
            " ON CONFLICT (provider_id) DO UPDATE SET seq = f.seq + excluded.seq"
            " RETURNING provider_id, seq"
        ),
        {"names": names, "counts": [wanted[name] for name in names]},
    )
    return {row.provider_id: row.seq - wanted[row.provider_id] + 1 for row in rows}


def save_entries(conn: AsyncConnection, entries: Sequence[Entry]) -> None:
    """Store entries whose numbers were taken in this transaction, later."""
    if not entries:
        return
    names = ("provider_id", "seq", "event_id", "type", "referral_id", "body")
    later(
        conn,
        text(
            "INSERT INTO feed_entries (provider_id, seq, event_id, type, referral_id, body)"
            " SELECT * FROM unnest(CAST(:provider_id AS text[]), CAST(:seq AS bigint[]),"
            " CAST(:event_id AS uuid[]), CAST(:type AS text[]), CAST(:referral_id AS uuid[]),"
            " CAST(:body AS text[]))"
        ),
        {name: [getattr(entry, name) for entry in entries] for name in names},
    )


async def read_entries(
    conn: AsyncConnection, provider_id: str, after: int, limit: int
) -> list[tuple[int, str, str]]:
    """Read a feed after a number: number, event type, exact JSON."""
    rows = await conn.execute(
        text(
            "SELECT seq, type, body FROM feed_entries WHERE provider_id = :p AND seq > :after"
            " ORDER BY seq LIMIT :n"
        ),
        {"p": provider_id, "after": after, "n": limit},
    )
    return [(row.seq, row.type, row.body) for row in rows]


async def read_heads(conn: asyncpg.Connection[Any], providers: Sequence[str]) -> dict[str, int]:
    """Return the last number of each feed that has one."""
    return dict(await conn.fetch(_HEADS, providers))
