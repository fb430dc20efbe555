"""What decisions see and what they change: cases, referrals, offers; and what is asked of routing.

`World` is what was loaded and locked; a decision returns a `Change` and alters nothing. The caller
takes the change into the world, so that the next decision of a batch sees it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from services.referral.eligibility import Offer, Question
from services.referral.referral import Referral, Summary, change
from services.referral.silence import settled
from shared import places
from shared.clock import day_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from services.referral.ranking import Policy
    from services.referral.rules import Rule, Terms
    from shared.events import CaseFacts

SERVED: Final = ("open", "review_due")
"""States of a case in which its needs are served; only a named person closes it."""

_BANDS: Final = (
    (5, "0-5"),
    (11, "6-11"),
    (14, "12-14"),
    (17, "15-17"),
    (24, "18-24"),
    (59, "25-59"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A case as the events of `cases` told it; `sequence` is the newest event's."""

    case_id: UUID
    sequence: int
    facts: CaseFacts
    withdrawn: bool = False

    @property
    def served(self) -> bool:
        """Whether referrals may be planned: about a person, not closed, consent not taken back."""
        return self.facts.about == "person" and self.facts.status in SERVED and not self.withdrawn


@dataclass(frozen=True, slots=True)
class Happening:
    """One event about one referral, as it is after it."""

    type: str
    referral: Referral


@dataclass(slots=True)
class Change:
    """What one decision changes: differences of places and loads.

    `looked` are referrals that did not change and whose timer is to be set again.
    """

    case: Case | None = None
    referrals: dict[UUID, Referral] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    explanations: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    loads: dict[str, int] = field(default_factory=dict)
    looked: dict[UUID, Referral] = field(default_factory=dict)

    def happen(self, kind: str, referral: Referral) -> Referral:
        """Note an event and the state after it, one version on; return that."""
        new = settled(change(referral, version=referral.version + 1))
        self.referrals[new.referral_id] = new
        self.happenings.append(Happening(kind, new))
        return new

    def look(self, seen: Referral, before: Referral) -> Referral:
        """Note that a referral was looked at, and keep it if that put something right."""
        self.looked[seen.referral_id] = seen
        if seen != before:
            self.referrals[seen.referral_id] = seen
        return seen

    def hold(self, referral: Referral, places_taken: int, load: int) -> None:
        """Take places and load from the referral's offer, or give them back when negative."""
        if referral.offer_id is None or referral.test:
            return
        offer = referral.offer_id
        self.places[offer] = self.places.get(offer, 0) - places_taken
        self.loads[offer] = self.loads.get(offer, 0) + load


@dataclass(slots=True)
class World:
    """What was loaded and locked for some cases, with the decisions taken so far.

    `by_area` are the offers of a need in an area; `wider` those around a place that nobody covers.
    """

    rules: Mapping[str, Rule]
    cases: dict[UUID, Case] = field(default_factory=dict)
    referrals: dict[UUID, dict[UUID, Referral]] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    by_area: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    wider: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _terms: dict[tuple[str, date], Terms] = field(default_factory=dict)

    def terms(self, need: str, at: datetime) -> Terms:
        """Return what the rule of a need says at a time."""
        key = (need, day_of(at))
        if key not in self._terms:
            self._terms[key] = self.rules[need].terms(day_of(at))
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
        ids += self.wider.get((question.need, question.areas[0]), ())
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
        agreed=agreed_providers(facts, need),
        languages=frozenset(facts.languages),
        support=frozenset(facts.support),
        boys=tuple(facts.boys_with),
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


def agreed_providers(facts: CaseFacts, need: str) -> frozenset[str] | None:
    """Return the only providers that consent was given for; None when it names none."""
    mine = [g for g in facts.consent.grants if not g.purposes or need in g.purposes]
    if not facts.consent.given or not mine or any(not g.providers for g in mine):
        return None
    return frozenset(name for g in mine for name in g.providers)


def may_release(case: Case, need: str, terms: Terms, policy: Policy) -> bool:
    """Say whether the rule itself may release (PRODUCT, Release); else a person must."""
    facts = case.facts
    return (
        case.served
        and facts.entitled
        and consented(facts, need)
        and terms.release == "automatic"
        and not policy.asks_a_person(need, facts.concerns)
        and not facts.conflict
        and not facts.test
    )


def referral_id_of(case_id: UUID, need: str, attempt: int) -> UUID:
    """Return the id of an attempt: the same decision taken twice makes the same referral."""
    return uuid5(case_id, f"{need}/{attempt}")
