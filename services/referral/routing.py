"""Routing v1, purely: need × place × age × sex × capacity, and why each offer is in or out.

Each filter is a named rule that can say why. Nothing is excluded on what is unknown. The nearest
level goes first (never a union: a person chooses there), then offers with places known to be free,
then the fewest open referrals, then the provider's key. No framework, no clock, no input or output.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from shared.vocabulary import Enrolment, Sex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VERSION: Final = "routing/1"

STALE: Final = timedelta(days=7)
"""A number of free places older than this counts as unknown."""

LEVELS: Final = {
    "metro_thana": 0,
    "upazila": 0,
    "city_corporation": 1,
    "district": 1,
    "division": 2,
    "country": 3,
    "union": 4,
}
"""How far an offer of an area reaches, nearest first; a union is chosen by a person only."""

IN: Final = "in"
CONFLICT: Final = "excluded: conflict"
NOT_AGREED: Final = "not agreed: the consent names other providers"
TRIED: Final = "already tried"
AGE: Final = "age"
SEX: Final = "sex"
NO_PLACE: Final = "no free place"
NOT_ACTIVE: Final = "not active"
COURT: Final = "court order needed: a person decides"
UNION: Final = "union: a person decides"
POLICE: Final = "police: a person decides"
CLOSED: Final = "takes no referrals now"
NEED: Final = "does not serve the need"
AREA: Final = "does not cover the place"

CHOOSABLE: Final = frozenset({NOT_ACTIVE, COURT, UNION, POLICE, NO_PLACE, AGE, SEX, TRIED, AREA})
"""What a person may decide against, naming the offer; a conflict, or a provider that the person
did not agree to, is never among them."""

OPEN_TO_PERSONS: Final = frozenset({NOT_ACTIVE, COURT, UNION, POLICE})
"""Offers that would serve if a person chose or told them: the referral stays planned."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider offers, where, for whom. Ages in years, None = no bound or unknown."""

    offer_id: str
    provider_id: str
    needs: frozenset[str]
    area_level: str
    area_pcode: str
    min_age: int | None = None
    max_age: int | None = None
    sex: str = "any"
    kinds: frozenset[str] = frozenset()
    enrolment: str = Enrolment.ACTIVE
    accepting: bool = True
    serves_hijra: bool | None = None
    accepts_children: bool | None = None
    court_order: bool = False
    places_free: int | None = None
    capacity_at: datetime | None = None
    open_referrals: int = 0
    mode: str = "in_person"


@dataclass(frozen=True, slots=True)
class Question:
    """Who needs what, where. `areas` are the codes that hold the place, with `BD` last.

    `agreed` are the only providers that consent was given for; None: no consent names any.
    """

    need: str
    areas: tuple[str, ...]
    age: int | None = None
    sex: str = Sex.UNKNOWN
    places_needed: int = 1
    excluded: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()
    place_known: bool = True
    agreed: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Considered:
    """One offer and its verdict: `in`, or the rule that put it out."""

    offer: Offer
    verdict: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Every offer considered, those that are in ranked, and what follows.

    `chosen` is what a machine may assign. `suggested` is that, or else the best offer that a
    person could tell or choose. `open_to_persons` says that somebody could serve after all.
    """

    considered: tuple[Considered, ...]
    ranking: tuple[Offer, ...]
    suggested: Offer | None
    open_to_persons: bool

    @property
    def chosen(self) -> Offer | None:
        """The first of the ranking, or None."""
        return self.ranking[0] if self.ranking else None


def free_places(offer: Offer, at: datetime) -> int | None:
    """Return the places known to be free, or None when unknown or told too long ago."""
    if offer.places_free is None or offer.capacity_at is None:
        return None
    return offer.places_free if at - offer.capacity_at <= STALE else None


def covers(offer: Offer, question: Question) -> bool:
    """Say whether the offer's area holds the place; a union in it is near, not around it."""
    return offer.area_pcode in question.areas or offer.area_level == "union"


