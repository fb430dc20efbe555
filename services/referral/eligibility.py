"""Who can serve whom, purely: offers, what is asked of them, and the rules that put an offer out.

Each rule has a name that can say why; the first that puts an offer out is its verdict, and all of
them are kept. Nothing is excluded on what is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.referral.ranking import Policy, policy_on
from shared import places
from shared.clock import day_of
from shared.vocabulary import Enrolment, Sex, Support

if TYPE_CHECKING:
    from datetime import date, datetime

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
BOYS: Final = "a boy too old to stay with his mother"
ACCESS: Final = "cannot take what the person needs to be served"
TRAINING: Final = "training out of date: a person decides"
ACCREDITATION: Final = "accreditation out of date: a person decides"
CLOSED: Final = "takes no referrals now"
NEED: Final = "does not serve the need"
AREA: Final = "does not cover the place"

OPEN_TO_PERSONS: Final = frozenset({NOT_ACTIVE, COURT, UNION, POLICE, TRAINING, ACCREDITATION})
"""Offers that would serve if a person chose or told them: the referral stays planned."""

CHOOSABLE: Final = OPEN_TO_PERSONS | {NO_PLACE, AGE, SEX, TRIED, AREA, BOYS, ACCESS}
"""What a person may decide against, naming the offer; a conflict, or a provider that the person
did not agree to, is never among them."""


@dataclass(frozen=True, slots=True)
class Record:
    """How an offer did for one need: served of ended, hours waited, how many in 30 days."""

    served: int = 0
    ended: int = 0
    wait_hours: float = 0.0
    recent: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider offers, where, for whom. Ages in years, None = no bound or unknown.

    `schedules` as in `calendars`; `latitude` and `longitude` where it is, never those of an address
    that is confidential; `trained_until` and `accredited_until` the last good day.
    """

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
    languages: frozenset[str] = frozenset()
    schedules: tuple[str, ...] = ()
    max_boy_age_with_mother: int | None = None
    step_free: bool | None = None
    sign_language: bool | None = None
    latitude: float | None = None
    longitude: float | None = None
    trained_until: date | None = None
    accredited_until: date | None = None
    records: tuple[tuple[str, Record], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """Who needs what, where. `areas` are the codes that hold the place, with `BD` last.

    `agreed` are the only providers that consent was given for; None: no consent names any. `boys`
    are the ages of boys who stay with their mother, who is the person that it is asked for.
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
    languages: frozenset[str] = frozenset()
    support: frozenset[str] = frozenset()
    boys: tuple[int, ...] = ()


def free_places(offer: Offer, at: datetime, policy: Policy | None = None) -> int | None:
    """Return the places known to be free, or None when unknown or told too long ago."""
    if offer.places_free is None or offer.capacity_at is None:
        return None
    stale = (policy or policy_on(day_of(at))).stale_after
    return offer.places_free if at - offer.capacity_at <= stale else None


def covers(offer: Offer, question: Question) -> bool:
    """Say whether the offer's area holds the place; a union in it is near, not around it."""
    return offer.area_pcode in question.areas or (
        offer.area_level == "union" and _parent_of(offer.area_pcode) in (None, question.areas[0])
    )


def rules_out(
    offer: Offer,
    question: Question,
    at: datetime,
    *,
    by_person: bool,
    policy: Policy | None = None,
) -> tuple[str, ...]:
    """Return every rule that puts the offer out, the weightiest first; none: it is in."""
    free, today = free_places(offer, at, policy), day_of(at)
    rules = (
        (question.need not in offer.needs, NEED),
        (bool(question.excluded & ({offer.provider_id} | offer.kinds)), CONFLICT),
        (question.agreed is not None and offer.provider_id not in question.agreed, NOT_AGREED),
        (not offer.accepting, CLOSED),
        (offer.offer_id in question.tried, TRIED),
        (_wrong_age(offer, question.age), AGE),
        (_wrong_sex(offer, question.sex), SEX),
        (_boy_too_old(offer, question.boys), BOYS),
        (_no_access(offer, question.support), ACCESS),
        (free is not None and free < question.places_needed, NO_PLACE),
        (not covers(offer, question), AREA),
        (offer.court_order, COURT),
        (offer.area_level == "union", UNION),
        (offer.trained_until is not None and offer.trained_until < today, TRAINING),
        (offer.accredited_until is not None and offer.accredited_until < today, ACCREDITATION),
        (offer.enrolment != Enrolment.ACTIVE, NOT_ACTIVE),
        ("police" in offer.kinds and not by_person, POLICE),
    )
    return tuple(rule for out, rule in rules if out)


def verdict_of(offer: Offer, question: Question, at: datetime, *, by_person: bool) -> str:
    """Return `in`, or the first rule that puts the offer out."""
    return next(iter(rules_out(offer, question, at, by_person=by_person)), IN)


_ADULT: Final = 18


def _wrong_age(offer: Offer, age: int | None) -> bool:
    if age is None:
        return False
    if offer.accepts_children is False and age < _ADULT:
        return True
    young = offer.min_age is not None and age < offer.min_age
    return young or (offer.max_age is not None and age > offer.max_age)


def _wrong_sex(offer: Offer, sex: str) -> bool:
    """Exclude on a known sex only; hijra only where an offer says so itself."""
    if sex == Sex.HIJRA:
        return offer.serves_hijra is False
    if sex not in (Sex.FEMALE, Sex.MALE):
        return False
    return offer.sex not in ("any", sex)


def _boy_too_old(offer: Offer, boys: tuple[int, ...]) -> bool:
    most = offer.max_boy_age_with_mother
    return most is not None and any(age > most for age in boys)


def _no_access(offer: Offer, support: frozenset[str]) -> bool:
    """Exclude only where an offer says itself that it cannot, and one has to go there."""
    steps = Support.STEP_FREE in support and offer.step_free is False
    signs = Support.SIGN_LANGUAGE in support and offer.sign_language is False
    return signs or (steps and offer.mode == "in_person")


def _parent_of(union: str) -> str | None:
    place = places.find(union)
    return None if place is None else place.parent
