"""Where else to look when nobody covers a place, purely: district, division, country."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from services.referral.eligibility import AREA, IN, OPEN_TO_PERSONS, verdict_of
from services.referral.ranking import STEPS, kilometres
from shared import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from services.referral.eligibility import Offer, Question

MOST: Final = 200
"""Offers that one step looks at, the nearest areas first."""

_FAR: Final = 20_037


def is_short(question: Question, offers: Iterable[Offer], at: datetime) -> bool:
    """Say whether none of these offers serves, not even if a person chose or told it."""
    serving = OPEN_TO_PERSONS | {IN}
    return question.place_known and not any(
        verdict_of(offer, question, at, by_person=False) in serving for offer in offers
    )


def may_be_asked(question: Question, offers: Iterable[Offer], at: datetime) -> bool:
    """Say whether one of these is out by its area alone: a person may ask it."""
    return any(verdict_of(offer, question, at, by_person=False) == AREA for offer in offers)


def rings(question: Question, widen: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the areas of each step that do not hold the place, nearest first, no union."""
    found, seen = [], set(question.areas)
    for step in widen:
        around = _around(question.areas[0], step)
        found.append(tuple(code for code in around if code not in seen))
        seen.update(around)
    return found


@lru_cache(maxsize=4096)
def _around(place: str, step: str) -> tuple[str, ...]:
    levels = {code: str(places.all_places()[code].level) for code in places.ancestors(place)}
    whole = next((code for code, level in levels.items() if level == step), None)
    inside = _inside().get(whole, ()) if whole is not None else ()

    def far(code: str) -> int:
        km = kilometres(place, code)
        return _FAR if km is None else km

    return tuple(sorted(inside, key=lambda code: (far(code), code)))


@cache
def _inside() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for place in places.all_places().values():
        if place.level == places.Level.UNION:
            continue
        for code in places.ancestors(place.pcode)[1:]:
            if str(places.all_places()[code].level) in STEPS:
                found.setdefault(code, []).append(place.pcode)
    return {code: tuple(codes) for code, codes in found.items()}
