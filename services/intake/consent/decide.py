"""What the desk may record of a consent, and what follows from it: purely (SAFETY 4, 5)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from services.intake.consent.gate import is_heard, is_in_force, load_rules, may_give, rule_at
from services.intake.consent.record import OVERRIDES, TRUSTED_ADULT, Consent, narrows, shareable
from shared.clock import day_of
from shared.errors import Problem
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import date, datetime
    from uuid import UUID

_INSTRUMENTS: Final = Path(__file__).with_name("instruments.toml")

Decision = Literal["given", "changed", "withdrawn"]


class ConsentRefused(Problem):
    """Nobody may give or take back consent in this way; `why` says what is wrong with it."""

    slug, status, title = "consent-refused", 422, "This consent does not count"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants recorded; free texts stay outside, only whether they are there counts.

    `consent_id` names one consent to change or take back, None means all that may be. `purposes`
    of a withdrawal are what is taken back; empty is everything.
    """

    decision: Decision
    given_by: str
    relation: str | None = None
    how: str | None = None
    witnessed: bool = False
    explained: bool = False
    allows: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None
    basis: str = "consent"
    expires_at: datetime | None = None
    heard_by: str | None = None
    decision_body: str | None = None
    instrument: str | None = None
    reasoned: bool = False
    consent_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Circle:
    """What is known of the person and of who records: relations are lower case."""

    age: int | None
    caregiver_alleged: bool
    alleged_relations: frozenset[str]
    needs: tuple[str, ...]
    role: Role
    actor: str


@dataclass(slots=True)
class Outcome:
    """What is added, what ends and how, and which events tell of it, in order."""

    added: list[Consent] = field(default_factory=list)
    ended: list[Consent] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    left: list[Consent] = field(default_factory=list)


@cache
def load_instruments() -> tuple[Mapping[str, Any], ...]:
    """Read the legal instruments that were loaded; none is shipped."""
    return tuple(tomllib.loads(_INSTRUMENTS.read_text("utf-8")).get("instrument", ()))


