"""Routing: which offers are in, why the others are out, and who is first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.referral import eligibility as rules
from services.referral.eligibility import Offer, Question, free_places
from services.referral.explaining import explain
from services.referral.ranking import LEVELS
from services.referral.routing import route
from shared import places
from tests.support import directories

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
KERANIGANJ = "BD30260038"
AREAS = places.ancestors(KERANIGANJ)


def offer(**fields: Any) -> Offer:
    known: dict[str, Any] = {
        "offer_id": fields.get("provider_id", "one"),
        "provider_id": "one",
        "needs": frozenset({"shelter"}),
        "area_level": "upazila",
        "area_pcode": KERANIGANJ,
        "kinds": frozenset({"ngo"}),
    }
    return Offer(**(known | fields))


def ask(**fields: Any) -> Question:
    known: dict[str, Any] = {"need": "shelter", "areas": AREAS, "age": 15, "sex": "female"}
    return Question(**(known | fields))


OUT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another need": ({"needs": frozenset({"medical"})}, {}, rules.NEED),
    "another district": (
        {"area_level": "district", "area_pcode": "BD1004"},
        {},
        rules.AREA,
    ),
    "named as excluded": ({}, {"excluded": frozenset({"one"})}, rules.CONFLICT),
    "of an excluded kind": (
        {"kinds": frozenset({"government", "police"})},
        {"excluded": frozenset({"police"})},
        rules.CONFLICT,
    ),
    "conflict before every other reason": (
        {"enrolment": "listed", "places_free": 0, "capacity_at": AT, "max_age": 3},
        {"excluded": frozenset({"one"})},
        rules.CONFLICT,
    ),
    "takes nobody now": ({"accepting": False}, {}, rules.CLOSED),
    "a helpline that is silent": (
        {"accepting": False, "mode": "phone", "kinds": frozenset({"helpline"})},
        {},
        rules.CLOSED,
    ),
    "asked before": ({}, {"tried": frozenset({"one"})}, rules.TRIED),
    "too old": ({"max_age": 14}, {}, rules.AGE),
    "too young": ({"min_age": 18}, {}, rules.AGE),
    "takes no children": ({"accepts_children": False}, {}, rules.AGE),
    "girls only, a boy": ({"sex": "female"}, {"sex": "male"}, rules.SEX),
    "boys only, a girl": ({"sex": "male"}, {}, rules.SEX),
    "says itself that it serves no hijra": (
        {"serves_hijra": False},
        {"sex": "hijra"},
        rules.SEX,
    ),
    "no place": ({"places_free": 0, "capacity_at": AT}, {}, rules.NO_PLACE),
    "fewer places than people": (
        {"places_free": 3, "capacity_at": AT},
        {"places_needed": 4},
        rules.NO_PLACE,
    ),
    "needs a court order": ({"court_order": True}, {}, rules.COURT),
    "a union": ({"area_level": "union", "area_pcode": "u1"}, {}, rules.UNION),
    "only listed": ({"enrolment": "listed"}, {}, rules.NOT_ACTIVE),
    "only invited": ({"enrolment": "invited"}, {}, rules.NOT_ACTIVE),
    "not one that was agreed to": (
        {},
        {"agreed": frozenset({"two"})},
        rules.NOT_AGREED,
    ),
    "the police": ({"kinds": frozenset({"police"})}, {}, rules.POLICE),
}


@pytest.mark.parametrize("name", OUT)
def test_an_offer_is_out_and_says_by_which_rule(name: str) -> None:
    fields, asked, rule = OUT[name]
    decision = route(ask(**asked), [offer(**fields)], AT)
    assert decision.ranking == ()
    assert [c.verdict for c in decision.considered] == [rule]


IN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "everything fits": ({"min_age": 15, "max_age": 15, "sex": "female"}, {}),
    "age unknown": ({"min_age": 18, "max_age": 60, "accepts_children": False}, {"age": None}),
    "sex unknown": ({"sex": "female"}, {"sex": "unknown"}),
    "sex not said": ({"sex": "male"}, {"sex": "not_said"}),
    "hijra at an offer for women that says nothing": ({"sex": "female"}, {"sex": "hijra"}),
    "hijra welcome": ({"sex": "male", "serves_hijra": True}, {"sex": "hijra"}),
    "capacity unknown": ({"places_free": None}, {"places_needed": 9}),
    "capacity told too long ago": (
        {"places_free": 0, "capacity_at": AT - timedelta(days=8)},
        {},
    ),
    "as many places as people": (
        {"places_free": 4, "capacity_at": AT},
        {"places_needed": 4},
    ),
    "the whole district": ({"area_level": "district", "area_pcode": "BD3026"}, {}),
    "the whole country": ({"area_level": "country", "area_pcode": "BD"}, {}),
    "a place that is unknown, served everywhere": (
        {"area_level": "country", "area_pcode": "BD"},
        {"areas": ("BD",), "place_known": False},
    ),
    "the one the person agreed to": ({}, {"agreed": frozenset({"one", "two"})}),
    "somebody else is excluded": ({}, {"excluded": frozenset({"two", "police"})}),
}


@pytest.mark.parametrize("name", IN)
def test_an_offer_is_in_and_nothing_unknown_puts_it_out(name: str) -> None:
    fields, asked = IN[name]
    decision = route(ask(**asked), [offer(**fields)], AT)
    assert decision.chosen is not None
    assert [c.verdict for c in decision.considered] == [rules.IN]


FIRST = {
    "nearest level before free places": (
        [
            offer(
                provider_id="far",
                area_level="district",
                area_pcode="BD3026",
                places_free=9,
                capacity_at=AT,
            ),
            offer(provider_id="near"),
        ],
        "near",
    ),
    "known free before unknown": (
        [offer(provider_id="a"), offer(provider_id="b", places_free=1, capacity_at=AT)],
        "b",
    ),
    "stale places count as unknown": (
        [
            offer(provider_id="b"),
            offer(provider_id="a", places_free=5, capacity_at=AT - timedelta(days=30)),
        ],
        "b",
    ),
    "fewest open referrals": (
        [offer(provider_id="a", open_referrals=2), offer(provider_id="b", open_referrals=1)],
        "b",
    ),
    "then a hash that no name leans on": ([offer(provider_id="b"), offer(provider_id="a")], "b"),
    "division before country": (
        [
            offer(provider_id="a", area_level="country", area_pcode="BD"),
            offer(provider_id="b", area_level="division", area_pcode="BD30"),
        ],
        "b",
    ),
}


@pytest.mark.parametrize("name", FIRST)
def test_the_ranking(name: str) -> None:
    offers, first = FIRST[name]
    for given_order in (offers, offers[::-1]):
        decision = route(ask(), given_order, AT)
        assert decision.chosen is not None
        assert decision.chosen.provider_id == first


def test_a_person_may_choose_the_police_a_machine_may_not() -> None:
    police = offer(kinds=frozenset({"police"}), needs=frozenset({"rescue"}))
    question = ask(need="rescue")
    assert route(question, [police], AT).chosen is None
    assert route(question, [police], AT).suggested == police
    assert route(question, [police], AT, by_person=True).chosen == police


def test_a_listed_office_is_suggested_when_nobody_active_serves() -> None:
    listed = offer(enrolment="listed")
    decision = route(ask(), [listed], AT)
    assert decision.chosen is None
    assert decision.suggested == listed
    assert decision.open_to_persons


def test_nobody_serves_when_each_is_out_for_good() -> None:
    decision = route(ask(), [offer(sex="male"), offer(provider_id="two", max_age=3)], AT)
    assert decision.suggested is None
    assert not decision.open_to_persons


def test_an_unknown_place_is_a_persons_to_decide() -> None:
    assert route(ask(areas=("BD",), place_known=False), [], AT).open_to_persons


def test_the_explanation_tells_a_conflict_but_not_with_whom() -> None:
    question = ask(excluded=frozenset({"secret"}))
    offers = [
        offer(provider_id="secret"),
        offer(provider_id="good"),
        offer(provider_id="x", sex="male"),
    ]
    told = explain(route(question, offers, AT), question, AT)
    assert "secret" not in repr(told)
    verdicts = [line["verdict"] for line in told["considered"]]
    assert verdicts == [rules.IN, rules.SEX, rules.CONFLICT]
    assert told["ranking"] == ["good"]
    assert told["chosen"] == told["suggested"] == "good"


# --- for every directory --------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(directories.offers(), directories.questions)
def test_the_chosen_offer_serves_covers_and_no_nearer_one_is_eligible(
    offers: list[Offer], question: Question
) -> None:
    decision = route(question, offers, AT)
    assert len(decision.considered) == len(offers)
    chosen = decision.chosen
    if chosen is None:
        assert all(c.verdict != rules.IN for c in decision.considered)
        return
    assert question.need in chosen.needs
    assert chosen.area_pcode in question.areas
    assert chosen.area_level != "union"
    assert chosen.provider_id not in question.excluded
    assert not chosen.kinds & (question.excluded | {"police"})
    assert chosen.enrolment == "active"
    free = free_places(chosen, AT)
    assert free is None or free >= question.places_needed
    if question.age is not None:
        assert (chosen.min_age or 0) <= question.age <= (chosen.max_age or 200)
    eligible = [c.offer for c in decision.considered if c.verdict == rules.IN]
    assert all(LEVELS[chosen.area_level] <= LEVELS[o.area_level] for o in eligible)
    assert set(decision.ranking) == set(eligible)


def _fits(one: Offer, asked: Question) -> bool:
    """Say again, fact by fact, whether an offer may be given to somebody by a machine."""
    steps = one.mode == "in_person" and "step_free" in asked.support and one.step_free is False
    signs = "sign_language" in asked.support and one.sign_language is False
    counted = one.places_free is not None and one.capacity_at is not None
    old = one.capacity_at is not None and one.capacity_at < AT - timedelta(days=7)
    child = asked.age is not None and asked.age < 18
    ages = asked.age is None or (one.min_age or 0) <= asked.age <= (one.max_age or 200)
    wrong_sex = {"female": one.sex == "male", "male": one.sex == "female"}.get(asked.sex, False)
    return (
        asked.need in one.needs
        and one.area_pcode in asked.areas
        and one.area_level != "union"
        and not {one.provider_id, *one.kinds} & asked.excluded
        and (asked.agreed is None or one.provider_id in asked.agreed)
        and one.offer_id not in asked.tried
        and (one.enrolment, one.accepting, one.court_order) == ("active", True, False)
        and "police" not in one.kinds
        and ages
        and not (child and one.accepts_children is False)
        and not wrong_sex
        and not (asked.sex == "hijra" and one.serves_hijra is False)
        and not any(
            age > (one.max_boy_age_with_mother or 0)
            for age in asked.boys
            if one.max_boy_age_with_mother is not None
        )
        and not (steps or signs)
        and (not counted or old or (one.places_free or 0) >= asked.places_needed)
        and all(
            until is None or until >= AT.date()
            for until in (one.trained_until, one.accredited_until)
        )
    )


_YESTERDAY = AT.date() - timedelta(days=1)
_ODDS: dict[str, list[Any]] = {
    "needs": [frozenset({"medical"}), frozenset({"shelter", "medical"})],
    "area_pcode": ["BD3026", "BD1004", "BD"],
    "area_level": ["union", "district"],
    "kinds": [frozenset({"police"}), frozenset({"ngo", "police"}), frozenset()],
    "enrolment": ["listed", "invited"],
    "accepting": [False],
    "court_order": [True],
    "min_age": [15, 16],
    "max_age": [14, 15],
    "accepts_children": [False, True],
    "sex": ["female", "male"],
    "serves_hijra": [False, True],
    "counted": [(free, AT - timedelta(days=days)) for free in (0, 1, 3) for days in (0, 7, 8)],
    "max_boy_age_with_mother": [0, 7, 8],
    "step_free": [False, True],
    "sign_language": [False, True],
    "mode": ["phone"],
    "trained_until": [_YESTERDAY, AT.date()],
    "accredited_until": [_YESTERDAY, AT.date()],
    "provider_id": ["two"],
}
_ASKED: dict[str, list[Any]] = {
    "age": [None, 14, 17, 18],
    "sex": ["male", "hijra", "unknown", "not_said"],
    "places_needed": [2],
    "excluded": [frozenset({"two"}), frozenset({"police"}), frozenset({"one"})],
    "tried": [frozenset({"one"})],
    "agreed": [frozenset({"two"}), frozenset({"one"}), frozenset()],
    "support": [frozenset({"step_free"}), frozenset({"sign_language"})],
    "boys": [(8,), (2, 9)],
}


def _some(odds: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Few of these facts, each with one of its values: so that each decides alone now and then."""
    one = st.one_of([st.tuples(st.just(k), st.sampled_from(v)) for k, v in odds.items()])
    return st.lists(one, max_size=2).map(dict)


