"""What follows from a case or an answer, purely: plan, release, assign, offer again, withdraw.

`World` is what was loaded and locked; each function returns a `Change` and alters nothing. The
caller takes the change into the world, so that the next decision of a batch sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import msgspec

from services.referral import domain
from services.referral.domain import Referral, Summary, Waiting, change
from services.referral.routing import (
    CHOOSABLE,
    IN,
    Decision,
    Offer,
    Question,
    explain,
    route,
    verdict_of,
)
from shared import places
from shared.errors import Conflict, InvalidBody
from shared.vocabulary import Enrolment, Reason, ReferralState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from services.referral.rules import Rule, Terms
    from shared.events import CaseFacts, Event

RESPOND: Final = "referral.respond"
WAITING: Final = "referral.waiting"
"""Kinds of timers: a provider must answer; a person waits for somebody who can."""

_S = ReferralState
_BANDS: Final = ((5, "0-5"), (11, "6-11"), (14, "12-14"), (17, "15-17"), (24, "18-24"), (59, "25-59"))


@dataclass(frozen=True, slots=True)
class Case:
    """A case as the events of `cases` told it; `sequence` is the newest event's."""

    case_id: UUID
    sequence: int
    facts: CaseFacts
    withdrawn: bool = False

    @property
    def served(self) -> bool:
        """Whether referrals may be planned: about a person, open, consent not taken back."""
        return self.facts.about == "person" and self.facts.status == "open" and not self.withdrawn


@dataclass(frozen=True, slots=True)
class Happening:
    """One event about one referral, as it is after it."""

    type: str
    referral: Referral


@dataclass(slots=True)
class Change:
    """What one decision changes. Places and loads are differences; timers (time, case) are set or taken back."""

    case: Case | None = None
    referrals: dict[UUID, Referral] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    explanations: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    loads: dict[str, int] = field(default_factory=dict)
    timers: dict[tuple[str, UUID], tuple[datetime | None, UUID]] = field(default_factory=dict)

    def happen(self, kind: str, referral: Referral) -> Referral:
        """Note an event and the state after it, one version on; return that."""
        new = change(referral, version=referral.version + 1)
        self.referrals[new.referral_id] = new
        self.happenings.append(Happening(kind, new))
        return new

    def alarm(self, kind: str, referral: Referral, at: datetime | None) -> None:
        """Set the referral's timer of a kind, or take it back with None."""
        self.timers[kind, referral.referral_id] = (at, referral.case_id)

    def hold(self, referral: Referral, places_taken: int, load: int) -> None:
        """Take places and load from the referral's offer, or give them back when negative."""
        if referral.offer_id is None or referral.test:
            return
        offer = referral.offer_id
        self.places[offer] = self.places.get(offer, 0) - places_taken
        self.loads[offer] = self.loads.get(offer, 0) + load


@dataclass(slots=True)
class World:
    """What was loaded and locked for some cases, with the decisions taken so far."""

    rules: Mapping[str, Rule]
    cases: dict[UUID, Case] = field(default_factory=dict)
    referrals: dict[UUID, dict[UUID, Referral]] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    by_area: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _terms: dict[tuple[str, date], Terms] = field(default_factory=dict)

    def terms(self, need: str, at: datetime) -> Terms:
        """Return what the rule of a need says at a time."""
        key = (need, at.date())
        if key not in self._terms:
            self._terms[key] = self.rules[need].terms(at.date())
        return self._terms[key]

    def of(self, case_id: UUID, need: str | None = None) -> list[Referral]:
        """Return the referrals of a case, of one need or all, oldest attempt first."""
        found = self.referrals.get(case_id, {}).values()
        mine = [r for r in found if need is None or r.need == need]
        return sorted(mine, key=lambda r: (r.need, r.attempt))

    def candidates(self, question: Question, held: Change) -> list[Offer]:
        """Return the offers of a need in all the areas, as the change in hand leaves them."""
        ids = [i for area in question.areas for i in self.by_area.get((question.need, area), ())]
        for union in unions_in(question.areas[0]):
            ids += self.by_area.get((question.need, union), ())
        return [self.offer(i, held) for i in ids]

    def offer(self, offer_id: str, held: Change) -> Offer:
        """Return an offer as the change in hand leaves it."""
        offer = self.offers[offer_id]
        places, load = held.places.get(offer_id, 0), held.loads.get(offer_id, 0)
        return _moved(offer, places, load) if places or load else offer

    def take(self, done: Change) -> None:
        """Let the next decision see this one."""
        if done.case is not None:
            self.cases[done.case.case_id] = done.case
        for referral in done.referrals.values():
            self.referrals.setdefault(referral.case_id, {})[referral.referral_id] = referral
        for offer_id in done.places.keys() | done.loads.keys():
            if offer_id in self.offers:
                self.offers[offer_id] = self.offer(offer_id, done)


