"""Who may do what with a referral and when, purely; and how an answer changes it.

No clock, id, input or output inside: everything comes as an argument (STYLE). States and reasons
are those of the product dictionary; FHIR and Primero names are made at the edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.referral.referral import (
    PROMISED,
    Appointment,
    Delivered,
    Milestone,
    Referral,
    Waiting,
    change,
)
from services.referral.silence import over
from shared.answer_code import answer_code
from shared.errors import Conflict, Forbidden, InvalidBody, Stale
from shared.vocabulary import EXCLUDED, Reason, ReferralState, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_S = ReferralState
DESK: Final = frozenset({Role.COORDINATOR, Role.SUPERVISOR})
PROVIDER: Final = frozenset({Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM})


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
LIVE_STATES: Final = frozenset({_S.PLANNED, _S.WAITING, _S.ASSIGNED}) | PROMISED
GONE: Final = frozenset({_S.WITHDRAWN, _S.ENTERED_IN_ERROR})
"""States in which whoever had the referral must say that it heard of the end."""

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
    "appointment": _Rule(PROMISED, _ANSWERS, "appointment-changed"),
    "milestone": _Rule(PROMISED, _ANSWERS, "milestone-reached"),
    "refer-onward": _Rule(PROMISED | {_S.DELIVERED}, _ANSWERS, "referred-onward"),
    "deliver": _Rule(
        frozenset({_S.ACCEPTED, _S.IN_SERVICE, _S.ON_HOLD}), _ANSWERS, "service-delivered"
    ),
    "fail": _Rule(PROMISED, _ANSWERS, "service-failed", needs_reason=True),
    "withdraw": _Rule(
        LIVE_STATES,
        DESK,
        "referral-withdrawn",
        needs_reason=True,
    ),
    "mark-error": _Rule(LIVE_STATES | {_S.DELIVERED, _S.FAILED}, DESK, "referral-withdrawn"),
    "acknowledge-withdrawal": _Rule(GONE, _ANSWERS, "withdrawal-acknowledged"),
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
    if verb == "acknowledge-withdrawal" and referral.reason == EXCLUDED:
        return actor.role in DESK  # whom the case names sees it no more: a person deals with them
    if rule.who is _ANSWERS:
        return speaks_for(referral, actor)
    return actor.role in rule.who


def _possible(referral: Referral, verb: str) -> bool:
    if referral.state not in _RULES[verb].sources:
        return False
    match verb:
        case "contact":
            return referral.first_contact_at is None
        case "acknowledge-withdrawal":
            return referral.provider_id is not None and referral.acknowledged_at is None
    return True


def allowed(referral: Referral, actor: Actor) -> list[str]:
    """Return the verbs that this actor may use on the referral now, in the order of its life."""
    return [v for v in VERBS if _may(referral, v, actor) and _possible(referral, v)]


def held(referral: Referral, actor: Actor) -> dict[str, Any]:
    """Return what a refusal says: the state, who holds it as far as the actor may know, what is."""
    knows = actor.role in DESK or speaks_for(referral, actor)
    return {
        "state": referral.state,
        "held_by": referral.provider_id if knows else None,
        "version": referral.version,
        "allowed": allowed(referral, actor),
    }


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
        raise Stale(None, **held(referral, actor))
    wrong_state = order.state is not None and order.state != referral.state
    if wrong_state or not _possible(referral, order.verb):
        raise Conflict(None, **held(referral, actor))
    _check_reason(order)
    return True


def _repeated(referral: Referral, order: Order) -> bool:
    """Whether the same was done before and the state since then does not allow it again."""
    if order.verb not in referral.done:
        return False
    if order.verb == "release" and referral.state == _S.PLANNED:
        return order.fields.get("offer_id") is None
    if order.verb == "milestone":
        mine = (order.fields.get("kind"), order.fields.get("waiting_on"))
        return any((m.kind, m.waiting_on) == mine for m in referral.milestones)
    if order.verb == "appointment":
        return _appointments(referral, order) == referral.appointments
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


_Fields = dict[str, Any]


def answer(referral: Referral, order: Order, at: datetime) -> Referral:
    """Apply a checked order of whoever answers for the provider, or a withdrawal of the desk."""
    done = [*referral.done, order.verb] if order.verb not in referral.done else referral.done
    if _RULES[order.verb].who is _ANSWERS:
        referral = _spoken(change(referral, heard_at=at), order.verb)
    return change(referral, done=done, **_ANSWERS_BY_VERB[order.verb](referral, order, at))


_ENDS_SILENCE: Final[Mapping[str, frozenset[str]]] = {
    "appointment": frozenset({"appointment"}),
    "milestone": frozenset({"milestone"}),
    "hold": frozenset({"review"}),
}
"""Of which silences a verb is the end, beside silence itself."""


def _spoken(referral: Referral, verb: str) -> Referral:
    """Return the referral without the silence that this word of its provider ends."""
    return over(referral, _ENDS_SILENCE.get(verb, frozenset()) | {"quiet"})


def _accept(referral: Referral, order: Order, at: datetime) -> _Fields:
    given = order.fields
    fields: _Fields = {
        "state": _S.ACCEPTED,
        "provider_reference": given.get("provider_reference") or referral.provider_reference,
    }
    if given.get("waitlisted"):
        fields["state"] = _S.WAITLISTED
        fields["waiting"] = Waiting(
            since=at, position=given.get("position"), expected_on=given.get("expected_on")
        )
    return fields


def _end(state: ReferralState) -> Callable[[Referral, Order, datetime], _Fields]:
    return lambda _referral, order, _at: {"state": state, "reason": order.reason}


def _contact(_referral: Referral, _order: Order, at: datetime) -> _Fields:
    return {"first_contact_at": at}


def _start(referral: Referral, _order: Order, at: datetime) -> _Fields:
    return {"state": _S.IN_SERVICE, "first_contact_at": referral.first_contact_at or at}


def _hold(referral: Referral, order: Order, _at: datetime) -> _Fields:
    review = order.fields.get("review_on") or referral.review_on
    return {"state": _S.ON_HOLD, "reason": order.reason, "review_on": review}


def _milestone(referral: Referral, order: Order, at: datetime) -> _Fields:
    given = order.fields
    step = Milestone(
        kind=given["kind"], at=at, waiting_on=given.get("waiting_on"), due_on=given.get("due_on")
    )
    return {"milestones": [*referral.milestones, step]}


def _appointments(referral: Referral, order: Order) -> list[Appointment]:
    """Return the appointments after an order: one is known by its kind and time."""
    given = order.fields
    said = Appointment(
        kind=given["kind"],
        at=given["at"],
        state=given["state"],
        transport=given.get("transport"),
    )
    before = {(one.kind, one.at): one for one in referral.appointments}
    old = before.get((said.kind, said.at))
    if old is not None and said.transport is None:
        said = msgspec.structs.replace(said, transport=old.transport)
    before[said.kind, said.at] = said
    if given.get("moved_to") is not None:
        moved = msgspec.structs.replace(said, at=given["moved_to"], state="planned")
        before.setdefault((moved.kind, moved.at), moved)
    return sorted(before.values(), key=lambda one: (one.at, one.kind))


def _appoint(referral: Referral, order: Order, at: datetime) -> _Fields:
    fields: _Fields = {"appointments": _appointments(referral, order)}
    if order.fields["state"] == "kept" and referral.first_contact_at is None:
        fields["first_contact_at"] = min(at, order.fields["at"])
    return fields


def _mark_error(_referral: Referral, order: Order, at: datetime) -> _Fields:
    return {"state": _S.ENTERED_IN_ERROR, "reason": order.reason, "withdrawn_at": at}


def _deliver(_referral: Referral, order: Order, _at: datetime) -> _Fields:
    given = order.fields
    return {
        "state": _S.DELIVERED,
        "outcome": given.get("outcome"),
        "cost": given.get("cost"),
        "delivered": Delivered(
            how_much=given["how_much"],
            sessions_planned=given.get("sessions_planned"),
            sessions_done=given.get("sessions_done"),
        ),
    }


def _acknowledge(_referral: Referral, _order: Order, at: datetime) -> _Fields:
    return {"acknowledged_at": at}


_ANSWERS_BY_VERB: Final[Mapping[str, Callable[[Referral, Order, datetime], _Fields]]] = {
    "accept": _accept,
    "decline": _end(_S.DECLINED),
    "contact": _contact,
    "start": _start,
    "hold": _hold,
    "appointment": _appoint,
    "refer-onward": lambda _referral, _order, _at: {},
    "milestone": _milestone,
    "deliver": _deliver,
    "fail": _end(_S.FAILED),
    "withdraw": _end(_S.WITHDRAWN),
    "mark-error": _mark_error,
    "acknowledge-withdrawal": _acknowledge,
}


_PRIVATE: Final = (
    *("reserved", "done", "suggested", "awaits", "awaits_since", "escalation", "told_of"),
    *("released_at", "medical_until", "feed_seq", "heard_at", "onward"),
)
"""Fields that the interface does not show to everybody as they are."""


def shown(referral: Referral, actor: Actor) -> dict[str, Any]:
    """Return the referral as the interface reads it; providers see nothing of the desk's side."""
    plain: dict[str, Any] = msgspec.to_builtins(referral)
    for private in _PRIVATE:
        del plain[private]
    plain["attachments"] = []  # nobody but the centre opens what a reporter gave (SAFETY 7b, 28)
    if referral.state == _S.ASSIGNED:
        plain["answer_code"] = answer_code(referral.referral_id)
    if actor.role not in PROVIDER:
        told = referral.escalation
        plain["suggested_offer_id"] = referral.suggested
        plain["awaits"] = referral.awaits
        plain["silence"] = told.silence if told else None
        plain["escalated_to"] = told.to if told else None
        plain["released_at"] = msgspec.to_builtins(referral.released_at)
    plain["allowed"] = allowed(referral, actor)
    return plain
