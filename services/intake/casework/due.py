"""What falls due of a case, by timers under the injected clock: once, whatever number of replicas.

Follow-ups by risk, the review every three months, the check after closing, and the talk with
whoever took a T0 case. Each is a task for a person; a machine ends none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.intake import store as cases
from services.intake.casework.course import CHECK, FOLLOW_UP, REVIEW, fall_due
from services.intake.casework.desk import carry_out
from services.intake.casework.rules import rules_on
from services.intake.casework.tasks import SUPERVISOR, Orders, Task
from shared.clock import DHAKA, now
from shared.outbox import Stamp
from shared.timers import TimerKind, cancel_many, schedule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.events import CaseFacts
    from shared.outbox import Outbox
    from shared.timers import Timer

ACTOR: Final = "service:intake.due"

_TIMERS: Final = {FOLLOW_UP: "case-follow-up", REVIEW: "case-review", CHECK: "case-check"}
DEBRIEF: Final = "case-debrief"

_NOT_CHECKED: Final = ("entered_in_error", "duplicate", "died")
"""Closing reasons after which there is nobody to look after."""


async def follow(conn: AsyncConnection, case_id: UUID, facts: CaseFacts, at: datetime) -> None:
    """Set when somebody looks again, by the risk; an earlier date is moved."""
    due = at + rules_on(at).follow_up(facts.work.risk)
    await schedule(conn, _TIMERS[FOLLOW_UP], str(case_id), due)


async def begin(conn: AsyncConnection, case_id: UUID, facts: CaseFacts, at: datetime) -> None:
    """Set follow-up and review of a case that somebody now works on."""
    await cancel_many(conn, _TIMERS[CHECK], [str(case_id)])
    await follow(conn, case_id, facts, at)
    await schedule(conn, _TIMERS[REVIEW], str(case_id), at + rules_on(at).review)


async def end(conn: AsyncConnection, case_id: UUID, facts: CaseFacts, at: datetime) -> None:
    """Set the one check after closing, if there is somebody to check on, and nothing else."""
    for kind in (FOLLOW_UP, REVIEW):
        await cancel_many(conn, _TIMERS[kind], [str(case_id)])
    if facts.reason not in _NOT_CHECKED and facts.about == "person":
        await schedule(conn, _TIMERS[CHECK], str(case_id), at + rules_on(at).check)


async def debrief_later(conn: AsyncConnection, case_id: UUID, who: str, at: datetime) -> None:
    """See to it that a supervisor talks with whoever took a T0 case."""
    due = at + rules_on(at).debrief_after
    await schedule(conn, DEBRIEF, str(case_id), due, {"who": who})


@dataclass(frozen=True, slots=True)
class Due:
    """Fires the timers of cases."""

    outbox: Outbox
    clock: Callable[[], datetime] = now

    def timers(self) -> list[TimerKind]:
        """Return every kind, to be run by the service's timer loop."""
        kinds = [TimerKind(name, self._falls_due(kind), _lock) for kind, name in _TIMERS.items()]
        return [*kinds, TimerKind(DEBRIEF, self._debrief, _lock)]

    def _falls_due(self, kind: str) -> Callable[[AsyncConnection, Timer], Awaitable[None]]:
        async def fire(conn: AsyncConnection, timer: Timer) -> None:
            case_id, at = UUID(timer.subject), self.clock()
            row = await cases.lock_case(conn, case_id)
            if row is None or row.facts is None:
                return
            done = fall_due(case_id, row.facts, kind, at.astimezone(DHAKA).date())
            if done is None:
                return
            again = self._again(kind, row.facts, at)
            if again is not None:
                await schedule(conn, timer.kind, timer.subject, at + again)
            orders = [(case_id, done.orders, row.facts)]
            await carry_out(conn, orders, by=ACTOR, at=at)
            await self.outbox.append(conn, [(draft, Stamp(at, ACTOR)) for draft in done.drafts])

        return fire

    @staticmethod
    def _again(kind: str, facts: CaseFacts, at: datetime) -> timedelta | None:
        rules = rules_on(at)
        if kind == FOLLOW_UP:
            return rules.follow_up(facts.work.risk)
        return rules.review if kind == REVIEW else None

    async def _debrief(self, conn: AsyncConnection, timer: Timer) -> None:
        case_id, at = UUID(timer.subject), self.clock()
        row = await cases.lock_case(conn, case_id)
        if row is None or row.facts is None or row.facts.test:
            return
        task = Task("debrief", level=SUPERVISOR, detail=str(timer.payload.get("who")))
        await carry_out(conn, [(case_id, Orders((task,)), row.facts)], by=ACTOR, at=at)


async def _lock(conn: AsyncConnection, timer: Timer) -> None:
    await cases.lock_case(conn, UUID(timer.subject))
