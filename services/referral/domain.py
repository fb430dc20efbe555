"""The referral and its states, purely: who may do what when, and what has happened then.

No clock, id, input or output inside: everything comes as an argument (STYLE). States and reasons
are those of the product dictionary; FHIR and Primero names are made at the edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NewType
from uuid import UUID

import msgspec

from shared.errors import Conflict, Forbidden, InvalidBody, Stale
from shared.events import ReferralFacts
from shared.vocabulary import Reason, ReferralState, Role

CaseId = NewType("CaseId", UUID)
ReferralId = NewType("ReferralId", UUID)
OfferId = NewType("OfferId", str)
ProviderId = NewType("ProviderId", str)
Verb = NewType("Verb", str)

RULE: Final = "rule"
"""`released_by` when the rule of the need released it."""

CASE_CLOSED: Final = "case_closed"
CASE_ERASED: Final = "case_erased"
NO_ANSWER: Final = "no_answer"
"""Reasons that only the service gives, beside the vocabulary's."""

_S = ReferralState
FINAL: Final = frozenset(
    {_S.DECLINED, _S.EXPIRED, _S.DELIVERED, _S.FAILED, _S.WITHDRAWN, _S.ENTERED_IN_ERROR}
)
"""States after which this referral does nothing more; a new one may follow it."""

PROMISED: Final = frozenset({_S.ACCEPTED, _S.WAITLISTED, _S.IN_SERVICE, _S.ON_HOLD})
"""States in which a provider has said yes."""

DESK: Final = frozenset({Role.COORDINATOR, Role.SUPERVISOR})
PROVIDER: Final = frozenset({Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM})

MILESTONES: Final = frozenset(
    {
        "identity_check",
        "home_enquiry",
        "court_order",
        "travel_permit",
        "exit_permit",
        "handover",
        "reception",
        "reunification",
        "follow_up",
    }
)
"""Steps of a long service; silence is measured for each."""


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

    `suggested` is the offer that routing proposes while nobody is assigned; `reserved` the places
    this referral holds of the offer's free ones.
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
    milestones: list[Milestone] = []
    delivered: Delivered | None = None
    outcome: str | None = None
    cost: dict[str, Any] | None = None
    acknowledged_at: datetime | None = None
    medical_until: datetime | None = None
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


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a role, the organisation a provider acts for, and the name for the event."""

    role: Role
    name: str
    org: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done, already checked for its types at the edge.

    `version` and `state`, if given, are what the caller believes to be present.
    """

    verb: str
    reason: str | None = None
    text: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    version: int | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """From which states a verb is possible, who may, and what has happened then."""

    sources: frozenset[str]
    who: frozenset[Role]
    event: str
    needs_reason: bool = False


_ANSWERS: Final = PROVIDER
_RULES: Final[dict[str, _Rule]] = {
    "release": _Rule(frozenset({_S.PLANNED, _S.WAITING}), DESK, "referral-released"),
    "told": _Rule(frozenset({_S.PLANNED, _S.WAITING}), DESK, "referral-assigned"),
    "accept": _Rule(frozenset({_S.ASSIGNED, _S.WAITLISTED}), _ANSWERS, "referral-accepted"),
    "decline": _Rule(
        frozenset({_S.ASSIGNED, _S.WAITLISTED}), _ANSWERS, "referral-declined", needs_reason=True
    ),
    "contact": _Rule(PROMISED, _ANSWERS, "first-contact-made"),
    "start": _Rule(
        frozenset({_S.ACCEPTED, _S.WAITLISTED, _S.ON_HOLD}), _ANSWERS, "service-started"
    ),
    "hold": _Rule(
        frozenset({_S.ACCEPTED, _S.WAITLISTED, _S.IN_SERVICE}), _ANSWERS, "referral-on-hold"
    ),
    "milestone": _Rule(PROMISED, _ANSWERS, "milestone-reached"),
    "deliver": _Rule(
        frozenset({_S.ACCEPTED, _S.IN_SERVICE, _S.ON_HOLD}), _ANSWERS, "service-delivered"
    ),
    "fail": _Rule(PROMISED, _ANSWERS, "service-failed", needs_reason=True),
    "withdraw": _Rule(
        frozenset({_S.PLANNED, _S.WAITING, _S.ASSIGNED}) | PROMISED,
        DESK,
        "referral-withdrawn",
        needs_reason=True,
    ),
    "acknowledge-withdrawal": _Rule(
        frozenset({_S.WITHDRAWN}), _ANSWERS, "withdrawal-acknowledged"
    ),
}

VERBS: Final = tuple(_RULES)
"""Every transition that somebody may ask for, in the order of a referral's life."""


def speaks_for(referral: Referral, actor: Actor) -> bool:
    """Say whether the actor answers for the referral's provider.

    A provider does for its own; the desk does where it told an office that does not use Pashe.
    """
    if actor.role in PROVIDER:
        return referral.heard and actor.org == referral.provider_id
    return actor.role in DESK and referral.told is not None


def _may(referral: Referral, verb: str, actor: Actor) -> bool:
    rule = _RULES[verb]
    if rule.who is _ANSWERS:
        return speaks_for(referral, actor)
    return actor.role in rule.who


def _possible(referral: Referral, verb: str) -> bool:
    if referral.state not in _RULES[verb].sources:
        return False
    match verb:
        case "release":
            return referral.released_by is None or referral.state == _S.WAITING
        case "contact":
            return referral.first_contact_at is None
        case "acknowledge-withdrawal":
            return referral.provider_id is not None and referral.acknowledged_at is None
    return True


