"""When a case is due for review, and how a named person closes it: purely."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from shared.errors import Conflict, Forbidden
from shared.events import CASES, Draft
from shared.vocabulary import ReferralState, Role, Urgency

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from shared.events import CaseFacts

_S = ReferralState
_DONE: Final = frozenset({_S.DELIVERED, _S.FAILED, _S.WITHDRAWN, _S.ENTERED_IN_ERROR})
_GOES_ON: Final = frozenset({_S.DECLINED, _S.EXPIRED})
_TWO_PERSONS: Final = (Urgency.T0, Urgency.T1)

OPEN: Final = "open"
REVIEW_DUE: Final = "review_due"
CLOSED: Final = "closed"


class ClosingReason(StrEnum):
    """Why a person closes a case (PRODUCT, Case work)."""

    GOALS_MET_AND_SAFE = "goals_met_and_safe"
    PERSON_DECLINED = "person_declined"
    TURNED_18_HANDED_OVER = "turned_18_handed_over"
    HANDED_OVER = "handed_over"
    COULD_NOT_BE_FOUND = "could_not_be_found"
    NOT_SUBSTANTIATED = "not_substantiated"
    DUPLICATE = "duplicate"
    DIED = "died"
    ENTERED_IN_ERROR = "entered_in_error"


_ELSEWHERE: Final = (ClosingReason.HANDED_OVER, ClosingReason.TURNED_18_HANDED_OVER)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One referral of a case, as the desk knows it from `referrals`."""

    referral_id: UUID
    need: str
    attempt: int
    state: str
    how_much: str | None
    urgency: str
    version: int
    provider_id: str | None = None

    @property
    def open(self) -> bool:
        """Whether something is still to happen with it."""
        return self.state not in _DONE and self.state not in _GOES_ON


def is_review_due(facts: CaseFacts, attempts: Collection[Attempt]) -> bool:
    """Say whether the last referral is final: each need was tried, and none goes on.

    A declined or expired referral is followed by another, and so is one that delivered a part.
    """
    if facts.status != OPEN or facts.about != "person" or not facts.needs:
        return False
    latest: dict[str, Attempt] = {}
    for attempt in attempts:
        if attempt.open:
            return False
        known = latest.get(attempt.need)
        if known is None or attempt.attempt > known.attempt:
            latest[attempt.need] = attempt
    if not set(facts.needs) <= latest.keys():
        return False
    return all(a.state in _DONE and a.how_much != "part" for a in latest.values())


def mark_review_due(case_id: UUID, facts: CaseFacts) -> tuple[CaseFacts, Draft]:
    """Say that the case waits for a named person's review; no machine closes it."""
    new = msgspec.structs.replace(facts, status=REVIEW_DUE)
    return new, Draft(CASES, "case-updated", str(case_id), new, tuple(new.needs))


@dataclass(frozen=True, slots=True)
class Closing:
    """A proposal to close: who made it and why."""

    by: str
    reason: str


def must_be_approved(facts: CaseFacts) -> bool:
    """Say whether a supervisor must agree, beside whoever proposes: at T0 and T1."""
    return facts.urgency in _TWO_PERSONS


def close(
    case_id: UUID,
    facts: CaseFacts,
    reason: str,
    *,
    by: str,
    role: Role,
    attempts: Collection[Attempt],
    proposed: Closing | None,
) -> tuple[CaseFacts, Draft] | Closing:
    """Close a case, or return the proposal that a supervisor must still approve.

    Raises:
        Conflict: it is closed already; its goals cannot be met while a referral is open; it is
            handed over to nobody who accepted; the police still look for the child; or the
            supervisor approves another reason than was proposed.
        Forbidden: whoever proposed it approves it too.

    """
    if facts.status not in (OPEN, REVIEW_DUE):
        raise Conflict("the case is closed", state=facts.status)
    still = sum(a.open for a in attempts)
    if reason == ClosingReason.GOALS_MET_AND_SAFE and still:
        raise Conflict("a referral is still open", state=facts.status, open_referrals=still)
    if facts.work.alert is not None:
        raise Conflict("the police still look for the child: take the notice down first")
    if reason in _ELSEWHERE and facts.work.handover != "accepted":
        raise Conflict("nobody has accepted it: until then it is yours", state=facts.work.handover)
    if must_be_approved(facts):
        if role is not Role.SUPERVISOR or proposed is None:
            return Closing(by, reason)
        if proposed.by == by:
            raise Forbidden("another person must approve what you proposed")
        if proposed.reason != reason:
            raise Conflict("another reason was proposed", proposed=proposed.reason)
    new = msgspec.structs.replace(facts, status=CLOSED, reason=reason)
    return new, Draft(CASES, "case-closed", str(case_id), new, tuple(new.needs))
