"""Erasure in the kernel's own tables: event bytes of a case are blanked wherever they were copied.

Every service does this in its own schema after `case-erased` (DECISIONS 23). Id and sequence stay,
and `case-erased` itself, which holds nothing of the case. Looking through an outbox of a hundred
days takes a while, so it is a timer's work and no request's; it looks again later for what was not
sent yet, or was parked by a consumer that was behind.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from shared.clock import now
from shared.lean import text
from shared.timers import Timer, TimerKind, schedule_many

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection


ERASED: Final = "case-erased"

KIND: Final = "blank-events"
"""Timers by this name have a case's id as their subject, and the number of the look as payload."""

AGAIN: Final = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7))
"""Pauses before the second look and each one after it."""

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)

_NOTE = text("""
INSERT INTO erased_cases (case_id) SELECT * FROM unnest(CAST(:cases AS text[])) ORDER BY 1
ON CONFLICT (case_id) DO NOTHING
""")
_DAYS = text("""
SELECT substring(c.relname FROM '_([0-9]{8})$') AS day FROM pg_inherits h
JOIN pg_class c ON c.oid = h.inhrelid WHERE h.inhparent = 'outbox'::regclass ORDER BY 1
""")
_SENT = text("""
UPDATE outbox SET value = '', signature = '', traceparent = NULL, needs = ''
WHERE key = :key AND sent_at IS NOT NULL AND value <> '' AND type <> 'case-erased'
  AND created_at >= CAST(:begin AS timestamptz) AND created_at < CAST(:end AS timestamptz)
""")
_PARKED = text("""
UPDATE parked SET value = NULL, headers = '[]', detail = '', dismissed_by = NULL,
  ended_at = coalesce(ended_at, now()),
  state = CASE WHEN state IN ('waiting', 'replay') THEN 'void' ELSE state END
WHERE key = :key AND value IS NOT NULL AND NOT headers @> '[["type", "case-erased"]]'
""")


async def blank_events(conn: AsyncConnection, case_id: str) -> int:
    """Blank what the outbox has sent about a case, and what is parked of it; return how many."""
    key = case_id.encode("ascii")
    blanked = (await conn.execute(_PARKED, {"key": key})).rowcount
    days = [row.day for row in await conn.execute(_DAYS)]
    for begin, end in _spans(day for day in days if day is not None):
        found = await conn.execute(_SENT, {"key": key, "begin": begin, "end": end})
        blanked += found.rowcount
    return blanked


def _spans(days: Iterable[str]) -> Iterator[tuple[datetime, datetime]]:
    """Cut time at the partitions of the outbox (YYYYMMDD, UTC): no one statement takes long."""
    begins = [datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) for day in days]
    cuts = sorted({_FIRST, _LAST, *begins, *(begin + timedelta(days=1) for begin in begins)})
    yield from itertools.pairwise(cuts)


async def schedule_blanking(
    conn: AsyncConnection, cases: Collection[str], at: datetime, look: int = 0
) -> None:
    """Note that cases are erased here, and let their event bytes be blanked, first at once."""
    if cases:
        await conn.execute(_NOTE, {"cases": sorted(cases)})
    await schedule_many(conn, KIND, dict.fromkeys(cases, (at, {"look": look})))


def make_blanker(
    clock: Callable[[], datetime] = now,
    also: Callable[[AsyncConnection, str], Awaitable[int]] | None = None,
) -> TimerKind:
    """Make the timer that blanks; every service that has an outbox runs one.

    `also` blanks what the service keeps of a case (its id) beside events.
    """

    async def fire(conn: AsyncConnection, timer: Timer) -> None:
        await blank_events(conn, timer.subject)
        if also is not None:
            await also(conn, timer.subject)
        look = int(timer.payload.get("look", 0))
        if look < len(AGAIN):
            await schedule_blanking(conn, [timer.subject], clock() + AGAIN[look], look + 1)

    return TimerKind(KIND, fire)
