"""Look-ups by blind marks are counted, and whoever makes many waits (SAFETY 15)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from services.intake.limits import Limit
from shared import telemetry
from shared.clock import now
from shared.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

AN_HOUR: Final = 60
"""Look-ups of one person in an hour, after which that person waits."""

MANY: Final = 50
"""Cases that are shown at most."""


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
