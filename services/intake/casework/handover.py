"""Handing a case over to another centre or helpline, purely.

The giver keeps the responsibility until the other side has accepted (PRODUCT, Words).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from services.intake.casework.course import Done, is_excluded, must_be_open, told
from services.intake.casework.tasks import NO_ONE, Orders, Task
from shared.errors import Conflict
from shared.events import Step

if TYPE_CHECKING:
    from uuid import UUID

    from shared.events import CaseFacts

OFFERED: Final = "offered"
ACCEPTED: Final = "accepted"
DECLINED: Final = "declined"


def _now(facts: CaseFacts, state: str | None, to: str | None) -> CaseFacts:
    work = msgspec.structs.replace(facts.work, handover=state, handed_to=to)
    return msgspec.structs.replace(facts, work=work)


def offer(case_id: UUID, facts: CaseFacts, to: str) -> Done:
    """Offer a case to a centre or helpline by its key; a task keeps it before the giver.

    Raises:
        Conflict: the case is not open, is offered or handed over already, or excludes them.

    """
    must_be_open(facts)
    if facts.work.handover is not None:
        raise Conflict(
            "it is offered or handed over already",
            state=facts.work.handover,
            held_by=facts.work.handed_to,
        )
    if is_excluded(facts, to):
        raise Conflict("they cannot have the case", rule="conflict_of_interest")
    new = _now(facts, OFFERED, to)
    task = Task("handover_answer", urgency=facts.urgency, detail=to)
    draft = told(case_id, "handover-offered", new, Step(to=to))
    return Done(new, (draft,), Orders((task,)))


def answer(case_id: UUID, facts: CaseFacts, to: str, state: str) -> Done:
    """Take the answer of those it was offered to, as a named person heard it.

    Accepted: they are responsible, and the giver can close it as handed over. Declined: nothing
    has changed, and the giver is told.

    Raises:
        Conflict: it was not offered, or to somebody else.

    """
    must_be_open(facts)
    if facts.work.handover != OFFERED or facts.work.handed_to != to:
        raise Conflict("it was not offered to them", state=facts.work.handover)
    if state == ACCEPTED:
        new, event, kind = _now(facts, ACCEPTED, to), "handover-accepted", "close_handed_over"
    else:
        new, event, kind = _now(facts, None, None), "handover-declined", "handover_declined"
    draft = told(case_id, event, new, Step(to=to))
    task = Task(kind, urgency=facts.urgency, detail=to)
    return Done(new, (draft,), Orders((task,), (("handover_answer", NO_ONE),)))
