"""Planning, purely: what a need of a case leads to, and who gets it.

Each referral is one attempt at one offer. It is planned with a stored explanation; then released by
the rule or a person, and assigned; or it waits, when nobody serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from services.referral.eligibility import NOT_ACTIVE, POLICE
from services.referral.explaining import explain
from services.referral.moments import answer_owed, treatment_owed
from services.referral.referral import (
    CASE_CLOSED,
    RULE,
    SUPERSEDED,
    Referral,
    Told,
    Waiting,
    change,
)
from services.referral.routing import route
from services.referral.silence import climb
from services.referral.world import (
    Case,
    Change,
    World,
    may_release,
    question_for,
    referral_id_of,
    summary_of,
)
from shared.vocabulary import EXCLUDED, Reason, ReferralState

if TYPE_CHECKING:
    from datetime import datetime

    from services.referral.eligibility import Offer
    from services.referral.routing import Decision
    from services.referral.rules import Terms

_S = ReferralState


def plan(world: World, case: Case, need: str, at: datetime, *, reopened: bool = False) -> Change:
    """Plan a referral for a need of a case, or look again at one that is not released yet.

    Nothing follows for a case that is not served, or where the need was planned before; after a
    re-opening, only an open referral counts as planned.
    """
    made = Change()
    if not case.served or need not in case.facts.needs:
        return made
    before = world.of(case.case_id, need)
    live = [r for r in before if r.open]
    if live:
        for referral in live:
            if referral.state in (_S.PLANNED, _S.WAITING) and referral.released_by is None:
                look_again(world, case, referral, at, made)
        return made
    undone = (CASE_CLOSED, Reason.CONSENT_WITHDRAWN, EXCLUDED)
    ends = [r.reason for r in before if r.reason != SUPERSEDED]
    if ends and not reopened and ends[-1] not in undone:
        return made
    plan_new(world, case, need, at, made)
    return made


def plan_new(
    world: World,
    case: Case,
    need: str,
    at: datetime,
    made: Change,
    *,
    parent: Referral | None = None,
    released_by: str | None = None,
    onward: bool = False,
) -> None:
    """Plan the next attempt at a need; `released_by` carries an earlier release on.

    `onward`: a provider asked for it, which is nobody's who is entitled: a person releases it.
    """
    facts, terms = case.facts, world.terms(need, at)
    known = {**{r.referral_id: r for r in world.of(case.case_id, need)}, **made.referrals}
    attempt = max((r.attempt for r in known.values() if r.need == need), default=0) + 1
    referral = Referral(
        referral_id=referral_id_of(case.case_id, need, attempt),
        case_id=case.case_id,
        need=need,
        urgency=terms.urgency_for(facts.urgency),
        state=_S.PLANNED,
        attempt=attempt,
        version=0,
        summary=summary_of(facts),
        places_needed=max(1, facts.places_needed),
        parent_referral_id=parent.referral_id if parent else None,
        released_by=released_by,
        released_at=at if released_by else None,
        medical_until=facts.medical_until,
        onward=onward or (parent is not None and parent.onward and parent.need == need),
        test=facts.test,
    )
    _place(world, case, referral, at, made, announce=True)


def look_again(world: World, case: Case, old: Referral, at: datetime, made: Change) -> None:
    """Route a referral that is not with anybody again, with what is known now."""
    facts, terms = case.facts, world.terms(old.need, at)
    seen = change(
        old,
        urgency=terms.urgency_for(facts.urgency),
        summary=summary_of(facts),
        places_needed=max(1, facts.places_needed),
        medical_until=facts.medical_until,
    )
    _place(world, case, seen, at, made, announce=seen != old)


def _place(
    world: World, case: Case, referral: Referral, at: datetime, made: Change, *, announce: bool
) -> None:
    """Route a referral and say what follows: planned, released and assigned, or waiting."""
    question = question_for(case.facts, referral.need, tried(world, referral, made))
    decision = route(question, world.candidates(question, made), at)
    made.explanations[referral.referral_id] = explain(decision, question, at)
    terms = world.terms(referral.need, at)
    if decision.chosen is None and not decision.open_to_persons:
        if referral.state != _S.WAITING and announce:
            planned = change(referral, suggested=None)
            referral = made.happen("referral-planned", await_desk(planned, None, at))
        wait(referral, terms, at, made, announce=announce)
        return
    by_rule = not referral.onward and may_release(case, referral.need, terms, decision.policy)
    released = referral.released_by is not None or by_rule
    goes_out = decision.chosen is not None and released and not referral.test
    suggested = decision.suggested.offer_id if decision.suggested else None
    awaits = None if goes_out else awaits_of(decision)
    other = (suggested, awaits) != (referral.suggested, referral.awaits) and not goes_out
    if announce or other or referral.state == _S.WAITING:
        planned = change(referral, state=_S.PLANNED, suggested=suggested, waiting=None)
        referral = made.happen("referral-planned", await_desk(planned, awaits, at))
    if decision.chosen is None or not goes_out:
        return
    if referral.released_by is None:
        free = change(referral, released_by=RULE, released_at=at)
        referral = made.happen("referral-released", await_desk(free, None, at))
    assign(referral, decision.chosen, terms, at, made)


def awaits_of(decision: Decision) -> str:
    """Return what a person of the desk must do with a referral that no machine lets out.

    `release` it (to the police too: never by machine), `choose` an offer by name, or `call` the
    suggested office, which is only listed.
    """
    if decision.suggested is None:
        return "choose"
    verdict = next(c.verdict for c in decision.considered if c.offer == decision.suggested)
    if decision.chosen is not None or verdict == POLICE:
        return "release"
    return "call" if verdict == NOT_ACTIVE else "choose"


def await_desk(referral: Referral, awaits: str | None, at: datetime) -> Referral:
    """Let a referral await the desk, or nobody; the time that it waits since is the first."""
    since = (referral.awaits_since or at) if awaits is not None else None
    return change(referral, awaits=awaits, awaits_since=since)


def tried(world: World, referral: Referral, made: Change) -> frozenset[str]:
    """Return the offers that said no, or nothing, or have this need of the case before them now.

    Also those that said yes, were silent then, and lost it to another.
    """
    known = {r.referral_id: r for r in world.of(referral.case_id, referral.need)} | made.referrals
    return frozenset(
        r.offer_id for r in known.values() if r.need == referral.need and r.offer_id and _in_vain(r)
    )


def _in_vain(referral: Referral) -> bool:
    lost = referral.reason == SUPERSEDED and "accept" in referral.done
    named = referral.reason == EXCLUDED
    return referral.open or lost or named or referral.state in (_S.DECLINED, _S.EXPIRED)


def wait(
    referral: Referral, terms: Terms, at: datetime, made: Change, *, announce: bool = False
) -> None:
    """Let a referral wait until somebody serves; people are told at once, and again."""
    if referral.state != _S.WAITING:
        referral = change(referral, state=_S.WAITING, waiting=Waiting(since=at))
        announce = True
    if announce:
        referral = made.happen("referral-waiting", referral)
    climb(referral, terms, at, made)


def assign(
    referral: Referral,
    offer: Offer,
    terms: Terms,
    at: datetime,
    made: Change,
    told: Told | None = None,
) -> None:
    """Give a released referral to an offer and take its places."""
    taken = places_for(referral, offer)
    assigned = change(
        referral,
        state=_S.ASSIGNED,
        provider_id=offer.provider_id,
        offer_id=offer.offer_id,
        assigned_at=at,
        respond_by=answer_owed(referral, terms, at),
        first_contact_by=treatment_owed(referral, terms, at),
        reserved=taken,
        waiting=None,
        told=told,
        summary=msgspec.structs.replace(referral.summary, mode=offer.mode),
    )
    made.hold(assigned, taken, 1)
    made.happen("referral-assigned", assigned)


def places_for(referral: Referral, offer: Offer) -> int:
    """Return how many places a referral takes of an offer: none where nobody counts them."""
    if offer.places_free is None or referral.test:
        return 0
    return min(referral.places_needed, offer.places_free)
