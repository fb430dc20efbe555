"""The use cases of serving: claim what is due, store what came of it, go on with the next.

Nothing is sent inside a transaction. Between the claim's commit and the settling one the
subscription is leased: a worker that is killed in between is followed by another, which sends the
same notice again with the same id (KAFKA-FACTS 17).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from services.notification import claims, outcomes, store
from services.notification.domain import (
    SLOW,
    WEBHOOK,
    Head,
    NoticeState,
    Rest,
    Send,
    Standing,
    Why,
    Withhold,
    next_step,
)
from services.notification.facts import disabled_draft, notice_draft
from services.notification.verdicts import Verdict, judge
from shared import telemetry
from shared.lean import text
from shared.outbox import Stamp
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.notification.claims import Claimed
    from services.notification.domain import SubscriptionId
    from services.notification.settings import WebhookSettings
    from services.notification.verdicts import Answer
    from shared.events import Draft
    from shared.outbox import Outbox

_OLDEST_DUE: Final = text(
    "SELECT extract(epoch FROM CAST(:at AS timestamptz) - min(due_at)) FROM subscriptions"
    " WHERE due_at <= :at AND (leased_until IS NULL OR leased_until <= :at)"
)

ACTOR: Final = "service:notification.webhook"

ROUNDS: Final = 4
"""Steps that a subscription takes without sending before it lets others go first."""

_log = Log("dispatch")


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt to make: a subscription held under a lease, and its first waiting notice."""

    held: Claimed
    head: Head
    lease: UUID

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.head.attempt + 1


