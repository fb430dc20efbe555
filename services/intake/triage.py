"""What a coordinator's triage changes, purely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from services.intake.domain import needs_of, place_of
from shared.errors import Conflict
from shared.events import CASES, Draft

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.events import CaseFacts


@dataclass(frozen=True, slots=True)
class Triage:
    """What a coordinator decides about a case; None leaves a fact as it is."""

    about: str | None = None
    concerns: Sequence[str] | None = None
    needs: Sequence[str] | None = None
    urgency: str | None = None
    pcode: str | None = None
    age: int | None = None
    sex: str | None = None
    excluded: Sequence[str] | None = None
    conflict: bool | None = None


def triage(case_id: UUID, facts: CaseFacts, change: Triage) -> tuple[CaseFacts, Draft]:
    """Apply a coordinator's triage; from then on the case is entitled (PRODUCT, Release).

    A case that was due for review is open again: something more is to be done.

    Raises:
        Conflict: the case is closed.

    """
    if facts.status not in ("open", "review_due"):
        raise Conflict(None, state=facts.status)
    upazila, district = facts.upazila, facts.district
    if change.pcode is not None:
        upazila, district = place_of([{"pcode": change.pcode}])
    concerns = list(change.concerns) if change.concerns is not None else facts.concerns
    needs = list(change.needs) if change.needs is not None else facts.needs or needs_of(concerns)
    new = msgspec.structs.replace(
        facts,
        status="open",
        about=change.about or facts.about,
        concerns=concerns,
        needs=needs,
        urgency=change.urgency or facts.urgency,
        upazila=upazila,
        district=district,
        age=facts.age if change.age is None else change.age,
        sex=change.sex or facts.sex,
        excluded=facts.excluded if change.excluded is None else list(change.excluded),
        conflict=facts.conflict if change.conflict is None else change.conflict,
        entitled=True,
    )
    return new, Draft(CASES, "case-triaged", str(case_id), new, tuple(new.needs))
