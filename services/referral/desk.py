"""What the desk decides, purely: a named person releases a referral, or tells an office of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.referral.eligibility import CHOOSABLE, IN, verdict_of
from services.referral.explaining import explain
from services.referral.planning import assign, await_desk, awaits_of, tried, wait
from services.referral.referral import Told, change
from services.referral.routing import route
from services.referral.world import Change, question_for
from shared.errors import Conflict, InvalidBody
from shared.vocabulary import Enrolment, ReferralState

if TYPE_CHECKING:
    from datetime import datetime

    from services.referral.eligibility import Offer, Question
    from services.referral.referral import Referral
    from services.referral.routing import Decision
    from services.referral.world import Case, World


def release(
    world: World, case: Case, referral: Referral, offer_id: str | None, name: str, at: datetime
) -> Change:
    """Let a planned referral go out, to the best offer or to the one that a person names.

    To an office that is only listed it does not go by machine: it stays planned until `told`.

    Raises:
        Conflict: the case is not served, or the offer cannot be had; `why` says it.
        InvalidBody: there is no such offer.

    """
    made = Change()
    _must_be_served(case)
    terms = world.terms(referral.need, at)
    question = question_for(case.facts, referral.need, tried(world, referral, made))
    decision = route(question, world.candidates(question, made), at, by_person=True)
    if offer_id is None:
        offer = decision.chosen
    else:
        offer = _named(world, question, offer_id, at)
        if offer.enrolment != Enrolment.ACTIVE:
            raise Conflict("this office does not use Pashe: tell it, then say so", why="not active")
    unreachable = offer is None and not _is_listed(decision)
    if unreachable and decision.open_to_persons:
        raise Conflict("a person chooses the offer here: name it", why="a person decides")
    made.explanations[referral.referral_id] = explain(decision, question, at)
    suggested = decision.suggested.offer_id if decision.suggested else None
    released = change(
        referral,
        released_by=name,
        released_at=at,
        suggested=suggested,
        done=[*referral.done, "release"],
    )
    awaits = awaits_of(decision) if offer is None and not unreachable else None
    if awaits is not None:
        released = change(released, state=ReferralState.PLANNED, waiting=None)
    released = made.happen("referral-released", await_desk(released, awaits, at))
    if offer is not None:
        assign(released, offer, terms, at, made)
    elif unreachable:
        wait(released, terms, at, made)
    return made


def _is_listed(decision: Decision) -> bool:
    return decision.suggested is not None and decision.suggested.enrolment != Enrolment.ACTIVE


def _must_be_served(case: Case) -> None:
    if not case.served:
        why = "consent withdrawn" if case.withdrawn else f"case {case.facts.status}"
        raise Conflict("nothing can be released for this case now", why=why)


def _named(world: World, question: Question, offer_id: str, at: datetime) -> Offer:
    """Return the offer that a person names, if a person may choose it."""
    offer = world.offers.get(offer_id)
    if offer is None:
        raise InvalidBody(None, errors=[{"field": "offer_id", "rule": "unknown"}])
    verdict = verdict_of(offer, question, at, by_person=True)
    if verdict != IN and verdict not in CHOOSABLE:
        raise Conflict("this offer cannot be had for this case", why=verdict)
    return offer


def tell(
    world: World,
    case: Case,
    referral: Referral,
    offer_id: str | None,
    told: Told,
    *,
    name: str,
    at: datetime,
) -> Change:
    """Assign a referral to an office that a person of the desk told, by telephone or else.

    Raises:
        Conflict: the case is not served or the offer cannot be had. InvalidBody: no such offer.

    """
    made = Change()
    _must_be_served(case)
    chosen = offer_id or referral.suggested
    if chosen is None:
        raise InvalidBody(None, errors=[{"field": "offer_id", "rule": "missing"}])
    question = question_for(case.facts, referral.need)
    offer = _named(world, question, chosen, at)
    if referral.released_by is None:
        released = change(referral, released_by=name, released_at=at)
        referral = made.happen("referral-released", await_desk(released, None, at))
    referral = change(referral, done=[*referral.done, "told"])
    assign(referral, offer, world.terms(referral.need, at), at, made, told)
    return made