def _moved(offer: Offer, places_back: int, load: int) -> Offer:
    free = offer.places_free
    return replace(
        offer,
        places_free=None if free is None else max(0, free + places_back),
        open_referrals=max(0, offer.open_referrals + load),
    )


@cache
def _unions() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for place in places.all_places().values():
        if place.level is places.Level.UNION and place.parent is not None:
            found.setdefault(place.parent, []).append(place.pcode)
    return {parent: tuple(codes) for parent, codes in found.items()}


def unions_in(upazila: str) -> tuple[str, ...]:
    """Return the unions of an upazila; a person chooses among offers there."""
    return _unions().get(upazila, ())


def areas_of(facts: CaseFacts) -> tuple[tuple[str, ...], bool]:
    """Return the codes that hold the place, nearest first with `BD` last, and whether it is known.

    A code that this version's geography does not have counts as unknown.
    """
    for code in (facts.upazila, facts.district):
        if code is not None and places.find(code) is not None:
            return places.ancestors(code), True
    return (places.COUNTRY,), False


def areas_to_load(facts: CaseFacts) -> tuple[str, ...]:
    """Return every area whose offers are considered for a case: around the place, and unions."""
    areas, _ = areas_of(facts)
    return (*areas, *unions_in(areas[0]))


def question_for(facts: CaseFacts, need: str, tried: frozenset[str] = frozenset()) -> Question:
    """Return what is asked of the directory for a need of a case."""
    areas, known = areas_of(facts)
    return Question(
        need=need,
        areas=areas,
        age=facts.age,
        sex=facts.sex,
        places_needed=max(1, facts.places_needed),
        excluded=frozenset(facts.excluded),
        tried=tried,
        place_known=known,
    )


def summary_of(facts: CaseFacts, mode: str = "in_person") -> Summary:
    """Return what a provider must know to answer; nothing that names anyone."""
    band = "unknown"
    if facts.age is not None:
        band = next((name for top, name in _BANDS if facts.age <= top), "60+")
    return Summary(
        age_band=band,
        sex=facts.sex,
        languages=list(facts.languages),
        support=list(facts.support),
        with_=max(0, facts.places_needed - facts.count),
        keep_together=facts.keep_together,
        place_now=facts.upazila or facts.district,
        mode=mode,
    )


def consented(facts: CaseFacts, need: str) -> bool:
    """Say whether consent is given for a need; no purposes means every need."""
    return facts.consent.given and (not facts.consent.purposes or need in facts.consent.purposes)


def may_release(case: Case, need: str, terms: Terms) -> bool:
    """Say whether the rule itself may release (PRODUCT, Release); else a person must."""
    facts = case.facts
    return (
        case.served
        and facts.entitled
        and consented(facts, need)
        and terms.release == "automatic"
        and not facts.conflict
        and not facts.test
    )


def referral_id_of(case_id: UUID, need: str, attempt: int) -> UUID:
    """Return the id of an attempt: the same decision taken twice makes the same referral."""
    return uuid5(case_id, f"{need}/{attempt}")


# --- Planning -----------------------------------------------------------------------------------


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
                _look_again(world, case, referral, at, made)
        return made
    undone = (domain.CASE_CLOSED, "consent_withdrawn")
    if before and not reopened and before[-1].reason not in undone:
        return made
    _plan_new(world, case, need, at, made)
    return made


def _plan_new(
    world: World, case: Case, need: str, at: datetime, made: Change, parent: Referral | None = None,
    released_by: str | None = None,
) -> None:
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
        test=facts.test,
    )
    _place(world, case, referral, at, made, announce=True)


def _look_again(world: World, case: Case, old: Referral, at: datetime, made: Change) -> None:
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
    question = question_for(case.facts, referral.need, _tried(world, referral, made))
    decision = route(question, world.candidates(question, made), at)
    made.explanations[referral.referral_id] = explain(decision, question, at)
    suggested = decision.suggested.offer_id if decision.suggested else None
    nobody = decision.chosen is None and not decision.open_to_persons
    still = nobody and referral.state == _S.WAITING
    back = referral.state == _S.WAITING and not nobody
    if still and announce:
        referral = made.happen("referral-waiting", referral)
    elif announce or back or suggested != referral.suggested:
        planned = change(referral, state=_S.PLANNED, suggested=suggested, waiting=None)
        referral = made.happen("referral-planned", planned)
    terms = world.terms(referral.need, at)
    if nobody:
        _wait(referral, terms, at, made)
        return
    if back:
        made.alarm(WAITING, referral, None)
    if decision.chosen is None or referral.test:
        return
    if referral.released_by is None:
        if not may_release(case, referral.need, terms):
            return
        released = change(referral, released_by=domain.RULE, released_at=at)
        referral = made.happen("referral-released", released)
    _assign(referral, decision.chosen, terms, at, made)


