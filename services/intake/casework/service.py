"""Use cases of the desk: claim and end a task, keep the roster, close a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.intake import store as cases
from services.intake.casework import due, store
from services.intake.casework.desk import carry_out
from services.intake.casework.focal import is_focal
from services.intake.casework.paging import PAGES
from services.intake.casework.review import Closing, close
from services.intake.casework.steps import Taken, add_step
from services.intake.casework.tasks import SAFEGUARDING, SUPERVISOR, Orders, Task, after_case
from services.intake.reach import must, must_reach
from services.intake.reporters.store import mark_seen
from shared.access_rules import Verb
from shared.errors import Conflict, NotFound, Stale
from shared.outbox import Stamp
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.store import CaseRow
    from shared.access import Caller
    from shared.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Casework:
    """What people of the desk do; each call is inside the caller's transaction."""

    outbox: Outbox

    async def claim(
        self, conn: AsyncConnection, task_id: UUID, caller: Caller, at: datetime
    ) -> dict[str, Any]:
        """Take a task on; taking one's own again changes nothing.

        Raises:
            NotFound: no such task for this caller. Conflict: somebody else has it, or it is done.

        """
        task = await self._task(conn, task_id, caller, at)
        if task["claimed_by"] == caller.actor and task["state"] == "claimed":
            return task
        if task["state"] != "open":
            raise Conflict(None, state=task["state"], held_by=task["claimed_by"])
        task |= {"state": "claimed", "claimed_by": caller.actor, "claimed_at": at}
        await store.save_task(conn, task)
        if task["urgency"] == Urgency.T0 and task["kind"] in PAGES:
            await due.debrief_later(conn, task["case_id"], caller.actor, at)
            await add_step(conn, task["case_id"], Taken("claim", caller.actor, at, 0))
        await mark_seen(conn, task["case_id"], at)
        return task

    async def end(
        self, conn: AsyncConnection, task_id: UUID, outcome: str, caller: Caller, at: datetime
    ) -> dict[str, Any]:
        """Say that a task is done, and with what outcome; ending one's own again changes nothing.

        Raises:
            NotFound: no such task for this caller. Conflict: somebody else has it or ended it.

        """
        task = await self._task(conn, task_id, caller, at)
        if task["state"] == "done" and task["ended_by"] == caller.actor:
            return task
        held = task["claimed_by"] not in (None, caller.actor)
        if task["state"] == "done" or held:
            raise Conflict(None, state=task["state"], held_by=task["claimed_by"])
        task |= {"state": "done", "ended_by": caller.actor, "ended_at": at, "outcome": outcome}
        await store.save_task(conn, task)
        await mark_seen(conn, task["case_id"], at)
        return task

    @staticmethod
    async def _task(
        conn: AsyncConnection, task_id: UUID, caller: Caller, at: datetime
    ) -> dict[str, Any]:
        task = await store.lock_task(conn, task_id)
        if task is None:
            raise NotFound
        await must_reach(conn, [task["case_id"]], caller, Verb.WORK, at)
        if task["level"] == SAFEGUARDING and not await is_focal(conn, caller, at):
            raise NotFound
        return task

    async def close_case(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        reason: str,
        caller: Caller,
        version: int | None,
        at: datetime,
    ) -> CaseRow | Closing:
        """Close a case, or keep the proposal until a supervisor approves it.

        Raises:
            NotFound: no such case. Stale: `version` is not the present one. Conflict, Forbidden:
                see `review.close`.

        """
        row, _ = must(caller, Verb.WORK, await cases.lock_case(conn, case_id), at)
        if row.facts is None:
            raise NotFound
        if version is not None and version != row.version:
            raise Stale(None, version=row.version)
        known = (await store.attempts_of(conn, [case_id]))[case_id]
        done = close(
            case_id,
            row.facts,
            reason,
            by=caller.actor,
            role=caller.role,
            attempts=known.values(),
            proposed=await store.proposal_of(conn, case_id),
        )
        await mark_seen(conn, case_id, at)
        if isinstance(done, Closing):
            await store.save_proposal(conn, case_id, done, at)
            task = Task("approve_closing", urgency=row.facts.urgency, level=SUPERVISOR)
            await carry_out(conn, [(case_id, Orders((task,)), row.facts)], by=caller.actor, at=at)
            return done
        facts, draft = done
        cases.save_cases(conn, [(case_id, facts)])
        await self.outbox.append(conn, [(draft, Stamp(at, caller.actor))])
        await due.end(conn, case_id, facts, at)
        await store.drop_proposal(conn, case_id)
        await carry_out(
            conn, [(case_id, after_case(draft.type, facts), facts)], by=caller.actor, at=at
        )
        closed = await cases.find_case(conn, case_id)
        if closed is None:
            raise NotFound
        return closed
