"""The SQL of the figures: the history in its order, persons as they are counted, releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.audit.figures.periods import quarter_of
from services.audit.figures.person import Person, decode_person, encode_person
from services.audit.flags import NOT_FOLLOWED
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_TAKE_TURN = text("SELECT upto FROM figure_reading FOR UPDATE SKIP LOCKED")
_ENTRIES = text("""
SELECT e.idx, e.stream, e.type, e.subject, b.value
FROM entries e LEFT JOIN event_bytes b ON b.idx = e.idx
WHERE e.idx >= :start AND e.idx < :until AND e.stream IN ('submissions', 'cases', 'referrals')
  AND e.flags & :unproven = 0
ORDER BY e.idx
""")
_PERSONS = text(
    "SELECT case_id, body::text AS body FROM figure_persons"
    " WHERE case_id = ANY(CAST(:ids AS text[])) FOR UPDATE"
)
_KEEP = text("""
INSERT INTO figure_persons (case_id, quarter, body)
SELECT case_id, quarter, CAST(body AS jsonb)
FROM unnest(CAST(:ids AS text[]), CAST(:quarters AS date[]), CAST(:bodies AS text[]))
  AS t (case_id, quarter, body)
ON CONFLICT (case_id) DO UPDATE SET quarter = excluded.quarter, body = excluded.body
""")
_OF_QUARTER = text("SELECT body::text AS body FROM figure_persons WHERE quarter = :quarter")
_QUARTERS = text("""
SELECT DISTINCT quarter FROM figure_persons p WHERE quarter IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM figure_releases r WHERE r.quarter = p.quarter) ORDER BY quarter
""")
_RELEASE = text("""
INSERT INTO figure_releases (quarter, published_at, release)
VALUES (:quarter, :at, CAST(:release AS jsonb)) ON CONFLICT (quarter) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Line:
    """An entry of the history that is proven; `value` is None once it was erased."""

    index: int
    type: str
    subject: str
    stream: str
    value: bytes | None


async def load_progress(conn: AsyncConnection) -> int:
    """Return how far the history was read, without taking the turn."""
    return int(await conn.scalar(text("SELECT upto FROM figure_reading")) or 0)


async def take_turn(conn: AsyncConnection) -> int | None:
    """Lock the reading and return how far it is; None: another process reads now."""
    row = (await conn.execute(_TAKE_TURN)).first()
    return None if row is None else int(row.upto)


async def list_lines(conn: AsyncConnection, start: int, until: int) -> list[Line]:
    """Return what is proven of three streams with start ≤ index < until, in order."""
    asked = {"start": start, "until": until, "unproven": NOT_FOLLOWED}
    return [
        Line(row.idx, row.type or "", row.subject or "", row.stream, row.value)
        for row in await conn.execute(_ENTRIES, asked)
    ]


async def move(conn: AsyncConnection, upto: int) -> None:
    """Note how far the history was read."""
    await conn.execute(text("UPDATE figure_reading SET upto = :n"), {"n": upto})


async def load_persons(conn: AsyncConnection, ids: Collection[str]) -> dict[str, Person]:
    """Return those of these cases that are known, locked."""
    rows = await conn.execute(_PERSONS, {"ids": sorted(ids)})
    return {row.case_id: decode_person(row.body) for row in rows}


async def keep_persons(conn: AsyncConnection, persons: Mapping[str, Person]) -> None:
    """Store persons as they are now."""
    ids = sorted(persons)
    await conn.execute(
        _KEEP,
        {
            "ids": ids,
            "quarters": [
                quarter_of(opened) if (opened := persons[each].opened) else None for each in ids
            ],
            "bodies": [encode_person(persons[each]) for each in ids],
        },
    )


async def forget(conn: AsyncConnection, ids: Collection[str]) -> None:
    """Forget erased cases, also for whatever comes of them later."""
    asked = {"ids": sorted(ids)}
    await conn.execute(
        text(
            "INSERT INTO figure_erased SELECT unnest(CAST(:ids AS text[])) ON CONFLICT DO NOTHING"
        ),
        asked,
    )
    await conn.execute(
        text("DELETE FROM figure_persons WHERE case_id = ANY(CAST(:ids AS text[]))"), asked
    )


async def list_erased(conn: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Return which of these cases were erased."""
    rows = await conn.execute(
        text("SELECT case_id FROM figure_erased WHERE case_id = ANY(CAST(:ids AS text[]))"),
        {"ids": sorted(ids)},
    )
    return {row.case_id for row in rows}


async def empty(conn: AsyncConnection) -> None:
    """Drop what was counted, so that the history is read from its beginning; releases stay."""
    await move(conn, 0)  # whoever reads just now is waited for
    await conn.execute(text("DELETE FROM figure_persons"))
    await conn.execute(text("DELETE FROM figure_erased"))


async def read_persons(conn: AsyncConnection, quarter: date) -> AsyncIterator[Person]:
    """Yield every person of a quarter; only those are read."""
    async with conn.stream(_OF_QUARTER, {"quarter": quarter}) as rows:
        async for row in rows:
            yield decode_person(row.body)


async def list_unpublished(conn: AsyncConnection) -> Sequence[date]:
    """Return the quarters that have persons and no release, oldest first."""
    return [row.quarter for row in await conn.execute(_QUARTERS)]


async def keep_release(conn: AsyncConnection, quarter: date, at: datetime, release: str) -> None:
    """Publish a quarter, unless it is: then nothing changes."""
    await conn.execute(_RELEASE, {"quarter": quarter, "at": at, "release": release})


async def list_releases(conn: AsyncConnection) -> Sequence[Row[Any]]:
    """Return quarter and time of each release, newest first."""
    rows = await conn.execute(
        text("SELECT quarter, published_at FROM figure_releases ORDER BY quarter DESC")
    )
    return rows.all()


async def find_release(conn: AsyncConnection, quarter: date) -> str | None:
    """Return the release of a quarter as JSON, None: it is not published."""
    found = await conn.scalar(
        text("SELECT release::text FROM figure_releases WHERE quarter = :q"), {"q": quarter}
    )
    return None if found is None else str(found)
