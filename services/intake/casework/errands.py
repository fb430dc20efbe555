"""What a coordinator asks of a committee member: go along, see who arrived, leave a message.

The member gets a stub: what kind of task, when, and nothing of whom; the rest is said in person or
by a call. Without a coordinator no member gets anything (SAFETY 7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from services.intake import store as cases
from services.intake.casework.course import bare, is_excluded, must_be_open
from services.intake.casework.desk import carry_out
from services.intake.casework.steps import Taken, add_step
from services.intake.casework.tasks import Orders, Task
from services.intake.reach import matter
from services.intake.reporters.store import mark_seen
from shared.access_rules import Verb, decide, owner_of
from shared.errors import Conflict, NotFound
from shared.lean import text
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.stages import Asked, Stages
    from services.intake.store import CaseRow
    from shared.access import Caller
    from shared.events import CaseFacts

_URGENT: Final = (Urgency.T0, Urgency.T1)
NOT_DONE: Final = "errand_not_done"
"""Kind of the desk's task when a member could not do what was asked."""


class Errand(StrEnum):
    """What a member may be asked to do."""

    ACCOMPANY = "accompany"
    CONFIRM_ARRIVAL = "confirm_arrival"
    LEAVE_MESSAGE = "leave_message"


class Outcome(StrEnum):
    """What came of it."""

    DONE = "done"
    COULD_NOT = "could_not"
    NOT_SAFE = "not_safe"


@dataclass(frozen=True, slots=True)
class Given:
    """A task as its member sees it: nothing of the case."""

    task_id: UUID
    kind: str
    at: datetime
    outcome: str | None


def may_be_asked(facts: CaseFacts, member: str, when: datetime, at: datetime) -> None:
    """Refuse a task that a volunteer must not have.

    Raises:
        Conflict: the case is not open, names the member, is urgent and has no worker yet, or the
            time is past.

    """
    must_be_open(facts)
    if is_excluded(facts, member):
        raise Conflict("this person cannot be asked", rule="conflict_of_interest")
    if facts.urgency in _URGENT and facts.worker is None:
        raise Conflict("nobody works on this case yet: volunteers never alone", needs="assign")
    if when <= at:
        raise Conflict("the time is past")


@dataclass(frozen=True, slots=True)
class Errands:
    """Gives tasks to members and hears what came of them; each call is in the caller's commit."""

    async def give(
        self,
        conn: AsyncConnection,
        stages: Stages,
        asked: Asked,
        member: str,
        kind: Errand,
        when: datetime,
    ) -> UUID:
        """Ask something of a member (a pseudonym); return the task's id.

        Raises:
            NotFound, Stale: see `Stages.lock`. Conflict: see `may_be_asked`.

        """
        row, facts = await stages.lock(conn, asked)
        may_be_asked(facts, member, when, asked.at)
        task_id = uuid4()
        await conn.execute(
            text(
                "INSERT INTO committee_tasks (task_id, case_id, member, kind, due_at, given_by,"
                " given_at) VALUES (:t, :c, :m, :k, :d, :by, :at)"
            ),
            {
                "t": task_id,
                "c": asked.case_id,
                "m": bare(member),
                "k": kind,
                "d": when,
                "by": asked.caller.actor,
                "at": asked.at,
            },
        )
        detail = {"task": str(task_id), "member": bare(member), "kind": str(kind)}
        step = Taken("errand", asked.caller.actor, asked.at, row.version, detail)
        await add_step(conn, asked.case_id, step)
        await mark_seen(conn, asked.case_id, asked.at)
        return task_id

    async def of(self, conn: AsyncConnection, member: Caller, at: datetime) -> list[Given]:
        """Return a member's tasks that are to be done, the next first."""
        rows = await conn.execute(
            text(
                "SELECT task_id, case_id, kind, due_at, outcome FROM committee_tasks"
                " WHERE member = :m AND outcome IS NULL ORDER BY due_at, task_id LIMIT 200"
            ),
            {"m": member.subject},
        )
        return [
            Given(row.task_id, row.kind, row.due_at, row.outcome)
            for row in rows.all()
            if _reaches(member, await cases.find_case(conn, row.case_id), at)
        ]

    async def answer(
        self, conn: AsyncConnection, task_id: UUID, outcome: Outcome, member: Caller, at: datetime
    ) -> None:
        """Note what came of a task; what was not done comes before the desk. Again does nothing.

        Raises:
            NotFound: there is no such task for this member, or its case is closed or names them.
            Conflict: it was answered otherwise before.

        """
        found = await conn.execute(
            text("SELECT case_id FROM committee_tasks WHERE task_id = :t AND member = :m"),
            {"t": task_id, "m": member.subject},
        )
        case_id = found.scalar()
        row = await cases.lock_case(conn, case_id) if case_id else None
        if row is None or row.facts is None or not _reaches(member, row, at):
            raise NotFound
        before = await conn.scalar(
            text("SELECT outcome FROM committee_tasks WHERE task_id = :t"), {"t": task_id}
        )
        if before is not None:
            if before != outcome:
                raise Conflict("it was answered before", outcome=before)
            return
        await conn.execute(
            text("UPDATE committee_tasks SET outcome = :o, answered_at = :at WHERE task_id = :t"),
            {"t": task_id, "o": outcome, "at": at},
        )
        detail = {"task": str(task_id), "outcome": str(outcome)}
        await add_step(conn, row.case_id, Taken("errand-back", member.actor, at, 0, detail))
        if outcome is not Outcome.DONE:
            opened = Task(NOT_DONE, task_id, row.facts.urgency, detail=outcome)
            orders = [(row.case_id, Orders((opened,)), row.facts)]
            await carry_out(conn, orders, by=member.actor, at=at)


def _reaches(member: Caller, row: CaseRow | None, at: datetime) -> bool:
    """Whether a member may still have a task of a case: it is open and does not name them.

    The task makes it theirs as an own report would; conflict and membership are asked as ever.
    """
    if row is None or row.status not in ("open", "review_due"):
        return False
    theirs = replace(matter(row), owner=owner_of(member))
    return bool(decide(member, Verb.SEE, theirs, at))
