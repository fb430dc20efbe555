"""Explanations: complete, read out in two languages, and the winner found again from them alone."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.referral import eligibility as rules
from services.referral.eligibility import Offer, Question, Record
from services.referral.explaining import decide_again, explain, providers_in, read_out, reasons
from services.referral.ranking import (
    Full,
    Policy,
    PolicyWrong,
    Weights,
    parse_policy,
    policy_on,
)
from services.referral.routing import Decision, route
from tests.support.directories import AREAS, AT, KERANIGANJ, offers, questions

POLICIES = st.builds(
    Policy,
    version=st.just("tried"),
    stale_after=st.sampled_from([timedelta(days=0), timedelta(days=7), timedelta(days=90)]),
    weights=st.builds(Weights, *[st.sampled_from([0, 1, 50]) for _ in fields(Weights)]),
    full=st.builds(Full, *[st.sampled_from([1, 20, 300]) for _ in fields(Full)]),
)


def stored(decision: Decision, question: Question) -> dict[str, Any]:
    """Return an explanation as the database gives it back."""
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(explain(decision, question, AT)))
    return told


@settings(max_examples=200, deadline=None)
@given(offers(), questions, POLICIES)
def test_the_winner_follows_from_the_stored_lines_alone(
    found: list[Offer], question: Question, policy: Policy
) -> None:
    usual = route(question, found, AT)
    again = decide_again(stored(usual, question), usual.policy)
    assert list(again.ranking) == [o.offer_id for o in usual.ranking]
    assert again.waits == (usual.chosen is None and not usual.open_to_persons)
    tried = route(question, found, AT, policy=policy)
    other = decide_again(stored(usual, question), policy)
    assert list(other.ranking) == [o.offer_id for o in tried.ranking]
    assert other.waits == (tried.chosen is None and not tried.open_to_persons)


def test_whether_places_count_is_decided_again_from_when_they_were_told() -> None:
    told_yesterday = {"places_free": 2, "capacity_at": AT - timedelta(days=1), "open_referrals": 3}
    found, question = [_offer("a"), _offer("b", **told_yesterday)], _ask()
    decision = route(question, found, AT)
    explanation = stored(decision, question)
    assert decide_again(explanation, decision.policy).chosen == "b"
    strict = replace(decision.policy, stale_after=timedelta(hours=1))
    assert decide_again(explanation, strict).chosen == "a"


@settings(max_examples=100, deadline=None)
@given(offers(), questions)
def test_each_offer_stands_in_exactly_one_place(found: list[Offer], question: Question) -> None:
    told = stored(route(question, found, AT), question)
    named = [line["offer_id"] for line in told["considered"] if "offer_id" in line]
    hidden = sum(line["verdict"] == rules.CONFLICT for line in told["considered"])
    assert len(set(named)) == len(named) == len(found) - hidden
    ranked = [line["offer_id"] for line in told["considered"] if line["verdict"] == rules.IN]
    assert ranked == told["ranking"]
    names = {key: {"bn": f"bn<{key}>", "en": f"en<{key}>"} for key in providers_in(told)}
    read = read_out(told, names)
    for language in ("bn", "en"):
        assert len(read[language]) >= len(told["considered"]) + 1
        assert not any("{" in sentence for sentence in read[language])
    said = re.sub(r"bn<[^>]*>", "", " ".join(read["bn"]))
    assert not re.search(r"[0-9]", said), said


def test_every_rule_has_words_in_both_languages() -> None:
    said = [v for k, v in vars(rules).items() if k.isupper() and isinstance(v, str)]
    assert len(said) > 15
    for key in said:
        assert reasons()[key]["bn"] != reasons()[key]["en"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.floats(0, 3), st.floats(0.1, 3))
def test_an_offer_that_is_farther_away_never_ranks_better(
    loads: list[int], away: float, further: float
) -> None:
    rest = [_offer(str(n), open_referrals=load) for n, load in enumerate(loads)]
    near = _offer("one", latitude=23.7 + away, longitude=90.35, open_referrals=5)
    far = replace(near, latitude=23.7 + away + further)

    def place(one: Offer) -> int:
        return route(_ask(), [*rest, one], AT).ranking.index(one)

    assert place(near) <= place(far)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 5)),
            st.sampled_from([None, AT, AT - timedelta(days=7), AT - timedelta(days=40)]),
        ),
        max_size=6,
    ),
    st.integers(1, 4),
)
def test_never_over_what_is_known_to_be_free(
    told: list[tuple[int | None, datetime | None]], needed: int
) -> None:
    found = [_offer(str(n), places_free=free, capacity_at=at) for n, (free, at) in enumerate(told)]
    ranked = {one.offer_id for one in route(_ask(places_needed=needed), found, AT).ranking}
    for number, (free, at) in enumerate(told):
        known = free is not None and at is not None and AT - at <= timedelta(days=7)
        assert (str(number) in ranked) == (not known or (free or 0) >= needed)


def _offer(key: str, **more: Any) -> Offer:
    known: dict[str, Any] = {"needs": frozenset({"shelter"}), "area_level": "upazila"}
    return Offer(key, key, area_pcode=KERANIGANJ, **(known | more))


def _did(**more: Any) -> tuple[tuple[str, Record], ...]:
    return (("shelter", Record(**more)),)


def _ask(**more: Any) -> Question:
    known: dict[str, Any] = {"need": "shelter", "areas": AREAS, "age": 30, "sex": "female"}
    return Question(**(known | more))


@pytest.mark.parametrize(
    ("offered", "asked", "verdict"),
    [
        ({"max_boy_age_with_mother": 9}, {"boys": (4, 10)}, rules.BOYS),
        ({"max_boy_age_with_mother": 10}, {"boys": (4, 10)}, rules.IN),
        ({"max_boy_age_with_mother": None}, {"boys": (17,)}, rules.IN),
        ({"step_free": False}, {"support": frozenset({"step_free"})}, rules.ACCESS),
        ({"step_free": False, "mode": "phone"}, {"support": frozenset({"step_free"})}, rules.IN),
        ({"step_free": None}, {"support": frozenset({"step_free"})}, rules.IN),
        ({"sign_language": False}, {"support": frozenset({"sign_language"})}, rules.ACCESS),
        ({"trained_until": AT.date() - timedelta(days=1)}, {}, rules.TRAINING),
        ({"trained_until": AT.date()}, {}, rules.IN),
        ({"accredited_until": AT.date() - timedelta(days=1)}, {}, rules.ACCREDITATION),
    ],
)
def test_households_access_and_papers(
    offered: dict[str, Any], asked: dict[str, Any], verdict: str
) -> None:
    [line] = route(_ask(**asked), [_offer("a", **offered)], AT).considered
    assert line.verdict == verdict


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"languages": frozenset({"rhg"})}, {"languages": frozenset({"bn"})}),
        (
            {"schedules": ("FREQ=DAILY||||",)},
            {"schedules": ("FREQ=WEEKLY;BYDAY=MO|09:00|17:00||",)},
        ),
        ({"records": _did(served=9, ended=10)}, {"records": _did(served=1, ended=10)}),
        (
            {"records": (("shelter", Record(recent=1)),)},
            {"records": (("shelter", Record(recent=9)),)},
        ),
        ({"open_referrals": 1}, {"open_referrals": 4}),
        ({"places_free": 2, "capacity_at": AT}, {}),
    ],
)
def test_what_makes_an_offer_better(better: dict[str, Any], worse: dict[str, Any]) -> None:
    question = _ask(languages=frozenset({"rhg"}))
    for good, bad in (("a", "b"), ("b", "a")):
        decision = route(question, [_offer(good, **better), _offer(bad, **worse)], AT)
        assert decision.chosen is not None
        assert decision.chosen.offer_id == good


def test_every_conflict_hides_whatever_else_is_true_of_the_offer() -> None:
    far = _offer("secret", area_level="district")
    far = replace(far, area_pcode="BD1004")
    question = _ask(excluded=frozenset({"secret"}))
    decision = route(question, [far], AT)
    assert "secret" not in repr(explain(decision, question, AT))
    assert decision.beyond == ()


def test_a_policy_is_read_with_dates_and_its_mistakes_are_named() -> None:
    usual = policy_on(AT.date())
    assert usual.version == "2026-1"
    tried = parse_policy({"version": "x", "weights": {"distance": 3}}, usual)
    assert (tried.weights.distance, tried.weights.level) == (3, usual.weights.level)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("unknown field", {"speed": 1}),
        ("version", {"version": "<script>"}),
        ("weights", {"weights": {"distance": -1}}),
        ("weights", {"weights": {"distance": float("nan")}}),
        ("weights", {"weights": {"luck": 1}}),
        ("weights", {"weights": [1]}),
        ("full", {"full": {"km": 0}}),
        ("stale_after", {"stale_after": "7 canary"}),
        ("widen", {"widen": ["country"]}),
    ]
    for field, said in wrong:
        with pytest.raises(PolicyWrong) as caught:
            parse_policy(said, usual)
        assert str(caught.value) == field
    with pytest.raises(PolicyWrong):
        policy_on(AT.date().replace(year=1999))
