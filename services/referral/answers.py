"""What providers answer, what silence does, and what a case event ends: purely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from services.referral import domain
from services.referral.moments import put_right
from services.referral.planning import look_again, places_for, plan_new
from services.referral.ranking import policy_on
from services.referral.referral import (
    CASE_CLOSED,
    CASE_ERASED,
    NO_ANSWER,
    PROMISED,
    RULE,
    SUPERSEDED,
    Referral,
    change,
)
from services.referral.silence import LADDER, Silence, above, climb, escalate
from services.referral.world import (
    SERVED,
    Case,
    Change,
    World,
    agreed_providers,
    consented,
    may_release,
)
from shared.clock import day_of
from shared.errors import Conflict
from shared.vocabulary import EXCLUDED, Reason, ReferralState

if TYPE_CHECKING:
    from datetime import datetime

    from services.referral.rules import Terms
    from shared.events import CaseFacts, Event

_S = ReferralState

SERVING: Final = frozenset({"accept", "contact", "start", "deliver"})
"""Answers after which a need is one provider's: a parallel offer of it ends."""

TWICE: Final = 2
"""Unanswered offers of a need after which people are told."""


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
        case "decline" | "fail" | "deliver" | "withdraw" | "mark-error":
            new = _give_back(new, made) if referral.open else new
            if order.verb == "withdraw":
                new = change(new, withdrawn_at=at)
        case "refer-onward":
            return _onward(world, case, new, order.fields["need"], at)
        case _ if new.state == _S.IN_SERVICE and referral.deliver_by is None:
            new = _accepted(world, new, terms, at, made)  # it waited for its place till now
    made.happen(domain.event_of(order.verb), new)
    if order.verb in SERVING and new.state != _S.WAITLISTED:
        _supersede(world, new, at, made)
    if order.verb == "decline":
        _offer_again(world, case, new, at, made)
    if order.verb == "deliver" and order.fields["how_much"] == "part" and case.served:
        plan_new(world, case, new.need, at, made, parent=new)
    return made


def _accepted(world: World, new: Referral, terms: Terms, at: datetime, made: Change) -> Referral:
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


def _onward(world: World, case: Case, parent: Referral, need: str, at: datetime) -> Change:
    """Plan another need that a provider saw; whatever the rule says, a person releases it.

    Raises:
        Conflict: the need is somebody's already, or the case is not served.

    """
    made = Change()
    live = [r for r in world.of(case.case_id, need) if r.open]
    if any(r.parent_referral_id == parent.referral_id for r in live):
        return made
    if live or not case.served:
        now = live[0] if live else parent
        known = now.provider_id == parent.provider_id  # one provider is not told of another
        raise Conflict(
            None,
            why="already_planned" if live else "case_not_served",
            state=now.state,
            held_by=now.provider_id if known else None,
        )
    made.happen("referred-onward", parent)
    plan_new(world, case, need, at, made, parent=parent, onward=True)
    return made


def _give_back(referral: Referral, made: Change) -> Referral:
    """Give places and load back to the offer."""
    made.hold(referral, -referral.reserved, -1)
    return change(referral, reserved=0)


def _withdraw(referral: Referral, reason: str, at: datetime, made: Change) -> None:
    given_back = _give_back(referral, made)
    ended = change(given_back, state=_S.WITHDRAWN, reason=reason, withdrawn_at=at)
    made.happen("referral-withdrawn", ended)


def _supersede(world: World, served: Referral, at: datetime, made: Change) -> None:
    """Withdraw every other offer of a need that is served now; whoever had it acknowledges."""
    for other in world.of(served.case_id, served.need):
        if other.open and other.referral_id != served.referral_id:
            _withdraw(other, SUPERSEDED, at, made)


def _offer_again(world: World, case: Case, before: Referral, at: datetime, made: Change) -> None:
    """Offer a need to the next candidate; what a rule released must still be releasable."""
    if not case.served:
        return
    by, terms = before.released_by, world.terms(before.need, at)
    if by == RULE and not may_release(case, before.need, terms, policy_on(day_of(at))):
        by = None
    plan_new(world, case, before.need, at, made, parent=before, released_by=by)


