"""Referrals: who may do what in which state, and what follows from cases and answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.referral import domain, eligibility
from services.referral.answers import bring_forward, follow
from services.referral.bodies import BODIES
from services.referral.desk import release, tell
from services.referral.domain import Actor, Order, allowed, check, shown
from services.referral.eligibility import NOT_AGREED
from services.referral.referral import FINAL, PROMISED, Referral, Told, change, facts_of
from services.referral.rules import NoTerms, Rule, RuleUnknown, load_rules
from services.referral.world import Case, Change, World, areas_of, summary_of
from shared.errors import Conflict, Forbidden, InvalidBody, Stale
from shared.events import CaseFacts, ConsentGrant, ConsentState, Event
from shared.vocabulary import Need, ReferralState, Role
from tests.support.referrals import (
    AT,
    DESK,
    FAR,
    FIELDS,
    MINE,
    NEAR,
    RULES,
    answer,
    case_of,
    facts,
    last,
    offer,
    plan,
    referral,
    say,
    types,
    world,
)

OTHER = Actor(Role.PROVIDER_WORKER, "provider_worker:y", "far")
AUDITOR = Actor(Role.AUDITOR, "auditor:w")


# --- who may do what ------------------------------------------------------------------------------

SERVING = ("appointment", "milestone", "refer-onward")

PROVIDER_MAY: dict[str, list[str]] = {
    "planned": [],
    "waiting": [],
    "assigned": ["accept", "decline"],
    "waitlisted": ["accept", "decline", "contact", "start", "hold", *SERVING, "fail"],
    "accepted": ["contact", "start", "hold", *SERVING, "deliver", "fail"],
    "in_service": ["contact", "hold", *SERVING, "deliver", "fail"],
    "on_hold": ["contact", "start", *SERVING, "deliver", "fail"],
    "declined": [],
    "expired": [],
    "delivered": ["refer-onward"],
    "failed": [],
    "withdrawn": ["acknowledge-withdrawal"],
    "entered_in_error": ["acknowledge-withdrawal"],
}
DESK_MAY: dict[str, list[str]] = {
    **{state: [] for state in PROVIDER_MAY},
    "planned": ["release", "told", "withdraw", "mark-error"],
    "waiting": ["release", "told", "withdraw", "mark-error"],
    **{str(state): ["withdraw", "mark-error"] for state in ("assigned", *PROMISED)},
    **{state: ["mark-error"] for state in ("delivered", "failed")},
}


@pytest.mark.parametrize("state", PROVIDER_MAY)
def test_what_each_may_do_in_each_state(state: str) -> None:
    one = referral(state)
    assert allowed(one, MINE) == PROVIDER_MAY[state]
    assert allowed(one, DESK) == DESK_MAY[state]
    assert allowed(one, OTHER) == []
    assert allowed(one, AUDITOR) == []


def test_every_state_is_tried_above() -> None:
    assert set(PROVIDER_MAY) == set(ReferralState)


def test_the_desk_answers_for_an_office_that_it_told() -> None:
    one = referral(told=Told(how="call", by="coordinator:z", at=AT))
    assert allowed(one, DESK) == ["accept", "decline", "withdraw", "mark-error"]


def test_test_traffic_is_nobodys_to_answer() -> None:
    assert allowed(referral(test=True), MINE) == []


@pytest.mark.parametrize("state", PROVIDER_MAY)
@pytest.mark.parametrize("verb", domain.VERBS)
def test_a_verb_is_possible_exactly_when_it_is_allowed(state: str, verb: str) -> None:
    one = referral(state)
    order = Order(verb, reason="no_capacity", fields=FIELDS)
    for actor in (MINE, OTHER, DESK, AUDITOR):
        if verb in allowed(one, actor):
            assert check(one, order, actor)
        else:
            with pytest.raises((Conflict, Forbidden)):
                check(one, order, actor)


def test_a_conflict_names_the_state_and_what_is_allowed() -> None:
    with pytest.raises(Conflict) as caught:
        check(referral("expired"), Order("accept"), MINE)
    assert caught.value.members["state"] == "expired"
    assert caught.value.members["held_by"] == "near"
    assert caught.value.members["allowed"] == []


REASONS = {
    "missing": (Order("decline"), "missing"),
    "unknown": (Order("decline", reason="because"), "enum"),
    "other without words": (Order("decline", reason="other", text=" "), "missing"),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_reason_is_needed(name: str) -> None:
    order, rule = REASONS[name]
    with pytest.raises(InvalidBody) as caught:
        check(referral(), order, MINE)
    assert caught.value.members["errors"][0]["rule"] == rule  # type: ignore[index]


def test_other_with_words_is_a_reason() -> None:
    assert check(referral(), Order("decline", reason="other", text="the roof leaks"), MINE)


def test_a_wrong_version_is_stale_and_a_wrong_state_a_conflict() -> None:
    one = referral(version=3)
    assert check(one, Order("accept", version=3, state="assigned"), MINE)
    with pytest.raises(Stale) as caught:
        check(one, Order("accept", version=2), MINE)
    told = {"state": "assigned", "held_by": "near", "version": 3, "allowed": ["accept", "decline"]}
    assert caught.value.members == told
    with pytest.raises(Conflict):
        check(one, Order("accept", state="planned"), MINE)


def _do(one: Referral, verb: str, **fields: Any) -> Referral:
    order = Order(verb, reason="no_capacity", fields={"how_much": "all"} | fields)
    assert check(one, order, MINE)
    return domain.answer(one, order, AT)


REPEATS = [
    ("accept", []),
    ("decline", []),
    ("contact", ["accept"]),
    ("start", ["accept"]),
    ("hold", ["accept"]),
    ("deliver", ["accept", "start"]),
    ("fail", ["accept"]),
]


@pytest.mark.parametrize(("verb", "before"), REPEATS)
def test_the_same_again_is_a_repeat_even_with_an_old_version(verb: str, before: list[str]) -> None:
    one = referral()
    for earlier in before:
        one = _do(one, earlier)
    done = _do(one, verb)
    order = Order(verb, reason="no_capacity", fields={"how_much": "all"}, version=one.version - 1)
    assert not check(done, order, MINE)


def test_an_acceptance_that_comes_again_after_the_start_is_a_repeat() -> None:
    one = _do(_do(_do(referral(), "accept"), "start"), "deliver")
    assert not check(one, Order("accept"), MINE)
    assert not check(one, Order("start"), MINE)
    with pytest.raises(Conflict):
        check(one, Order("decline", reason="no_capacity"), MINE)


def test_a_held_service_goes_on_and_may_be_held_again() -> None:
    one = _do(_do(_do(referral(), "accept"), "start"), "hold", review_on="2026-08-01")
    assert (one.state, one.review_on) == ("on_hold", "2026-08-01")
    assert _do(_do(one, "start"), "hold").state == "on_hold"


def test_a_waitlisted_acceptance_becomes_one_with_a_place() -> None:
    one = _do(referral(), "accept", waitlisted=True, position=2)
    assert one.state == "waitlisted"
    assert one.waiting is not None
    assert one.waiting.position == 2
    assert not check(one, Order("accept", fields={"waitlisted": True}), MINE)
    assert _do(one, "accept").state == "accepted"


def test_each_milestone_is_kept_once() -> None:
    one = _do(referral(), "accept")
    one = _do(one, "milestone", kind="home_enquiry", waiting_on="travel_permit")
    again = Order("milestone", fields={"kind": "home_enquiry", "waiting_on": "travel_permit"})
    assert not check(one, again, MINE)
    one = _do(one, "milestone", kind="travel_permit", due_on="2026-09-01")
    assert [m.kind for m in one.milestones] == ["home_enquiry", "travel_permit"]


def test_texts_are_in_no_event() -> None:
    order = Order("decline", reason="other", text="canary words")
    done = domain.answer(referral(), order, AT)
    assert "canary" not in msgspec.json.encode(done).decode()
    assert "canary" not in msgspec.json.encode(facts_of(done)).decode()


CONTRACT = {
    "referral_id", "case_id", "need", "urgency", "state", "provider_id", "offer_id",
    "released_by", "told", "assigned_at", "respond_by", "first_contact_by", "first_contact_at",
    "deliver_by", "review_on", "attempt", "reason", "summary", "places_needed",
    "provider_reference", "parent_referral_id", "waiting", "appointments", "milestones",
    "delivered", "outcome", "cost", "attachments", "allowed", "test", "version",
}  # fmt: skip
SUMMARY = {
    "age_band", "sex", "languages", "support", "with", "keep_together", "place_now", "mode",
    "safety", "legal",
}  # fmt: skip


def test_a_referral_reads_as_the_contract_says() -> None:
    told = shown(referral(), MINE)
    assert told.keys() >= CONTRACT
    assert told["summary"].keys() == SUMMARY
    assert "suggested_offer_id" not in told
    assert "suggested_offer_id" in shown(referral(), DESK)


# --- rules ----------------------------------------------------------------------------------------

PERSON = {
    "rescue", "shelter", "missing_child_alert", "child_labour_removal", "family_tracing",
    "alternative_care", "age_assessment", "repatriation",
}  # fmt: skip
URGENCIES = {
    "T1": {
        "rescue", "medical", "shelter", "missing_child_alert", "safety_planning",
        "alternative_care", "online_content_removal",
    },
    "T2": {
        "psychosocial", "mental_health", "legal_aid", "case_management", "child_labour_removal",
        "family_tracing", "food_and_items", "transport", "interpreter",
    },
}  # fmt: skip


def test_every_need_has_a_rule_and_those_marked_p_want_a_person() -> None:
    terms = {need: rule.terms(AT.date()) for need, rule in RULES.items()}
    assert set(terms) == set(Need)
    assert {need for need, t in terms.items() if t.release == "person"} == PERSON
    for urgency, needs in URGENCIES.items():
        assert {need for need, t in terms.items() if t.urgency == urgency} == needs


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(RuleUnknown):
        load_rules({"shelter", "clocks"})


def test_the_case_makes_urgent_needs_more_urgent_and_never_less() -> None:
    assert RULES["shelter"].terms(AT.date()).urgency_for("T0") == "T0"
    assert RULES["shelter"].terms(AT.date()).urgency_for("T3") == "T1"
    assert RULES["shelter"].terms(AT.date()).urgency_for(None) == "T1"
    assert RULES["education"].terms(AT.date()).urgency_for("T0") == "T3"
    assert RULES["shelter"].terms(AT.date()).urgency_for("T-1") == "T1"


def test_a_rule_holds_from_its_day_to_the_day_before_its_end() -> None:
    periods = (
        {"from": date(2025, 1, 1), "to": date(2026, 1, 1), "urgency": "T3",
         "follows_case": False, "release": "person"},
        {"from": date(2026, 1, 1), "urgency": "T1", "follows_case": True, "release": "automatic"},
    )  # fmt: skip
    rule = Rule("education", periods, RULES["education"].clocks)
    assert rule.terms(date(2025, 12, 31)).urgency == "T3"
    assert rule.terms(date(2026, 1, 1)).urgency == "T1"
    with pytest.raises(NoTerms):
        rule.terms(date(2024, 12, 31))


WEEK = RULES["legal_aid"].terms(AT.date()).paces["T2"]
CLOCKS = {
    "within the week": (
        datetime(2026, 6, 28, 3, tzinfo=UTC),
        24,
        datetime(2026, 6, 29, 3, tzinfo=UTC),
    ),
    "over Friday and Saturday": (
        datetime(2026, 7, 1, 12, tzinfo=UTC),  # Wednesday 18:00 in Dhaka
        72,
        datetime(2026, 7, 6, 12, tzinfo=UTC),  # Monday 18:00
    ),
    "from a Friday": (
        datetime(2026, 7, 3, 6, tzinfo=UTC),
        24,
        datetime(2026, 7, 5, 18, tzinfo=UTC),  # the end of Sunday in Dhaka
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOCKS)
def test_a_working_clock_stands_still_on_the_weekend_of_bangladesh(name: str) -> None:
    at, hours, due = CLOCKS[name]
    assert WEEK.due(at, timedelta(hours=hours)) == due


def test_a_calendar_clock_runs_through() -> None:
    pace = RULES["shelter"].terms(AT.date()).paces["T1"]
    assert pace.due(AT, pace.respond_within) == AT + timedelta(hours=24)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 500))
def test_a_working_clock_is_never_early_and_never_backwards(minutes: int, hours: int) -> None:
    at = AT + timedelta(minutes=minutes)
    due = WEEK.due(at, timedelta(hours=hours))
    assert due >= at + timedelta(hours=hours)
    assert WEEK.due(at + timedelta(minutes=1), timedelta(hours=hours)) >= due


# --- planning -------------------------------------------------------------------------------------


def test_an_entitled_consented_case_is_planned_released_and_assigned_at_once() -> None:
    here, case = world(NEAR, FAR), case_of(facts())
    done = plan(here, case)
    assert types(done) == ["planned", "released", "assigned"]
    got = last(done)
    assert (got.provider_id, got.released_by, got.attempt, got.version) == ("near", "rule", 1, 3)
    assert got.respond_by == AT + timedelta(hours=24)
    assert here.offers["near"].places_free == 2
    assert here.offers["near"].open_referrals == 1
    assert done.explanations[got.referral_id]["chosen"] == "near"


NOT_BY_MACHINE: dict[str, tuple[dict[str, Any], str]] = {
    "anonymous": ({"entitled": False}, "medical"),
    "no consent": ({"consent": ConsentState()}, "medical"),
    "consent for something else": (
        {"consent": ConsentState(given=True, purposes=["shelter"])},
        "medical",
    ),
    "a possible conflict": ({"conflict": True}, "medical"),
    "test traffic": ({"test": True}, "medical"),
    "a need that a person releases": ({"needs": ["shelter"]}, "shelter"),
}


@pytest.mark.parametrize("name", NOT_BY_MACHINE)
def test_the_rest_is_only_planned(name: str) -> None:
    fields, need = NOT_BY_MACHINE[name]
    here = world(offer("near", needs=frozenset({need}), places_free=2, capacity_at=AT))
    done = plan(here, case_of(facts(**fields)), need)
    assert types(done) == ["planned"]
    got = last(done)
    assert (got.provider_id, got.suggested) == (None, "near")
    assert here.offers["near"].places_free == 2


def test_consent_for_this_need_is_enough() -> None:
    told = facts(consent=ConsentState(given=True, purposes=["medical"]))
    assert types(plan(world(NEAR), case_of(told)))[-1] == "assigned"


def test_a_listed_office_stays_planned_as_a_call_to_make() -> None:
    done = plan(world(offer("office", enrolment="listed")), case_of(facts()))
    assert types(done) == ["planned"]
    assert last(done).suggested == "office"


def test_nobody_is_an_honest_waiting() -> None:
    done = plan(world(offer("boys", sex="male")), case_of(facts()))
    assert types(done) == ["planned", "waiting", "escalated"]
    got = last(done)
    assert got.waiting is not None
    verdicts = [line["verdict"] for line in done.explanations[got.referral_id]["considered"]]
    assert verdicts == [eligibility.SEX]


NOT_PLANNED: dict[str, dict[str, Any]] = {
    "about a place": {"about": "place"},
    "closed": {"status": "closed"},
    "the need has gone": {"needs": ["education"]},
}


@pytest.mark.parametrize("name", NOT_PLANNED)
def test_no_referral_for(name: str) -> None:
    assert types(plan(world(NEAR), case_of(facts(**NOT_PLANNED[name])))) == []


def test_no_referral_after_consent_was_withdrawn() -> None:
    assert types(plan(world(NEAR), case_of(facts(), withdrawn=True))) == []


def test_a_need_is_planned_once() -> None:
    here, case = world(NEAR), case_of(facts())
    plan(here, case)
    assert types(plan(here, case)) == []


def test_a_triage_releases_what_was_only_planned() -> None:
    here, case = world(NEAR), case_of(facts(entitled=False))
    plan(here, case)
    triaged = Case(case.case_id, 2, facts())
    done = plan(here, triaged)
    assert types(done) == ["released", "assigned"]
    assert last(done).attempt == 1


def test_a_triage_that_changes_the_place_plans_again() -> None:
    here, case = world(NEAR, FAR), case_of(facts(entitled=False))
    plan(here, case)
    moved = Case(case.case_id, 2, facts(entitled=False, upazila="BD30260072"))
    done = plan(here, moved)
    assert types(done) == ["planned"]
    assert last(done).suggested == "far"


def test_a_reopened_case_is_planned_anew_and_other_events_do_not() -> None:
    here, case = world(NEAR), case_of(facts())
    got = _answered(here, case, last(plan(here, case)), "accept", "deliver")
    assert got.state == "delivered"
    assert types(plan(here, case)) == []
    done = plan(here, case, reopened=True)
    assert types(done)[-1] == "assigned"
    assert last(done).attempt == 2


def test_an_unknown_place_code_counts_as_unknown() -> None:
    assert areas_of(facts(upazila="BDxx", district=None)) == (("BD",), False)
    assert areas_of(facts(upazila="BDxx")) == (("BD3026", "BD30", "BD"), True)


def test_an_unknown_place_is_planned_for_a_person_and_not_refused() -> None:
    done = plan(world(NEAR), case_of(facts(upazila=None, district=None)))
    assert types(done) == ["planned"]


@pytest.mark.parametrize(
    ("age", "band"),
    [(None, "unknown"), (0, "0-5"), (11, "6-11"), (17, "15-17"), (18, "18-24"), (80, "60+")],
)
def test_the_age_is_told_as_a_band(age: int | None, band: str) -> None:
    assert summary_of(facts(age=age)).age_band == band


def test_after_sexual_violence_the_clocks_are_those_of_treatment() -> None:
    told = facts(medical_until=AT + timedelta(hours=5))
    got = last(plan(world(NEAR), case_of(told)))
    assert got.respond_by == AT + timedelta(hours=1)
    assert got.first_contact_by == AT + timedelta(hours=3)  # 5 h left, 2 h of travel
    early = last(plan(world(NEAR), case_of(facts(medical_until=AT + timedelta(hours=70)))))
    assert early.first_contact_by == AT + timedelta(hours=6)


# --- the desk -------------------------------------------------------------------------------------


def _planned(here: World, **fields: Any) -> tuple[Case, Referral]:
    case = case_of(facts(entitled=False, **fields))
    return case, last(plan(here, case))


def _release(here: World, case: Case, one: Referral, offer_id: str | None = None) -> Change:
    done = release(here, case, one, offer_id, DESK.name, AT)
    here.take(done)
    return done


def test_a_person_releases_to_the_best_offer() -> None:
    here = world(NEAR, FAR)
    done = _release(here, *_planned(here))
    assert types(done) == ["released", "assigned"]
    assert last(done).released_by == DESK.name
    assert last(done).provider_id == "near"


def test_a_person_may_name_another_offer() -> None:
    here = world(NEAR, FAR)
    assert last(_release(here, *_planned(here), "far")).provider_id == "far"


def test_a_person_may_choose_against_age_and_places_but_never_a_conflict() -> None:
    full = offer("full", places_free=0, capacity_at=AT, max_age=9)
    here = world(NEAR, full)
    done = _release(here, *_planned(here), "full")
    assert (last(done).provider_id, last(done).reserved) == ("full", 0)
    with pytest.raises(Conflict) as caught:
        _release(here, *_planned(here, excluded=["far", "full"]), "full")
    assert caught.value.members["why"] == eligibility.CONFLICT


def test_the_police_hear_of_it_from_a_person_only() -> None:
    here = world(offer("thana", kinds=frozenset({"government", "police"})))
    case = case_of(facts())
    planned = plan(here, case)
    assert types(planned) == ["planned"]
    assert last(_release(here, case, last(planned))).provider_id == "thana"


def test_a_court_order_or_a_union_must_be_named() -> None:
    here = world(offer("home", court_order=True))
    case, one = _planned(here)
    with pytest.raises(Conflict):
        _release(here, case, one)
    assert last(_release(here, case, one, "home")).provider_id == "home"


def test_a_listed_office_is_released_then_told() -> None:
    here = world(offer("office", enrolment="listed"))
    case, one = _planned(here)
    released = _release(here, case, one)
    assert types(released) == ["released"]
    assert last(released).state == "planned"
    with pytest.raises(Conflict):
        _release(here, case, one, "office")
    told = Told(how="call", by=DESK.name, at=AT)
    done = tell(here, case, last(released), None, told, name=DESK.name, at=AT)
    assert types(done) == ["assigned"]
    assert last(done).told == told
    assert allowed(last(done), DESK) == ["accept", "decline", "withdraw", "mark-error"]


def test_telling_an_office_releases_too() -> None:
    here = world(offer("office", enrolment="listed"))
    case, one = _planned(here)
    told = Told(how="letter", by=DESK.name, at=AT)
    done = tell(here, case, one, None, told, name=DESK.name, at=AT)
    assert types(done) == ["released", "assigned"]


def test_a_release_to_nobody_waits() -> None:
    here = world(offer("boys", sex="male"))
    case, one = _planned(here)
    assert one.state == "waiting"
    assert types(_release(here, case, one)) == ["released"]
    assert here.of(case.case_id)[0].state == "waiting"


UNSERVED: dict[str, tuple[dict[str, Any], bool]] = {
    "closed": ({"status": "closed"}, False),
    "withdrawn": ({}, True),
}


@pytest.mark.parametrize("name", UNSERVED)
def test_nothing_is_released_for_a_case_that_is(name: str) -> None:
    fields, withdrawn = UNSERVED[name]
    here = world(NEAR)
    case, one = _planned(here)
    with pytest.raises(Conflict):
        _release(here, Case(case.case_id, 2, facts(**fields), withdrawn), one)


def test_the_same_release_again_is_a_repeat() -> None:
    here = world(NEAR)
    case, one = _planned(here)
    done = last(_release(here, case, one))
    assert not check(done, Order("release"), DESK)


# --- answers --------------------------------------------------------------------------------------


def _answered(here: World, case: Case, one: Referral, *verbs: str) -> Referral:
    for verb in verbs:
        one = answer(here, case, one, verb).referrals[one.referral_id]
    return one


def test_a_decline_gives_the_place_back_and_asks_the_next() -> None:
    here, case = world(NEAR, FAR), case_of(facts())
    first = last(plan(here, case))
    done = answer(here, case, first, "decline")
    assert types(done) == ["declined", "planned", "assigned"]
    second = last(done)
    assert (second.provider_id, second.attempt) == ("far", 2)
    assert second.parent_referral_id == first.referral_id
    assert here.offers["near"].places_free == 3
    assert here.offers["near"].open_referrals == 0
    told = done.explanations[second.referral_id]["considered"]
    assert {line["offer_id"]: line["verdict"] for line in told} == {
        "near": eligibility.TRIED,
        "far": eligibility.IN,
    }


def test_what_a_rule_released_is_not_offered_again_once_consent_has_narrowed() -> None:
    here, case = world(NEAR, FAR), case_of(facts())
    first = last(plan(here, case))
    narrowed = Case(case.case_id, 2, facts(consent=ConsentState(given=True, purposes=["shelter"])))
    done = answer(here, narrowed, first, "decline")
    assert types(done) == ["declined", "planned"]


def test_what_a_person_released_goes_on_by_itself() -> None:
    here = world(NEAR, FAR)
    case, one = _planned(here)
    first = last(_release(here, case, one))
    done = answer(here, case, first, "decline")
    assert types(done) == ["declined", "planned", "assigned"]
    assert last(done).released_by == DESK.name


def test_an_acceptance_sets_the_next_deadlines() -> None:
    here, case = world(NEAR), case_of(facts())
    done = answer(here, case, last(plan(here, case)), "accept")
    got = last(done)
    assert got.first_contact_by == AT + timedelta(hours=24)
    assert got.deliver_by == AT + timedelta(days=7)
    assert here.offers["near"].places_free == 2


def test_a_waitlisted_acceptance_holds_no_place_until_there_is_one() -> None:
    here, case = world(NEAR), case_of(facts())
    waits = last(answer(here, case, last(plan(here, case)), "accept", waitlisted=True))
    assert here.offers["near"].places_free == 3
    assert last(answer(here, case, waits, "accept")).reserved == 1
    assert here.offers["near"].places_free == 2


@pytest.mark.parametrize("verbs", [("accept", "fail"), ("accept", "deliver"), ("withdraw",)])
def test_the_end_gives_the_place_back(verbs: tuple[str, ...]) -> None:
    here, case = world(NEAR), case_of(facts())
    _answered(here, case, last(plan(here, case)), *verbs)
    assert here.offers["near"].places_free == 3
    assert here.offers["near"].open_referrals == 0


def test_a_part_delivered_by_mistake_plans_the_rest_once() -> None:
    here, case = world(NEAR), case_of(facts())
    one = _answered(here, case, last(plan(here, case)), "accept")
    answer(here, case, one, "deliver", how_much="part")
    delivered = here.of(case.case_id)[0]
    assert types(answer(here, case, delivered, "mark-error")) == ["withdrawn"]
    assert [r.state for r in here.of(case.case_id)] == ["entered_in_error", "assigned"]


def test_a_delivery_in_part_plans_the_rest() -> None:
    here, case = world(NEAR), case_of(facts())
    accepted = _answered(here, case, last(plan(here, case)), "accept")
    done = answer(here, case, accepted, "deliver", how_much="part")
    assert types(done) == ["service-delivered", "planned", "released", "assigned"]
    assert (last(done).attempt, last(done).parent_referral_id) == (2, accepted.referral_id)


# --- what the events of a case do -----------------------------------------------------------------


def event(case: Case, kind: str, told: CaseFacts, sequence: int = 2) -> Event:
    return Event(uuid4(), "/intake", kind, str(case.case_id), AT, sequence, "x:y", None, told)


def _with_referral(state: str, **fields: Any) -> tuple[World, Case, Referral]:
    here, case = world(NEAR), case_of(facts())
    one = referral(state, case_id=case.case_id, need="medical", **fields)
    here.cases[case.case_id] = case
    here.referrals[case.case_id] = {one.referral_id: one}
    return here, case, one


ENDS = {
    "consent-withdrawn": {"planned", "waiting", "assigned", *PROMISED},
    "case-erased": {"planned", "waiting", "assigned", *PROMISED},
    "case-closed": {"planned", "waiting", "assigned"},
    "case-updated": set(),
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("state", PROVIDER_MAY)
def test_what_a_case_event_ends(kind: str, state: str) -> None:
    here, case, _ = _with_referral(state)
    done = bring_forward(here, event(case, kind, facts(consent=ConsentState())))
    assert types(done) == (["withdrawn"] if state in ENDS[kind] else [])


def test_a_withdrawal_of_one_purpose_ends_what_it_was_for() -> None:
    here, case, _ = _with_referral("accepted")
    kept = facts(consent=ConsentState(given=True, purposes=["medical"]))
    assert types(bring_forward(here, event(case, "consent-withdrawn", kept))) == []
    lost = facts(consent=ConsentState(given=True, purposes=["shelter"]))
    done = bring_forward(here, event(case, "consent-withdrawn", lost))
    assert last(done).reason == "consent_withdrawn"
    assert allowed(last(done), MINE) == ["acknowledge-withdrawal"]


def grants(*providers: str, needs: tuple[str, ...] = ()) -> ConsentState:
    grant = ConsentGrant(purposes=list(needs), providers=list(providers))
    return ConsentState(given=True, grants=[grant])


def test_only_providers_the_person_agreed_to_get_it_and_the_explanation_says_so() -> None:
    here, case = world(NEAR, FAR), case_of(facts(consent=grants("far")))
    done = plan(here, case)
    assert last(done).provider_id == "far"
    told = done.explanations[last(done).referral_id]
    verdicts = {line["offer_id"]: line["verdict"] for line in told["considered"]}
    assert verdicts["near"] == NOT_AGREED
    assert told["facts"]["agreed_providers"] == ["far"]


def test_nobody_else_gets_it_when_the_agreed_provider_says_no_nor_by_the_desk() -> None:
    here, case = world(NEAR, FAR), case_of(facts(consent=grants("far")))
    declined = answer(here, case, last(plan(here, case)), "decline")
    assert types(declined) == ["declined", "planned", "waiting", "escalated"]
    with pytest.raises(Conflict) as caught:
        release(here, case, last(declined), "near", DESK.name, AT)
    assert caught.value.members["why"] == NOT_AGREED


def test_what_was_agreed_for_another_need_limits_nobody() -> None:
    here, case = world(NEAR, FAR), case_of(facts(consent=grants("far", needs=("shelter",))))
    assert last(plan(here, case)).provider_id is not None


def test_another_need_that_a_provider_saw_waits_for_a_person() -> None:
    lawyer = offer("lawyer", needs=frozenset({"legal_aid"}))
    here, case = world(NEAR, lawyer), case_of(facts())
    one = _answered(here, case, last(plan(here, case)), "accept")
    done = answer(here, case, one, "refer-onward")
    onward = last(done)
    assert (types(done), onward.need, onward.state) == (
        ["referred-onward", "planned"],
        "legal_aid",
        "planned",
    )
    assert (onward.awaits, onward.parent_referral_id) == ("release", one.referral_id)
    assert types(answer(here, case, one, "refer-onward")) == []
    with pytest.raises(Conflict) as caught:
        answer(here, case, one, "refer-onward", need="medical")
    assert caught.value.members["why"] == "already_planned"
    assert (caught.value.members["state"], caught.value.members["held_by"]) == ("accepted", "near")
    gone = last(_release(here, case, onward))
    assert (gone.state, gone.provider_id) == ("assigned", "lawyer")
    stranger = change(one, referral_id=uuid4())
    with pytest.raises(Conflict) as caught:
        answer(here, case, stranger, "refer-onward")
    assert (caught.value.members["state"], caught.value.members["held_by"]) == ("assigned", None)
    with pytest.raises(Conflict) as caught:
        answer(here, replace(case, withdrawn=True), one, "refer-onward", need="education")
    assert caught.value.members["why"] == "case_not_served"


@pytest.mark.parametrize("verbs", [("start",), ("hold", "start"), ("accept",)])
def test_whoever_waited_for_a_place_has_one_and_a_day_when_served(verbs: tuple[str, ...]) -> None:
    here, case = world(NEAR), case_of(facts())
    first = last(plan(here, case))
    one = last(answer(here, case, first, "accept", waitlisted=True))
    assert (one.reserved, here.offers["near"].places_free) == (0, 3)
    one = _answered(here, case, one, *verbs)
    assert (one.reserved, here.offers["near"].places_free) == (1, 2)
    assert one.deliver_by is not None
    assert one.waiting is None


def test_an_appointment_moves_to_another_time_only() -> None:
    at = "2026-12-01T10:00:00Z"
    with pytest.raises(ValidationError):
        BODIES["appointment"].model_validate(
            {"kind": "visit", "at": at, "state": "moved", "moved_to": "2026-12-01T16:00:00+06:00"}
        )


def test_a_mistake_is_heard_of_and_gives_back_what_it_held() -> None:
    here, case = world(NEAR), case_of(facts())
    one = last(plan(here, case))
    done = answer(here, case, one, "mark-error")
    wrong = last(done)
    assert (types(done), wrong.state, wrong.unacknowledged) == (
        ["withdrawn"],
        "entered_in_error",
        True,
    )
    assert (here.offers["near"].places_free, here.offers["near"].open_referrals) == (3, 0)
    assert not last(answer(here, case, wrong, "acknowledge-withdrawal")).unacknowledged


def test_appointments_are_planned_moved_and_kept_once() -> None:
    here, case = world(NEAR), case_of(facts())
    one = _answered(here, case, last(plan(here, case)), "accept")
    later = AT + timedelta(days=2)

    def meet(one: Referral, **fields: Any) -> Referral:
        return last(say(here, case, one, Order("appointment", fields={"kind": "visit"} | fields)))

    one = meet(one, at=AT, state="planned", transport="van")
    one = meet(one, at=AT, state="moved", moved_to=later)
    one = meet(one, at=later, state="kept")
    told = [(a.at, a.state, a.transport) for a in one.appointments]
    assert told == [(AT, "moved", "van"), (later, "kept", "van")]
    assert one.first_contact_at == AT
    assert "appointments" not in msgspec.to_builtins(facts_of(one))
    again = Order("appointment", fields={"kind": "visit", "at": later, "state": "kept"})
    assert not check(one, again, MINE)


def test_a_consent_that_no_longer_names_a_provider_ends_its_referral() -> None:
    here, case, _ = _with_referral("accepted")
    kept = facts(consent=grants("near", "far"))
    assert types(bring_forward(here, event(case, "consent-withdrawn", kept))) == []
    done = bring_forward(here, event(case, "consent-withdrawn", facts(consent=grants("far"))))
    assert last(done).reason == "consent_withdrawn"


@pytest.mark.parametrize("state", ["assigned", "accepted", "in_service"])
@pytest.mark.parametrize("named", ["near", "ctc_member"])
def test_who_is_named_later_loses_it_unheard_and_the_next_gets_it(state: str, named: str) -> None:
    here = world(replace(NEAR, kinds=frozenset({"ctc_member"})), FAR)
    case = case_of(facts())
    one = referral(state, case_id=case.case_id, need="medical", offer_id="near", attempt=1)
    here.cases[case.case_id] = case
    here.referrals[case.case_id] = {one.referral_id: one}
    done = bring_forward(here, event(case, "case-triaged", facts(excluded=[named])))
    ended = last(done)
    assert (types(done), ended.reason) == (["withdrawn"], "excluded")
    assert (allowed(ended, MINE), allowed(ended, DESK)) == ([], ["acknowledge-withdrawal"])
    here.take(done)
    again = plan(here, here.cases[case.case_id])
    assert (last(again).provider_id, last(again).attempt) == ("far", one.attempt + 1)


def test_what_a_provider_asked_for_is_planned_again_when_whoever_had_it_is_named() -> None:
    lawyers = [offer(key, needs=frozenset({"legal_aid"})) for key in ("one", "two")]
    here, case = world(NEAR, *lawyers), case_of(facts())
    here.cases[case.case_id] = case
    one = _answered(here, case, last(plan(here, case)), "accept")
    gone = last(_release(here, case, last(answer(here, case, one, "refer-onward"))))
    told = facts(excluded=[gone.provider_id])
    done = bring_forward(here, event(case, "case-updated", told))
    assert types(done) == ["withdrawn", "planned"]
    again = last(done)
    assert (again.need, again.state, again.awaits) == ("legal_aid", "planned", "release")
    assert again.suggested not in (None, gone.offer_id)


def test_a_name_of_somebody_else_ends_nothing() -> None:
    here, case, _ = _with_referral("accepted")
    done = bring_forward(here, event(case, "case-triaged", facts(excluded=["another", "police"])))
    assert types(done) == []


def test_an_older_event_changes_nothing() -> None:
    here, case, _ = _with_referral("assigned")
    done = bring_forward(here, event(case, "consent-withdrawn", facts(), sequence=1))
    assert (done.case, types(done)) == (None, [])


def test_consent_that_is_given_again_lets_the_need_be_planned_again() -> None:
    here, case = world(NEAR), case_of(facts())
    here.cases[case.case_id] = case
    plan(here, case)
    gone = bring_forward(here, event(case, "consent-withdrawn", facts(consent=ConsentState())))
    here.take(gone)
    assert here.cases[case.case_id].withdrawn
    back = bring_forward(here, event(case, "consent-given", facts(), 3))
    here.take(back)
    assert back.case is not None
    assert types(plan(here, back.case))[-1] == "assigned"


def test_a_closed_case_gives_its_places_back() -> None:
    here, case = world(NEAR), case_of(facts())
    here.cases[case.case_id] = case
    plan(here, case)
    done = bring_forward(here, event(case, "case-closed", facts()))
    assert done.case is not None
    assert done.case.facts.status == "closed"
    here.take(done)
    assert here.offers["near"].places_free == 3


# --- any course of answers ------------------------------------------------------------------------

_verbs = st.lists(
    st.sampled_from([v for v in domain.VERBS if v not in ("release", "told", "refer-onward")]),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(_verbs)
def test_whatever_is_answered_places_are_neither_lost_nor_made(verbs: list[str]) -> None:
    here, case = world(NEAR, FAR), case_of(facts())
    plan(here, case)
    for verb in verbs:
        current = here.of(case.case_id)[-1]
        actor = Actor(Role.PROVIDER_SYSTEM, "x", current.provider_id)
        who = DESK if verb in ("withdraw", "mark-error") else actor
        order = Order(verb, reason="no_capacity", fields=FIELDS)
        try:
            if check(current, order, who):
                here.take(follow(here, case, current, order, AT))
        except (Conflict, Forbidden):
            continue
    held = sum(r.reserved for r in here.of(case.case_id) if r.offer_id == "near")
    alive = sum(r.open and r.offer_id == "near" for r in here.of(case.case_id))
    assert here.offers["near"].places_free == 3 - held
    assert here.offers["near"].open_referrals == alive
    assert all(r.reserved == 0 for r in here.of(case.case_id) if r.state in FINAL)
    numbers = [r.attempt for r in here.of(case.case_id)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(isinstance(r.referral_id, UUID) for r in here.of(case.case_id))
