"""The person's own word about the help, as somebody heard it, purely: *closed* is not *helped*."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from services.intake.casework.course import Done, told
from services.intake.casework.tasks import SAFEGUARDING, Orders, Task
from shared.errors import Conflict
from shared.events import Step
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from uuid import UUID

    from shared.events import CaseFacts


def hear(case_id: UUID, facts: CaseFacts, helped: str, about: str | None) -> Done:
    """Take a person's word: `harmed` comes before the safeguarding focal person and nobody else.

    Raises:
        Conflict: the case is erased.

    """
    if facts.status == "erased":
        raise Conflict(None, state=facts.status)
    opens: tuple[Task, ...] = ()
    if helped == "harmed":
        opens = (Task("harmed", urgency=Urgency.T1, level=SAFEGUARDING),)
    elif helped != "yes":
        opens = (Task("feedback", urgency=facts.urgency),)
    event = msgspec.structs.replace(facts, feedback=helped)
    draft = told(case_id, "feedback-received", event, Step(kind=about))
    return Done(facts, (draft,), Orders(opens))