class Dispatch:
    """Claims and settles; one instance a process."""

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        settings: WebhookSettings,
        holder: str,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the flow engine, the outbox, the limits, this replica's name and the clock."""
        self._engine = engine
        self._outbox = outbox
        self._settings = settings
        self._holder = holder
        self._clock = clock

    async def free_mine(self) -> None:
        """Let go of what this replica held when it died, so that it is served at once."""
        async with self._engine.begin() as conn:
            freed = await claims.free_holder(conn, self._holder)
        if freed:
            _log.warning("leases-freed", count=freed)

    async def claim(self, limit: int, *, slow: bool) -> list[Job]:
        """Claim up to `limit` due subscriptions of a lane; return the attempts to make."""
        at = self._clock()
        async with self._engine.begin() as conn:
            until = at + self._settings.lease
            held = await claims.claim(conn, at, until, self._holder, limit, slow=slow)
            if not held:
                return []
            jobs, events = await self._advance(conn, held, at)
            await self._outbox.append(conn, events)
        return jobs

    async def settle(self, job: Job, answer: Answer) -> Job | None:
        """Store what an attempt gave; return the subscription's next attempt, if one is due now.

        None also when the lease was lost: whoever took it makes the attempt again. Events are
        appended last and together, so that the outbox's rows are locked in one order.
        """
        at = self._clock()
        async with self._engine.begin() as conn:
            outcome = judge(answer, job.held.failures, self._settings.schedule, at)
            delivered = outcome.verdict is Verdict.DELIVERED
            if delivered:
                stored = await self._deliver(conn, job, answer, at)
            else:
                stored = await self._fail(conn, job, answer, outcome.verdict, at)
            if stored is None:
                _log.warning("lease-lost", subscription=job.held.id)
                return None
            standing, drafts = stored
            trace = telemetry.current_traceparent() or job.head.entry.traceparent
            events = [(draft, Stamp(at, ACTOR, trace)) for draft in drafts]
            jobs: list[Job] = []
            if outcome.verdict is Verdict.RETRY and standing is Standing.ACTIVE:
                await claims.rest(conn, [(job.held.id, outcome.retry_at)])
            elif not await outcomes.rest_idle(conn, job.held.id):
                failures = 0 if delivered else job.held.failures + 1
                held = replace(job.held, standing=standing, failures=failures)
                jobs, more = await self._advance(conn, [held], at)
                events += more
            await self._outbox.append(conn, events)
        return jobs[0] if jobs else None

    async def _deliver(
        self, conn: AsyncConnection, job: Job, answer: Answer, at: datetime
    ) -> tuple[Standing, list[Draft]] | None:
        """Write a success; return how the subscription stands and the events, None if not held."""
        stored = await outcomes.deliver(
            conn,
            subscription_id=job.held.id,
            lease=job.lease,
            notice_id=job.head.notice_id,
            cursor=job.head.entry.feed_seq,
            status=answer.status,
            slow=answer.took > SLOW,
            at=at,
        )
        if stored is None:
            return None
        standing, done = stored
        return standing, [self._ended(job, NoticeState.DELIVERED, None)] if done else []

    async def _fail(
        self, conn: AsyncConnection, job: Job, answer: Answer, verdict: Verdict, at: datetime
    ) -> tuple[Standing, list[Draft]] | None:
        """Write a failure; return how the subscription stands and the events, None if not held."""
        sub, head = job.held.id, job.head
        held = await claims.find_held(conn, sub, job.lease)
        if held is None:
            return None
        await outcomes.note_failure(conn, sub, answer, at)
        if verdict is Verdict.RETRY:
            await outcomes.note_status(conn, head.notice_id, answer.status)
            return held.standing, []
        reason = Why.GONE if verdict is Verdict.GONE else Why.EXHAUSTED
        drafts: list[Draft] = []
        if await outcomes.end_notice(conn, head.notice_id, reason, answer.status, at):
            drafts.append(self._ended(job, NoticeState.FAILED, reason))
        if held.standing is not Standing.ACTIVE:
            return held.standing, drafts
        standing = Standing.DISABLED if verdict is Verdict.GONE else Standing.DEAD
        await outcomes.end_subscription(conn, sub, standing, reason, at)
        drafts.append(disabled_draft(WEBHOOK, head, sub, job.attempt, reason))
        telemetry.SUBSCRIPTIONS_ENDED.labels(str(reason)).inc()
        _log.error("subscription-ended", subscription=sub, why=str(reason))
        return standing, drafts

    @staticmethod
    def _ended(job: Job, state: NoticeState, reason: Why | None) -> Draft:
        telemetry.NOTICES.labels(WEBHOOK, str(state)).inc()
        return notice_draft(
            WEBHOOK,
            notice_id=job.head.notice_id,
            subscription_id=job.held.id,
            entry=job.head.entry,
            state=state,
            attempt=job.attempt,
            reason=reason,
        )

    async def _advance(
        self, conn: AsyncConnection, held: Sequence[Claimed], at: datetime
    ) -> tuple[list[Job], list[tuple[Draft, Stamp]]]:
        """Take each held subscription to its next attempt, or let it go; return events too."""
        jobs: list[Job] = []
        events: list[tuple[Draft, Stamp]] = []
        rests: list[tuple[SubscriptionId, datetime | None]] = []
        open_ = list(held)
        for _ in range(ROUNDS):
            heads = await claims.list_heads(conn, [s.id for s in open_])
            again: list[Claimed] = []
            for sub in open_:
                head = heads.get(sub.id)
                match next_step(sub.standing, head, at):
                    case Send(head=first):
                        jobs.append(Job(sub, first, uuid4()))
                    case Rest(until=until):
                        rests.append((sub.id, until))
                    case Withhold(reason=reason):
                        events += await self._withhold(conn, sub, reason, at)
                        again.append(sub)
            open_ = again
            if not open_:
                break
        rests += [(sub.id, at) for sub in open_]
        if jobs:
            await claims.begin_attempts(
                conn,
                [(job.held.id, job.head.notice_id, job.lease) for job in jobs],
                at + self._settings.lease,
            )
        if rests:
            await claims.rest(conn, rests)
        return jobs, events

    @staticmethod
    async def _withhold(
        conn: AsyncConnection, sub: Claimed, reason: Why, at: datetime
    ) -> list[tuple[Draft, Stamp]]:
        """Withhold what waits, or what of it is stale; return the events."""
        gone = await outcomes.withhold(conn, sub.id, reason, at, stale=reason is Why.STALE)
        telemetry.NOTICES.labels(WEBHOOK, str(NoticeState.WITHHELD)).inc(len(gone))
        return [
            (
                notice_draft(
                    WEBHOOK,
                    notice_id=notice_id,
                    subscription_id=sub.id,
                    entry=entry,
                    state=NoticeState.WITHHELD,
                    attempt=attempt,
                    reason=reason,
                ),
                Stamp(at, ACTOR, entry.traceparent),
            )
            for notice_id, attempt, entry in gone
        ]

    async def measure(self) -> None:
        """Read how many subscriptions stand how, for the gauge that alerts on dead ones."""
        async with self._engine.connect() as conn:
            found = await store.count_standings(conn)
            due = await conn.scalar(_OLDEST_DUE, {"at": self._clock()})
        telemetry.NOTICES_OLDEST.set(float(due or 0))
        for standing in (Standing.ACTIVE, Standing.DEAD, Standing.DISABLED):
            telemetry.SUBSCRIPTIONS.labels(str(standing)).set(found.get(standing, 0))
