"""How offers that are in are ranked, purely: measures, and the points that a dated policy takes.

The policy is a readable file (`routing.toml`). What an offer measures is stored with the decision,
so the same measures under the same policy always give the same winner.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from functools import cache, lru_cache
from math import asin, cos, isfinite, radians, sin, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared import places
from shared.vocabulary import Concern, Need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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

STEPS: Final = ("district", "division", "country")
"""Areas in which offers are looked for, one after the other, when nobody covers the place."""

UNKNOWN: Final = 0.5
"""What an unknown distance or success counts: as much as the middle."""

_FILE: Final = Path(__file__).parent / "routing.toml"
_EARTH_KM: Final = 6371.0
_MOST: Final = 1_000_000
_FIELDS: Final = frozenset(
    {"version", "from", "to", "stale_after", "widen", "weights", "full", "approve"}
)
_DAYS: Final = re.compile(r"(\d{1,4})d")


class PolicyWrong(ValueError):  # noqa: N818  (says what went wrong)
    """A policy cannot be used; the message names the field, never the value."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What an offer measures for one question; None is unknown.

    `km` whole kilometres, so that nobody finds a house by them; `wait_hours` until it opens and
    what people waited; `served` of `ended` earlier referrals for the need; `recent` in 30 days.
    """

    level: int
    km: int | None = None
    free_known: bool = False
    wait_hours: float = 0.0
    load: int = 0
    served: int = 0
    ended: int = 0
    recent: int = 0
    language: bool = True


@dataclass(frozen=True, slots=True)
class Weights:
    """The most points that each fact can cost; `level` for each step."""

    level: float = 100
    distance: float = 20
    places_unknown: float = 15
    wait: float = 15
    load: float = 20
    success: float = 10
    fairness: float = 9
    language: float = 10


@dataclass(frozen=True, slots=True)
class Full:
    """From where on a fact costs all its points."""

    km: float = 200
    wait_hours: float = 168
    load: float = 20
    recent: float = 50


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds of ranking on one day; `approve`: concerns, and the needs they hold back."""

    version: str
    stale_after: timedelta = timedelta(days=7)
    widen: tuple[str, ...] = STEPS
    weights: Weights = Weights()
    full: Full = Full()
    approve: tuple[tuple[str, frozenset[str]], ...] = ()

    def asks_a_person(self, need: str, concerns: Iterable[str]) -> bool:
        """Say whether one of these concerns makes a coordinator approve referrals for the need."""
        told = set(concerns)
        return any(concern in told and need in needs for concern, needs in self.approve)


def points(measures: Measures, policy: Policy) -> dict[str, float]:
    """Return the points that each fact costs; all of them are at least 0."""
    weights, full = policy.weights, policy.full
    success = (measures.served + 1) / (measures.ended + 2)  # two imagined, one of them served
    lost = {
        "level": weights.level * measures.level,
        "distance": weights.distance
        * (UNKNOWN if measures.km is None else min(1, measures.km / full.km)),
        "places_unknown": 0 if measures.free_known else weights.places_unknown,
        "wait": weights.wait * min(1, measures.wait_hours / full.wait_hours),
        "load": weights.load * min(1, measures.load / full.load),
        "success": weights.success * (1 - success),
        "fairness": weights.fairness * min(1, measures.recent / full.recent),
        "language": 0 if measures.language else weights.language,
    }
    return {name: round(value, 3) for name, value in lost.items()}


def total(measures: Measures, policy: Policy) -> float:
    """Return the points that an offer loses in all; the fewest win."""
    return round(sum(points(measures, policy).values()), 3)


@lru_cache(maxsize=200_000)
def tie(provider_id: str, offer_id: str) -> tuple[str, str]:
    """Return what decides between equals: a hash that no name or age of an entry can lean on."""
    return hashlib.sha256(provider_id.encode()).hexdigest()[:16], offer_id


@lru_cache(maxsize=200_000)
def kilometres(here: str, there: str) -> int | None:
    """Return whole kilometres between the middles of two places; None where one has none."""
    a, b = point_of(here), point_of(there)
    return None if a is None or b is None else apart(a, b)


def point_of(pcode: str) -> tuple[float, float] | None:
    """Return latitude and longitude (degrees, WGS 84) of the middle of a place, or None."""
    place = places.find(pcode)
    if place is None or place.latitude is None or place.longitude is None:
        return None
    return place.latitude, place.longitude


def apart(a: tuple[float, float], b: tuple[float, float]) -> int:
    """Return whole kilometres along the great circle between two points (haversine)."""
    lat_a, lon_a, lat_b, lon_b = map(radians, (*a, *b))
    part = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lon_b - lon_a) / 2) ** 2
    return round(2 * _EARTH_KM * asin(sqrt(min(1.0, part))))


# --- The file -------------------------------------------------------------------------------------


@cache
def _periods() -> tuple[tuple[date, date, Policy], ...]:
    read = tomllib.loads(_FILE.read_text("utf-8"))["period"]
    return tuple((p["from"], p.get("to", date.max), parse_policy(p)) for p in read)


@lru_cache(maxsize=64)
def policy_on(day: date) -> Policy:
    """Return the policy of the file that holds on a day.

    Raises:
        PolicyWrong: none does.

    """
    for first, end, policy in _periods():
        if first <= day < end:
            return policy
    raise PolicyWrong("no period holds that day")


def parse_policy(said: Mapping[str, Any], under: Policy | None = None) -> Policy:
    """Read a policy, as a period of the file has it; what it does not say stays as in `under`.

    Raises:
        PolicyWrong: a name is not known, or a value is none.

    """
    policy = under or Policy("")
    if said.keys() - _FIELDS:
        raise PolicyWrong("unknown field")
    version = said.get("version", policy.version)
    if not isinstance(version, str) or not re.fullmatch(r"[A-Za-z0-9._ -]{1,40}", version):
        raise PolicyWrong("version")
    stale = policy.stale_after
    if "stale_after" in said:
        found = _DAYS.fullmatch(str(said["stale_after"]))
        if found is None:
            raise PolicyWrong("stale_after")
        stale = timedelta(days=int(found[1]))
    widen = said.get("widen", policy.widen)
    if not isinstance(widen, list | tuple) or tuple(widen) != STEPS[: len(widen)]:
        raise PolicyWrong("widen")
    weights = replace(policy.weights, **_numbers(said, "weights", Weights, least=0))
    full = replace(policy.full, **_numbers(said, "full", Full, least=1))
    approve = _approve(said["approve"]) if "approve" in said else policy.approve
    return Policy(version, stale, tuple(widen), weights, full, approve)


def _approve(said: object) -> tuple[tuple[str, frozenset[str]], ...]:
    """Read which needs a coordinator approves for each concern: a list, or `all`."""
    if not isinstance(said, dict) or said.keys() - set(Concern):
        raise PolicyWrong("approve")
    found = {key: list(Need) if needs == "all" else needs for key, needs in said.items()}
    if not all(isinstance(needs, list) and set(needs) <= set(Need) for needs in found.values()):
        raise PolicyWrong("approve")
    return tuple((key, frozenset(map(str, needs))) for key, needs in sorted(found.items()))


def _numbers(said: Mapping[str, Any], name: str, kind: type, least: float) -> dict[str, float]:
    given = said.get(name, {})
    known = {f.name for f in fields(kind)}
    if not isinstance(given, dict) or given.keys() - known:
        raise PolicyWrong(name)
    for value in given.values():
        usual = isinstance(value, int | float) and not isinstance(value, bool)
        if not usual or not isfinite(value) or not least <= value <= _MOST:
            raise PolicyWrong(name)
    return dict(given)
