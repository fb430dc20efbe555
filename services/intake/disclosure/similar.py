"""Cases that may be of the same person, by blind marks.

Cases are compared with one another; who asks for a number or a name searches (`search`). Each
look-up is counted, and whoever makes many waits (SAFETY 15). A person confirms; nothing is joined
by itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import text

from services.intake.limits import Limit
from services.intake.reach import must
from services.intake.store import find_case
from shared import telemetry
from shared.access_rules import Verb, scope_of
from shared.clock import now
from shared.database import set_reach
from shared.errors import NotFound, Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.access import Caller

AN_HOUR: Final = 60
"""Look-ups of one person in an hour, after which that person waits."""

MANY: Final = 50
"""Cases that are shown at most."""

_SIMILAR = text("""
WITH mine AS (
  SELECT s.submission_id, s.phone_mark, s.name_mark FROM subjects s JOIN cases c
  ON c.submission_id = s.submission_id WHERE c.case_id = :c
  AND (s.kind <> 'person' OR s.case_id = :c)
)
SELECT o.case_id, array_agg(DISTINCT o.kind ORDER BY o.kind) AS kinds,
  bool_or(o.phone_mark = m.phone_mark) AS phone, bool_or(o.name_mark = m.name_mark) AS name
FROM mine m JOIN subjects o ON o.submission_id <> m.submission_id
  AND (o.phone_mark = m.phone_mark OR o.name_mark = m.name_mark)
JOIN cases k ON k.case_id = o.case_id
WHERE in_reach(k.facts)
GROUP BY o.case_id ORDER BY phone DESC NULLS LAST, o.case_id LIMIT :n
""")


class TooManyLookUps(Problem):
    """One person looked for like cases too often within an hour."""

    slug, status, title = "too-many-look-ups", 429, "Wait an hour, then try again"
    retry_after: ClassVar[int] = 3600


class LookUps:
    """Counts each person's look-ups of the last hour, in the database."""

    def __init__(self, key: bytes, clock: Callable[[], datetime] = now) -> None:
        """Take the key of the marks of who looks, and the clock."""
        self._limit = Limit("similar", timedelta(seconds=TooManyLookUps.retry_after), key)
        self._clock = clock

    async def count(self, conn: AsyncConnection, who: str) -> None:
        """Count one look-up.

        Raises:
            TooManyLookUps: wait `retry_after` seconds.

        """
        at = self._clock()
        mine, _ = await self._limit.seen(conn, who, at)
        if mine >= AN_HOUR:
            telemetry.BLIND_LOOKUPS.labels("refused").inc()
            raise TooManyLookUps
        await self._limit.count(conn, who, at)
        telemetry.BLIND_LOOKUPS.labels("done").inc()


async def find_similar(
    conn: AsyncConnection, case_id: UUID, caller: Caller, look_ups: LookUps
) -> list[dict[str, Any]]:
    """Return cases of other reports that share a mark of a number or a name with this one.

    Raises:
        NotFound: no such case for this caller. TooManyLookUps: see `LookUps`.

    """
    at = now()
    row, _ = must(caller, Verb.KNOW, await find_case(conn, case_id), at)
    if row.facts is None:
        raise NotFound
    await look_ups.count(conn, caller.actor)
    await set_reach(conn, scope_of(caller, Verb.KNOW, at))
    rows = await conn.execute(_SIMILAR, {"c": case_id, "n": MANY})
    return [
        {
            "case_id": row.case_id,
            "of": list(row.kinds),
            "by": [name for name in ("phone", "name") if getattr(row, name)],
        }
        for row in rows
    ]