def allowed(referral: Referral, actor: Actor) -> list[str]:
    """Return the verbs that this actor may use on the referral now, in the order of its life."""
    return [v for v in VERBS if _may(referral, v, actor) and _possible(referral, v)]


def check(referral: Referral, order: Order, actor: Actor) -> bool:
    """Say whether the order is to be done (True) or was done before (False, a repeat).

    Raises:
        Forbidden: this actor may never do that. Conflict: the state does not allow it; `state`
            and `allowed` say what is. Stale: the version is not the present one. InvalidBody: a
            reason is missing or unknown, or `other` has no text.

    """
    if not _may(referral, order.verb, actor):
        raise Forbidden
    if _repeated(referral, order):
        return False
    if order.version is not None and order.version != referral.version:
        raise Stale(None, version=referral.version, state=referral.state)
    wrong_state = order.state is not None and order.state != referral.state
    if wrong_state or not _possible(referral, order.verb):
        raise Conflict(
            None,
            state=referral.state,
            held_by=referral.provider_id if speaks_for(referral, actor) else None,
            version=referral.version,
            allowed=allowed(referral, actor),
        )
    _check_reason(order)
    return True


def _repeated(referral: Referral, order: Order) -> bool:
    """Whether the same was done before and the state since then does not allow it again."""
    if order.verb not in referral.done:
        return False
    if order.verb == "milestone":
        mine = (order.fields.get("kind"), order.fields.get("waiting_on"))
        return any((m.kind, m.waiting_on) == mine for m in referral.milestones)
    if order.verb == "accept" and order.fields.get("waitlisted"):
        return True
    return not _possible(referral, order.verb)


def _check_reason(order: Order) -> None:
    if order.reason is not None and order.reason not in set(Reason):
        raise InvalidBody(None, errors=[{"field": "reason", "rule": "enum"}])
    if _RULES[order.verb].needs_reason and order.reason is None:
        raise InvalidBody(None, errors=[{"field": "reason", "rule": "missing"}])
    if order.reason == Reason.OTHER and not (order.text or "").strip():
        raise InvalidBody(None, errors=[{"field": "text", "rule": "missing"}])


def event_of(verb: str) -> str:
    """Return the event type of a transition."""
    return _RULES[verb].event


def change(referral: Referral, **fields: Any) -> Referral:  # noqa: ANN401  (fields of a struct)
    """Return the referral with these fields; the version is counted when it becomes an event."""
    return msgspec.structs.replace(referral, **fields)


def answer(referral: Referral, order: Order, at: datetime) -> Referral:
    """Apply a checked order of whoever answers for the provider, or a withdrawal of the desk."""
    given = order.fields
    done = [*referral.done, order.verb] if order.verb not in referral.done else referral.done
    new: dict[str, Any] = {"done": done}
    match order.verb:
        case "accept":
            new["state"] = _S.WAITLISTED if given.get("waitlisted") else _S.ACCEPTED
            new["provider_reference"] = (
                given.get("provider_reference") or referral.provider_reference
            )
            if given.get("waitlisted"):
                new["waiting"] = Waiting(
                    since=at,
                    position=given.get("position"),
                    expected_on=given.get("expected_on"),
                )
        case "decline" | "fail":
            new["state"] = _S.DECLINED if order.verb == "decline" else _S.FAILED
            new["reason"] = order.reason
        case "contact":
            new["first_contact_at"] = at
        case "start":
            new["state"] = _S.IN_SERVICE
            new["first_contact_at"] = referral.first_contact_at or at
        case "hold":
            new |= {"state": _S.ON_HOLD, "reason": order.reason}
            new["review_on"] = given.get("review_on") or referral.review_on
        case "milestone":
            step = Milestone(
                kind=given["kind"],
                at=at,
                waiting_on=given.get("waiting_on"),
                due_on=given.get("due_on"),
            )
            new["milestones"] = [*referral.milestones, step]
        case "deliver":
            new["state"] = _S.DELIVERED
            new["outcome"] = given.get("outcome")
            new["cost"] = given.get("cost")
            new["delivered"] = Delivered(
                how_much=given["how_much"],
                sessions_planned=given.get("sessions_planned"),
                sessions_done=given.get("sessions_done"),
            )
        case "withdraw":
            new |= {"state": _S.WITHDRAWN, "reason": order.reason}
        case "acknowledge-withdrawal":
            new["acknowledged_at"] = at
    return change(referral, **new)


def facts_of(referral: Referral) -> ReferralFacts:
    """Return what an event says about a referral: references and coarse facts, never a text."""
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
        how_much=referral.delivered.how_much if referral.delivered else None,
        version=referral.version,
        test=referral.test,
    )


def shown(referral: Referral, actor: Actor) -> dict[str, Any]:
    """Return the referral as the interface reads it; only the desk sees what is suggested."""
    plain: dict[str, Any] = msgspec.to_builtins(referral)
    for private in ("reserved", "done", "suggested", "released_at", "medical_until", "feed_seq"):
        del plain[private]
    for empty in ("appointments", "attachments"):
        plain[empty] = []
    if actor.role not in PROVIDER:
        plain["suggested_offer_id"] = referral.suggested
        plain["released_at"] = msgspec.to_builtins(referral.released_at)
    plain["allowed"] = allowed(referral, actor)
    return plain
