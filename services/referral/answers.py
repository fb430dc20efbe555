"""What providers answer, what silence does, and what a case event ends: purely."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from services.referral import domain
from services.referral.planning import look_again, places_for, plan_new
from services.referral.referral import (
    CASE_CLOSED,
    CASE_ERASED,
    NO_ANSWER,
    PROMISED,
    RULE,
    Referral,
    change,
)
from services.referral.world import (
    RESPOND,
    WAITING,
    Case,
    Change,
    World,
    consented,
    may_release,
)
from shared.vocabulary import Reason, ReferralState

if TYPE_CHECKING:
    from datetime import datetime

    from services.referral.rules import Terms
    from shared.events import CaseFacts, Event

_S = ReferralState


def follow(
    world: World, case: Case, referral: Referral, order: domain.Order, at: datetime
) -> Change:
    """Apply a checked order of a provider, or a withdrawal, and what follows from it."""
    made = Change()
    new = domain.answer(referral, order, at)
    terms = world.terms(referral.need, at)
    match order.verb:
        case "accept":
            new = _accepted(world, new, terms, at, made)
        case "decline" | "fail" | "deliver" | "withdraw":
            new = _give_back(new, referral.state, made)
    made.happen(domain.event_of(order.verb), new)
    if order.verb == "decline":
        _offer_again(world, case, new, at, made)
    if new.delivered is not None and new.delivered.how_much == "part" and case.served:
        plan_new(world, case, new.need, at, made, parent=new)
    return made


def _accepted(world: World, new: Referral, terms: Terms, at: datetime, made: Change) -> Referral:
    made.alarm(RESPOND, new, None)
    if new.state == _S.WAITLISTED:  # there is no place yet: none is held
        made.hold(new, -new.reserved, 0)
        return change(new, reserved=0)
    pace = terms.paces[new.urgency]
    contact = pace.due(at, pace.first_contact_within)
    taken = new.reserved
    if not taken and new.offer_id in world.offers:
        taken = places_for(new, world.offers[new.offer_id])
        made.hold(new, taken, 0)
    return change(
        new,
        reserved=taken,
        waiting=None,
        first_contact_by=min(contact, new.first_contact_by or contact),
        deliver_by=pace.due(at, pace.deliver_within),
    )


def _give_back(referral: Referral, was: str, made: Change) -> Referral:
    """Give places and load back to the offer, and take the timer of the state it was in back."""
    made.hold(referral, -referral.reserved, -1)
    kind = {_S.ASSIGNED: RESPOND, _S.WAITING: WAITING}.get(ReferralState(was))
    if kind is not None:
        made.alarm(kind, referral, None)
    return change(referral, reserved=0)


def _offer_again(world: World, case: Case, ended: Referral, at: datetime, made: Change) -> None:
    """Offer a need to the next candidate; what a rule released must still be releasable."""
    if not case.served:
        return
    by = ended.released_by
    if by == RULE and not may_release(case, ended.need, world.terms(ended.need, at)):
        by = None
    plan_new(world, case, ended.need, at, made, parent=ended, released_by=by)


def expire(world: World, case: Case, referral: Referral, at: datetime) -> Change:
    """End a referral whose provider did not answer in time, and offer the need to the next."""
    made = Change()
    if referral.state != _S.ASSIGNED or referral.respond_by is None or referral.respond_by > at:
        return made
    ended = change(_give_back(referral, referral.state, made), state=_S.EXPIRED, reason=NO_ANSWER)
    ended = made.happen("referral-expired", ended)
    _offer_again(world, case, ended, at, made)
    return made


def retry(world: World, case: Case, referral: Referral, at: datetime) -> Change:
    """Look for somebody again for a need that nobody served."""
    made = Change()
    if referral.state == _S.WAITING and case.served:
        look_again(world, case, referral, at, made)
    return made


def bring_forward(world: World, event: Event) -> Change:
    """Take a newer event of a case in, with what it ends: a closed case, a withdrawn consent.

    Every consumer of the service does this; only the first to bring an event changes anything.
    """
    made = Change()
    case_id = UUID(event.subject)
    old = world.cases.get(case_id)
    if old is not None and event.sequence <= old.sequence:
        return made
    facts: CaseFacts = event.data
    if event.type in ("case-closed", "case-erased") and facts.status == "open":
        facts = msgspec.structs.replace(facts, status="closed")
    withdrawn = old.withdrawn if old is not None else False
    if event.type == "consent-withdrawn":
        withdrawn = not facts.consent.given
    elif facts.consent.given:
        withdrawn = False
    made.case = Case(case_id, event.sequence, facts, withdrawn)
    for referral in world.of(case_id):
        reason = _ended_by(event.type, facts, referral)
        if reason is not None:
            ended = change(
                _give_back(referral, referral.state, made), state=_S.WITHDRAWN, reason=reason
            )
            made.happen("referral-withdrawn", ended)
    return made


def _ended_by(event_type: str, facts: CaseFacts, referral: Referral) -> str | None:
    """Return why an event of the case ends a referral, or None when it does not."""
    if not referral.open:
        return None
    if event_type == "case-erased":
        return CASE_ERASED
    if event_type == "case-closed" and referral.state not in PROMISED:
        return CASE_CLOSED
    if event_type == "consent-withdrawn" and not consented(facts, referral.need):
        return str(Reason.CONSENT_WITHDRAWN)
    return None
