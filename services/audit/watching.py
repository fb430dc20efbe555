"""The monitor at work beside the service: what it looks at, how often, and whom it tells."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from services.audit.monitor import Kind, Monitor, Row, State
from services.audit.nodes import LogDamaged
from services.audit.proofs import Proofs
from shared import telemetry
from shared.errors import NotFound, Unavailable
from shared.lean import text
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.audit.checkpoint import VerifierKey
    from services.audit.monitor import Finding
    from services.audit.tiles import Tile
    from services.audit.witness.policy import KnownWitness

EVERY: Final = 15.0
"""Seconds between two walks, at least."""

SHARE: Final = 20
"""A walk is followed by a pause so many times as long, so that a large log costs a small share."""

_STATE = text("""
SELECT h.size, extract(epoch FROM now() - e.appended_at) AS waits FROM log_head h
LEFT JOIN entries e ON e.idx = h.checkpoint_size
""")
_GAPS = text("""
SELECT id, stream FROM gaps WHERE closed_at IS NULL AND first_seen < now() - interval '1 minute'
ORDER BY id LIMIT 20
""")
_ROWS = text("""
SELECT e.idx, e.commitment, e.flags, b.salt, b.value
FROM entries e LEFT JOIN event_bytes b ON b.idx = e.idx WHERE e.idx >= :start AND e.idx < :end
""")

_log = Log("monitor")


class LogSeen:
    """The log of a database, as the monitor looks at it."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Take an engine whose role may read everything of the log."""
        self._engine = engine
        self._proofs = Proofs(engine)

    async def checkpoint(self) -> bytes:
        """Return the published checkpoint.

        Raises:
            Unavailable: nothing has been signed yet.

        """
        return (await self._proofs.checkpoint()).encode()

    async def state(self) -> State:
        """Return what the database says of the log."""
        async with self._engine.connect() as conn:
            head = (await conn.execute(_STATE)).one()
            gaps = (await conn.execute(_GAPS)).all()
        return State(head.size, float(head.waits or 0), [f"gap {g.id} of {g.stream}" for g in gaps])

    async def tile(self, tile: Tile) -> bytes:
        """Return the bytes of a published tile; none if there is none, or it cannot be made."""
        try:
            return await self._proofs.tile(tile)
        except (NotFound, LogDamaged):
            return b""

    async def rows(self, start: int, end: int) -> AsyncIterator[Row]:
        """Give the rows with start ≤ index < end."""
        async with self._engine.connect() as conn:
            found = (await conn.execute(_ROWS, {"start": start, "end": end})).all()
        for row in found:
            yield Row(row.idx, row.commitment, row.salt, row.value, row.flags)


class Watching:
    """Walks again and again; tells of each finding once, and shows the present ones as a metric."""

    def __init__(
        self,
        engine: AsyncEngine,
        folder: Path,
        key: VerifierKey,
        witnesses: Sequence[KnownWitness],
    ) -> None:
        """Take an engine, the folder of the copy, the log's key, and the witnesses it asks."""
        self._seen = LogSeen(engine)
        self._folder = folder / sha256(str(key).encode()).hexdigest()[:16]
        keys = [each.key for each in witnesses if each.url]
        self._monitor = Monitor(self._folder, key, keys)
        self._known: set[Finding] = set()

    async def run(self) -> None:
        """Walk for ever; of several processes with one folder, one walks."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                began = time.monotonic()
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    await self.walk()
                except BlockingIOError:
                    pass  # another process walks
                except Exception as error:  # noqa: BLE001  (the walk comes again)
                    _log.error("monitor-cannot-look", error)
                    telemetry.AUDIT_WALKED.set(0)
                await asyncio.sleep(max(EVERY, (time.monotonic() - began) * SHARE))
        finally:
            os.close(lock)

    async def walk(self) -> list[Finding]:
        """Walk once, and tell."""
        try:
            found = await self._monitor.walk(self._seen)
        except Unavailable:
            return []
        for finding in found:
            if finding not in self._known:
                _log.error("history-finding", kind=str(finding.kind), where=finding.where)
        self._known = set(found)
        counts = Counter(finding.kind for finding in found)
        for kind in Kind:
            telemetry.AUDIT_FINDINGS.labels(str(kind)).set(counts[kind])
        telemetry.AUDIT_WALKED.set(time.time())
        telemetry.WALKING.done()
        return found
