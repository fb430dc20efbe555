"""The packet for 13219, the police's line for missing children (CID): purely.

A named person makes it, and only after saying whether the one who reported could be the danger
(SAFETY 7a): a trafficker or a violent parent also looks for a child. Whoever reported is not in it
and is told nothing of it; it is taken down when the child is found, and a case with one that is out
is not closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from services.intake.casework.course import Done, is_excluded, must_be_open, told
from services.intake.casework.tasks import NO_ONE, Orders
from services.intake.exchange.rows import CHILD_BELOW
from shared.errors import Conflict, Forbidden
from shared.events import Step
from shared.vocabulary import Concern, Role

if TYPE_CHECKING:
    from uuid import UUID

    from shared.events import CaseFacts

LINE: Final = "13219"
OUT: Final = "out"
DOWN_TASK: Final = "alert_down"
Danger = Literal["no", "yes", "not_known"]
_POLICE: Final = "police"


def make(case_id: UUID, facts: CaseFacts, danger: Danger, role: Role) -> Done:
    """Say that the packet is made.

    Raises:
        Conflict: it is no missing child, one is out, nobody knows yet whether the reporter is the
            danger, or the police must not hear of it.
        Forbidden: the reporter may be the danger, or a conflict stands: a supervisor decides.

    """
    must_be_open(facts)
    if Concern.MISSING_CHILD not in facts.concerns or facts.about != "person":
        raise Conflict("it is not about a missing child")
    if facts.age is not None and facts.age >= CHILD_BELOW:
        raise Conflict("the line is for children")
    if facts.work.alert == OUT:
        raise Conflict("it is out already")
    if danger == "not_known":
        raise Conflict("find out first whether the reporter could be the danger", rule="danger")
    if is_excluded(facts, _POLICE):
        raise Conflict("they cannot have the case", rule="conflict_of_interest")
    if (danger == "yes" or facts.conflict) and role is not Role.SUPERVISOR:
        raise Forbidden("a supervisor decides this")
    new = _with(facts, OUT)
    return Done(new, (told(case_id, "missing-alert-made", new, Step(to=LINE)),))


def take_down(case_id: UUID, facts: CaseFacts) -> Done:
    """Say that it was taken down there; why is nobody's but the desk's.

    Raises:
        Conflict: none is out.

    """
    if facts.work.alert != OUT:
        raise Conflict("none is out")
    new = _with(facts, None)
    draft = told(case_id, "missing-alert-taken-down", new, Step(to=LINE))
    return Done(new, (draft,), Orders(ends=((DOWN_TASK, NO_ONE),)))


def _with(facts: CaseFacts, state: str | None) -> CaseFacts:
    return msgspec.structs.replace(facts, work=msgspec.structs.replace(facts.work, alert=state))
