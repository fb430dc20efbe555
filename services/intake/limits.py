"""Counts of what somebody does too often, in a table: for all processes, and over a restart.

Whoever it is stands there as a keyed mark, and for no longer than the window. The time is cut into
sixths of the window.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.lean import text

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

PARTS: Final = 6
"""Slots of a window."""

_SEEN = text("""
SELECT coalesce(sum(n) FILTER (WHERE who = :who), 0) AS mine, coalesce(sum(n), 0) AS everybody
FROM limits WHERE kind = :kind AND slot > :since
""")
_COUNT = text("""
INSERT INTO limits AS l (kind, who, slot, n) VALUES (:kind, :who, :slot, 1)
ON CONFLICT (kind, who, slot) DO UPDATE SET n = l.n + 1
""")
_FORGET = text("DELETE FROM limits WHERE kind = :kind AND slot <= :since")


@dataclass(frozen=True, slots=True)
class Limit:
    """Counts one kind of thing over a window; `key` makes the marks of who does it."""

    kind: str
    window: timedelta
    key: bytes

    async def seen(self, conn: AsyncConnection, who: str, at: datetime) -> tuple[int, int]:
        """Return how often somebody did it within the window, and everybody together."""
        values = {"kind": self.kind, "who": self._mark(who), "since": self._slot(at) - PARTS}
        row = (await conn.execute(_SEEN, values)).one()
        return int(row.mine), int(row.everybody)

    async def count(self, conn: AsyncConnection, who: str, at: datetime) -> None:
        """Count one more, and forget what is too old."""
        slot = self._slot(at)
        await conn.execute(_FORGET, {"kind": self.kind, "since": slot - PARTS})
        await conn.execute(_COUNT, {"kind": self.kind, "who": self._mark(who), "slot": slot})

    def _slot(self, at: datetime) -> int:
        return int(at.timestamp() * PARTS // self.window.total_seconds())

    def _mark(self, who: str) -> bytes:
        told = f"pashe limit {self.kind} {who}".encode("utf-8", "replace")
        return hmac.new(self.key, told, hashlib.sha256).digest()[:16]
