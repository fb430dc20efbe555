"""Pages the person on duty at T0, and the next one when nobody has taken it in time.

A page is an event, the name on the task, and a step of the case; event and step have one id, by
which what became of it is matched, and who was meant is found. Whoever claims the task has
answered. With nobody (more) on duty it is an alert, and the task goes up to the supervisors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.intake import store as cases
from services.intake.casework import paging_store
from services.intake.casework.desk import carry_out
from services.intake.casework.paging import PAGE_TIMER, PAGES, next_on_duty, page, pages
from services.intake.casework.roster import roster_at
from services.intake.casework.rules import rules_on
from services.intake.casework.steps import Taken, add_step
from services.intake.casework.tasks import SUPERVISOR, Orders, Task
from shared import telemetry
from shared.clock import new_event_id, now
from shared.outbox import Stamp
from shared.telemetry import Log
from shared.timers import TimerKind, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.events import CaseFacts
    from shared.outbox import Outbox
    from shared.timers import Timer

ACTOR: Final = "service:intake.pager"
_log = Log("pager")


@dataclass(frozen=True, slots=True)
class Pager:
    """Pages inside the caller's transaction, and by its timer."""

    outbox: Outbox
    clock: Callable[[], datetime] = now

    async def look(
        self,
        conn: AsyncConnection,
        orders: Iterable[tuple[UUID, Orders, CaseFacts | None]],
        at: datetime,
    ) -> None:
        """Page for what was just opened on the desk at T0; a case that pages already goes on."""
        for case_id, order, facts in orders:
            if facts is not None and pages(order, facts):
                known = await paging_store.has_timer(conn, PAGE_TIMER, str(case_id))
                if not known:
                    await self._page(conn, case_id, facts, [], at, alerted=False)

    def timer(self) -> TimerKind:
        """Make the timer that pages the next person."""

        async def lock(conn: AsyncConnection, timer: Timer) -> None:
            await cases.lock_case(conn, UUID(timer.subject))

        return TimerKind(PAGE_TIMER, self._fire, lock)

    async def _fire(self, conn: AsyncConnection, timer: Timer) -> None:
        case_id, at = UUID(timer.subject), self.clock()
        row = await cases.lock_case(conn, case_id)
        if row is None or row.facts is None or row.status in ("closed", "erased"):
            return
        if not await paging_store.is_unclaimed(conn, case_id, PAGES):
            return
        telemetry.PAGES.labels("unanswered").inc()
        paged = [str(name) for name in timer.payload.get("paged", ())]
        alerted = bool(timer.payload.get("alerted"))
        await self._page(conn, case_id, row.facts, paged, at, alerted=alerted)

    async def _page(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        facts: CaseFacts,
        paged: Sequence[str],
        at: datetime,
        *,
        alerted: bool,
    ) -> None:
        rules = rules_on(at)
        roster = [duty for _, duty in await roster_at(conn, at)]
        person = next_on_duty(roster, facts, paged, rules.alternates)
        nth, page_id = len(paged) + 1, new_event_id()
        if person is None:
            telemetry.PAGES.labels("nobody").inc()
            _log.error("nobody-on-duty", paged=len(paged))
            task = Task("nobody_on_duty", urgency=facts.urgency, level=SUPERVISOR)
            await carry_out(conn, [(case_id, Orders((task,)), facts)], by=ACTOR, at=at)
        else:
            telemetry.PAGES.labels("paged").inc()
            await paging_store.name_tasks(conn, case_id, PAGES, person)
        if person is not None or not alerted:
            draft = page(case_id, facts, person, nth, page_id)
            await self.outbox.append(conn, [(draft, Stamp(at, ACTOR))])
            step = Taken("page", ACTOR, at, 0, {"to": person, "nth": nth}, step_id=page_id)
            await add_step(conn, case_id, step)
        payload = {
            "paged": [*paged, person] if person else [],  # from the start, until somebody takes it
            "alerted": person is None,
            "page": str(page_id) if person else None,
        }
        await schedule(conn, PAGE_TIMER, str(case_id), at + rules.page_within, payload)
