"""Small worlds for tests of referral's decisions: cases, offers, and what a change says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from services.referral import planning
from services.referral.answers import follow
from services.referral.domain import Actor, Order
from services.referral.eligibility import Offer
from services.referral.referral import Referral
from services.referral.rules import load_rules
from services.referral.world import Case, Change, World
from shared.events import CaseFacts, ConsentState
from shared.vocabulary import Role

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday
KERANIGANJ = "BD30260038"
RULES = load_rules()
MINE = Actor(Role.PROVIDER_SYSTEM, "provider_system:x", "near")
DESK = Actor(Role.COORDINATOR, "coordinator:z")


def referral(state: str = "assigned", **fields: Any) -> Referral:
    known: dict[str, Any] = {
        "referral_id": uuid4(),
        "case_id": uuid4(),
        "need": "shelter",
        "urgency": "T1",
        "state": state,
        "provider_id": None if state in ("planned", "waiting") else "near",
        "offer_id": None if state in ("planned", "waiting") else "n",
    }
    return Referral(**(known | fields))


def facts(**fields: Any) -> CaseFacts:
    """Return a case that its rule may release: entitled, consented, a girl of 15."""
    known: dict[str, Any] = {
        "report_id": uuid4(),
        "channel": "partner",
        "age": 15,
        "sex": "female",
        "upazila": KERANIGANJ,
        "district": "BD3026",
        "needs": ["medical"],
        "entitled": True,
        "consent": ConsentState(given=True),
    }
    return CaseFacts(**(known | fields))


def offer(key: str, level: str = "upazila", code: str = KERANIGANJ, **fields: Any) -> Offer:
    known: dict[str, Any] = {"needs": frozenset({"medical"}), "kinds": frozenset({"ngo"})}
    return Offer(key, key, area_level=level, area_pcode=code, **(known | fields))


def world(*offers: Offer) -> World:
    made = World(RULES)
    for one in offers:
        add_offer(made, one)
    return made


def add_offer(here: World, one: Offer) -> None:
    here.offers[one.offer_id] = one
    for need in one.needs:
        here.by_area.setdefault((need, one.area_pcode), []).append(one.offer_id)


def case_of(told: CaseFacts, **fields: Any) -> Case:
    return Case(uuid4(), 1, told, **fields)


def types(done: Change) -> list[str]:
    return [h.type.removeprefix("referral-") for h in done.happenings]


def last(done: Change) -> Referral:
    return done.happenings[-1].referral


NEAR = offer("near", places_free=3, capacity_at=AT)
FAR = offer("far", "district", "BD3026")


def plan(here: World, case: Case, need: str = "medical", at: datetime = AT, **more: Any) -> Change:
    """Plan a need and let the world see it."""
    done = planning.plan(here, case, need, at, **more)
    here.take(done)
    return done


FIELDS: dict[str, Any] = {
    "how_much": "all",
    "kind": "follow_up",
    "at": AT,
    "state": "planned",
    "need": "legal_aid",
}
"""What some verb asks for."""


def answer(
    here: World, case: Case, one: Referral, verb: str, at: datetime = AT, **fields: Any
) -> Change:
    """Let whoever answers for a referral say something, and let the world see it."""
    return say(here, case, one, Order(verb, reason="no_capacity", fields=FIELDS | fields), at)


def say(here: World, case: Case, one: Referral, order: Order, at: datetime = AT) -> Change:
    done = follow(here, case, one, order, at)
    here.take(done)
    return done
