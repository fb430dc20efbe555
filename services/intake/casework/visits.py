"""Field visits with an expected-back alarm (SAFETY 29): who is not back is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.intake import store as cases
from services.intake.casework.course import is_excluded, must_be_open
from services.intake.casework.desk import carry_out
from services.intake.casework.steps import Taken, add_step, steps_of
from services.intake.casework.tasks import SUPERVISOR, Orders, Task
from services.intake.reporters.store import mark_seen
from shared.clock import now
from shared.errors import Conflict, NotFound
from shared.timers import TimerKind, cancel, schedule
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.pager import Pager
    from services.intake.casework.stages import Asked, Stages
    from shared.events import CaseFacts
    from shared.timers import Timer

KIND: Final = "visit-back"
"""Timers by this name have a visit's id as their subject and its case in the payload."""

OVERDUE: Final = "visit_overdue"
ACTOR: Final = "service:intake.visits"


def may_visit(facts: CaseFacts, who: str, expected_back: datetime, at: datetime) -> None:
    """Refuse a visit that cannot be looked after.

    Raises:
        Conflict: the case is not open, names whoever goes, or they are expected back in the past.

    """
    must_be_open(facts)
    if is_excluded(facts, who):
        raise Conflict("this person cannot visit", rule="conflict_of_interest")
    if expected_back <= at:
        raise Conflict("expected back in the past")


@dataclass(frozen=True, slots=True)
class Visits:
    """Starts and ends visits; its timer raises the alarm."""

    stages: Stages
    pager: Pager
    clock: Callable[[], datetime] = now

    async def start(
        self, conn: AsyncConnection, asked: Asked, who: str, expected_back: datetime
    ) -> UUID:
        """Note that somebody goes, and when they are expected back; return the visit's id.

        Raises:
            NotFound, Stale: see `Stages.lock`. Conflict: see `may_visit`.

        """
        row, facts = await self.stages.lock(conn, asked)
        may_visit(facts, who, expected_back, asked.at)
        detail = {"who": who, "expected_back": expected_back.isoformat()}
        step = Taken("visit", asked.caller.actor, asked.at, row.version, detail)
        await add_step(conn, asked.case_id, step)
        await mark_seen(conn, asked.case_id, asked.at)
        payload = {"case_id": str(asked.case_id), "who": who}
        await schedule(conn, KIND, str(step.step_id), expected_back, payload)
        return step.step_id

    async def back(self, conn: AsyncConnection, asked: Asked, visit_id: UUID) -> None:
        """Note that they are back: no alarm any more, and the one that was raised ends.

        Raises:
            NotFound: no such case for this caller, or no such visit of it that goes on.

        """
        row, facts = await self.stages.lock(conn, asked)
        if not await self._ends(conn, asked.case_id, visit_id):
            raise NotFound
        orders = [(asked.case_id, Orders(ends=((OVERDUE, visit_id),)), facts)]
        await carry_out(conn, orders, by=asked.caller.actor, at=asked.at)
        detail = {"visit": str(visit_id)}
        step = Taken("visit-back", asked.caller.actor, asked.at, row.version, detail)
        await add_step(conn, asked.case_id, step)

    @staticmethod
    async def _ends(conn: AsyncConnection, case_id: UUID, visit_id: UUID) -> bool:
        steps = await steps_of(conn, case_id)
        known = any(s.step_id == visit_id and s.kind == "visit" for s in steps)
        ended = any(s.detail.get("visit") == str(visit_id) for s in steps)
        await cancel(conn, KIND, str(visit_id))
        return known and not ended

    def timer(self) -> TimerKind:
        """Make the timer that raises the alarm: a task at T0 for the supervisors, and a page."""

        async def lock(conn: AsyncConnection, timer: Timer) -> None:
            await cases.lock_case(conn, UUID(str(timer.payload["case_id"])))

        async def fire(conn: AsyncConnection, timer: Timer) -> None:
            case_id, at = UUID(str(timer.payload["case_id"])), self.clock()
            row = await cases.lock_case(conn, case_id)
            facts = row.facts if row else None
            detail = str(timer.payload.get("who"))
            task = Task(OVERDUE, UUID(timer.subject), Urgency.T0, SUPERVISOR, detail)
            orders = [(case_id, Orders((task,)), facts)]
            await carry_out(conn, orders, by=ACTOR, at=at)
            await self.pager.look(conn, orders, at)

        return TimerKind(KIND, fire, lock)
