"""Who lets a referral go out: the rule by itself, or a person; told again beside the real rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.referral import ranking
from services.referral.ranking import Policy, PolicyWrong, parse_policy, policy_on
from services.referral.rules import NEVER_ALONE, Rule
from services.referral.world import Case, may_release
from shared.events import ConsentState
from shared.vocabulary import Concern, Need, ReferralState
from tests.support.referrals import (
    AT,
    RULES,
    answer,
    case_of,
    facts,
    last,
    offer,
    plan,
    types,
    world,
)

PERSONS = {
    *("rescue", "shelter", "missing_child_alert", "child_labour_removal", "family_tracing"),
    *("alternative_care", "age_assessment", "repatriation"),
}
"""Needs marked P in the product's list: a person releases them."""

MISSING: dict[str, dict[str, Any]] = {
    "nobody entitled reported": {"entitled": False},
    "no consent": {"consent": ConsentState()},
    "consent for something else": {
        "consent": ConsentState(given=True, purposes=["something_else"])
    },
    "somebody alleged may be involved": {"conflict": True},
    "test traffic": {"test": True},
    "about a place": {"about": "place"},
    "closed": {"status": "closed"},
}
"""What takes the release from the rule, one at a time."""


def approving(**concerns: list[str] | str) -> Policy:
    return parse_policy({"approve": concerns}, policy_on(AT.date()))


@settings(max_examples=300, deadline=None)
@given(
    need=st.sampled_from(sorted(Need)),
    missing=st.sets(st.sampled_from(sorted(MISSING))),
    concerns=st.lists(st.sampled_from(sorted(Concern)), max_size=3),
)
@example(need="transport", missing={"consent for something else"}, concerns=[])
def test_a_rule_releases_only_with_everything_that_the_product_asks_for(
    need: str, missing: set[str], concerns: list[str]
) -> None:
    told: dict[str, Any] = {"needs": [need], "concerns": concerns}
    for name in missing:
        told |= MISSING[name]
    policy = approving(child_marriage="all", neglect=["education", "medical"])
    asked = "child_marriage" in concerns or (
        "neglect" in concerns and need in ("education", "medical")
    )
    released = may_release(case_of(facts(**told)), need, RULES[need].terms(AT.date()), policy)
    assert released == (need not in PERSONS and not missing and not asked)


@settings(max_examples=200, deadline=None)
@given(
    need=st.sampled_from(sorted(Need)),
    kinds=st.lists(
        st.sets(st.sampled_from(["ngo", "police", "government"])), min_size=1, max_size=3
    ),
    entitled=st.booleans(),
)
def test_no_machine_sends_a_case_to_the_police_or_for_what_people_decide(
    need: str, kinds: list[set[str]], *, entitled: bool
) -> None:
    offers = [
        offer(str(n), needs=frozenset({need}), kinds=frozenset(k)) for n, k in enumerate(kinds)
    ]
    here = world(*offers)
    got = last(plan(here, case_of(facts(needs=[need], entitled=entitled)), need))
    if got.state == ReferralState.ASSIGNED:
        assert entitled
        assert need not in PERSONS
        assert "police" not in here.offers[str(got.offer_id)].kinds
    else:
        assert (got.state, got.awaits) == ("planned", "release")


def test_no_file_can_let_a_machine_do_what_only_people_do() -> None:
    assert NEVER_ALONE < PERSONS
    for need in sorted(NEVER_ALONE):
        period = {**RULES[need].periods[0], "release": "automatic"}
        with pytest.raises(ValueError, match="release"):
            Rule(need, (period,), RULES[need].clocks).terms(AT.date())
    wrong = {**RULES["medical"].periods[0], "release": "sometimes"}
    with pytest.raises(ValueError, match="release"):
        Rule("medical", (wrong,), RULES["medical"].clocks).terms(AT.date())


def test_a_concern_asks_for_a_person_until_one_has_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    period = {"version": "mine", "from": AT.date(), "approve": {"child_marriage": ["medical"]}}
    periods = ((AT.date(), AT.date().replace(year=2099), parse_policy(period)),)
    monkeypatch.setattr(ranking, "_periods", lambda: periods)
    policy_on.cache_clear()
    try:
        here = world(offer("near"), offer("far", "district", "BD3026"))
        case = case_of(facts(concerns=["child_marriage"]))
        assert [types(plan(here, case)), last(plan(here, case_of(facts()))).state] == [
            ["planned"],
            "assigned",
        ]
        [one] = here.of(case.case_id)
        assert (one.awaits, one.suggested) == ("release", "near")
        other = case_of(facts())
        assigned = last(plan(here, other))
        told = Case(other.case_id, 2, facts(concerns=["child_marriage"]))
        here.cases[other.case_id] = told
        again = last(answer(here, told, assigned, "decline"))
        assert (again.state, again.awaits) == ("planned", "release")
    finally:
        monkeypatch.undo()
        policy_on.cache_clear()


@pytest.mark.parametrize(
    "said",
    [
        {"approve": "all"},
        {"approve": {"canary": "all"}},
        {"approve": {"neglect": ["canary"]}},
        {"approve": {"neglect": "some"}},
        {"approve": {"neglect": 1}},
    ],
)
def test_what_is_no_concern_or_need_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(PolicyWrong, match="approve"):
        parse_policy(said, policy_on(AT.date()))
