"""The course of a case through its stages, purely: facts and a person's decision in, facts out.

verify → assess → safety plan → plan → refer → follow up → review → close (PRODUCT, Case work). Each
step returns the facts after it, its event, and what it does to the desk. No clock, id or text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.casework.review import CLOSED, OPEN, REVIEW_DUE
from services.intake.casework.tasks import NO_ONE, SUPERVISOR, Orders, Task
from shared.errors import Conflict
from shared.events import CASES, Draft, Step
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from services.intake.casework.risk import Assessed
    from shared.events import CaseFacts

FOLLOW_UP: Final = "follow_up"
REVIEW: Final = "periodic_review"
CHECK: Final = "check_after_closing"
_REACHED: Final = "reached"


class Finding(StrEnum):
    """What verifying found; a report stays possible until then, and may stay so."""

    SUBSTANTIATED = "substantiated"
    NOT_SUBSTANTIATED = "not_substantiated"
    UNKNOWN = "unknown"


class Reopening(StrEnum):
    """Why a closed case is open again."""

    NEW_INCIDENT = "new_incident"
    RETURNED_TO_HARM = "returned_to_harm"
    NEW_INFORMATION = "new_information"


@dataclass(frozen=True, slots=True)
class Done:
    """What a step comes to: the facts to store, its events in order, and its tasks."""

    facts: CaseFacts
    drafts: tuple[Draft, ...]
    orders: Orders = field(default_factory=Orders)


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal of a plan without its words: for which need, who does it (a pseudonym), by when."""

    need: str
    who: str
    by: date


def bare(name: str) -> str:
    """Return a pseudonym without the role that an actor is named with."""
    return name.rpartition(":")[2]


def is_excluded(facts: CaseFacts, name: str) -> bool:
    """Say whether a case must not come before a person, by the conflicts it knows of."""
    return bare(name) in {bare(excluded) for excluded in facts.excluded}


def tied_to(facts: CaseFacts) -> list[UUID]:
    """Return the cases that a person linked or merged with one."""
    into = [facts.work.merged_into] if facts.work.merged_into is not None else []
    return [*facts.work.linked, *facts.work.merged, *into]


def must_be_open(facts: CaseFacts) -> None:
    """Refuse a step on a case that is closed or erased, or was merged into another.

    Raises:
        Conflict: it is.

    """
    if facts.status not in (OPEN, REVIEW_DUE):
        raise Conflict("the case is not open", state=facts.status)
    if facts.work.merged_into is not None:
        raise Conflict(
            "it was merged: the other case is worked on", case=str(facts.work.merged_into)
        )


def _worked(facts: CaseFacts, needed: str) -> None:
    must_be_open(facts)
    if facts.about != "person":
        raise Conflict("the case is about a place: split it when persons are known", about="place")
    if facts.work.worker is None:
        raise Conflict("the case has no worker yet", needs="assign")
    if needed == "assess" and facts.work.risk is None:
        raise Conflict("the risk was not assessed yet", needs="assess")


def told(case_id: UUID, kind: str, facts: CaseFacts, step: Step | None = None) -> Draft:
    """Make the event of a step: all facts, and what this one step says."""
    data = msgspec.structs.replace(facts, step=step)
    return Draft(CASES, kind, str(case_id), data, tuple(facts.needs))


def _with(facts: CaseFacts, **changes: Any) -> CaseFacts:  # noqa: ANN401  (fields of CaseWork)
    work = msgspec.structs.replace(facts.work, **changes)
    return msgspec.structs.replace(facts, work=work)


def assign(
    case_id: UUID, facts: CaseFacts, worker: str, supervisor: str, reasons: Sequence[str] = ()
) -> Done:
    """Give a case its one worker and its one supervisor; `reasons` are stable words.

    Raises:
        Conflict: it is not open; both are one person; or one of them is named in it.

    """
    must_be_open(facts)
    if bare(worker) == bare(supervisor):
        raise Conflict("worker and supervisor are two persons")
    if is_excluded(facts, worker) or is_excluded(facts, supervisor):
        raise Conflict("this person cannot have the case", rule="conflict_of_interest")
    new = _with(facts, worker=worker, supervisor=supervisor)
    new = msgspec.structs.replace(new, worker=worker)  # whoever has it sees it wherever it lies
    orders = Orders(ends=(("assign", NO_ONE),))
    return Done(
        new, (told(case_id, "case-assigned", new, Step(to=worker, reasons=list(reasons))),), orders
    )


def verify(case_id: UUID, facts: CaseFacts, finding: str, means: str) -> Done:
    """Say what verifying found, and by what means; a person decides what follows.

    Raises:
        Conflict: the case is not open.

    """
    must_be_open(facts)
    new = _with(facts, finding=finding)
    orders = Orders(ends=(("verify", NO_ONE),))
    return Done(new, (told(case_id, "case-verified", new, Step(means=means)),), orders)


def assess(case_id: UUID, facts: CaseFacts, found: Assessed) -> Done:
    """Set the risk, with the questions that gave it; a lowered one comes before the supervisor.

    Raises:
        Conflict: the case is not open, about a place, or nobody's.

    """
    _worked(facts, "assign")
    new = _with(facts, risk=str(found.risk), instrument=found.instrument)
    step = Step(kind="lowered" if found.lowered else None, reasons=list(found.reasons))
    opens: list[Task] = []
    if found.lowered:
        opens.append(Task("risk_lowered", urgency=facts.urgency, level=SUPERVISOR))
    if str(found.risk) == "high":
        opens.append(Task("safety_plan", urgency=facts.urgency))
    ends = [("assess", NO_ONE)] + ([] if opens else [("safety_plan", NO_ONE)])
    draft = told(case_id, "risk-assessed", new, step)
    return Done(new, (draft,), Orders(tuple(opens), tuple(ends)))


