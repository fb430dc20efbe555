"""Timers: deadlines, retries and safe hours as rows with a due time (DECISIONS 14).

Due timers are found without a lock; then the thing they are about is locked; then the row is
deleted, and only the process whose DELETE returned it acts. So each fires once, over restarts and
replicas, in the transaction of what it does.

A clock that ran ahead for a while must make nothing late: a timer that was set later than the
present (`set_at`) is fired at once, and whoever set it looks again by the clock as it is now.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shared import telemetry
from shared.clock import AHEAD, new_event_id, now
from shared.database import Blame, blame
from shared.lean import later, text
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

POLL: Final = 0.25
"""Seconds between looks for due timers."""

CLAIM: Final = 100
"""Due timers looked at in one round."""

LONGEST_BACKOFF: Final = timedelta(minutes=5)
"""Longest pause after a timer whose action failed."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One row: fires `kind` about `subject` at `due_at` (UTC); payload holds no personal data."""

    id: UUID
    kind: str
    subject: str
    due_at: datetime
    payload: Mapping[str, Any]
    attempt: int


@dataclass(frozen=True, slots=True)
class TimerKind:
    """What a kind of timer does. `lock` takes the locks that come before timers, if any."""

    kind: str
    fire: Callable[[AsyncConnection, Timer], Awaitable[None]]
    lock: Callable[[AsyncConnection, Timer], Awaitable[None]] | None = None


async def schedule(
    conn: AsyncConnection,
    kind: str,
    subject: str,
    due_at: datetime,
    payload: Mapping[str, Any] | None = None,
    attempt: int = 0,
) -> None:
    """Set the one timer of this kind and subject; an older one is moved."""
    await schedule_many(conn, kind, {subject: (due_at, payload or {})}, attempt)


async def schedule_many(
    conn: AsyncConnection,
    kind: str,
    due: Mapping[str, tuple[datetime, Mapping[str, Any]]],
    attempt: int = 0,
    set_at: datetime | None = None,
) -> None:
    """Set the one timer of this kind for each subject, to (due time, payload), in their order.

    With `set_at`, the present by the caller's clock, it also fires when that turns out to have been
    ahead: for kinds whose action looks what is due, and does nothing early.
    """
    if not due:
        return
    subjects = sorted(due)
    later(
        conn,
        text(
            "INSERT INTO timers (id, kind, subject, due_at, payload, attempt, set_at)"
            " SELECT id, :kind, subject, due, CAST(payload AS jsonb), :attempt,"
            " CAST(:set_at AS timestamptz)"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:subjects AS text[]),"
            " CAST(:due AS timestamptz[]), CAST(:payloads AS text[]))"
            " AS t (id, subject, due, payload) ORDER BY subject"
            " ON CONFLICT (kind, subject) DO UPDATE SET id = excluded.id,"
            " due_at = excluded.due_at, payload = excluded.payload, attempt = excluded.attempt,"
            " set_at = excluded.set_at"
        ),
        {
            "ids": [new_event_id() for _ in subjects],
            "kind": kind,
            "subjects": subjects,
            "due": [due[subject][0] for subject in subjects],
            "payloads": [msgspec.json.encode(due[subject][1]).decode() for subject in subjects],
            "attempt": attempt,
            "set_at": set_at,
        },
    )


async def cancel(conn: AsyncConnection, kind: str, subject: str) -> None:
    """Take back the timer of this kind and subject; nothing happens when there is none."""
    await cancel_many(conn, kind, [subject])


async def cancel_many(conn: AsyncConnection, kind: str, subjects: Collection[str]) -> None:
    """Take back the timers of this kind and these subjects, in their order."""
    if not subjects:
        return
    await conn.execute(
        text(
            "DELETE FROM timers WHERE id IN (SELECT id FROM timers WHERE kind = :kind"
            " AND subject = ANY(CAST(:subjects AS text[])) ORDER BY subject FOR UPDATE)"
        ),
        {"kind": kind, "subjects": sorted(subjects)},
    )


_FOUND: Final = "SELECT id, kind, subject, due_at, payload, attempt FROM timers"
_DUE: Final = text(
    f"({_FOUND} WHERE due_at <= :now AND kind = ANY(CAST(:kinds AS text[]))"
    f" ORDER BY due_at LIMIT :n) UNION ({_FOUND} WHERE set_at > :later"
    " AND kind = ANY(CAST(:kinds AS text[])) ORDER BY set_at LIMIT :n) ORDER BY due_at"
)


class TimerLoop:
    """Fires due timers of the given kinds until cancelled; any number of replicas may run."""

    def __init__(
        self,
        engine: AsyncEngine,
        kinds: Sequence[TimerKind],
        *,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Take the engine, what may fire, and the clock that says when."""
        self._engine = engine
        self._kinds = {kind.kind: kind for kind in kinds}
        self._wake = wake
        self._clock = clock
        self._log = Log("timers")

    async def run(self) -> None:
        """Fire for ever; a database that is down only makes it wait."""
        pause = POLL
        while True:
            try:
                fired = await self.round()
            except Exception as error:  # noqa: BLE001  (the loop outlives a lost database)
                self._log.error("timer-round-failed", error)
                pause = min(max(pause * 2, POLL), 3.0)
            else:
                pause = 0.0 if fired else POLL
            await asyncio.sleep(pause)

    async def round(self) -> int:
        """Fire what is due now, one transaction each; return how many fired."""
        at = self._clock()
        async with self._engine.connect() as conn:
            rows = await conn.execute(
                _DUE,
                {"now": at, "later": at + AHEAD, "kinds": list(self._kinds), "n": CLAIM},
            )
            due = [
                Timer(r.id, r.kind, r.subject, r.due_at, _mapping(r.payload), r.attempt)
                for r in rows
            ]
        fired = 0
        for timer in due:
            fired += await self._fire(timer)
        if fired:
            self._wake()
        return fired

    async def _fire(self, timer: Timer) -> bool:
        kind = self._kinds[timer.kind]
        try:
            async with self._engine.begin() as conn:
                if kind.lock is not None:
                    await kind.lock(conn, timer)
                gone = await conn.execute(
                    text("DELETE FROM timers WHERE id = :id RETURNING id"), {"id": timer.id}
                )
                if gone.first() is None:
                    return False
                with telemetry.span(f"timer {timer.kind}"):
                    await kind.fire(conn, timer)
        except Exception as error:  # noqa: BLE001  (it is put off; if that fails, so does the round)
            if blame(error) is Blame.RETRY:
                return False  # still there and still due
            self._log.error("timer-failed", error, kind=timer.kind)
            telemetry.TIMERS_FIRED.labels(timer.kind, "failed").inc()
            await self._put_off(timer)
            return False
        telemetry.TIMERS_FIRED.labels(timer.kind, "fired").inc()
        return True

    async def _put_off(self, timer: Timer) -> None:
        backoff, at = timedelta(seconds=2 ** min(timer.attempt, 10)), self._clock()
        backoff = min(backoff, LONGEST_BACKOFF)
        async with self._engine.begin() as conn:
            await conn.execute(
                text(
                    "UPDATE timers SET due_at = :due, attempt = attempt + 1,"
                    " set_at = CASE WHEN set_at IS NOT NULL THEN CAST(:at AS timestamptz) END"
                    " WHERE id = :id"
                ),
                {"due": at + backoff, "at": at, "id": timer.id},
            )


def _mapping(payload: Any) -> Mapping[str, Any]:  # noqa: ANN401  (jsonb comes as text or parsed)
    found = msgspec.json.decode(payload) if isinstance(payload, str | bytes) else payload
    return found if isinstance(found, dict) else {}