def _tried(world: World, referral: Referral, made: Change) -> frozenset[str]:
    """Return the offers that already said no, or nothing, for this need of the case."""
    known = {r.referral_id: r for r in world.of(referral.case_id, referral.need)} | made.referrals
    return frozenset(
        r.offer_id
        for r in known.values()
        if r.need == referral.need and r.state in (_S.DECLINED, _S.EXPIRED) and r.offer_id
    )


def _wait(referral: Referral, terms: Terms, at: datetime, made: Change) -> None:
    if referral.state != _S.WAITING:
        waiting = change(referral, state=_S.WAITING, waiting=Waiting(since=at))
        referral = made.happen("referral-waiting", waiting)
    if not referral.test:
        made.alarm(WAITING, referral, at + terms.retry_waiting_within)


def _assign(
    referral: Referral,
    offer: Offer,
    terms: Terms,
    at: datetime,
    made: Change,
    told: domain.Told | None = None,
) -> None:
    """Give a released referral to an offer and take its places."""
    pace = terms.paces[referral.urgency]
    respond_by, contact_by = pace.due(at, pace.respond_within), None
    violence = terms.after_violence
    if violence is not None and referral.medical_until is not None and referral.medical_until > at:
        respond_by = min(respond_by, at + violence.respond_within)
        contact_by = min(at + violence.see_within, referral.medical_until - violence.travel)
    taken = _places(referral, offer)
    assigned = change(
        referral,
        state=_S.ASSIGNED,
        provider_id=offer.provider_id,
        offer_id=offer.offer_id,
        suggested=offer.offer_id,
        assigned_at=at,
        respond_by=respond_by,
        first_contact_by=contact_by,
        reserved=taken,
        waiting=None,
        told=told,
        summary=change_mode(referral.summary, offer.mode),
    )
    made.hold(assigned, taken, 1)
    if referral.state == _S.WAITING:
        made.alarm(WAITING, referral, None)
    if not referral.test:
        made.alarm(RESPOND, referral, respond_by)
    made.happen("referral-assigned", assigned)


def change_mode(summary: Summary, mode: str) -> Summary:
    """Return the summary with the offer's mode."""
    return msgspec.structs.replace(summary, mode=mode)


def _places(referral: Referral, offer: Offer) -> int:
    """Return how many places a referral takes of an offer: none where nobody counts them."""
    if offer.places_free is None or referral.test:
        return 0
    return min(referral.places_needed, offer.places_free)


# --- What the desk decides ----------------------------------------------------------------------


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
    question = question_for(case.facts, referral.need, _tried(world, referral, made))
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
    released = change(referral, released_by=name, released_at=at, suggested=suggested)
    released = made.happen("referral-released", released)
    if offer is not None:
        _assign(released, offer, terms, at, made)
    elif unreachable:
        _wait(released, terms, at, made)
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
    told: domain.Told,
    name: str,
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
    offer = _named(world, question, chosen, told.at)
    if referral.released_by is None:
        released = change(referral, released_by=name, released_at=told.at)
        referral = made.happen("referral-released", released)
    _assign(referral, offer, world.terms(referral.need, told.at), told.at, made, told)
    return made


# --- What providers answer, and what silence does -------------------------------------------------


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
        _plan_new(world, case, new.need, at, made, new)
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
        taken = _places(new, world.offers[new.offer_id])
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
    if by == domain.RULE and not may_release(case, ended.need, world.terms(ended.need, at)):
        by = None
    _plan_new(world, case, ended.need, at, made, ended, by)


def expire(world: World, case: Case, referral: Referral, at: datetime) -> Change:
    """End a referral whose provider did not answer in time, and offer the need to the next."""
    made = Change()
    if referral.state != _S.ASSIGNED or referral.respond_by is None or referral.respond_by > at:
        return made
    ended = change(_give_back(referral, referral.state, made), state=_S.EXPIRED, reason=domain.NO_ANSWER)
    ended = made.happen("referral-expired", ended)
    _offer_again(world, case, ended, at, made)
    return made


def retry(world: World, case: Case, referral: Referral, at: datetime) -> Change:
    """Look for somebody again for a need that nobody served."""
    made = Change()
    if referral.state == _S.WAITING and case.served:
        _look_again(world, case, referral, at, made)
    return made


# --- What the events of a case do -----------------------------------------------------------------


def bring_forward(world: World, event: Event, at: datetime) -> Change:
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
            ended = change(_give_back(referral, referral.state, made), state=_S.WITHDRAWN, reason=reason)
            made.happen("referral-withdrawn", ended)
    return made


def _ended_by(event_type: str, facts: CaseFacts, referral: Referral) -> str | None:
    """Return why an event of the case ends a referral, or None when it does not."""
    if not referral.open:
        return None
    if event_type == "case-erased":
        return domain.CASE_ERASED
    if event_type == "case-closed" and referral.state not in domain.PROMISED:
        return domain.CASE_CLOSED
    if event_type == "consent-withdrawn" and not consented(facts, referral.need):
        return str(Reason.CONSENT_WITHDRAWN)
    return None