def make_safety_plan(case_id: UUID, facts: CaseFacts) -> Done:
    """Say that a safety plan was made; its words are sealed and in no event.

    Raises:
        Conflict: the case is not open, about a place, or nobody's.

    """
    _worked(facts, "assign")
    draft = told(case_id, "safety-plan-made", facts)
    return Done(facts, (draft,), Orders(ends=(("safety_plan", NO_ONE),)))


def agree_plan(case_id: UUID, facts: CaseFacts, goals: Sequence[Goal], today: date) -> Done:
    """Take a plan that the person agreed to; a need that is new in it is referred from then on.

    Raises:
        Conflict: the case is not open, about a place, nobody's or without a known risk; or a goal
            is due before today.

    """
    _worked(facts, "assess")
    if any(goal.by < today for goal in goals):
        raise Conflict("a goal is due before today")
    needs = list(dict.fromkeys([*facts.needs, *(goal.need for goal in goals)]))
    new = msgspec.structs.replace(_with(facts, planned=True), needs=needs)
    last = max(goal.by for goal in goals)
    drafts = [told(case_id, "plan-agreed", new, Step(count=len(goals), due=last.isoformat()))]
    if needs != facts.needs:
        new = msgspec.structs.replace(new, status=OPEN)
        drafts.append(told(case_id, "case-updated", new))
    return Done(new, tuple(drafts))


@dataclass(frozen=True, slots=True)
class Contact:
    """One attempt to be in contact: with whom, by what means, and what came of it."""

    with_whom: str
    means: str
    result: str
    nth: int = 1


def record_contact(case_id: UUID, facts: CaseFacts, contact: Contact) -> Done:
    """Note an attempt; whoever is reached needs no reminder for now.

    A closed case takes it too: the one check after closing is a contact.

    Raises:
        Conflict: the case is erased.

    """
    if facts.status not in (OPEN, REVIEW_DUE, CLOSED):
        raise Conflict(None, state=facts.status)
    step = Step(kind=contact.with_whom, means=contact.means, result=contact.result, nth=contact.nth)
    reached = contact.result == _REACHED and contact.with_whom == "person"
    ends = ((FOLLOW_UP, NO_ONE), (CHECK, NO_ONE)) if reached else ()
    opens: tuple[Task, ...] = ()
    if contact.result == "unsafe":
        urgency = min(facts.urgency or Urgency.T1, Urgency.T1)
        opens = (Task("contact_unsafe", urgency=urgency, level=SUPERVISOR),)
    elif reached and facts.work.alert is not None:
        opens = (Task("alert_down", urgency=Urgency.T1),)
    draft = told(case_id, "contact-recorded", facts, step)
    return Done(facts, (draft,), Orders(opens, ends))


def fall_due(case_id: UUID, facts: CaseFacts, kind: str, today: date) -> Done | None:
    """Say that a follow-up, a review or the check after closing is due; None if no longer.

    Each is a task that a person does; nothing of the case changes.
    """
    wanted = (CLOSED,) if kind == CHECK else (OPEN, REVIEW_DUE)
    if facts.status not in wanted:
        return None
    task = Task(kind, urgency=facts.urgency, detail=facts.work.risk)
    draft = told(case_id, "follow-up-due", facts, Step(kind=kind, due=today.isoformat()))
    return Done(facts, (draft,), Orders(() if facts.test else (task,)))


def reopen(case_id: UUID, facts: CaseFacts, reason: str) -> Done:
    """Open a closed case again; who returned to harm is at high risk until somebody assesses it.

    The old closing then comes before a supervisor.

    Raises:
        Conflict: the case is not closed.

    """
    if facts.status != CLOSED:
        raise Conflict("the case is not closed", state=facts.status)
    again = facts.work.reopened + 1
    new = _with(facts, reopened=again, finding=None, handover=None, handed_to=None)
    new = msgspec.structs.replace(new, status=OPEN, reason=None, worker=facts.work.worker)
    opens = [Task("assess", urgency=facts.urgency)]
    if reason == Reopening.RETURNED_TO_HARM:
        new = _with(new, risk="high", instrument=None)
        opens.append(Task("review_closing", urgency=facts.urgency, level=SUPERVISOR))
    if facts.work.worker is None:
        opens.append(Task("assign", urgency=facts.urgency))
    event = msgspec.structs.replace(new, reason=reason)
    orders = Orders(tuple(opens), ((CHECK, NO_ONE),))
    return Done(new, (told(case_id, "case-reopened", event),), orders)


def next_steps(facts: CaseFacts) -> tuple[str, ...]:
    """Say what a person may do next with a case, most wanted first."""
    if facts.status == CLOSED:
        return ("reopen", "contacts")
    if facts.status not in (OPEN, REVIEW_DUE):
        return ()
    if facts.about != "person":
        return ("verify", "split", "assign", "contacts", "close")
    steps = ["assign"] if facts.work.worker is None else []
    steps += ["verify"] if facts.work.finding is None else []
    if facts.work.worker is not None:
        steps += ["assess", "safety-plan"]
        steps += ["plan"] if facts.work.risk is not None else []
    return (*steps, "contacts", "close")
