"""A case's stages, kin, handover and pages: who may do what when, and what each step says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.intake.casework import handover
from services.intake.casework.care import OVERRIDE, WARNING, Heavy, is_heavy, weigh
from services.intake.casework.course import (
    CHECK,
    FOLLOW_UP,
    Contact,
    Done,
    Goal,
    agree_plan,
    assess,
    assign,
    fall_due,
    make_safety_plan,
    next_steps,
    record_contact,
    reopen,
    verify,
)
from services.intake.casework.digest import next_digest, who_gets_one
from services.intake.casework.kin import Found, link, split, unlink
from services.intake.casework.paging import next_on_duty, page, pages
from services.intake.casework.risk import (
    Assessed,
    Risk,
    RiskRefused,
    load_instruments,
    parse_instruments,
)
from services.intake.casework.risk import assess as by_instrument
from services.intake.casework.roster import Duty
from services.intake.casework.rules import is_night, parse_rules, rules_on
from services.intake.casework.tasks import Orders, Task
from shared.access import Caller
from shared.errors import Conflict
from shared.events import CaseFacts, CaseWork, ConsentState
from shared.vocabulary import Role

CASE, OTHER = uuid4(), uuid4()
TODAY = date(2026, 11, 25)
AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
KEY = "pashe-risk-1"


def facts(**more: Any) -> CaseFacts:
    known: dict[str, Any] = {"report_id": UUID(int=1), "channel": "web", "needs": ["shelter"]}
    return CaseFacts(**(known | more))


def work(**more: Any) -> CaseWork:
    return CaseWork(worker="w1", supervisor="s1", **more)


def names(done: Done) -> list[str]:
    return [draft.type for draft in done.drafts]


def opened(orders: Orders) -> set[str]:
    return {task.kind for task in orders.opens}


def test_a_case_goes_through_its_stages() -> None:
    case = facts()
    assert next_steps(case) == ("assign", "verify", "contacts", "close")
    case = assign(CASE, case, "w1", "s1").facts
    case = verify(CASE, case, "substantiated", "visit").facts
    done = assess(CASE, case, Assessed(Risk.HIGH, ("harm_goes_on",), KEY))
    assert opened(done.orders) == {"safety_plan"}
    assert done.drafts[0].data.step.reasons == ["harm_goes_on"]  # type: ignore[attr-defined]
    done = make_safety_plan(CASE, done.facts)
    assert done.orders.ends[0][0] == "safety_plan"
    done = agree_plan(CASE, done.facts, [Goal("legal_aid", "w1", TODAY)], TODAY)
    assert names(done) == ["plan-agreed", "case-updated"]
    assert done.facts.needs == ["shelter", "legal_aid"]
    assert (done.facts.work.finding, done.facts.work.risk) == ("substantiated", "high")
    assert next_steps(done.facts) == ("assess", "safety-plan", "plan", "contacts", "close")


def test_a_plan_without_a_new_need_refers_nothing_anew() -> None:
    case = facts(work=work(risk="low"), status="review_due")
    done = agree_plan(CASE, case, [Goal("shelter", "w1", TODAY)], TODAY)
    assert (names(done), done.facts.status) == (["plan-agreed"], "review_due")


@pytest.mark.parametrize("status", ["closed", "erased"])
def test_nothing_is_done_to_a_case_that_is_not_open(status: str) -> None:
    case = facts(status=status, work=work(risk="low"))
    for step in (
        lambda: assign(CASE, case, "w1", "s1"),
        lambda: verify(CASE, case, "unknown", "phone"),
        lambda: assess(CASE, case, Assessed(Risk.LOW, (), KEY)),
        lambda: make_safety_plan(CASE, case),
        lambda: agree_plan(CASE, case, [Goal("shelter", "w1", TODAY)], TODAY),
        lambda: split(CASE, case, [Found(), Found()], [OTHER], {}),
        lambda: handover.offer(CASE, case, "1098"),
    ):
        with pytest.raises(Conflict):
            step()


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (facts(), "worker"),
        (facts(about="place", work=work()), "place"),
        (facts(work=work()), "risk"),
    ],
)
def test_a_plan_needs_a_worker_a_person_and_a_risk(case: CaseFacts, says: str) -> None:
    with pytest.raises(Conflict, match=says):
        agree_plan(CASE, case, [Goal("shelter", "w1", TODAY)], TODAY)


def test_a_goal_is_not_due_before_today() -> None:
    with pytest.raises(Conflict, match="before today"):
        agree_plan(
            CASE,
            facts(work=work(risk="low")),
            [Goal("shelter", "w1", TODAY - timedelta(days=1))],
            TODAY,
        )


@pytest.mark.parametrize(
    ("worker", "supervisor"),
    [("w1", "coordinator:w1"), ("ctc-7", "s1"), ("w1", "supervisor:ctc-7")],
)
def test_worker_and_supervisor_are_two_and_neither_is_named_in_it(
    worker: str, supervisor: str
) -> None:
    with pytest.raises(Conflict):
        assign(CASE, facts(excluded=["committee_member:ctc-7"]), worker, supervisor)


def test_lowering_the_risk_comes_before_the_supervisor() -> None:
    done = assess(CASE, facts(work=work()), Assessed(Risk.LOW, (), KEY, lowered=True))
    (task,) = done.orders.opens
    assert (task.kind, task.level) == ("risk_lowered", "supervisor")


def test_only_the_person_reached_ends_the_reminder() -> None:
    case = facts(work=work(risk="high"))
    for contact, ends in (
        (Contact("person", "phone", "reached"), True),
        (Contact("reporter", "phone", "reached"), False),
        (Contact("person", "phone", "no_answer"), False),
    ):
        done = record_contact(CASE, case, contact)
        assert ((FOLLOW_UP, UUID(int=0)) in done.orders.ends) is ends
        assert done.facts == case
    unsafe = record_contact(CASE, case, Contact("person", "phone", "unsafe"))
    assert opened(unsafe.orders) == {"contact_unsafe"}


def test_what_falls_due_is_a_task_and_changes_nothing() -> None:
    case = facts(work=work(risk="high"))
    done = fall_due(CASE, case, FOLLOW_UP, TODAY)
    assert done is not None
    assert (names(done), opened(done.orders), done.facts) == (["follow-up-due"], {FOLLOW_UP}, case)
    assert fall_due(CASE, facts(status="closed"), FOLLOW_UP, TODAY) is None
    assert fall_due(CASE, case, CHECK, TODAY) is None
    assert fall_due(CASE, facts(status="closed"), CHECK, TODAY) is not None
    quiet = fall_due(CASE, facts(test=True), FOLLOW_UP, TODAY)
    assert quiet is not None
    assert quiet.orders.opens == ()


def test_who_returned_to_harm_is_at_high_risk_and_the_closing_is_looked_at() -> None:
    closed = facts(status="closed", reason="goals_met_and_safe", work=work(risk="low"))
    done = reopen(CASE, closed, "returned_to_harm")
    assert (done.facts.status, done.facts.work.risk, done.facts.work.reopened) == (
        "open",
        "high",
        1,
    )
    assert opened(done.orders) == {"assess", "review_closing"}
    assert done.drafts[0].data.reason == "returned_to_harm"  # type: ignore[attr-defined]
    assert done.facts.reason is None
    again = reopen(CASE, closed, "new_information")
    assert (opened(again.orders), again.facts.work.risk) == ({"assess"}, "low")
    with pytest.raises(Conflict):
        reopen(CASE, facts(), "new_incident")


# Kin


def test_three_children_of_a_place_are_three_cases_of_one_report() -> None:
    place = facts(about="place", count=20, urgency="T1", excluded=["police"], conflict=True)
    ids = [uuid4() for _ in range(3)]
    found = [Found(9, "male", household="a"), Found(8, "female", household="a"), Found(12)]
    made = split(CASE, place, found, ids, {"a": OTHER})
    assert [key for key, _ in made.new] == ids
    assert not made.stays
    assert (made.facts.about, made.facts.count) == ("place", 17)
    for _, born in made.new:
        assert (born.about, born.report_id, born.work.split_from) == (
            "person",
            place.report_id,
            CASE,
        )
        assert (born.excluded, born.conflict, born.urgency) == (["police"], True, "T1")
        assert born.consent == ConsentState()
    together = [(born.household_id, born.keep_together) for _, born in made.new]
    assert together == [(OTHER, True), (OTHER, True), (None, False)]
    assert [d.type for d in made.drafts] == ["case-split", *["case-created"] * 3]


def test_two_boys_are_two_cases() -> None:
    boys = facts(count=2, places_needed=2, consent=ConsentState(given=True))
    made = split(CASE, boys, [Found(11, "male"), Found(13, "male")], [OTHER], {})
    assert made.stays
    assert (made.facts.age, made.facts.count, made.facts.places_needed) == (11, 1, 1)
    assert [(key, born.age) for key, born in made.new] == [(OTHER, 13)]
    assert [d.type for d in made.drafts] == ["case-split", "case-updated", "case-created"]


def test_those_not_found_yet_stay_a_case() -> None:
    many = facts(count=20, places_needed=20)
    made = split(CASE, many, [Found(11), Found(13)], [OTHER, uuid4()], {})
    assert (made.stays, made.facts.count, made.facts.places_needed) == (False, 18, 18)


def test_a_split_is_not_split_again() -> None:
    boys = facts(count=2)
    made = split(CASE, boys, [Found(), Found()], [OTHER], {})
    for case in (made.facts, made.new[0][1]):
        with pytest.raises(Conflict):
            split(CASE, case, [Found(), Found()], [uuid4()], {})
    with pytest.raises(Conflict, match="nothing to split"):
        split(CASE, facts(), [Found()], [], {})


def test_a_link_is_on_both_and_can_be_undone() -> None:
    made = link(CASE, facts(), OTHER, facts(), "same_incident")
    assert [(key, f.work.linked) for key, f, _ in made] == [(CASE, [OTHER]), (OTHER, [CASE])]
    (_, one, _), (_, two, _) = made
    with pytest.raises(Conflict, match="already"):
        link(CASE, one, OTHER, two, "same_person")
    undone = unlink(CASE, one, OTHER, two)
    assert [(f.work.linked, d.type) for _, f, d in undone] == [([], "cases-unlinked")] * 2
    for pair in ((CASE, facts(), CASE, facts()), (CASE, facts(), OTHER, facts(status="erased"))):
        with pytest.raises(Conflict):
            link(*pair, "same_person")
    with pytest.raises(Conflict, match="not linked"):
        unlink(CASE, facts(), OTHER, facts())


# Handover


def test_the_giver_keeps_a_case_until_it_is_accepted() -> None:
    offered = handover.offer(CASE, facts(work=work()), "helpline-1098")
    assert (offered.facts.status, offered.facts.work.worker) == ("open", "w1")
    assert opened(offered.orders) == {"handover_answer"}
    with pytest.raises(Conflict):
        handover.offer(CASE, offered.facts, "another")
    with pytest.raises(Conflict):
        handover.answer(CASE, offered.facts, "another", "accepted")
    declined = handover.answer(CASE, offered.facts, "helpline-1098", "declined")
    assert (declined.facts.work.handover, opened(declined.orders)) == (None, {"handover_declined"})
    accepted = handover.answer(CASE, offered.facts, "helpline-1098", "accepted")
    assert (accepted.facts.work.handover, accepted.facts.status) == ("accepted", "open")
    assert opened(accepted.orders) == {"close_handed_over"}
    with pytest.raises(Conflict):
        handover.offer(CASE, facts(excluded=["helpline-1098"]), "helpline-1098")


# Paging


def duty(person: str, district: str | None = None, level: str = "coordinator") -> Duty:
    return Duty(person, level, district, AT, AT + timedelta(hours=8))


def test_the_next_on_duty_is_of_the_place_unpaged_and_without_a_conflict() -> None:
    roster = [
        duty("d1", "BD3026"),
        duty("elsewhere", "BD2015"),
        duty("boss", level="supervisor"),
        *map(duty, ("a1", "a2", "a3")),
    ]
    case = facts(district="BD3026", excluded=["coordinator:a1"])
    paged: list[str] = []
    while (person := next_on_duty(roster, case, paged, 2)) is not None:
        paged.append(person)
    assert paged == ["d1", "a2", "a3"]
    assert next_on_duty([], case, [], 2) is None
    assert next_on_duty([duty(f"d{n}") for n in range(9)], case, ["d0", "d1", "d2"], 2) is None


def test_a_digest_is_due_at_the_next_of_its_hours_in_dhaka() -> None:
    nine, seventeen = (datetime(2026, 11, 25, hour, tzinfo=UTC) for hour in (3, 11))
    second = timedelta(seconds=1)
    assert next_digest(nine - second, (17, 9)) == nine
    assert next_digest(nine, (17, 9)) == seventeen
    assert next_digest(seventeen, (9, 17)) == nine + timedelta(days=1)
    assert next_digest(nine + timedelta(hours=16), (9,)) == nine + timedelta(days=1)


def test_a_supervisor_gets_one_digest_and_of_all_districts_when_on_duty_for_all() -> None:
    def entry(
        person: str, district: str | None, way: str = "sms", level: str = "supervisor"
    ) -> Duty:
        return Duty(person, level, district, AT, AT + timedelta(hours=8), way)

    roster = [
        (UUID(int=1), entry("a", "BD3026")),
        (UUID(int=2), entry("a", None)),
        (UUID(int=3), entry("b", "BD3026", "desk")),
        (UUID(int=4), entry("c", None, level="coordinator")),
        (UUID(int=5), entry("d", "BD3026", "push")),
    ]
    assert [key.int for key, _ in who_gets_one(roster)] == [2, 5]


def test_only_t0_that_nobody_saw_pages() -> None:
    def order(kind: str, urgency: str) -> Orders:
        return Orders((Task(kind, urgency=urgency),))

    assert pages(order("triage", "T0"), facts())
    assert not pages(order("triage", "T1"), facts())
    assert not pages(order("release", "T0"), facts())
    assert not pages(order("triage", "T0"), facts(test=True))
    step = page(CASE, facts(), None, 1, uuid4()).data.step  # type: ignore[attr-defined]
    assert (step.kind, step.to) == ("nobody_on_duty", None)


# Risk and numbers


def test_the_highest_answer_is_the_level_and_its_questions_the_reasons() -> None:
    known = load_instruments()
    no = dict.fromkeys((q.key for q in known[KEY].question), "no")
    assert by_instrument(known, KEY, no, TODAY) == Assessed(Risk.LOW, (), KEY)  # type: ignore[arg-type]
    said = no | {"needs_care": "yes"}
    found = by_instrument(known, KEY, said, TODAY)  # type: ignore[arg-type]
    assert (found.risk, found.reasons) == (Risk.MEDIUM, ("needs_care",))
    assert by_instrument(known, KEY, {}, TODAY).risk is Risk.MEDIUM
    assert by_instrument(known, KEY, {}, TODAY, chosen=Risk.HIGH).lowered is False
    assert by_instrument(known, KEY, {}, TODAY, chosen=Risk.LOW, reasoned=True).lowered


@pytest.mark.parametrize(
    ("key", "answers", "chosen", "rule"),
    [
        ("another", {}, None, "instrument"),
        (KEY, {"is_pretty": "yes"}, None, "question"),
        (KEY, {"harm_goes_on": "yes"}, Risk.LOW, "reason"),
    ],
)
def test_an_assessment_without_grounds_is_refused(
    key: str, answers: Any, chosen: Risk | None, rule: str
) -> None:
    with pytest.raises(RiskRefused) as refused:
        by_instrument(load_instruments(), key, answers, TODAY, chosen=chosen)
    assert refused.value.members == {"rule": rule}


def test_an_instrument_holds_on_its_days_alone() -> None:
    text = (
        '[[instrument]]\nkey = "old"\nen = "e"\nbn = "b"\nfrom = 2020-01-01\nuntil = 2021-01-01\n'
        '[[instrument.question]]\nkey = "q"\nen = "e"\nbn = "b"\nyes = "high"\nunknown = "low"\n'
    )
    known = parse_instruments(text)
    assert by_instrument(known, "old", {}, date(2020, 12, 31)).risk is Risk.LOW
    with pytest.raises(RiskRefused):
        by_instrument(known, "old", {}, date(2021, 1, 1))
    with pytest.raises(msgspec.ValidationError):
        parse_instruments(text.replace('"high"', '"very high"'))


def test_the_numbers_are_dated_and_an_unknown_risk_is_followed_as_high() -> None:
    rules = rules_on(AT)
    assert [rules.follow_up(r).days for r in ("high", "medium", "low", None, "odd")] == [
        7, 14, 30, 7, 7,
    ]  # fmt: skip
    assert (rules.review.days, rules.check.days, rules.page_within) == (
        91,
        30,
        timedelta(minutes=15),
    )
    with pytest.raises(msgspec.ValidationError):
        parse_rules("[[in_force]]\nfrom = 2026-01-01\nopen_cases = 3\n")


@pytest.mark.parametrize(("hour", "night"), [(15, False), (16, True), (23, True), (0, False)])
def test_night_is_that_of_dhaka(hour: int, night: bool) -> None:  # noqa: FBT001
    assert is_night(datetime(2026, 11, 25, hour, 30, tzinfo=UTC)) is night


@pytest.mark.parametrize(
    ("about", "count", "most", "found", "left"),
    [
        ("place", 20, 25, 3, (17, 22)),
        ("place", 20, 25, 22, (0, 3)),
        ("place", 20, 25, 25, (0, None)),
        ("place", 1, None, 3, (0, None)),
        ("person", 4, 6, 3, (1, 3)),
        ("person", 3, 6, 5, (1, None)),
    ],
)
def test_a_range_of_persons_is_less_by_those_who_were_found(
    about: str, count: int, most: int | None, found: int, left: tuple[int, int | None]
) -> None:
    case = facts(about=about, count=count, count_max=most)
    made = split(CASE, case, [Found()] * found, [uuid4() for _ in range(found)], {})
    assert (made.facts.count, made.facts.count_max) == left
    assert not made.stays
    assert {(born.count, born.count_max) for _, born in made.new} == {(1, None)}


def test_when_all_of_a_range_are_found_the_case_is_that_of_the_first() -> None:
    case = facts(count=2, count_max=3)
    made = split(CASE, case, [Found()] * 3, [uuid4(), uuid4()], {})
    assert made.stays
    assert (made.facts.count, made.facts.count_max) == (1, None)


CAP = rules_on(AT).exposure
BOSS, WORKER = Caller("s1", Role.SUPERVISOR), Caller("c1", Role.COORDINATOR)


@pytest.mark.parametrize(
    ("day", "week", "said"),
    [(0, 0, ()), (1, 5, ()), (2, 2, (WARNING,)), (0, 6, (WARNING,)), (3, 9, (WARNING,))],
)
def test_some_heavy_cases_are_taken_and_more_are_warned_of(
    day: int, week: int, said: tuple[str, ...]
) -> None:
    assert weigh(CAP, Heavy(day, week), WORKER, reason=None) == said


@pytest.mark.parametrize(("day", "week"), [(4, 4), (0, 10), (9, 99)])
def test_too_many_are_a_supervisors_who_says_why(day: int, week: int) -> None:
    for caller, reason in ((WORKER, "x"), (BOSS, None), (BOSS, "")):
        with pytest.raises(Conflict) as refused:
            weigh(CAP, Heavy(day, week), caller, reason=reason)
        assert refused.value.members == {"rule": "exposure", "day": day, "week": week}
    assert weigh(CAP, Heavy(day, week), BOSS, reason="x") == (OVERRIDE,)


def test_danger_and_what_is_hard_to_hear_is_heavy() -> None:
    assert is_heavy(facts(urgency="T0"), CAP)
    assert is_heavy(facts(concerns=["child_labour", "child_sexual_abuse"]), CAP)
    assert not is_heavy(facts(urgency="T1", concerns=["child_labour"]), CAP)
