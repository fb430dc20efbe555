"""The SQL that shows the history: entries as rows, flags and gaps; under row-level security."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_OF_SUBJECT = text("""
WITH mine AS MATERIALIZED (SELECT * FROM entries WHERE subject = :subject)
SELECT e.*, b.idx IS NULL AS erased, b.value, b.salt, b.signature, b.headers
FROM mine e LEFT JOIN event_bytes b ON b.idx = e.idx
WHERE e.idx >= :start AND e.idx < :until ORDER BY e.idx LIMIT :n
""")
_IN_ORDER = text("""
SELECT e.*, b.idx IS NULL AS erased, b.value, b.salt, b.signature, b.headers
FROM entries e LEFT JOIN event_bytes b ON b.idx = e.idx
WHERE e.idx >= :start AND e.idx < :until ORDER BY e.idx LIMIT :n
""")


_NEWEST = text("""
SELECT DISTINCT ON (e.subject) e.subject, b.value FROM entries e JOIN event_bytes b USING (idx)
WHERE e.subject = ANY(CAST(:subjects AS text[])) AND e.stream = 'cases'
  AND e.type <> 'event-parked' AND e.sequence IS NOT NULL
ORDER BY e.subject, e.sequence DESC
""")


async def newest_cases(conn: AsyncConnection, subjects: Collection[str]) -> dict[str, bytes]:
    """Return the newest proven event of `cases` of each of these cases that has one."""
    rows = await conn.execute(_NEWEST, {"subjects": sorted(subjects)})
    return {row.subject: bytes(row.value) for row in rows if row.value is not None}


async def list_history(
    conn: AsyncConnection, subject: str, start: int, until: int, n: int
) -> Sequence[Row[Any]]:
    """Return at most `n` entries about a subject with start ≤ index < until, in order."""
    wanted = {"subject": subject, "start": start, "until": until, "n": n}
    return (await conn.execute(_OF_SUBJECT, wanted)).all()


async def list_entries(conn: AsyncConnection, start: int, until: int, n: int) -> Sequence[Row[Any]]:
    """Return at most `n` entries with start ≤ index < until, in order."""
    return (await conn.execute(_IN_ORDER, {"start": start, "until": until, "n": n})).all()


async def count_flags(conn: AsyncConnection) -> dict[int, int]:
    """Return how many entries have each combination of flags."""
    rows = await conn.execute(
        text("SELECT flags, count(*) AS n FROM entries WHERE flags <> 0 GROUP BY flags")
    )
    return {row.flags: row.n for row in rows}


async def list_witnesses(conn: AsyncConnection) -> Sequence[Row[Any]]:
    """Return the last cosignature of each witness: name, size of the log, when."""
    return (
        await conn.execute(text("SELECT witness, size, at FROM cosigned ORDER BY witness"))
    ).all()


async def list_gaps(conn: AsyncConnection, n: int) -> Sequence[Row[Any]]:
    """Return at most `n` open gaps, oldest first."""
    rows = await conn.execute(
        text(
            "SELECT stream, subject, first, last, filled, first_seen FROM gaps"
            " WHERE closed_at IS NULL ORDER BY id LIMIT :n"
        ),
        {"n": n},
    )
    return rows.all()


async def count_gaps(conn: AsyncConnection) -> tuple[int, int]:
    """Return how many gaps are open, and how many were closed."""
    row = (
        await conn.execute(
            text(
                "SELECT count(*) FILTER (WHERE closed_at IS NULL) AS open,"
                " count(closed_at) AS closed FROM gaps"
            )
        )
    ).one()
    return row.open, row.closed