@settings(max_examples=1500, deadline=None)
@given(_some(_ODDS), _some(_ASKED))
def test_whoever_is_in_may_serve_by_every_fact_and_nobody_else_is_out(
    odd: dict[str, Any], asked: dict[str, Any]
) -> None:
    if "counted" in odd:
        odd["places_free"], odd["capacity_at"] = odd.pop("counted")
    question, one = ask(**asked), offer(**odd)
    [found] = route(question, [one], AT).considered
    assert (found.verdict == rules.IN) == _fits(one, question), found.out


@settings(max_examples=200, deadline=None)
@given(directories.offers(), directories.questions)
def test_what_is_unknown_never_puts_an_offer_out(offers: list[Offer], question: Question) -> None:
    known = {c.offer.offer_id for c in route(question, offers, AT).considered if c.verdict == "in"}
    blank = replace(question, age=None, sex="unknown")
    still = {c.offer.offer_id for c in route(blank, offers, AT).considered if c.verdict == "in"}
    assert known <= still


@settings(max_examples=100, deadline=None)
@given(st.randoms(), directories.offers(), directories.questions)
def test_the_order_of_the_directory_does_not_matter(
    random: Any, offers: list[Offer], question: Question
) -> None:
    mixed = list(offers)
    random.shuffle(mixed)
    assert route(question, mixed, AT) == route(question, offers, AT)
