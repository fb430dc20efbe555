"""The use cases of telling people: claim what is due, decide, begin, store what came of it.

The state in flight is committed before the gateway is asked. Whatever ends a process after that,
or leaves open what the gateway did, makes the notice unknown, and no machine sends it again
(KAFKA-FACTS 17); a gateway that can be asked what it did is asked. Nothing is sent or asked inside
a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from services.notification import person_claims, person_fates, person_store
from services.notification.deliveries import tell
from services.notification.domain import NoticeState
from services.notification.limits import HOUR
from services.notification.policy import Reason
from shared import telemetry
from shared.sms import Refused, Sent, Unknown
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.notification.contacts import Contacts
    from services.notification.limits import Begun, Limits
    from services.notification.person_store import PersonNotice
    from shared.outbox import Outbox
    from shared.sms import Outcome

ASKING: Final = timedelta(seconds=30)
"""How long a claim holds before the send begins: intake answers in a sixth of it."""

MARGIN: Final = timedelta(seconds=15)
"""How much longer than an exchange with the gateway a notice is held in flight."""

FIRST_ASK: Final = timedelta(seconds=20)
ASK_AGAIN: Final = (timedelta(minutes=3), timedelta(minutes=30), timedelta(hours=6))
"""After these a gateway that can be asked is asked what became of an unknown notice."""

OVERDUE: Final = timedelta(minutes=5)
FORGOTTEN: Final = timedelta(hours=6)
"""So long after it was useful, or due, a notice that waits was forgotten by who should send it."""

SIFT_AHEAD: Final = timedelta(seconds=1)
"""How long before they are due notices to providers are sifted."""

SIFTED: Final = 500
"""Of how many at once intake is asked."""

FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=10)
"""Pauses of a notice for which intake or the gateway was not to be had: doubled each time."""

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
        limits: Limits,
        asks: bool = False,
    ) -> None:
        """Take the flow engine, the outbox, who sends, the longest exchange, clock and limits.

        `asks`: whether the gateway can be asked what became of a message.
        """
        self._engine = engine
        self._outbox = outbox
        self._notifier = notifier
        self._holder = holder
        self._exchange = exchange
        self._clock = clock
        self._limits = limits
        self._asks = asks
        self._began = clock()

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

    async def sift(self, contacts: Contacts, sifted: set[UUID]) -> None:
        """Drop many notices to providers at once that have no worker here; `sifted` had their turn.

        Those of whose referral intake does not know yet wait a little longer.
        """
        at = self._clock()
        while True:
            async with self._engine.connect() as conn:
                found = await person_claims.unsifted(
                    conn, self._notifier, at, at + SIFT_AHEAD, sifted, SIFTED
                )
            if not found:
                return
            told = await contacts.sift(list(found.values()))
            moot, later = frozenset(told.moot), frozenset(told.later)
            async with self._engine.begin() as conn:
                ids = [notice for notice, referral in found.items() if referral in moot]
                await person_claims.drop_moot(conn, ids, at)
                ids = [notice for notice, referral in found.items() if referral in later]
                await person_claims.look_later(conn, ids, at, at + FIRST_PAUSE)
            sifted |= {n for n, r in found.items() if r not in moot and r not in later}
            if len(found) < SIFTED or not (moot or later):
                return

    async def begin(self, job: Job, mark: bytes) -> Begun:
        """Commit that a notice is in flight; only after `yes` may it be sent, once."""
        at = self._clock()
        async with self._engine.begin() as conn:
            return await person_claims.begin(
                conn,
                job.notice,
                job.lease,
                mark,
                at=at,
                until=at + self._exchange + MARGIN,
                limits=self._limits,
            )

    async def hand_over(self, job: Job, to: str) -> None:
        """Give a notice to the notifier of the way that is safe."""
        async with self._engine.begin() as conn:
            await person_fates.hand_over(conn, job.notice.id, job.lease, to)

    async def drop(self, job: Job) -> None:
        """Forget a notice: nobody was meant."""
        async with self._engine.begin() as conn:
            await person_fates.drop(conn, job.notice.id, job.lease)

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

    async def claim_asks(self, limit: int) -> list[tuple[PersonNotice, datetime]]:
        """Return unknown notices to ask the gateway about now, with when each was begun."""
        async with self._engine.begin() as conn:
            return await person_fates.claim_asks(
                conn, self._notifier, self._clock(), ASK_AGAIN, limit
            )

    async def withhold_overdue(self) -> None:
        """Withhold what no notifier has looked at: it runs nowhere.

        After a start there is time to look at what has waited since the end.
        """
        forgotten = self._clock() - FORGOTTEN
        since = forgotten if forgotten > self._began else None
        await self._withhold_unserved(Reason.UNSERVED, None, since)

    async def withhold_given(self) -> int:
        """Withhold all that waits for this notifier, which has no way to send; return how many."""
        return await self._withhold_unserved(Reason.NO_GATEWAY, self._notifier, None)

    async def _withhold_unserved(
        self, reason: Reason, notifier: str | None, forgotten: datetime | None
    ) -> int:
        at = self._clock()
        async with self._engine.begin() as conn:
            found = await person_fates.withhold_unserved(
                conn,
                str(reason),
                at,
                late=at - OVERDUE,
                forgotten=forgotten,
                notifier=notifier,
            )
            for notice in found:
                await tell(conn, self._outbox, notice, at)
        return len(found)

    async def forget_marks(self) -> None:
        """Blank the marks of recipients that are no longer needed."""
        async with self._engine.begin() as conn:
            await person_store.forget_marks(conn, self._clock() - HOUR)

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
                conn,
                job.notice,
                job.lease,
                state,
                reason=reason,
                status=status,
                at=at,
                ask_at=self._ask_at(at) if state is NoticeState.UNKNOWN else None,
            )
            if ended is None:
                _log.warning("lease-lost", notice=job.notice.id)
                return
            await tell(conn, self._outbox, ended, at)

    async def _give_up(self, conn: AsyncConnection, holder: str | None) -> None:
        at = self._clock()
        ask_at = self._ask_at(at)
        for notice in await person_claims.give_up_interrupted(
            conn, self._notifier, holder, at, ask_at
        ):
            _log.error("delivery-unknown", notice=notice.id, reason=notice.reason)
            await tell(conn, self._outbox, notice, at)

    def _ask_at(self, at: datetime) -> datetime | None:
        return at + FIRST_ASK if self._asks else None