def decide(
    current: Sequence[Consent],
    wish: Wish,
    circle: Circle,
    at: datetime,
    new_id: Callable[[], UUID],
    instruments: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """Record a consent that is given, changed or taken back.

    A change that allows less is told as a withdrawal before it is told as a consent.

    Raises:
        ConsentRefused: `why` is a stable word.

    """
    _check_giver(wish, circle)
    made = Outcome()
    if wish.decision == "withdrawn":
        _take_back(made, current, wish, circle, at, new_id)
        made.events = ["consent-withdrawn"] if narrows(current, made.left) else []
        return made
    _check_given(wish, circle, at, instruments)
    if wish.decision == "changed":
        named = [c for c in current if wish.consent_id in (None, c.consent_id)]
        made.ended = [c for c in named if _may_end(c, wish, circle)]
        if not made.ended:
            raise ConsentRefused(None, why="nothing_to_change")
    made.added = [_consent(wish, circle, at, new_id())]
    made.left = [c for c in current if c not in made.ended] + made.added
    made.events = ["consent-withdrawn"] if narrows(current, made.left) else []
    made.events.append("consent-given")
    return made


def _check_giver(wish: Wish, circle: Circle) -> None:
    """Refuse whoever is no party to it: a third party, or a caregiver said to do the harm."""
    if wish.given_by == "third_party":
        raise ConsentRefused(None, why="third_party")
    if wish.given_by == "caregiver":
        if not wish.relation:
            raise ConsentRefused(None, why="relation_missing")
        if circle.caregiver_alleged or wish.relation.strip().lower() in circle.alleged_relations:
            raise ConsentRefused(None, why="alleged_caregiver")
    if wish.given_by == "decision_body":
        _check_supervisor(wish, circle)


def _check_supervisor(wish: Wish, circle: Circle) -> None:
    if circle.role is not Role.SUPERVISOR:
        raise ConsentRefused(None, why="supervisor_only")
    if not wish.reasoned:
        raise ConsentRefused(None, why="reason_missing")


def _check_given(
    wish: Wish, circle: Circle, at: datetime, instruments: Sequence[Mapping[str, Any]]
) -> None:
    if "refer" not in wish.allows:
        raise ConsentRefused(None, why="allows_nothing")
    if wish.expires_at is not None and wish.expires_at <= at:
        raise ConsentRefused(None, why="expired")
    if wish.basis in OVERRIDES:
        _check_override(wish, circle, day_of(at), instruments)
        return
    rule = rule_at(circle.age, day_of(at))
    if rule is None or not may_give(rule, wish.given_by, wish.basis, desk=True):
        raise ConsentRefused(None, why="not_at_this_age")
    if wish.basis == TRUSTED_ADULT:
        _check_trusted_adult(wish, circle)
    if not is_heard(rule, wish.how, witnessed=wish.witnessed):
        raise ConsentRefused(None, why="witness_missing")
    if not wish.explained:
        raise ConsentRefused(None, why="not_explained")


def _check_trusted_adult(wish: Wish, circle: Circle) -> None:
    """Refuse what a child agreed to beside an adult who is not named, or is alleged."""
    if not wish.relation:
        raise ConsentRefused(None, why="relation_missing")
    if wish.relation.strip().lower() in circle.alleged_relations:
        raise ConsentRefused(None, why="alleged_adult")
    if not wish.witnessed:
        raise ConsentRefused(None, why="witness_missing")
    if not wish.purposes:
        raise ConsentRefused(None, why="purposes_missing")
    if set(load_rules()["decided_by_a_body"]) & set(wish.purposes):
        raise ConsentRefused(None, why="decision_body_missing")


def _check_override(
    wish: Wish, circle: Circle, day: date, instruments: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse what does without the person's word, unless a supervisor answers for it by name."""
    if wish.given_by != "decision_body":
        raise ConsentRefused(None, why="decision_body_only")
    _check_supervisor(wish, circle)
    if not wish.purposes:
        raise ConsentRefused(None, why="purposes_missing")
    if wish.basis == "legal_duty":
        found = [i for i in instruments if i["id"] == wish.instrument and is_in_force(i, day)]
        if not found or not set(wish.purposes) <= set(found[0]["needs"]):
            raise ConsentRefused(None, why="no_instrument")
        return
    parting = set(load_rules()["decided_by_a_body"]) & set(wish.purposes)
    if parting and wish.decision_body is None:
        raise ConsentRefused(None, why="decision_body_missing")


def _consent(wish: Wish, circle: Circle, at: datetime, consent_id: UUID) -> Consent:
    until = wish.expires_at or at + timedelta(days=load_rules()["valid_days"])
    return Consent(
        consent_id,
        wish.given_by,
        wish.basis,
        at,
        circle.actor,
        tuple(dict.fromkeys(wish.purposes)),
        tuple(dict.fromkeys(wish.providers)),
        shareable(wish.fields),
        share_identity="share_identity" in wish.allows,
        explained=wish.explained,
        how=wish.how,
        expires_at=until,
        heard_by=wish.heard_by,
        decision_body=wish.decision_body,
        instrument=wish.instrument,
    )


def _may_end(consent: Consent, wish: Wish, circle: Circle) -> bool:
    """Say whose a consent is to end: the person's refusal always counts, an override is not theirs.

    A caregiver ends what a caregiver gave; a supervisor what was decided without the person.
    """
    if consent.basis in OVERRIDES:
        return wish.given_by == "decision_body" and circle.role is Role.SUPERVISOR
    if wish.given_by == "caregiver":
        return consent.given_by == "caregiver"
    return wish.given_by == "person"


def _take_back(
    made: Outcome,
    current: Sequence[Consent],
    wish: Wish,
    circle: Circle,
    at: datetime,
    new_id: Callable[[], UUID],
) -> None:
    """End consents, or the part of each that is taken back; the rest of it goes on as it was."""
    for consent in current:
        named = wish.consent_id in (None, consent.consent_id)
        kept = _without(consent, wish.purposes, circle.needs)
        if not named or kept is consent or not _may_end(consent, wish, circle):
            made.left.append(consent)
            continue
        made.ended.append(consent)
        if kept is not None:
            rest = replace(kept, consent_id=new_id(), given_at=at, recorded_by=circle.actor)
            made.added.append(rest)
            made.left.append(rest)
    if not made.ended:
        raise ConsentRefused(None, why="nothing_to_withdraw")


def _without(consent: Consent, purposes: Collection[str], needs: Collection[str]) -> Consent | None:
    """Return a consent without some purposes, None if nothing is left, itself if none was in it."""
    if not purposes:
        return None
    had = consent.purposes or tuple(dict.fromkeys((*needs, *purposes)))
    left = tuple(p for p in had if p not in purposes)
    if left == had:
        return consent
    return replace(consent, purposes=left) if left else None
