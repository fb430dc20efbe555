"""Bodies of the transitions: what may be said with each, checked before anything is touched."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, model_validator

from services.referral.domain import Order
from shared.bodies import Model
from shared.vocabulary import Need, Reach, Reason, ReferralState

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A short code word; never a sentence about a person."""

Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./_-]{0,63}$")]
Count = Annotated[int, Field(ge=0, le=10_000, strict=True)]
MilestoneKind = Literal[
    "identity_check",
    "home_enquiry",
    "court_order",
    "travel_permit",
    "exit_permit",
    "handover",
    "reception",
    "reunification",
    "follow_up",
]


class Transition(Model):
    """What every transition may carry. `text` stays in referral and is in no event."""

    reason: Reason | None = None
    text: str | None = Field(None, max_length=4000)
    expected_state: ReferralState | None = None


class Release(Transition):
    """The offer a person chooses; without it the best one."""

    offer_id: str | None = Field(None, max_length=100)


class Told(Release):
    """How an office was told, when, and by whom (a pseudonym); else the caller, now."""

    how: Reach
    by: Slug | None = None
    at: AwareDatetime | None = None


class Accept(Transition):
    """The provider's own reference; `waitlisted` when there is no place yet."""

    provider_reference: Reference | None = None
    waitlisted: bool = False
    position: Count | None = None
    expected_on: date | None = None


class Hold(Transition):
    """When to look at it again."""

    review_on: date | None = None


class Step(Transition):
    """A milestone of a long service."""

    kind: MilestoneKind
    waiting_on: MilestoneKind | None = None
    due_on: date | None = None


class Meeting(Transition):
    """An appointment: planned, or what became of it; `moved` may name the new time."""

    kind: Slug
    at: AwareDatetime
    state: Literal["planned", "kept", "missed", "moved"] = "planned"
    transport: Slug | None = None
    moved_to: AwareDatetime | None = None

    @model_validator(mode="after")
    def _moved(self) -> Meeting:
        if self.moved_to is not None and (self.state != "moved" or self.moved_to == self.at):
            message = "only what moved has a new time, and another than before"
            raise ValueError(message)
        return self


class Onward(Transition):
    """Another need of the person that the provider saw."""

    need: Need


class Cost(Model):
    """What it cost, in whole taka."""

    bdt: int = Field(ge=0, le=100_000_000, strict=True)
    paid_by: Slug | None = None


class Deliver(Transition):
    """How much was delivered."""

    how_much: Literal["all", "part"] = "all"
    sessions_planned: Count | None = None
    sessions_done: Count | None = None
    outcome: Slug | None = None
    cost: Cost | None = None


BODIES: Final[dict[str, type[Transition]]] = {
    "release": Release,
    "told": Told,
    "accept": Accept,
    "decline": Transition,
    "contact": Transition,
    "start": Transition,
    "hold": Hold,
    "appointment": Meeting,
    "milestone": Step,
    "refer-onward": Onward,
    "deliver": Deliver,
    "fail": Transition,
    "withdraw": Transition,
    "mark-error": Transition,
    "acknowledge-withdrawal": Transition,
}
"""The body of each transition."""

_COMMON: Final = frozenset(Transition.model_fields)


def order_of(verb: str, body: Transition, version: int | None) -> Order:
    """Turn a checked body into an order; dates become ISO 8601 texts."""
    fields: dict[str, Any] = body.model_dump(mode="json", exclude=set(_COMMON))
    for name in ("at", "moved_to"):
        when = getattr(body, name, None)
        if isinstance(when, datetime):
            fields[name] = when.astimezone(UTC)
    return Order(
        verb=verb,
        reason=body.reason,
        text=body.text or None,
        fields=fields,
        version=version,
        state=body.expected_state,
    )
