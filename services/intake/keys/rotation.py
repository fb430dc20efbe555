"""A new epoch every month: a key is added, live data keys are wrapped anew, the old key destroyed.

One timer does it in steps, each a transaction, while reports come in; a process that dies between
two steps goes on from what the database says. Nothing is decrypted but data keys, in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from services.intake.keys.providers import new_key
from shared import telemetry
from shared.clock import now
from shared.errors import SettingsError
from shared.lean import text
from shared.telemetry import Log
from shared.timers import Timer, TimerKind, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.keys.providers import KeyProvider
    from services.intake.vault import Vault

KIND: Final = "key-epoch"
"""The one timer of this kind has the subject `intake`."""

EPOCH: Final = timedelta(days=30)
"""How long a key wraps before the next one does."""

LOOK: Final = timedelta(days=1)
"""How often it is looked whether a key is to change, or the office has changed it."""

GRACE: Final = timedelta(days=1)
"""How long an old key stays after the new one came: longer than `ring.STALE`."""

BATCH: Final = 500
"""Data keys that are wrapped anew in one transaction."""

_FIRST: Final = UUID(int=0)
_log = Log("keys")

_PAGE = text("""
SELECT subject_id, case_id, kind, ref, wrapped_key, commitment, kek FROM subjects
WHERE subject_id > :after AND wrapped_key IS NOT NULL AND kek <> :newest
ORDER BY subject_id LIMIT :n FOR UPDATE
""")
_WRAP = text("""
UPDATE subjects s SET wrapped_key = t.w, kek = :kek FROM unnest(CAST(:ids AS uuid[]),
  CAST(:w AS bytea[])) AS t (id, w) WHERE s.subject_id = t.id AND s.wrapped_key IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class Epoch:
    """A key that the database knows; `since` is when it was first seen."""

    fingerprint: bytes
    since: datetime


async def live_epochs(conn: AsyncConnection) -> list[Epoch]:
    """Return the keys that data may be wrapped under, the oldest first."""
    rows = await conn.execute(
        text(
            "SELECT fingerprint, first_seen FROM key_fingerprints"
            " WHERE kind = 'kek' AND destroyed_at IS NULL ORDER BY first_seen, fingerprint"
        )
    )
    return [Epoch(bytes(row.fingerprint), row.first_seen) for row in rows]


async def note_epoch(conn: AsyncConnection, fingerprint: bytes, at: datetime) -> None:
    """Let the database know of a key, so that no process starts without it."""
    await conn.execute(
        text(
            "INSERT INTO key_fingerprints (kind, fingerprint, first_seen) VALUES ('kek', :f, :at)"
            " ON CONFLICT (kind, fingerprint) DO NOTHING"
        ),
        {"f": fingerprint, "at": at},
    )


async def check_keys(engine: AsyncEngine, vault: Vault, at: datetime) -> None:
    """Refuse to start without a key that data is wrapped under; see to it that keys will change.

    Raises:
        SettingsError: data in the database is wrapped by a key that is missing here.

    """
    async with engine.begin() as conn:
        await conn.execute(text("LOCK TABLE key_fingerprints IN SHARE ROW EXCLUSIVE MODE"))
        known = await live_epochs(conn)
        if any(epoch.fingerprint not in vault.ring.fingerprints for epoch in known):
            message = (
                "kek.key lacks a key that this database was written with: put the old key back;"
                " a new one is never made beside old data"
            )
            raise SettingsError(message)
        await note_epoch(conn, vault.ring.newest, at)
        await conn.execute(
            text(
                "INSERT INTO timers (id, kind, subject, due_at, payload)"
                " VALUES (gen_random_uuid(), :k, 'intake', :at, '{}') ON CONFLICT DO NOTHING"
            ),
            {"k": KIND, "at": at + LOOK},
        )


async def rewrap(conn: AsyncConnection, vault: Vault, after: UUID) -> UUID | None:
    """Wrap the data keys of the next subjects under the newest key; return the last of them.

    None when it was not a whole batch: reports that come in meanwhile stand behind all others and
    are not followed; what a process wrapped that was late to know the key is found by `retire`.
    What is under the newest key already, or was destroyed, is passed over.
    """
    newest = vault.ring.newest
    rows = (await conn.execute(_PAGE, {"after": after, "newest": newest, "n": BATCH})).all()
    ids = [row.subject_id for row in rows]
    wrapped = [vault.rewrap(_subject(row)) for row in rows]
    await conn.execute(_WRAP, {"kek": newest, "ids": ids, "w": wrapped})
    telemetry.KEYS_REWRAPPED.inc(len(rows))
    return ids[-1] if len(ids) == BATCH else None


