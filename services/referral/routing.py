"""Routing, purely: every offer judged by the rules of `eligibility`, those that are in ranked.

The ranking goes by the points of a dated policy (`ranking`). No framework, no clock, no input or
output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.referral.calendars import hours_until_open
from services.referral.eligibility import (
    AREA,
    IN,
    NOT_ACTIVE,
    OPEN_TO_PERSONS,
    POLICE,
    Offer,
    Question,
    Record,
    free_places,
    rules_out,
)
from services.referral.ranking import (
    LEVELS,
    Measures,
    Policy,
    apart,
    kilometres,
    point_of,
    policy_on,
    tie,
    total,
)
from shared.clock import day_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Considered:
    """One offer: `in`, or the first rule that put it out; all such rules; what it measures."""

    offer: Offer
    out: tuple[str, ...]
    measures: Measures

    @property
    def verdict(self) -> str:
        """The first rule that put it out, or `in`."""
        return self.out[0] if self.out else IN


@dataclass(frozen=True, slots=True)
class Decision:
    """Every offer considered, those that are in ranked, and what follows.

    `chosen` is what a machine may assign. `suggested` is that, or else the best offer that a
    person could tell or choose. `open_to_persons` says that somebody could serve after all.
    `beyond` are those that only their area puts out, nearest first: a person may ask them.
    """

    considered: tuple[Considered, ...]
    ranking: tuple[Offer, ...]
    suggested: Offer | None
    open_to_persons: bool
    beyond: tuple[Offer, ...]
    policy: Policy

    @property
    def chosen(self) -> Offer | None:
        """The first of the ranking, or None."""
        return self.ranking[0] if self.ranking else None


def measure(offer: Offer, question: Question, at: datetime, policy: Policy) -> Measures:
    """Return what an offer measures for a question, whether it is in or not."""
    record = next((found for need, found in offer.records if need == question.need), _NO_RECORD)
    return Measures(
        level=LEVELS.get(offer.area_level, len(LEVELS)),
        km=_km(offer, question.areas[0]),
        free_known=free_places(offer, at, policy) is not None,
        wait_hours=round((hours_until_open(offer.schedules, at) or 0) + record.wait_hours, 1),
        load=offer.open_referrals,
        served=record.served,
        ended=record.ended,
        recent=record.recent,
        language=not (
            question.languages
            and offer.languages
            and question.languages.isdisjoint(offer.languages)
        ),
    )


_NO_RECORD: Final = Record()


def _km(offer: Offer, place: str) -> int | None:
    """Return kilometres to go; a voice on the telephone is next door everywhere."""
    if offer.mode != "in_person":
        return 0
    if offer.latitude is None or offer.longitude is None:
        return kilometres(place, offer.area_pcode)
    here = point_of(place)
    return None if here is None else apart(here, (offer.latitude, offer.longitude))


def rank_key(considered: Considered, policy: Policy) -> tuple[float, tuple[str, str]]:
    """Return what the ranking sorts by; the smallest is best."""
    offer = considered.offer
    return total(considered.measures, policy), tie(offer.provider_id, offer.offer_id)


def route(
    question: Question,
    offers: Iterable[Offer],
    at: datetime,
    *,
    by_person: bool = False,
    policy: Policy | None = None,
) -> Decision:
    """Judge every offer and rank those that are in.

    `by_person` says that a named person releases: then the police may be chosen too. `policy` is
    that of the day when none is given.
    """
    policy = policy or policy_on(day_of(at))
    unique = {offer.offer_id: offer for offer in offers}
    considered = [
        Considered(
            offer,
            rules_out(offer, question, at, by_person=by_person, policy=policy),
            measure(offer, question, at, policy),
        )
        for offer in unique.values()
    ]
    considered.sort(key=lambda c: rank_key(c, policy))
    ranking = [c.offer for c in considered if not c.out]
    persons = [c.offer for c in considered if c.verdict in OPEN_TO_PERSONS]
    told = [c.offer for c in considered if c.verdict in (NOT_ACTIVE, POLICE)]
    beyond = [c for c in considered if c.verdict == AREA]
    beyond.sort(key=lambda c: _FAR if c.measures.km is None else c.measures.km)
    return Decision(
        considered=tuple(considered),
        ranking=tuple(ranking),
        suggested=next(iter([*ranking, *told, *persons]), None),
        open_to_persons=bool(persons) or not question.place_known,
        beyond=tuple(c.offer for c in beyond),
        policy=policy,
    )


_FAR: Final = 20_037
"""Kilometres to the other side of the world, for what has no place."""
