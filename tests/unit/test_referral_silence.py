"""Silence: what a referral owes by when, who is told step by step, and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.referral import domain
from services.referral.answers import bring_forward, fall_due
from services.referral.desk import release, tell
from services.referral.domain import Actor, Order, check, shown
from services.referral.referral import (
    FINAL,
    LIVE,
    SUPERSEDED,
    Appointment,
    Escalation,
    Milestone,
    Referral,
    Told,
    Waiting,
    change,
    facts_of,
)
from services.referral.rules import Rule, load_rules
from services.referral.silence import (
    LADDER,
    Silence,
    above,
    begins,
    climb,
    next_look,
    next_step,
    settled,
    silences_of,
)
from services.referral.world import Case, Change, World
from shared.errors import Conflict, Forbidden
from shared.events import ConsentState, Event
from shared.vocabulary import ReferralState, Role
from tests.support.referrals import (
    AT,
    DESK,
    FAR,
    FIELDS,
    KERANIGANJ,
    MINE,
    NEAR,
    RULES,
    add_offer,
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

if TYPE_CHECKING:
    from pathlib import Path

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TERMS = RULES["medical"].terms(AT.date())
T1 = TERMS.paces["T1"]
THIRD = offer("third", "division", "BD30")
SECOND = HOUR * 24  # of T1: an answer, and then a first contact, is owed within a day


def look(here: World, case: Case, one: Referral, at: datetime) -> Change:
    """Let a timer look at a referral as the world has it, and let the world see what it did."""
    done = fall_due(here, case, here.referrals[case.case_id][one.referral_id], at)
    here.take(done)
    return done


def told_of(done: Change) -> list[tuple[str, str]]:
    """Return what people were told: silence and to whom."""
    return [
        (h.referral.escalation.silence, h.referral.escalation.to)
        for h in done.happenings
        if h.type == "referral-escalated" and h.referral.escalation is not None
    ]


def assigned(here: World, **fields: Any) -> tuple[Case, Referral]:
    case = case_of(facts(**fields))
    here.cases[case.case_id] = case
    return case, last(plan(here, case))


def accepted(here: World, **fields: Any) -> tuple[Case, Referral]:
    case, one = assigned(here, **fields)
    return case, last(answer(here, case, one, "accept"))


def now(here: World, one: Referral) -> Referral:
    return here.referrals[one.case_id][one.referral_id]


# --- what a referral may be silent about, and from when -------------------------------------------

SERVING = ("appointment", "milestone", "quiet", "deliver")

MAY_BE_SILENT: dict[str, tuple[str, ...]] = {
    "planned": (),
    "waiting": ("nobody_serves",),
    "assigned": ("respond",),
    "accepted": ("first_contact", *SERVING),
    "waitlisted": ("waitlist",),
    "in_service": SERVING,
    "on_hold": ("review", *SERVING),
    **{str(state): () for state in sorted(FINAL)},
}


@pytest.mark.parametrize("state", MAY_BE_SILENT)
def test_what_each_state_may_be_silent_about(state: str) -> None:
    assert silences_of(referral(state)) == MAY_BE_SILENT[state]


def test_every_state_is_tried_above() -> None:
    assert set(MAY_BE_SILENT) == set(ReferralState)
    assert {*LIVE, *FINAL} == set(ReferralState)


def test_what_awaits_the_desk_and_what_was_contacted() -> None:
    assert silences_of(referral("planned", awaits="call", awaits_since=AT)) == ("release",)
    assert silences_of(referral("accepted", first_contact_at=AT)) == SERVING


def _waits(expected_on: str | None = None) -> dict[str, Any]:
    return {"waiting": Waiting(since=AT, expected_on=expected_on)}


def meeting(state: str, at: datetime = AT, kind: str = "visit") -> Appointment:
    return Appointment(kind=kind, at=at, state=state)


def step(due_on: str | None) -> Milestone:
    return Milestone(kind="identity_check", at=AT, waiting_on="court_order", due_on=due_on)


_LAST = datetime(2026, 7, 3, 17, 59, 59, 999999, UTC)

BEGINS: dict[str, tuple[str, dict[str, Any], datetime | None]] = {
    "release": ("planned", {"awaits": "release", "awaits_since": AT}, AT + HOUR),
    "nobody_serves": ("waiting", _waits(), AT),
    "respond": ("assigned", {"respond_by": AT}, None),
    "first_contact": ("accepted", {"first_contact_by": AT + HOUR}, AT + HOUR),
    "appointment": ("in_service", {"appointments": [meeting("missed")]}, AT),
    "milestone": ("in_service", {"milestones": [step("2026-07-03")]}, _LAST),
    "review": ("on_hold", {"review_on": "2026-07-03"}, _LAST),
    "quiet": ("in_service", {"heard_at": AT}, AT + 14 * DAY),
    "deliver": ("in_service", {"deliver_by": AT + DAY}, AT + DAY),
    "waitlist": ("waitlisted", _waits(), AT + DAY),
    "acknowledge": ("withdrawn", {"withdrawn_at": AT}, AT + DAY),
}


@pytest.mark.parametrize("silence", BEGINS)
def test_a_silence_begins(silence: str) -> None:
    state, fields, at = BEGINS[silence]
    one = referral(state, **fields)
    assert begins(one, silence, T1) == at
    assert begins(referral(state), silence, T1) is None, "without the fact it has no time"


def test_every_silence_is_tried_above() -> None:
    assert set(BEGINS) == set(Silence)


def test_who_said_when_to_hear_again_is_not_silent_before() -> None:
    quiet = referral("in_service", heard_at=AT, milestones=[step("2026-07-03")])
    assert begins(quiet, "quiet", T1) is None
    resting = referral("on_hold", heard_at=AT, review_on="2026-07-03")
    assert begins(resting, "quiet", T1) is None
    assert begins(referral("in_service", heard_at=AT, review_on="2026-07-03"), "quiet", T1)


@pytest.mark.parametrize(
    ("meetings", "at"),
    [
        ([], None),
        ([("planned", AT)], AT + 2 * HOUR),
        ([("kept", AT)], None),
        ([("missed", AT)], AT),
        ([("missed", AT), ("planned", AT + DAY)], AT + DAY + 2 * HOUR),
        ([("missed", AT), ("kept", AT + DAY)], None),
        ([("moved", AT), ("missed", AT + DAY)], AT + DAY),
        ([("kept", AT), ("missed", AT + DAY)], AT + DAY),
    ],
)
def test_an_appointment_is_asked_about_until_it_is_settled(
    meetings: list[tuple[str, datetime]], at: datetime | None
) -> None:
    one = referral("in_service", appointments=[meeting(state, when) for state, when in meetings])
    assert begins(one, "appointment", T1) == at


def test_a_word_ends_the_silence_it_is_about() -> None:
    here = world(NEAR)
    case, one = accepted(here)
    one = change(last(answer(here, case, one, "start")), deliver_by=None)
    here.referrals[case.case_id] = {one.referral_id: one}
    told = last(look(here, case, one, AT + 15 * DAY))
    assert told.escalation is not None
    assert told.escalation.silence == "quiet"
    spoken = last(answer(here, case, told, "milestone", AT + 15 * DAY, kind="reception"))
    assert spoken.escalation is None
    missed = Order("appointment", fields={"kind": "visit", "at": AT + 16 * DAY, "state": "missed"})
    one = last(say(here, case, spoken, missed, AT + 16 * DAY))
    asked = last(look(here, case, one, AT + 16 * DAY))
    assert asked.escalation is not None
    assert asked.escalation.silence == "appointment"
    kept = Order("appointment", fields=missed.fields | {"at": AT + 17 * DAY, "state": "kept"})
    assert last(say(here, case, asked, kept, AT + 17 * DAY)).escalation is None


DAYS = {
    "2026-07-03": datetime(2026, 7, 3, 17, 59, 59, 999999, UTC),  # Dhaka is 6 hours ahead
    "9999-12-31": datetime(9999, 12, 31, 17, 59, 59, 999999, UTC),
}


@pytest.mark.parametrize("day", DAYS)
def test_a_promised_day_ends_where_the_person_is(day: str) -> None:
    assert begins(referral("waitlisted", **_waits(day)), "waitlist", T1) == DAYS[day]


WITHIN: dict[str, dict[str, timedelta]] = {
    "assign_within": {"T0": 15 * MINUTE, "T1": HOUR, "T2": 3 * HOUR, "T3": 24 * HOUR},
    "respond_within": {"T0": 15 * MINUTE, "T1": 24 * HOUR, "T2": 72 * HOUR, "T3": 7 * DAY},
    "escalate_within": {"T0": 15 * MINUTE, "T1": 2 * HOUR, "T2": 24 * HOUR, "T3": 72 * HOUR},
}


@pytest.mark.parametrize("name", WITHIN)
def test_the_clocks_are_those_of_the_product(name: str) -> None:
    paces = RULES["medical"].terms(AT.date()).paces
    assert {urgency: getattr(pace, name) for urgency, pace in paces.items()} == WITHIN[name]
    assert {u for u, pace in paces.items() if pace.clock == "calendar"} == {"T0", "T1"}


def test_a_need_may_have_clocks_of_its_own() -> None:
    own = {"T1": {"escalate_within": "30m", "assign_within": "5m"}}
    period = {**RULES["medical"].periods[0], **own}
    pace = Rule("medical", (period,), RULES["medical"].clocks).terms(AT.date()).paces["T1"]
    assert (pace.escalate_within, pace.assign_within) == (30 * MINUTE, 5 * MINUTE)
    assert pace.respond_within == T1.respond_within


def test_clocks_hold_from_a_day_to_a_day() -> None:
    new = {**RULES["medical"].clocks[0], "from": date(2026, 8, 1)}
    new["T1"] = {**new["T1"], "escalate_within": "1h"}
    old = {**RULES["medical"].clocks[0], "to": date(2026, 8, 1)}
    rule = Rule("medical", RULES["medical"].periods, (old, new))
    assert rule.terms(date(2026, 7, 31)).paces["T1"].escalate_within == 2 * HOUR
    assert rule.terms(date(2026, 8, 1)).paces["T1"].escalate_within == HOUR


def test_a_centre_may_have_clocks_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "clocks.toml"
    own.write_text('[period]\nretry_waiting_within = "2m"\n[period.T1]\nrespond_within = "5s"\n')
    terms = load_rules({"medical"}, own)["medical"].terms(AT.date())
    assert terms.paces["T1"] == replace(T1, respond_within=timedelta(seconds=5))
    assert terms.paces["T2"] == TERMS.paces["T2"]
    assert terms.retry_waiting_within == 2 * MINUTE


@pytest.mark.parametrize(
    "text", ["", "period = 1", "[period.T9]", "[period.T1]\nrespond_within = 5"]
)
def test_wrong_clocks_are_refused(text: str, tmp_path: Path) -> None:
    own = tmp_path / "clocks.toml"
    own.write_text(text)
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        load_rules({"medical"}, own)


# --- the ladder -----------------------------------------------------------------------------------


def told(silence: str, to: str, at: datetime = AT) -> Escalation:
    return Escalation(silence=silence, to=to, at=at)


def test_the_ladder_has_three_steps_and_no_committee() -> None:
    assert LADDER == ("coordinator", "supervisor", "district_focal_person")
    assert [above(step) for step in (None, *LADDER)] == [*LADDER, None]


_LATE = {"first_contact_by": AT, "deliver_by": AT + DAY}
_STEP = T1.escalate_within
STEPS: dict[str, tuple[dict[str, Any], tuple[datetime, str, str] | None]] = {
    "the first": (_LATE, (AT, "first_contact", "coordinator")),
    "the second": (
        {**_LATE, "escalation": told("first_contact", "coordinator")},
        (AT + _STEP, "first_contact", "supervisor"),
    ),
    "the third": (
        {**_LATE, "escalation": told("first_contact", "supervisor", AT + _STEP)},
        (AT + 2 * _STEP, "first_contact", "district_focal_person"),
    ),
    "the next silence, when the ladder is at its end": (
        {**_LATE, "escalation": told("first_contact", "district_focal_person")},
        (AT + DAY, "deliver", "coordinator"),
    ),
    "the next silence, when it comes before the next step": (
        {**_LATE, "deliver_by": AT + HOUR, "escalation": told("first_contact", "coordinator")},
        (AT + HOUR, "deliver", "coordinator"),
    ),
    "up the later silence, never back to the earlier": (
        {
            **_LATE,
            "escalation": told("deliver", "coordinator", AT + DAY),
            "told_of": ["first_contact", "deliver"],
        },
        (AT + DAY + _STEP, "deliver", "supervisor"),
    ),
    "an earlier silence that nobody was told of, beside a later one": (
        {**_LATE, "escalation": told("appointment", "coordinator"), "told_of": ["appointment"]},
        (AT, "first_contact", "coordinator"),
    ),
    "none above the last": (
        {
            **_LATE,
            "escalation": told("deliver", "district_focal_person"),
            "told_of": ["first_contact", "deliver"],
        },
        None,
    ),
    "none without a time": ({}, None),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_next_step_is(name: str) -> None:
    fields, expected = STEPS[name]
    step = next_step(referral("accepted", **fields), T1)
    assert (step and (step.at, step.silence, step.to)) == expected


def test_a_step_is_taken_when_its_time_has_come_and_only_one_at_a_time() -> None:
    one, made = referral("accepted", first_contact_by=AT), Change()
    assert climb(one, TERMS, AT - MINUTE, made) is None
    late = AT + 30 * DAY  # nobody looked for a month
    up = climb(one, TERMS, late, made)
    assert up is not None
    assert up.escalation == told("first_contact", "coordinator", late)
    assert climb(up, TERMS, late, made) is None
    assert types(made) == ["escalated"]


def test_a_working_clock_stands_still_between_two_steps() -> None:
    thursday = datetime(2026, 7, 2, 12, tzinfo=UTC)
    one = referral(
        "accepted", urgency="T2", escalation=told("first_contact", "coordinator", thursday)
    )
    step = next_step(one, TERMS.paces["T2"])
    assert step is not None
    assert step.at == datetime(2026, 7, 5, 12, tzinfo=UTC)  # Friday and Saturday are free


def test_nobody_is_told_of_test_traffic() -> None:
    one, made = referral("accepted", first_contact_by=AT, test=True), Change()
    assert climb(one, TERMS, AT + DAY, made) is None
    assert next_look(one, TERMS, AT) is None
    assert types(made) == []


MOVED_ON: dict[str, tuple[str, dict[str, Any], str]] = {
    "answered": ("accepted", {}, "respond"),
    "expired": ("expired", {}, "respond"),
    "contacted": ("accepted", {"first_contact_at": AT}, "first_contact"),
    "started": ("in_service", {}, "first_contact"),
    "held": ("on_hold", {}, "first_contact"),
    "withdrawn": ("withdrawn", {}, "first_contact"),
    "delivered": ("delivered", {}, "deliver"),
    "somebody serves": ("planned", {"awaits": "release", "awaits_since": AT}, "nobody_serves"),
    "given out": ("assigned", {}, "release"),
    "a place came": ("accepted", {}, "waitlist"),
}
STILL: dict[str, tuple[str, dict[str, Any], str]] = {
    "no answer": ("assigned", {}, "respond"),
    "no contact": ("accepted", {}, "first_contact"),
    "accepted": ("accepted", {}, "deliver"),
    "started": ("in_service", {}, "deliver"),
    "held": ("on_hold", {}, "deliver"),
    "nobody": ("waiting", {}, "nobody_serves"),
    "not released": ("planned", {"awaits": "release", "awaits_since": AT}, "release"),
    "no place": ("waitlisted", {}, "waitlist"),
}


@pytest.mark.parametrize("name", MOVED_ON)
def test_a_silence_is_over_when_it_has(name: str) -> None:
    state, fields, silence = MOVED_ON[name]
    assert (
        settled(referral(state, escalation=told(silence, "supervisor"), **fields)).escalation
        is None
    )


@pytest.mark.parametrize("name", STILL)
def test_a_silence_is_not_over_while_there_is(name: str) -> None:
    state, fields, silence = STILL[name]
    one = referral(state, escalation=told(silence, "supervisor"), **fields)
    assert settled(one) == one


LOOKS: dict[str, tuple[str, dict[str, Any], timedelta | None]] = {
    "for an answer": ("assigned", {"respond_by": AT + 5 * HOUR}, 5 * HOUR),
    "for the next step before an answer is due": (
        "assigned",
        {"respond_by": AT + 5 * HOUR, "escalation": told("respond", "coordinator")},
        2 * HOUR,
    ),
    "for somebody who serves": (
        "waiting",
        {**_waits(), "escalation": told("nobody_serves", "coordinator")},
        HOUR,
    ),
    "at once, when nobody was told yet": ("waiting", _waits(), timedelta()),
    "for the desk": ("planned", {"awaits": "choose", "awaits_since": AT}, HOUR),
    "for a first contact": ("accepted", {**_LATE, "first_contact_by": AT + HOUR}, HOUR),
    "for a delivery": ("on_hold", {"deliver_by": AT + 7 * DAY}, 7 * DAY),
    "for a place": ("waitlisted", _waits("2026-07-02"), 30 * HOUR - timedelta(microseconds=1)),
    "never again when it has ended": ("expired", {"respond_by": AT}, None),
    "never when nothing is owed": ("planned", {}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_a_timer_looks(name: str) -> None:
    state, fields, within = LOOKS[name]
    found = next_look(referral(state, **fields), TERMS, AT)
    assert found == (None if within is None else AT + within)


# --- what awaits the desk -------------------------------------------------------------------------

LISTED = offer("office", enrolment="listed")
THANA = offer("thana", kinds=frozenset({"government", "police"}))
AWAITS: dict[str, tuple[list[Any], dict[str, Any], str | None, str | None]] = {
    "nothing: it goes out by itself": ([NEAR], {}, None, None),
    "nothing: nobody serves": ([offer("boys", sex="male")], {}, None, None),
    "a release": ([NEAR, LISTED], {"entitled": False}, "release", "near"),
    "a release to the police": ([THANA], {}, "release", "thana"),
    "a call to an office that is listed": ([LISTED], {}, "call", "office"),
    "a call, before anybody may release": ([LISTED], {"entitled": False}, "call", "office"),
    "a choice where a court must order": ([offer("home", court_order=True)], {}, "choose", "home"),
    "a choice in the union": ([offer("up", "union", "BD3026003817")], {}, "choose", "up"),
    "a choice where the place is unknown": (
        [],
        {"upazila": None, "district": None},
        "choose",
        None,
    ),
    "a release of test traffic": ([NEAR], {"test": True}, "release", "near"),
}  # fmt: skip


@pytest.mark.parametrize("name", AWAITS)
def test_the_desk_is_awaited_for(name: str) -> None:
    offers, fields, awaits, suggested = AWAITS[name]
    here = world(*offers)
    for one in offers:  # a union of this upazila, whatever its code
        here.by_area.setdefault(("medical", KERANIGANJ), []).append(one.offer_id)
    case = case_of(facts(**fields))
    got = last(plan(here, case))
    assert (got.awaits, got.suggested) == (awaits, suggested)
    assert got.awaits_since == (AT if awaits else None)
    event, seen = facts_of(got), shown(got, DESK)
    assert (event.awaits, event.suggested_offer_id) == (awaits, suggested)
    assert (seen["awaits"], seen["suggested_offer_id"]) == (awaits, suggested)


def test_only_the_desk_sees_its_side() -> None:
    one = referral("accepted", escalation=told("first_contact", "supervisor"))
    seen = shown(one, DESK)
    assert (seen["silence"], seen["escalated_to"]) == ("first_contact", "supervisor")
    hidden = {"awaits", "awaits_since", "suggested", "suggested_offer_id"}
    hidden |= {"silence", "escalated_to", "escalation"}
    assert not hidden & shown(one, MINE).keys()
    assert (facts_of(one).silence, facts_of(one).escalated_to) == ("first_contact", "supervisor")


def test_what_the_rule_releases_never_awaits_the_desk() -> None:
    assert {h.referral.awaits for h in plan(world(NEAR), case_of(facts())).happenings} == {None}


def test_what_goes_out_awaits_nobody() -> None:
    here = world(NEAR)
    case, one = assigned(here, entitled=False)
    assert one.awaits == "release"
    done = release(here, case, one, None, DESK.name, AT)
    assert types(done) == ["released", "assigned"]
    assert {h.referral.awaits for h in done.happenings} == {None}
    assert last(done).suggested is None


def test_a_listed_office_is_to_be_called_until_it_was_told() -> None:
    here = world(LISTED)
    case, one = assigned(here, entitled=False)
    released = release(here, case, one, None, DESK.name, AT + HOUR)
    assert [(h.referral.awaits, h.referral.awaits_since) for h in released.happenings] == [
        ("call", AT)
    ]
    by_call = Told(how="call", by=DESK.name, at=AT)
    done = tell(here, case, last(released), None, by_call, name=DESK.name, at=AT + HOUR)
    assert [(h.type, h.referral.awaits) for h in done.happenings] == [("referral-assigned", None)]


def test_an_office_may_be_told_at_once() -> None:
    here = world(LISTED)
    case, one = assigned(here, entitled=False)
    by_call = Told(how="call", by=DESK.name, at=AT)
    done = tell(here, case, one, None, by_call, name=DESK.name, at=AT)
    assert types(done) == ["released", "assigned"]
    assert {h.referral.awaits for h in done.happenings} == {None}


def test_test_traffic_that_was_declined_is_not_given_out_again() -> None:
    here = world(LISTED, FAR)
    case, one = assigned(here, test=True)
    by_call = Told(how="call", by=DESK.name, at=AT)
    here.take(tell(here, case, one, "office", by_call, name=DESK.name, at=AT))
    again = last(answer(here, case, now(here, one), "decline"))
    assert (again.state, again.awaits, again.suggested) == ("planned", "release", "far")


def test_what_nobody_can_serve_any_more_awaits_nobody() -> None:
    here = world(offer("girls", sex="female"))
    case, one = assigned(here, entitled=False)
    assert one.awaits == "release"
    done = plan(here, Case(case.case_id, 2, facts(entitled=False, sex="male")))
    assert types(done) == ["planned", "waiting", "escalated"]
    assert {(h.referral.awaits, h.referral.suggested) for h in done.happenings} == {(None, None)}


def test_whoever_waited_is_to_be_called_when_an_office_is_listed_and_released() -> None:
    here = world(offer("boys", sex="male"))
    case, one = assigned(here)
    assert one.state == "waiting"
    add_offer(here, LISTED)
    got = last(release(here, case, one, None, DESK.name, AT))
    assert (got.state, got.awaits, got.waiting, got.escalation) == ("planned", "call", None, None)


def test_what_awaits_the_desk_goes_on_awaiting_since_the_first_time() -> None:
    here = world(NEAR, LISTED)
    case, _ = assigned(here, entitled=False)
    here.offers["near"] = replace(NEAR, accepting=False)
    done = plan(here, replace(case, sequence=2), at=AT + HOUR)
    assert [(h.referral.awaits, h.referral.awaits_since) for h in done.happenings] == [("call", AT)]


def test_a_triage_takes_away_what_was_awaited() -> None:
    here = world(NEAR)
    case, _ = assigned(here, entitled=False)
    done = plan(here, Case(case.case_id, 2, facts()))
    assert types(done) == ["released", "assigned"]
    assert {h.referral.awaits for h in done.happenings} == {None}


def test_a_withdrawn_plan_awaits_nobody() -> None:
    here = world(NEAR)
    case, one = assigned(here, entitled=False)
    assert last(answer(here, case, one, "withdraw")).awaits is None


def test_what_is_not_released_climbs_the_ladder_and_stops_when_it_goes_out() -> None:
    here = world(NEAR)
    case, one = assigned(here, entitled=False)
    assert types(look(here, case, one, AT + HOUR - MINUTE)) == []
    assert told_of(look(here, case, one, AT + HOUR)) == [("release", "coordinator")]
    assert told_of(look(here, case, one, AT + HOUR)) == []
    assert told_of(look(here, case, one, AT + 3 * HOUR)) == [("release", "supervisor")]
    here.take(release(here, case, now(here, one), None, DESK.name, AT + 4 * HOUR))
    assert now(here, one).escalation is None
    assert told_of(look(here, case, one, AT + 5 * HOUR)) == []


# --- an unanswered offer --------------------------------------------------------------------------


def test_silence_expires_and_asks_the_next() -> None:
    here = world(NEAR, FAR)
    case, first = assigned(here)
    assert first.respond_by is not None
    assert types(look(here, case, first, first.respond_by - timedelta(seconds=1))) == []
    done = look(here, case, first, first.respond_by)
    assert types(done) == ["expired", "planned", "assigned"]
    assert done.referrals[first.referral_id].reason == "no_answer"
    assert last(done).provider_id == "far"
    assert here.offers["near"].places_free == 3
    assert types(look(here, case, first, first.respond_by)) == []


def test_the_second_silence_of_a_need_is_told_and_climbs_with_the_next_ones() -> None:
    here = world(NEAR, FAR, THIRD, offer("fourth", "country", "BD"))
    case, one = assigned(here)
    told_ = []
    for number in range(1, 4):
        done = look(here, case, one, AT + number * SECOND)
        assert types(done)[:3] == ["expired", "planned", "assigned"]
        told_ += told_of(done)
        one = last(done)
    assert told_ == [("respond", "coordinator"), ("respond", "supervisor")]
    assert one.state == "assigned"
    assert told_of(look(here, case, one, AT + 3 * SECOND + 2 * HOUR)) == [
        ("respond", "district_focal_person")
    ]
    assert told_of(look(here, case, one, AT + 3 * SECOND + 9 * HOUR)) == []
    assert last(answer(here, case, now(here, one), "accept")).escalation is None


def test_the_second_silence_is_of_the_same_need() -> None:
    needs = frozenset({"medical", "psychosocial"})
    here = world(*(replace(o, needs=needs) for o in (NEAR, FAR)))
    for need in needs:
        here.by_area.update({(need, KERANIGANJ): ["near"], (need, "BD3026"): ["far"]})
    case, one = assigned(here, needs=sorted(needs))
    other = last(plan(here, case, "psychosocial"))
    assert told_of(look(here, case, one, AT + SECOND)) == []
    assert told_of(look(here, case, other, AT + 30 * DAY)) == []


def test_after_the_second_silence_the_desk_is_told_at_once_of_what_awaits_it() -> None:
    here = world(NEAR, FAR, LISTED)
    case, one = assigned(here)
    one = last(look(here, case, one, AT + SECOND))
    done = look(here, case, one, AT + 2 * SECOND)
    assert types(done) == ["expired", "planned", "escalated"]
    assert (last(done).awaits, told_of(done)) == ("call", [("release", "coordinator")])


def test_when_nobody_is_left_it_waits_and_people_are_told_at_once() -> None:
    here = world(NEAR, FAR)
    case, one = assigned(here)
    one = last(look(here, case, one, AT + SECOND))
    done = look(here, case, one, AT + 2 * SECOND)
    assert types(done) == ["expired", "planned", "waiting", "escalated"]
    assert told_of(done) == [("nobody_serves", "coordinator")]


def test_an_answer_in_time_is_not_expired() -> None:
    here = world(NEAR, FAR)
    case, one = accepted(here)
    assert "expired" not in types(look(here, case, one, AT + 30 * DAY))


# --- nobody serves --------------------------------------------------------------------------------


def test_whoever_waits_is_looked_for_and_people_are_told_up_the_ladder() -> None:
    here = world(offer("boys", sex="male"))
    case = case_of(facts())
    done = plan(here, case)
    assert types(done) == ["planned", "waiting", "escalated"]
    assert told_of(done) == [("nobody_serves", "coordinator")]
    one = last(done)
    told_ = [told_of(look(here, case, one, AT + n * HOUR)) for n in range(1, 8)]
    assert told_ == [
        [],
        [("nobody_serves", "supervisor")],
        [],
        [("nobody_serves", "district_focal_person")],
        [],
        [],
        [],
    ]
    add_offer(here, FAR)
    again = look(here, case, one, AT + 9 * HOUR)
    assert types(again) == ["planned", "released", "assigned"]
    assert last(again).escalation is None


def test_after_the_last_decline_it_waits_and_is_offered_when_somebody_comes() -> None:
    here = world(NEAR)
    case, one = assigned(here)
    done = answer(here, case, one, "decline")
    assert types(done) == ["declined", "planned", "waiting", "escalated"]
    waits = last(done)
    looked = look(here, case, waits, AT)
    assert (types(looked), list(looked.looked)) == ([], [waits.referral_id])
    add_offer(here, offer("new"))
    again = look(here, case, waits, AT)
    assert types(again) == ["planned", "assigned"]
    assert last(again).provider_id == "new"


# --- no place, no delivery ------------------------------------------------------------------------


def test_whoever_is_on_a_list_stays_there_and_people_are_told_after_the_promised_day() -> None:
    here = world(NEAR)
    case, one = assigned(here)
    one = last(answer(here, case, one, "accept", waitlisted=True, expected_on="2026-07-10"))
    end = datetime(2026, 7, 10, 18, tzinfo=UTC)  # midnight in Dhaka
    assert types(look(here, case, one, end - MINUTE)) == []
    done = look(here, case, one, end)
    assert told_of(done) == [("waitlist", "coordinator")]
    assert last(done).state == "waitlisted"
    assert last(answer(here, case, last(done), "accept")).escalation is None


def test_a_late_delivery_is_told_up_the_ladder_until_it_is_delivered() -> None:
    here = world(NEAR)
    case, one = accepted(here)
    one = last(answer(here, case, one, "start"))
    assert types(look(here, case, one, AT + 7 * DAY - MINUTE)) == []
    assert told_of(look(here, case, one, AT + 7 * DAY)) == [("deliver", "coordinator")]
    held = last(answer(here, case, now(here, one), "hold"))
    assert held.escalation is not None, "a hold delivers nothing"
    assert told_of(look(here, case, one, AT + 8 * DAY)) == [("deliver", "supervisor")]
    assert last(answer(here, case, now(here, one), "deliver")).escalation is None
    assert types(look(here, case, one, AT + 9 * DAY)) == []


# --- no first contact: a parallel offer -----------------------------------------------------------


def missed(here: World, **fields: Any) -> tuple[Case, Referral, Referral]:
    """Return a case whose first provider said yes and was silent, and the parallel offer."""
    case, one = accepted(here, **fields)
    assert one.first_contact_by is not None
    assert types(look(here, case, one, one.first_contact_by - MINUTE)) == []
    done = look(here, case, one, one.first_contact_by)
    assert types(done) == ["escalated", "planned", "assigned"]
    assert told_of(done) == [("first_contact", "coordinator")]
    return case, now(here, one), last(done)


def test_a_missed_first_contact_is_told_and_offered_to_the_next_beside_it() -> None:
    here = world(NEAR, FAR)
    case, one, parallel = missed(here)
    assert (one.state, one.provider_id) == ("accepted", "near")
    assert (parallel.provider_id, parallel.attempt, parallel.released_by) == ("far", 2, "rule")
    assert parallel.parent_referral_id == one.referral_id
    assert types(look(here, case, one, AT + SECOND)) == [], "once"
    assert told_of(look(here, case, one, AT + SECOND + 2 * HOUR)) == [
        ("first_contact", "supervisor")
    ]
    assert len(here.of(case.case_id)) == 2


def test_what_a_person_released_is_offered_in_parallel_too() -> None:
    here = world(NEAR, FAR)
    case, one = assigned(here, entitled=False)
    here.take(release(here, case, one, None, DESK.name, AT))
    one = last(answer(here, case, now(here, one), "accept"))
    got = last(look(here, case, one, AT + SECOND))
    assert (got.state, got.provider_id, got.released_by) == ("assigned", "far", DESK.name)


def test_medical_after_violence_keeps_its_own_earlier_first_contact() -> None:
    here = world(NEAR, FAR)
    case, one = accepted(here, medical_until=AT + 5 * HOUR)
    assert one.first_contact_by == AT + 3 * HOUR
    done = look(here, case, one, AT + 3 * HOUR)
    assert types(done) == ["escalated", "planned", "assigned"]
    assert last(done).respond_by == AT + 4 * HOUR


def test_when_the_second_accepts_the_first_is_withdrawn_and_must_acknowledge() -> None:
    here = world(NEAR, FAR)
    case, one, parallel = missed(here)
    assert here.offers["near"].places_free == 2
    done = answer(here, case, parallel, "accept", AT + SECOND + HOUR)
    assert types(done) == ["accepted", "withdrawn"]
    ended = now(here, one)
    assert (ended.state, ended.reason, ended.escalation) == ("withdrawn", SUPERSEDED, None)
    assert domain.allowed(ended, MINE) == ["acknowledge-withdrawal"]
    assert here.offers["near"].places_free == 3
    assert next_look(ended, TERMS, AT + SECOND + HOUR) == AT + SECOND + HOUR + T1.acknowledge_within


@pytest.mark.parametrize("verb", ["contact", "start", "deliver"])
def test_when_the_first_serves_after_all_the_parallel_one_is_withdrawn(verb: str) -> None:
    here = world(NEAR, FAR)
    case, one, parallel = missed(here)
    done = answer(here, case, one, verb, AT + SECOND + HOUR)
    assert [(h.type.split("-")[-1], h.referral.referral_id) for h in done.happenings][1:] == [
        ("withdrawn", parallel.referral_id)
    ]
    ended = now(here, parallel)
    assert (ended.state, ended.reason) == ("withdrawn", SUPERSEDED)
    assert domain.allowed(ended, replace(MINE, org="far")) == ["acknowledge-withdrawal"]
    assert here.offers["far"].open_referrals == 0


@pytest.mark.parametrize("verb", ["hold", "milestone"])
def test_a_word_that_is_no_service_leaves_the_parallel_offer(verb: str) -> None:
    here = world(NEAR, FAR)
    case, one, parallel = missed(here)
    answer(here, case, one, verb, kind="follow_up")
    assert now(here, parallel).state == "assigned"


def test_a_parallel_place_on_a_list_does_not_end_the_first() -> None:
    here = world(NEAR, FAR)
    case, one, parallel = missed(here)
    done = answer(here, case, parallel, "accept", waitlisted=True)
    assert types(done) == ["accepted"]
    assert now(here, one).state == "accepted"
    answer(here, case, now(here, one), "contact")
    assert now(here, parallel).state == "withdrawn"


def test_a_silent_parallel_offer_goes_to_the_third_and_never_back_to_the_first() -> None:
    here = world(NEAR, FAR, THIRD)
    case, one, parallel = missed(here)
    done = look(here, case, parallel, AT + 2 * SECOND)
    assert types(done) == ["expired", "planned", "assigned"]
    assert last(done).provider_id == "third"
    done = answer(here, case, last(done), "accept", AT + 2 * SECOND)
    assert types(done) == ["accepted", "withdrawn"]
    assert now(here, one).reason == SUPERSEDED
    third = last(look(here, case, done.happenings[0].referral, AT + 3 * SECOND))
    assert third.state == "waiting", "the first said yes and was silent: it is not asked again"


def test_who_was_only_asked_in_parallel_may_be_asked_again() -> None:
    here = world(NEAR, FAR)
    case, one, parallel = missed(here)
    answer(here, case, one, "start")
    done = answer(here, case, now(here, one), "deliver", how_much="part")
    assert last(done).state == "assigned"
    assert now(here, parallel).provider_id == "far"
    declined = answer(here, case, last(done), "decline")
    assert last(declined).provider_id == "far"


def test_with_nobody_else_the_need_waits_beside_the_first() -> None:
    here = world(NEAR)
    case, one = accepted(here)
    done = look(here, case, one, AT + SECOND)
    assert types(done) == ["escalated", "planned", "waiting", "escalated"]
    assert told_of(done) == [("first_contact", "coordinator"), ("nobody_serves", "coordinator")]
    waits = last(done)
    answer(here, case, now(here, one), "contact")
    assert (now(here, waits).state, now(here, waits).reason) == ("withdrawn", SUPERSEDED)
    assert domain.allowed(now(here, waits), MINE) == [], "nobody heard of it"


def test_a_contact_in_time_brings_no_parallel_offer() -> None:
    here = world(NEAR, FAR)
    case, one = accepted(here)
    one = last(answer(here, case, one, "contact"))
    assert types(look(here, case, one, AT + 2 * DAY)) == []


def test_consent_that_comes_back_plans_again_after_a_parallel_offer_ended() -> None:
    here = world(NEAR, FAR)
    case, one, _ = missed(here)
    answer(here, case, one, "start")
    gone = bring_forward(here, event(case, "consent-withdrawn", consent=ConsentState()))
    here.take(gone)
    assert now(here, one).reason == "consent_withdrawn"
    back = bring_forward(here, event(case, "consent-given", sequence=3))
    here.take(back)
    assert back.case is not None
    assert types(plan(here, back.case))[-1] == "assigned"


def test_a_withdrawal_that_nobody_acknowledges_is_told_up_the_ladder_until_it_is() -> None:
    here = world(NEAR)
    case, one = accepted(here)
    told_ = bring_forward(here, event(case, "consent-withdrawn", consent=ConsentState()))
    here.take(told_)
    ended = now(here, one)
    assert (ended.state, ended.unacknowledged) == ("withdrawn", True)
    assert next_look(ended, TERMS, AT) == AT + DAY
    case = here.cases[case.case_id]
    assert told_of(look(here, case, ended, AT + DAY - MINUTE)) == []
    assert told_of(look(here, case, ended, AT + DAY)) == [("acknowledge", "coordinator")]
    late = AT + DAY + T1.escalate_within
    assert told_of(look(here, case, ended, late)) == [("acknowledge", "supervisor")]
    heard = answer(here, case, now(here, one), "acknowledge-withdrawal", late)
    assert last(heard).escalation is None
    assert next_look(last(heard), TERMS, late) is None
    assert told_of(look(here, case, ended, late + 30 * DAY)) == []


def test_what_nobody_ever_had_needs_no_acknowledgement() -> None:
    one = referral("withdrawn", provider_id=None, offer_id=None, withdrawn_at=AT)
    assert silences_of(one) == ()
    assert silences_of(referral("withdrawn", withdrawn_at=AT, test=True)) == ()


# --- what ends the clocks -------------------------------------------------------------------------


def event(case: Case, kind: str, sequence: int = 2, **fields: Any) -> Event:
    told_ = facts(**fields)
    return Event(case.case_id, "/intake", kind, str(case.case_id), AT, sequence, "x:y", None, told_)


OVERDUE: dict[str, dict[str, Any]] = {
    "planned": {"awaits": "release", "awaits_since": AT},
    "waiting": _waits(),
    "assigned": {"respond_by": AT},
    "accepted": {"first_contact_by": AT},
    "waitlisted": _waits(),
    "in_service": {"deliver_by": AT},
    "on_hold": {"deliver_by": AT},
}
UNSERVED: dict[str, dict[str, Any]] = {
    "a closed case": {"told": {"status": "closed"}},
    "a withdrawn consent": {"withdrawn": True},
    "test traffic": {"test": True},
}


def overdue(state: str, case: Case, **fields: Any) -> tuple[World, Referral]:
    here = world(offer("boys", sex="male"))
    known = {"case_id": case.case_id, "need": "medical", **OVERDUE[state], **fields}
    one = referral(state, **known)
    here.cases[case.case_id] = case
    here.referrals[case.case_id] = {one.referral_id: one}
    return here, one


@pytest.mark.parametrize("state", OVERDUE)
@pytest.mark.parametrize("status", ["open", "review_due"])
def test_a_served_case_is_not_silent_for_ever(state: str, status: str) -> None:
    case = case_of(facts(status=status))
    here, one = overdue(state, case)
    done = look(here, case, one, AT + 30 * DAY)
    assert types(done) != []
    assert one.referral_id in done.looked


@pytest.mark.parametrize("state", OVERDUE)
@pytest.mark.parametrize("name", UNSERVED)
def test_nothing_fires_for(name: str, state: str) -> None:
    how = UNSERVED[name]
    case = case_of(facts(**how.get("told", {})), withdrawn=how.get("withdrawn", False))
    here, one = overdue(state, case, test=how.get("test", False))
    done = look(here, case, one, AT + 30 * DAY)
    assert (types(done), done.looked) == ([], {})


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_fires_after_the_end(state: str) -> None:
    case = case_of(facts())
    here = world(NEAR)
    one = referral(state, case_id=case.case_id, need="medical", respond_by=AT, deliver_by=AT)
    here.referrals[case.case_id] = {one.referral_id: one}
    assert types(look(here, case, one, AT + 30 * DAY)) == []


def test_every_live_state_is_tried_above() -> None:
    assert set(OVERDUE) == set(LIVE)


def test_the_clocks_of_a_reopened_case_go_on() -> None:
    here = world(NEAR)
    case, one = accepted(here)
    closed = bring_forward(here, event(case, "case-closed", status="review_due"))
    here.take(closed)
    assert (types(closed), closed.looked) == ([], {})
    assert not here.cases[case.case_id].served
    again = bring_forward(here, event(case, "case-reopened", 3))
    here.take(again)
    assert list(again.looked) == [one.referral_id]
    more = bring_forward(here, event(case, "case-updated", 4))
    assert more.looked == {}


def test_a_case_that_is_due_for_review_is_served() -> None:
    case = case_of(facts(status="review_due"))
    assert types(plan(world(NEAR), case))[-1] == "assigned"


ANSWER_BY = {
    "assigned": ("assigned", {"respond_by": AT}, AT),
    "accepted": ("accepted", {"first_contact_by": AT}, AT),
    "contacted": ("accepted", {"first_contact_by": AT, "first_contact_at": AT}, None),
    "in service": ("in_service", {"respond_by": AT, "first_contact_by": AT}, None),
}


@pytest.mark.parametrize("name", ANSWER_BY)
def test_until_when_a_provider_owes_an_answer(name: str) -> None:
    state, fields, by = ANSWER_BY[name]
    assert referral(state, **fields).answer_by == by


# --- any course of answers, silence and time ------------------------------------------------------

_moves = st.lists(
    st.one_of(
        st.sampled_from([v for v in domain.VERBS if v not in ("release", "told", "refer-onward")]),
        st.integers(1, 60).map(lambda hours: hours * HOUR),
    ),
    max_size=25,
)


def _speak(here: World, case: Case, verb: str, at: datetime) -> None:
    order = Order(verb, reason="no_capacity", fields=FIELDS)
    for one in here.of(case.case_id):
        who = (
            DESK
            if verb in ("withdraw", "mark-error")
            else Actor(Role.PROVIDER_SYSTEM, "x", one.provider_id)
        )
        try:
            if check(one, order, who):
                say(here, case, one, order, at)
                return
        except (Conflict, Forbidden):
            continue


@settings(max_examples=200, deadline=None)
@example(["accept", "appointment", timedelta(days=1)])  # two silences begin together
@given(_moves)
def test_whatever_happens_each_step_is_told_once_and_one_provider_serves(
    moves: list[str | timedelta],
) -> None:
    here, at = world(NEAR, FAR, THIRD), AT
    case, _ = assigned(here)
    told_: dict[Any, list[str]] = {}
    for move in moves:
        if isinstance(move, str):
            _speak(here, case, move, at)
        else:
            at += move
        for one in here.of(case.case_id):
            for nth in range(9):
                due = next_look(now(here, one), TERMS, at - TERMS.retry_waiting_within)
                done = look(here, case, one, at)
                if types(done) == []:
                    break
                assert due is not None, "it was due"
                assert due <= at, "it was due"
                assert nth == 0 or "escalated" in types(done), "what comes again is another telling"
                for silence, to in told_of(done):
                    told_.setdefault((last(done).referral_id, silence), []).append(to)
            else:
                pytest.fail("a look brings looks without an end")
    for (_, silence), steps in told_.items():
        assert len(steps) == len(set(steps)), (silence, steps)
        assert steps == [step for step in LADDER if step in steps], (silence, steps)
    serving = [r for r in here.of(case.case_id) if r.first_contact_at and r.open]
    assert len(serving) <= 1
    held = sum(r.reserved for r in here.of(case.case_id) if r.offer_id == "near")
    assert here.offers["near"].places_free == 3 - held
    alive = [r for r in here.of(case.case_id) if r.open]
    assert len(alive) <= 2
    assert len({r.offer_id for r in alive}) == len(alive)
    for one in alive:
        assert one.escalation is None or one.escalation.silence in silences_of(one)
        assert change(one, version=0) == settled(change(one, version=0))
