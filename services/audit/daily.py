"""The checkpoint of each day, published for partners: a small file that pins the log, offline.

It is the first checkpoint of a day of Dhaka that a witness has cosigned; with no witness, or none
for an hour, the first that was signed. Once published it never changes.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.audit import nodes
from shared.clock import DHAKA, now
from shared.errors import NotFound
from shared.lean import text
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.audit.nodes import Published

EVERY: Final = 30.0
"""Seconds between looks for the checkpoint of the day."""

PATIENCE: Final = timedelta(hours=1)
"""How long a day waits for a witness."""

LISTED: Final = 400
"""Days that are listed, newest first."""

_KEEP = text("""
INSERT INTO daily (day, size, note) VALUES (:day, :size, :note) ON CONFLICT (day) DO NOTHING
""")
_KEPT = text("SELECT 1 FROM daily WHERE day = :day")
_NOTE = text("SELECT note FROM daily WHERE day = :day")
_DAYS = text("SELECT day FROM daily ORDER BY day DESC LIMIT :n")

_log = Log("daily")


def choose(
    at: datetime, signed: Published, cosigned: Published | None, *, witnessed: bool
) -> Published | None:
    """Return the checkpoint that is published for the day, or None while it is waited for.

    `witnessed` says that there are witnesses to wait for.
    """
    midnight = at.astimezone(DHAKA).replace(hour=0, minute=0, second=0, microsecond=0)
    if signed.signed is None:
        return None
    if cosigned is not None and cosigned.signed_at is not None:
        newest = cosigned.signed == signed.signed
        if newest or cosigned.signed_at >= midnight:
            return cosigned
    if witnessed and at - midnight < PATIENCE:
        return None
    return signed


class Daily:
    """Publishes and shows the checkpoint of each day."""

    def __init__(self, engine: AsyncEngine, *, witnessed: bool = False) -> None:
        """Take an engine (to publish: of the flow role), and whether witnesses are asked."""
        self._engine = engine
        self._witnessed = witnessed

    async def run(self) -> None:
        """Publish for ever; a database that blinks only makes it late."""
        while True:
            try:
                await self.publish(now())
            except Exception as error:  # noqa: BLE001  (it is tried again)
                _log.error("daily-checkpoint-late", error)
            await asyncio.sleep(EVERY)

    async def publish(self, at: datetime) -> bool:
        """Publish the checkpoint of the day unless it is there; say whether it was published."""
        day = at.astimezone(DHAKA).date()
        async with self._engine.begin() as conn:
            if (await conn.execute(_KEPT, {"day": day})).first() is not None:
                return False
            signed, cosigned = await nodes.load_published(conn), await nodes.load_cosigned(conn)
            found = choose(at, signed, cosigned, witnessed=self._witnessed)
            if found is None:
                return False
            await conn.execute(_KEEP, {"day": day, "size": found.size, "note": found.note})
        return True

    async def days(self) -> Sequence[date]:
        """Return the days that have a checkpoint, newest first."""
        async with self._engine.connect() as conn:
            return [row.day for row in (await conn.execute(_DAYS, {"n": LISTED})).all()]

    async def note(self, day: date) -> str:
        """Return the checkpoint of a day.

        Raises:
            NotFound: that day has none.

        """
        async with self._engine.connect() as conn:
            row = (await conn.execute(_NOTE, {"day": day})).first()
        if row is None:
            raise NotFound
        return str(row.note)
