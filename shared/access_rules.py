"""May this person do this with this case? Purely: no clock, no input, no database.

The matrix is `access_rules.toml`. The decision is role × organisation × place × assignment ×
conflict of interest × dated membership × training. PostgreSQL asks the same by `in_reach`
(`reach.sql`), of which a `Scope` is the settings; a test holds the two together.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared import places
from shared.clock import day_of
from shared.membership import Membership
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shared.access import Caller
    from shared.events import CaseFacts

MATRIX: Final = Path(__file__).with_name("access_rules.toml")

EVERYONE: Final = "*"
"""The organisation of whoever sees the rows of all organisations."""


class Reach(StrEnum):
    """How far a role reaches with a verb; see the matrix."""

    ALL = "all"
    PLACE = "place"
    OWN = "own"
    STUB = "stub"
    PROVIDER = "provider"


class Verb(StrEnum):
    """What somebody wants to do; the sections of the matrix."""

    SEE = "see"
    WORK = "work"
    KNOW = "know"
    CONSENTS = "consents"
    REFERRAL = "referral"
    ANSWER = "answer"
    EXPLAIN = "explain"
    NOTICE = "notice"
    HISTORY = "history"


class Why(StrEnum):
    """Why something is refused; a conflict never says whose."""

    ROLE = "role"
    MEMBERSHIP = "membership"
    TRAINING = "training"
    CONFLICT = "excluded: conflict"
    PLACE = "place"
    NOT_YOURS = "not yours"


@dataclass(frozen=True, slots=True)
class Matter:
    """What a decision must know of a case, and of one of its referrals.

    `owner` is who reported it (`owner_of`); `upazila` and `district` are P-codes or None, when not
    known; `assigned` names whose case it is; `provider` whose referral. `provider_kinds` are the
    directory's kinds of that provider.
    """

    owner: str = ""
    upazila: str | None = None
    district: str | None = None
    excluded: frozenset[str] = frozenset()
    assigned: frozenset[str] = frozenset()
    provider: str | None = None
    provider_kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be done; `stub`: only a stub may be seen."""

    stub: bool = False

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not. The caller is told that there is no such thing, not why."""

    why: Why

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Scope:
    """What row-level policies compare with.

    `organisation` as in `organisation_of`; `names` is all that a conflict may call the caller;
    `places` the codes that the caller's places touch, or None for the whole centre.
    """

    organisation: str
    names: tuple[str, ...] = ()
    places: tuple[str, ...] | None = None


@cache
def load_matrix() -> Mapping[str, Mapping[str, str]]:
    """Read the matrix: for each verb the reach of each role that may.

    Raises:
        ValueError: a verb, role or reach in the file does not exist.

    """
    found: dict[str, dict[str, str]] = tomllib.loads(MATRIX.read_text("utf-8"))
    if set(found) != {*Verb, "membership", "training"}:
        message = "the sections of access_rules.toml are not the verbs"
        raise ValueError(message)
    for verb in Verb:
        for role, reach in found[verb].items():
            Role(role), Reach(reach)
    return found


def reach_of(role: Role, verb: Verb) -> Reach | None:
    """Return how far a role reaches with a verb; None: it may not."""
    found = load_matrix()[verb].get(role)
    return None if found is None else Reach(found)


def memberships_for(role: Role) -> tuple[Membership, ...]:
    """Return the membership that a role needs, without a place or an end: for scripts."""
    needed = load_matrix()["membership"].get(role)
    return () if needed is None else (Membership(needed),)


def owner_of(caller: Caller) -> str:
    """Return to whom a report of the caller belongs: a partner organisation, else the person."""
    return caller.org if caller.role is Role.PARTNER and caller.org else caller.actor


def matter_of(facts: CaseFacts | None, owner: str = "", **referral: Any) -> Matter:  # noqa: ANN401
    """Return what a decision must know of a case; `referral`: `provider` and `provider_kinds`.

    Of a case that nobody opened yet neither place nor conflict is known.
    """
    if facts is None:
        return Matter(owner, **referral)
    assigned = frozenset({facts.worker} if facts.worker is not None else ())
    excluded = frozenset(facts.excluded)
    return Matter(owner, facts.upazila, facts.district, excluded, assigned, **referral)


def names_of(caller: Caller, at: datetime) -> frozenset[str]:
    """Return all that the `exclude` of a case may call this caller.

    The pseudonym with and without its role, the organisation, the kind of each membership that
    holds, and the places that it lies in, as `area:P-code`.
    """
    day = day_of(at)
    held = [m for m in caller.memberships if m.holds(day)]
    areas = {f"area:{code}" for m in held for code in _above(m.place)}
    return frozenset({caller.subject, caller.actor, *(m.kind for m in held), *areas}) | (
        {caller.org} if caller.org else frozenset()
    )


def _above(place: str | None) -> tuple[str, ...]:
    if place is None or places.find(place) is None:
        return () if place is None else (place,)
    return tuple(code for code in places.ancestors(place) if code != places.COUNTRY)


@cache
def _below() -> Mapping[str, frozenset[str]]:
    """Return for each place every place of it down to an upazila or thana, itself among them."""
    found: dict[str, set[str]] = {}
    for code, place in places.all_places().items():
        if place.level is not places.Level.UNION:
            for above in places.ancestors(code):
                found.setdefault(above, set()).add(code)
    return {code: frozenset(codes) for code, codes in found.items()}


@lru_cache(maxsize=1024)
def codes_of(given: tuple[str, ...]) -> frozenset[str] | None:
    """Return the codes that some places touch: within them, and above; None: the whole centre.

    A case lies in the places, or may, when the finest code known of it is one of these.
    """
    if not given:
        return None
    return frozenset(
        code for place in given for code in (place, *_above(place), *_below().get(place, ()))
    )


def decide(caller: Caller, verb: Verb, matter: Matter, at: datetime) -> Allowed | Refused:
    """Decide whether somebody may do something with a case or referral at a time."""
    reach = reach_of(caller.role, verb)
    if reach is None:
        return Refused(Why.ROLE)
    if not is_member(caller, at):
        return Refused(Why.MEMBERSHIP)
    if not is_trained(caller, at):
        return Refused(Why.TRAINING)
    names = names_of(caller, at)
    if reach is Reach.PROVIDER:
        if not caller.org or matter.provider != caller.org:
            return Refused(Why.NOT_YOURS)
        names |= matter.provider_kinds
    if names & matter.excluded:
        return Refused(Why.CONFLICT)
    if reach in (Reach.OWN, Reach.STUB) and matter.owner != owner_of(caller):
        return Refused(Why.NOT_YOURS)
    if reach is Reach.PLACE and not (names & matter.assigned or _lies(caller, matter)):
        return Refused(Why.PLACE)
    return Allowed(stub=reach is Reach.STUB)


def is_member(caller: Caller, at: datetime) -> bool:
    """Say whether a caller holds, on this day, the membership that the role needs, if any."""
    needed = load_matrix()["membership"].get(caller.role)
    day = day_of(at)
    return needed is None or any(m.kind == needed and m.holds(day) for m in caller.memberships)


def needs_training(role: Role) -> str | None:
    """Return the module that people of a role must have passed; None for no module."""
    return load_matrix()["training"].get(role)


def is_trained(caller: Caller, at: datetime) -> bool:
    """Say whether who signed in has, on this day, the training that the role needs, if any.

    A token that no person signed in for needs none.
    """
    needed = needs_training(caller.role)
    if needed is None or caller.session is None:
        return True
    day = day_of(at)
    return any(one.module == needed and day <= one.until for one in caller.training)


def _lies(caller: Caller, matter: Matter) -> bool:
    """Whether a case lies, or may lie, in the caller's places: nobody loses what has no place."""
    codes = codes_of(caller.places)
    finest = matter.upazila or matter.district
    return codes is None or finest is None or finest in codes


def scope_of(caller: Caller, verb: Verb, at: datetime) -> Scope:
    """Return what row-level policies compare with, so that they let through what `decide` does.

    Who may do nothing with the verb gets the organisation of nobody.
    """
    reach = reach_of(caller.role, verb)
    names = tuple(sorted(names_of(caller, at)))
    if reach is None or not is_member(caller, at) or not is_trained(caller, at):
        return Scope("", names)
    if reach is Reach.PROVIDER:
        return Scope("" if caller.org in (None, EVERYONE) else str(caller.org), names)
    if reach in (Reach.OWN, Reach.STUB):
        return Scope(owner_of(caller), names)
    codes = codes_of(caller.places) if reach is Reach.PLACE else None
    return Scope(EVERYONE, names, None if codes is None else tuple(sorted(codes)))
