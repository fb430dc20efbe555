"""The use cases of telling persons: claim what is due, decide, begin, store what came of it.

The state in flight is committed before the gateway is asked. Whatever ends a process after that,
or leaves open what the gateway did, makes the notice unknown, and no machine sends it again
(KAFKA-FACTS 17). Nothing is sent or asked inside a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from services.notification import person_claims, person_store
from services.notification.domain import NoticeState
from services.notification.facts import person_draft
from shared import telemetry
from shared.outbox import Stamp
from shared.sms import Refused, Sent, Unknown
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.notification.person_store import PersonNotice
    from services.notification.policy import Reason
    from shared.outbox import Outbox
    from shared.sms import Outcome

WINDOW: Final = timedelta(minutes=10)
"""For so long the same person does not get the same text again."""

ASKING: Final = timedelta(seconds=30)
"""How long a claim holds before the send begins: intake answers in a sixth of it."""

MARGIN: Final = timedelta(seconds=15)
"""How much longer than an exchange with the gateway a notice is held in flight."""

FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=10)
"""Pauses of a notice for which intake or the gateway was not to be had: doubled each time."""

LOST: Final = 3
BRAKE_PAUSE: Final = timedelta(seconds=30)
"""After so many unknown outcomes in a row nothing is sent for this long, doubled each time."""

_log = Log("sending")


@dataclass(frozen=True, slots=True)
class Job:
    """A due notice, leased to this worker."""

    notice: PersonNotice
    lease: UUID


class Sending:
    """Claims and settles the notices of one notifier; one instance a process."""

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        notifier: str,
        holder: str,
        exchange: timedelta,
        *,
        clock: Callable[[], datetime],
        window: timedelta = WINDOW,
    ) -> None:
        """Take the flow engine, the outbox, who sends, the longest exchange, and the clock.

        `window`: for so long the same recipient does not get the same text again.
        """
        self._engine = engine
        self._outbox = outbox
        self._notifier = notifier
        self._holder = holder
        self._exchange = exchange
        self._clock = clock
        self._window = window

    @property
    def notifier(self) -> str:
        """Whose notices these are."""
        return self._notifier

    async def free_mine(self) -> None:
        """After a start: what this replica had in flight is unknown, the rest of it is free."""
        async with self._engine.begin() as conn:
            await person_claims.free_waiting(conn, self._notifier, self._holder)
            await self._give_up(conn, self._holder)

    async def give_up(self) -> None:
        """Make unknown what a dead replica left in flight; looked for now and then."""
        async with self._engine.begin() as conn:
            await self._give_up(conn, None)

    async def claim(self, limit: int) -> list[Job]:
        """Lease up to `limit` due notices that nobody holds."""
        at = self._clock()
        async with self._engine.begin() as conn:
            found = await person_claims.claim(
                conn, self._notifier, at, at + ASKING, self._holder, limit
            )
        return [Job(notice, lease) for notice, lease in found]

    async def begin(self, job: Job, mark: bytes) -> bool | None:
        """Commit that a notice is in flight; only after True may it be sent, once.

        False: the recipient got the same text minutes ago. None: another worker has it.
        """
        at = self._clock()
        async with self._engine.begin() as conn:
            return await person_claims.begin(
                conn,
                job.notice,
                job.lease,
                mark,
                at=at,
                until=at + self._exchange + MARGIN,
                window=self._window,
            )

    async def wait(self, job: Job, until: datetime) -> None:
        """Let a notice wait for its next safe hour."""
        async with self._engine.begin() as conn:
            await person_claims.put_off(conn, job.notice, job.lease, until, failed=False)

    async def put_off(self, job: Job, after: timedelta | None = None) -> None:
        """Let a notice wait because intake or the gateway was not to be had; not before `after`."""
        pause = min(FIRST_PAUSE * 2 ** min(job.notice.tries, 10), LONGEST_PAUSE)
        until = self._clock() + max(pause, after or pause)
        async with self._engine.begin() as conn:
            await person_claims.put_off(conn, job.notice, job.lease, until, failed=True)

    async def withhold(self, job: Job, reason: Reason) -> None:
        """End a notice unsent, with the event that gives it to a person."""
        await self._end(job, NoticeState.WITHHELD, str(reason), None)

    async def settle(self, job: Job, outcome: Outcome) -> None:
        """Store what the gateway said."""
        match outcome:
            case Sent(status=status):
                await self._end(job, NoticeState.SENT, None, status)
            case Refused(again=True, after=after):
                await self.put_off(job, after)
            case Refused(reason=reason, status=status):
                await self._end(job, NoticeState.FAILED, reason, status)
            case Unknown(reason=reason, status=status):
                await self._end(job, NoticeState.UNKNOWN, reason, status)

    async def forget_marks(self) -> None:
        """Blank the marks of recipients that are no longer needed."""
        async with self._engine.begin() as conn:
            await person_store.forget_marks(conn, self._clock() - WINDOW)

    async def measure(self) -> None:
        """Read how long the oldest due notice waits, for the gauge that alerts."""
        at = self._clock()
        async with self._engine.connect() as conn:
            due = await person_store.find_oldest_due(conn, self._notifier, at)
        late = (at - due).total_seconds() if due else 0.0
        telemetry.SMS_OLDEST_DUE.labels(self._notifier).set(late)

    async def _end(
        self, job: Job, state: NoticeState, reason: str | None, status: int | None
    ) -> None:
        at = self._clock()
        async with self._engine.begin() as conn:
            ended = await person_claims.end(
                conn, job.notice, job.lease, state, reason=reason, status=status, at=at
            )
            if ended is None:
                _log.warning("lease-lost", notice=job.notice.id)
                return
            await self._tell(conn, ended, at)

    async def _give_up(self, conn: AsyncConnection, holder: str | None) -> None:
        at = self._clock()
        for notice in await person_claims.give_up_interrupted(conn, self._notifier, holder, at):
            _log.error("delivery-unknown", notice=notice.id, reason=notice.reason)
            await self._tell(conn, notice, at)

    async def _tell(self, conn: AsyncConnection, notice: PersonNotice, at: datetime) -> None:
        trace = telemetry.current_traceparent() or notice.traceparent
        actor = f"service:notification.{self._notifier}"
        await self._outbox.append(conn, [(person_draft(notice), Stamp(at, actor, trace))])
        telemetry.NOTICES.labels(self._notifier, str(notice.state)).inc()


@dataclass(slots=True)
class Brake:
    """Holds a gateway back that does not answer: each try would make one more notice unknown.

    After `LOST` unknown outcomes in a row only one notice is tried, after a pause that grows; a
    gateway that says it is busy gets the pause that it asks for.
    """

    lost: int = 0
    until: datetime | None = None

    def note(self, outcome: Outcome, at: datetime) -> None:
        """Learn from what became of a message."""
        match outcome:
            case Unknown():
                self.lost += 1
                if self.lost >= LOST:
                    pause = BRAKE_PAUSE * 2 ** min(self.lost - LOST, 10)
                    self.until = at + min(pause, LONGEST_PAUSE)
            case Refused(again=True, after=after):
                self.until = at + after if after is not None else self.until
            case _:
                self.lost, self.until = 0, None

    def room(self, full: int, at: datetime) -> int:
        """Return how many messages may be under way at once now."""
        if self.until is not None and at < self.until:
            return 0
        return full if self.lost < LOST else 1
