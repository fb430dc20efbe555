"""The referral itself: one need of one case sent to one offer, and all that is kept of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from shared.events import ReferralFacts
from shared.vocabulary import ReferralState

_S = ReferralState
FINAL: Final = frozenset(
    {_S.DECLINED, _S.EXPIRED, _S.DELIVERED, _S.FAILED, _S.WITHDRAWN, _S.ENTERED_IN_ERROR}
)
"""States after which this referral does nothing more; a new one may follow it."""

LIVE: Final = tuple(sorted(str(state) for state in ReferralState if state not in FINAL))
"""The other states."""

PROMISED: Final = frozenset({_S.ACCEPTED, _S.WAITLISTED, _S.IN_SERVICE, _S.ON_HOLD})
"""States in which a provider has said yes."""

RULE: Final = "rule"
"""`released_by` when the rule of the need released it."""

CASE_CLOSED: Final = "case_closed"
CASE_ERASED: Final = "case_erased"
NO_ANSWER: Final = "no_answer"
SUPERSEDED: Final = "superseded"
"""Reasons that only the service gives, beside the vocabulary's."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How the provider of an offer that does not use Pashe was told; `by` is a pseudonym."""

    how: str
    by: str
    at: datetime


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Since when somebody waits, and what is known of the end; dates are ISO 8601 days."""

    since: datetime
    position: int | None = None
    expected_on: str | None = None


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """What is silent about a referral, and who was told of it last, when."""

    silence: str
    to: str
    at: datetime


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What was delivered: `all` or `part`, and how many sessions."""

    how_much: str
    sessions_planned: int | None = None
    sessions_done: int | None = None


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was reached, what the next waits on, and when it is due (ISO 8601 day)."""

    kind: str
    at: datetime
    waiting_on: str | None = None
    due_on: str | None = None


class Appointment(msgspec.Struct, frozen=True, kw_only=True):
    """A meeting of the person and the provider: `planned`, then `kept`, `missed` or `moved`.

    `transport` says how the person comes there, as a code word.
    """

    kind: str
    at: datetime
    state: str = "planned"
    transport: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider must know to answer, and nothing that names anyone."""

    age_band: str = "unknown"
    sex: str = "unknown"
    languages: list[str] = []
    support: list[str] = []
    with_: int = msgspec.field(default=0, name="with")
    keep_together: bool = False
    place_now: str | None = None
    mode: str = "in_person"
    safety: str | None = None
    legal: str | None = None


class Referral(msgspec.Struct, frozen=True, kw_only=True):
    """One need of one case sent to one offer. Times are aware UTC; `version` counts changes.

    `suggested` is the offer that routing proposes while nobody is assigned; `awaits` what a person
    of the desk must do with a planned one (`release`, `choose`, `call`), since when; `reserved` the
    places this referral holds of the offer's free ones. `heard_at` is when whoever answers for the
    provider said something last; `told_of` the silences that stand and that people were told of;
    `onward` that a provider asked for it, so that a person releases.
    """

    referral_id: UUID
    case_id: UUID
    need: str
    urgency: str
    state: str
    attempt: int = 1
    version: int = 1
    provider_id: str | None = None
    offer_id: str | None = None
    suggested: str | None = None
    awaits: str | None = None
    awaits_since: datetime | None = None
    released_by: str | None = None
    released_at: datetime | None = None
    told: Told | None = None
    assigned_at: datetime | None = None
    respond_by: datetime | None = None
    first_contact_by: datetime | None = None
    first_contact_at: datetime | None = None
    deliver_by: datetime | None = None
    review_on: str | None = None
    reason: str | None = None
    summary: Summary = Summary()
    places_needed: int = 1
    reserved: int = 0
    provider_reference: str | None = None
    parent_referral_id: UUID | None = None
    waiting: Waiting | None = None
    escalation: Escalation | None = None
    told_of: list[str] = []
    appointments: list[Appointment] = []
    milestones: list[Milestone] = []
    delivered: Delivered | None = None
    outcome: str | None = None
    cost: dict[str, Any] | None = None
    withdrawn_at: datetime | None = None
    acknowledged_at: datetime | None = None
    medical_until: datetime | None = None
    heard_at: datetime | None = None
    onward: bool = False
    done: list[str] = []
    test: bool = False
    feed_seq: int | None = None

    @property
    def open(self) -> bool:
        """Whether something is still to happen with it."""
        return self.state not in FINAL

    @property
    def heard(self) -> bool:
        """Whether its provider hears of it: it has one, and it is no test traffic (SAFETY 30)."""
        return self.provider_id is not None and not self.test

    @property
    def unacknowledged(self) -> bool:
        """Whether its provider must still say that it heard of the withdrawal, or of the error."""
        gone = self.state in (_S.WITHDRAWN, _S.ENTERED_IN_ERROR) and self.withdrawn_at is not None
        return gone and self.heard and self.acknowledged_at is None

    @property
    def answer_by(self) -> datetime | None:
        """Until when its provider owes an answer, or after its yes the first contact."""
        if self.state == _S.ASSIGNED:
            return self.respond_by
        silent = self.state == _S.ACCEPTED and self.first_contact_at is None
        return self.first_contact_by if silent else None


def change(referral: Referral, **fields: Any) -> Referral:  # noqa: ANN401  (fields of a struct)
    """Return the referral with these fields; the version is counted when it becomes an event."""
    return msgspec.structs.replace(referral, **fields)


def facts_of(referral: Referral) -> ReferralFacts:
    """Return what an event says about a referral: references and coarse facts, never a text."""
    told = referral.escalation
    return ReferralFacts(
        referral_id=referral.referral_id,
        need=referral.need,
        urgency=referral.urgency,
        state=referral.state,
        attempt=referral.attempt,
        provider_id=referral.provider_id,
        offer_id=referral.offer_id,
        feed_seq=referral.feed_seq,
        reason=referral.reason,
        released_by=referral.released_by,
        respond_by=referral.respond_by,
        first_contact_by=referral.first_contact_by,
        deliver_by=referral.deliver_by,
        suggested_offer_id=referral.suggested,
        awaits=referral.awaits,
        silence=told.silence if told else None,
        escalated_to=told.to if told else None,
        how_much=referral.delivered.how_much if referral.delivered else None,
        version=referral.version,
        test=referral.test,
    )