def _subject(row: Any) -> Any:  # noqa: ANN401  (a database row in, a Subject out)
    from services.intake.vault import Subject  # noqa: PLC0415  (the vault imports the ring)

    return Subject(
        row.subject_id,
        row.case_id,
        row.kind,
        row.ref,
        bytes(row.wrapped_key),
        bytes(row.commitment),
        bytes(row.kek),
    )


class Rotation:
    """The steps: `look`, `rewrap` (from a subject on), `retire`, `remove`."""

    def __init__(
        self, vault: Vault, provider: KeyProvider, clock: Callable[[], datetime] = now
    ) -> None:
        """Take the vault, where its keys are kept, and the clock."""
        self._vault = vault
        self._provider = provider
        self._clock = clock

    def timer(self) -> TimerKind:
        """Make the timer that takes the next step and sets itself again."""
        return TimerKind(KIND, self._fire)

    async def _fire(self, conn: AsyncConnection, timer: Timer) -> None:
        due, payload = await self.step(conn, timer.payload)
        await schedule(conn, KIND, timer.subject, due, payload)

    async def step(
        self, conn: AsyncConnection, payload: Mapping[str, Any]
    ) -> tuple[datetime, dict[str, Any]]:
        """Take one step; return when the next is due, and which it is."""
        at = self._clock()
        self._vault.ring.reload()
        match payload.get("step", "look"):
            case "rewrap":
                return await self._rewrap(conn, UUID(str(payload["after"])), at)
            case "retire":
                return await self._retire(conn, at)
            case "remove":
                return await self._remove(conn, at)
            case _:
                return await self._look(conn, at, forced=bool(payload.get("now")))

    async def _look(
        self, conn: AsyncConnection, at: datetime, *, forced: bool
    ) -> tuple[datetime, dict[str, Any]]:
        """Add a key when the newest is a month old; wrap anew when there is a newer one."""
        known = await live_epochs(conn)
        ring = self._vault.ring
        since = {epoch.fingerprint: epoch.since for epoch in known}
        begun = since.get(ring.newest)
        old = begun is not None and (forced or at - begun >= EPOCH)
        if old and len(known) == 1 and self._provider.writable:
            self._provider.add(new_key())
            ring.reload()
            _log.info("key-epoch-begins")
        await note_epoch(conn, ring.newest, at)
        if set(since) - {ring.newest}:
            return at, {"step": "rewrap", "after": str(_FIRST)}
        return at + LOOK, {"step": "look"}

    async def _rewrap(
        self, conn: AsyncConnection, after: UUID, at: datetime
    ) -> tuple[datetime, dict[str, Any]]:
        last = await rewrap(conn, self._vault, after)
        if last is not None:
            return at, {"step": "rewrap", "after": str(last)}
        known = await live_epochs(conn)
        newest = next(e for e in known if e.fingerprint == self._vault.ring.newest)
        return max(at, newest.since + GRACE), {"step": "retire"}

    async def _retire(self, conn: AsyncConnection, at: datetime) -> tuple[datetime, dict[str, Any]]:
        """Say in the database that the old keys are gone, once nothing is wrapped under them."""
        newest = self._vault.ring.newest
        left = await conn.scalar(
            text("SELECT 1 FROM subjects WHERE wrapped_key IS NOT NULL AND kek <> :k LIMIT 1"),
            {"k": newest},
        )
        if left is not None:
            return at, {"step": "rewrap", "after": str(_FIRST)}
        await conn.execute(
            text(
                "UPDATE key_fingerprints SET destroyed_at = :at"
                " WHERE kind = 'kek' AND destroyed_at IS NULL AND fingerprint <> :k"
            ),
            {"k": newest, "at": at},
        )
        return at, {"step": "remove"}

    async def _remove(self, conn: AsyncConnection, at: datetime) -> tuple[datetime, dict[str, Any]]:
        """Destroy the keys that the database has given up, in a commit before this one."""
        rows = await conn.execute(
            text(
                "SELECT fingerprint FROM key_fingerprints"
                " WHERE kind = 'kek' AND destroyed_at IS NOT NULL"
            )
        )
        gone = {bytes(row.fingerprint) for row in rows} & self._vault.ring.fingerprints
        if gone and self._provider.writable:
            self._provider.destroy(gone)
            self._vault.ring.reload()
            _log.info("key-epoch-destroyed", keys=len(gone))
        elif gone:
            _log.warning("key-to-remove", fingerprints=sorted(key.hex() for key in gone))
        return at + LOOK, {"step": "look"}