def verdict_of(offer: Offer, question: Question, at: datetime, *, by_person: bool) -> str:
    """Return `in`, or the first rule that puts the offer out."""
    ranges = ((offer.min_age, -1), (offer.max_age, 1))
    age = question.age
    too_young_or_old = age is not None and (
        any(bound is not None and (age - bound) * sign > 0 for bound, sign in ranges)
        or (offer.accepts_children is False and age < _ADULT)
    )
    free = free_places(offer, at)
    rules = (
        (question.need not in offer.needs, NEED),
        (not covers(offer, question), AREA),
        (bool(question.excluded & ({offer.provider_id} | offer.kinds)), CONFLICT),
        (question.agreed is not None and offer.provider_id not in question.agreed, NOT_AGREED),
        (not offer.accepting, CLOSED),
        (offer.offer_id in question.tried, TRIED),
        (too_young_or_old, AGE),
        (_wrong_sex(offer, question.sex), SEX),
        (free is not None and free < question.places_needed, NO_PLACE),
        (offer.court_order, COURT),
        (offer.area_level == "union", UNION),
        (offer.enrolment != Enrolment.ACTIVE, NOT_ACTIVE),
        ("police" in offer.kinds and not by_person, POLICE),
    )
    return next((rule for out, rule in rules if out), IN)


_ADULT: Final = 18


def _wrong_sex(offer: Offer, sex: str) -> bool:
    """Exclude on a known sex only; hijra only where an offer says so itself."""
    if sex == Sex.HIJRA:
        return offer.serves_hijra is False
    if sex not in (Sex.FEMALE, Sex.MALE):
        return False
    return offer.sex not in ("any", sex)


def rank_key(offer: Offer, at: datetime) -> tuple[int, bool, int, str, str]:
    """Return what the ranking sorts by; the smallest is best."""
    return (
        LEVELS.get(offer.area_level, len(LEVELS)),
        free_places(offer, at) is None,
        offer.open_referrals,
        offer.provider_id,
        offer.offer_id,
    )


def route(
    question: Question, offers: Iterable[Offer], at: datetime, *, by_person: bool = False
) -> Decision:
    """Judge every offer and rank those that are in.

    `by_person` says that a named person releases: then the police may be chosen too.
    """
    unique = {offer.offer_id: offer for offer in offers}
    considered = [
        Considered(offer, verdict_of(offer, question, at, by_person=by_person))
        for offer in sorted(unique.values(), key=lambda o: rank_key(o, at))
    ]
    ranking = [c.offer for c in considered if c.verdict == IN]
    persons = [c.offer for c in considered if c.verdict in OPEN_TO_PERSONS]
    told = [c.offer for c in considered if c.verdict in (NOT_ACTIVE, POLICE)]
    best = next(iter([*ranking, *told, *persons]), None)
    return Decision(
        considered=tuple(considered),
        ranking=tuple(ranking),
        suggested=best,
        open_to_persons=bool(persons) or not question.place_known,
    )


def explain(decision: Decision, question: Question, at: datetime) -> dict[str, Any]:
    """Return the explanation that is stored and read: facts, verdicts and the ranking.

    A conflict is told, last in the list, and not with whom. Ids and coarse facts only.
    """
    return {
        "version": VERSION,
        "at": at,
        "need": question.need,
        "facts": {
            "areas": list(question.areas),
            "place_known": question.place_known,
            "age": question.age,
            "sex": question.sex,
            "places_needed": question.places_needed,
            "agreed_providers": None if question.agreed is None else sorted(question.agreed),
        },
        "considered": [
            _line(c, at) for c in sorted(decision.considered, key=lambda c: c.verdict == CONFLICT)
        ],
        "ranking": [offer.offer_id for offer in decision.ranking],
        "chosen": decision.chosen.offer_id if decision.chosen else None,
        "suggested": decision.suggested.offer_id if decision.suggested else None,
    }


def _line(considered: Considered, at: datetime) -> Mapping[str, Any]:
    offer = considered.offer
    if considered.verdict == CONFLICT:
        return {"verdict": CONFLICT}
    return {
        "offer_id": offer.offer_id,
        "provider_id": offer.provider_id,
        "area_level": offer.area_level,
        "places_free": free_places(offer, at),
        "open_referrals": offer.open_referrals,
        "verdict": considered.verdict,
    }