def fall_due(world: World, case: Case, referral: Referral, at: datetime) -> Change:
    """Do what silence asks for, when a timer looks at a referral; nothing twice, or too early.

    An unanswered offer ends and the need is offered to the next; whoever waits is looked for again;
    of everything else, and of waiting too, people are told, one step a time.
    """
    made = Change()
    unheard = referral.state in domain.GONE  # told until acknowledged, whatever the case is now
    if referral.test or not (case.served or unheard):
        return made
    terms = world.terms(referral.need, at)
    referral = made.look(put_right(referral, terms, at), referral)
    if referral.state == _S.WAITING:
        look_again(world, case, referral, at, made)
    elif referral.state == _S.ASSIGNED and referral.respond_by and referral.respond_by <= at:
        _expire(world, case, referral, at, made)
    else:
        told = climb(referral, terms, at, made)
        begun = told.escalation if told is not None else None
        if told and begun and (begun.silence, begun.to) == (Silence.FIRST_CONTACT, LADDER[0]):
            _offer_again(world, case, told, at, made)
    return made


def _expire(world: World, case: Case, referral: Referral, at: datetime, made: Change) -> None:
    """End a referral that nobody answered; after the second of a need people are told."""
    ended = change(_give_back(referral, made), state=_S.EXPIRED, reason=NO_ANSWER)
    made.happen("referral-expired", ended)
    _offer_again(world, case, ended, at, made)
    silent = [r for r in world.of(case.case_id, referral.need) if r.state == _S.EXPIRED]
    next_one = made.happenings[-1].referral
    if len(silent) + 1 < TWICE or next_one.state == _S.WAITING:  # who waits is told of already
        return
    silence = Silence.RESPOND if next_one.state == _S.ASSIGNED else Silence.RELEASE
    before = referral.escalation.to if referral.escalation else None
    escalate(next_one, silence, above(before) or LADDER[-1], at, made)


def bring_forward(world: World, event: Event) -> Change:
    """Take a newer event of a case in, with what it ends: a closed case, a withdrawn consent.

    A referral whose provider the case names by now is withdrawn too; its rule then looks elsewhere.

    Every consumer of the service does this; only the first to bring an event changes anything.
    """
    made = Change()
    case_id = UUID(event.subject)
    old = world.cases.get(case_id)
    if old is not None and event.sequence <= old.sequence:
        return made
    facts: CaseFacts = event.data
    if event.type in ("case-closed", "case-erased") and facts.status in SERVED:
        facts = msgspec.structs.replace(facts, status="closed")
    withdrawn = old.withdrawn if old is not None else False
    if event.type == "consent-withdrawn":
        withdrawn = not facts.consent.given
    elif facts.consent.given:
        withdrawn = False
    made.case = Case(case_id, event.sequence, facts, withdrawn)
    for referral in world.of(case_id):
        reason = _ended_by(event.type, facts, referral)
        if reason is None and _named(world, facts, referral):
            reason = EXCLUDED
        if reason is not None:
            _withdraw(referral, reason, event.time, made)
        elif made.case.served and old is not None and not old.served:
            made.looked[referral.referral_id] = referral  # its clocks go on
    _ask_others(world, made, event.time)
    return made


def _ask_others(world: World, made: Change, at: datetime) -> None:
    """Plan again what a provider asked for and a named one had: no rule of the case would."""
    case = made.case
    if case is None or not case.served:
        return
    for lost in [r for r in made.referrals.values() if r.onward and r.reason == EXCLUDED]:
        known = {r.referral_id: r for r in world.of(lost.case_id, lost.need)} | made.referrals
        if not any(r.open for r in known.values() if r.need == lost.need):
            plan_new(world, case, lost.need, at, made, parent=lost, onward=True)


def _ended_by(event_type: str, facts: CaseFacts, referral: Referral) -> str | None:
    """Return why an event of the case ends a referral, or None when it does not."""
    if not referral.open:
        return None
    if event_type == "case-erased":
        return CASE_ERASED
    if event_type == "case-closed" and referral.state not in PROMISED:
        return CASE_CLOSED
    if event_type == "consent-withdrawn" and not _agreed(facts, referral):
        return str(Reason.CONSENT_WITHDRAWN)
    return None


def _named(world: World, facts: CaseFacts, referral: Referral) -> bool:
    """Whether the case excludes whoever has the referral, by name or as one of a kind."""
    if not (facts.excluded and referral.open and referral.provider_id):
        return False
    offer = world.offers.get(referral.offer_id or "")
    who = {referral.provider_id} | (offer.kinds if offer else frozenset())
    return not who.isdisjoint(facts.excluded)


def _agreed(facts: CaseFacts, referral: Referral) -> bool:
    """Say whether consent is given for a referral's need, and for its provider if it has one."""
    agreed = agreed_providers(facts, referral.need)
    known = referral.provider_id is None or agreed is None or referral.provider_id in agreed
    return known and consented(facts, referral.need)
