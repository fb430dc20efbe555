"""Who is paged at T0, and who next, purely."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from services.intake.casework.course import is_excluded, told
from services.intake.casework.tasks import COORDINATOR
from shared.events import Step
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from services.intake.casework.roster import Duty
    from services.intake.casework.tasks import Orders
    from shared.events import CaseFacts, Draft

PAGES: Final = ("triage", "new_words", "addition", "visit_overdue")
"""Kinds of task that page somebody at T0: nobody has looked yet, and it cannot wait."""


PAGE_TIMER: Final = "case-page"
"""Kind of the timer by which the next person is paged; its subject is the case."""


def pages(orders: Orders, facts: CaseFacts | None) -> bool:
    """Say whether what opens on the desk pages the person on duty."""
    if facts is not None and facts.test:
        return False
    return any(t.urgency == Urgency.T0 and t.kind in PAGES for t in orders.opens)


def next_on_duty(
    roster: Sequence[Duty], facts: CaseFacts, paged: Collection[str], alternates: int
) -> str | None:
    """Return who is paged next: on duty, of the district or of all, not excluded, not paged yet.

    None: there is nobody (more) on duty, or the person and all alternates were paged.
    """
    if len(paged) > alternates:
        return None
    for duty in roster:
        here = duty.district is None or duty.district == facts.district
        fits = duty.level == COORDINATOR and here and not is_excluded(facts, duty.person)
        if fits and duty.person not in paged:
            return duty.person
    return None


def page(case_id: UUID, facts: CaseFacts, person: str | None, nth: int, page_id: UUID) -> Draft:
    """Make the event of a page, with this id; `to` is null when nobody could be paged."""
    kind = "page" if person is not None else "nobody_on_duty"
    draft = told(case_id, "duty-paged", facts, Step(kind=kind, to=person, nth=nth))
    return replace(draft, id=page_id)
