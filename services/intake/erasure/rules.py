"""When a case may be erased, and what is left of it: purely (SAFETY 17, 19)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shared.erasure_list import CASE
from shared.errors import Conflict, Forbidden
from shared.events import CASES, CaseFacts, Draft
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

ERASED: Final = "erased"


@dataclass(frozen=True, slots=True)
class Proposal:
    """Who proposed to erase a case, for whom, and how that person's identity was checked.

    `shared`: also what the report itself holds goes (its reporter, its words, who is alleged),
    although another case of the report remains. `subject`: `case` (its person, and the case),
    `reporter` or `alleged` alone. `by` is a pseudonym, without its role.
    """

    by: str
    asked_by: str
    checked_how: str
    shared: bool = False
    subject: str = CASE

    @property
    def beyond(self) -> bool:
        """Whether it reaches what other cases of the report hold too."""
        return self.shared or self.subject != CASE


def must_propose(
    facts: CaseFacts, wish: Proposal, role: Role, proposed: Proposal | None, *, held: bool
) -> bool:
    """Say whether the wish is a proposal that somebody else must approve; False: it is approved.

    Raises:
        Conflict: it is erased already, is under a legal hold, or something else was proposed.
        Forbidden: whoever proposed it approves it too.

    """
    if facts.status == ERASED:
        raise Conflict("the case is erased", state=facts.status)
    if held:
        raise Conflict("the case is under a legal hold", state=facts.status, why="legal_hold")
    if proposed is None or role is not Role.SUPERVISOR:
        return True
    if proposed.by == wish.by:
        raise Forbidden("another person must approve what you proposed")
    if (proposed.asked_by, proposed.shared) != (wish.asked_by, wish.shared):
        raise Conflict(
            "something else was proposed", asked_by=proposed.asked_by, shared=proposed.shared
        )
    return False


def erase_subject(case_id: UUID, facts: CaseFacts, subject: str) -> Draft:
    """Return the event that whoever reported, or is alleged, is erased; the case goes on."""
    told = msgspec.structs.replace(facts, reason=subject)
    return Draft(CASES, "subject-erased", str(case_id), told, tuple(facts.needs))


def erase(case_id: UUID, facts: CaseFacts) -> tuple[CaseFacts, Draft]:
    """Return what is left of a case's facts: that it was, by which channel, and is erased."""
    left = CaseFacts(
        report_id=facts.report_id,
        channel=facts.channel,
        about=facts.about,
        status=ERASED,
        test=facts.test,
    )
    return left, Draft(CASES, "case-erased", str(case_id), left)


def without_person(report: Mapping[str, Any], ref: str | None, *, last: bool) -> dict[str, Any]:
    """Return a coarse report without one of its persons; of the last one nothing is left.

    But for the keyed hash of a form that came from a phone: the same form may come once more, and
    must not pass for another one.
    """
    if last:
        content = report.get("form", {}).get("content")
        return {} if content is None else {"form": {"content": content}}
    left = dict(report)
    for part, name in (("persons", "ref"), ("consent", "person")):
        left[part] = [item for item in report.get(part, ()) if item.get(name) != ref]
    return left
