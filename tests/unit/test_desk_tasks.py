"""What comes before a person of the desk, and what only a person ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from services.intake.casework.consumer import Desk, DeskHandler
from services.intake.casework.duty import who_is_told
from services.intake.casework.review import Attempt, Closing, close, is_review_due, mark_review_due
from services.intake.casework.roster import Duty
from services.intake.casework.rules import rules_on
from services.intake.casework.tasks import (
    NO_ONE,
    SILENCE_BESIDE,
    UNACKNOWLEDGED,
    Orders,
    after_case,
    after_erasure,
    after_notice,
    after_parking,
    after_referral,
    asks_nobody,
    most_urgent,
    was_not_reached,
)
from shared.errors import Conflict, Forbidden
from shared.events import CaseFacts, Event, NoticeFacts, ReferralFacts
from shared.outbox import Outbox, Stamp
from shared.signing import Signer
from shared.vocabulary import Role

CASE, REFERRAL = uuid4(), uuid4()
AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)


def referral(state: str, **more: Any) -> ReferralFacts:
    told: dict[str, Any] = {"need": "shelter", "urgency": "T1", **more}
    return ReferralFacts(referral_id=REFERRAL, state=state, **told)


def facts(**more: Any) -> CaseFacts:
    return CaseFacts(report_id=uuid4(), channel="web", needs=["shelter"], **more)


def opened(orders: Orders) -> list[tuple[str, str]]:
    return [(task.kind, task.level) for task in orders.opens]


def ended(orders: Orders) -> set[str | None]:
    return {kind for kind, _ in orders.ends}


@pytest.mark.parametrize(
    ("awaits", "task"),
    [("release", "release"), ("choose", "choose_offer"), ("call", "call_office"), (None, None)],
)
def test_what_is_planned_and_needs_hands_is_a_task(awaits: str | None, task: str | None) -> None:
    orders = after_referral("referral-planned", referral("planned", awaits=awaits))
    assert [task.kind for task in orders.opens] == ([task] if task else [])
    hands = {"release", "choose_offer", "call_office"}
    assert ended(orders) == (hands | {"nobody_serves"}) - {task}


def test_nobody_serves_is_a_task_until_somebody_does() -> None:
    assert opened(after_referral("referral-waiting", referral("waiting"))) == [
        ("nobody_serves", "coordinator")
    ]
    assert "nobody_serves" in ended(after_referral("referral-assigned", referral("assigned")))
    assert "release" in ended(after_referral("referral-assigned", referral("assigned")))


def test_a_withdrawal_nobody_heard_is_a_task_even_of_an_erased_case() -> None:
    late = referral("withdrawn", silence="acknowledge", escalated_to="supervisor")
    for after in (after_referral, after_erasure):
        (task,) = after("referral-escalated", late).opens
        assert (task.kind, task.level) == (UNACKNOWLEDGED, "supervisor")
        assert UNACKNOWLEDGED in ended(after("withdrawal-acknowledged", referral("withdrawn")))
    assert not after_erasure("referral-waiting", referral("waiting"))
    assert ended(after_erasure("referral-withdrawn", referral("withdrawn"))) == {UNACKNOWLEDGED}


@pytest.mark.parametrize(("status", "asks"), [("open", ["release"]), ("closed", [])])
def test_what_was_planned_before_the_closing_was_heard_asks_nobody(
    status: str, asks: list[str]
) -> None:
    desk = Desk({CASE: facts(status=status)}, {}, set())
    planned = Event(
        id=uuid4(),
        source="/referral",
        type="referral-planned",
        subject=str(CASE),
        time=AT,
        sequence=1,
        actor="service:referral",
        traceparent=None,
        data=referral("planned", awaits="release"),
    )
    outbox = Outbox("intake", Signer(bytes(32)))
    handler, stamp = DeskHandler(outbox), Stamp(AT, "service:intake.desk")
    handler.decide(desk, planned, stamp)
    ((_, orders),) = desk.orders
    assert [task.kind for task in orders.opens] == asks
    late = referral("withdrawn", silence="acknowledge", escalated_to="supervisor")
    handler.decide(desk, structs.replace(planned, type="referral-escalated", data=late), stamp)
    assert [task.kind for task in desk.orders[-1][1].opens] == [UNACKNOWLEDGED]


def test_where_the_policy_says_a_silence_comes_before_several_levels_at_once() -> None:
    beside = rules_on(AT).told_beside
    late = referral("assigned", silence="respond", escalated_to="coordinator", urgency="T0")
    orders = after_referral("referral-escalated", late, beside)
    assert opened(orders) == [("no_answer", "coordinator"), (SILENCE_BESIDE, "supervisor")]
    _, other = orders.opens
    slow = referral("assigned", silence="respond", escalated_to="coordinator", urgency="T2")
    assert opened(after_referral("referral-escalated", slow, beside)) == [
        ("no_answer", "coordinator")
    ]
    # who is reached by the ladder itself, or has nothing to see to any more, has no second task
    higher = referral("assigned", silence="respond", escalated_to="supervisor", urgency="T0")
    ladder = after_referral("referral-escalated", higher, beside)
    assert opened(ladder) == [("no_answer", "supervisor")]
    yes = after_referral("referral-accepted", referral("accepted", urgency="T0"), beside)
    assert (SILENCE_BESIDE, other.about) in ladder.ends
    assert (SILENCE_BESIDE, other.about) in yes.ends


@pytest.mark.parametrize(
    ("silence", "task"),
    [
        ("respond", "no_answer"),
        ("first_contact", "no_first_contact"),
        ("deliver", "not_delivered"),
        ("nobody_serves", "nobody_serves"),
        ("release", "release_late"),
        ("waitlist", "waitlisted_long"),
        ("acknowledge", UNACKNOWLEDGED),
        ("of a later version", "no_answer"),
    ],
)
@pytest.mark.parametrize("level", ["coordinator", "supervisor", "district_focal_person"])
def test_silence_comes_before_whom_it_was_escalated_to(silence: str, task: str, level: str) -> None:
    told = referral("accepted", silence=silence, escalated_to=level)
    orders = after_referral("referral-escalated", told)
    assert opened(orders) == [(task, level)]
    assert task not in ended(orders)


def test_what_was_silent_and_happens_ends_its_task() -> None:
    contact = after_referral("first-contact-made", referral("accepted"))
    assert "no_first_contact" in ended(contact)
    assert "no_answer" in ended(after_referral("referral-accepted", referral("accepted")))
    assert "not_delivered" not in ended(after_referral("service-started", referral("in_service")))
    assert "not_delivered" in ended(after_referral("service-delivered", referral("delivered")))
    assert "no_first_contact" in ended(after_referral("referral-on-hold", referral("on_hold")))


def test_an_unknown_state_or_test_traffic_does_nothing() -> None:
    assert not after_referral("referral-waiting", referral("waiting", test=True))
    assert not after_referral("referral-hibernated", referral("hibernating"))


@pytest.mark.parametrize("urgency", ["T0", "T1", "T2", None])
@pytest.mark.parametrize(
    ("event", "state", "reason", "task"),
    [
        ("notice-withheld", "withheld", "no-safe-contact", "notice_withheld"),
        ("notice-withheld", "withheld", "test", None),
        ("notice-withheld", "withheld", "stale", None),
        ("notice-failed", "unknown", "timeout", "notice_unknown"),
        ("notice-failed", "failed", "refused", "notice_failed"),
        ("notice-sent", "sent", None, None),
    ],
)
def test_a_notice_that_did_not_reach_a_person_has_an_owner_where_it_burns(
    event: str, state: str, reason: str | None, task: str | None, urgency: str | None
) -> None:
    notice = NoticeFacts(
        notice_id=uuid4(),
        notifier="sms",
        about_event=uuid4(),
        about_type="referral-accepted",
        state=state,
        recipient="person",
        reason=reason,
    )
    expected = [task] if task and urgency in ("T0", "T1") else []
    assert [t.kind for t in after_notice(event, notice, urgency).opens] == expected


def _notice(state: str, reason: str | None = None, **more: Any) -> NoticeFacts:
    facts: dict[str, Any] = {"recipient": "person", "test": False} | more
    return NoticeFacts(
        notice_id=UUID(int=7),
        notifier="sms",
        about_event=uuid4(),
        about_type="referral-accepted",
        state=state,
        reason=reason,
        **facts,
    )


@pytest.mark.parametrize("urgency", ["T0", "T3", None])
@pytest.mark.parametrize("reason", ["bad-number", "opted-out", "bounced"])
def test_a_number_that_does_not_reach_the_person_is_checked_by_somebody(
    reason: str, urgency: str | None
) -> None:
    found = after_notice("notice-failed", _notice("failed", reason), urgency)
    assert [(t.kind, t.about) for t in found.opens] == [("contact_bounced", NO_ONE)]
    assert not after_notice("notice-failed", _notice("failed", reason, test=True), urgency)
    reporter = _notice("failed", reason, recipient="reporter")
    assert not after_notice("notice-failed", reporter, urgency)


@pytest.mark.parametrize("urgency", ["T0", "T1", "T3", None])
@pytest.mark.parametrize("state", ["sent", "delivered"])
def test_what_became_known_ends_the_task_of_the_unknown(state: str, urgency: str | None) -> None:
    found = after_notice(f"notice-{state}", _notice(state), urgency)
    assert found.ends == (("notice_unknown", UUID(int=7)),)
    assert not found.opens


@pytest.mark.parametrize(
    ("event", "reason", "next_now"),
    [
        ("notice-sent", None, False),
        ("notice-failed", "gateway-refused", True),
        ("notice-withheld", "no-safe-way", True),
        ("notice-withheld", "no-number", True),
        ("notice-withheld", "at-desk", False),
        ("notice-withheld", "taken", False),
        ("notice-withheld", "stale", False),
    ],
)
def test_a_page_that_reached_nobody_lets_the_next_be_paged(
    event: str, reason: str | None, *, next_now: bool
) -> None:
    notice = NoticeFacts(
        notice_id=uuid4(),
        notifier="page",
        about_event=uuid4(),
        about_type="duty-paged",
        state="x",
        recipient="on_duty",
        reason=reason,
    )
    assert was_not_reached(event, notice) is next_now
    expected = [("page_not_sent", "supervisor")] if next_now else []
    assert opened(after_notice(event, notice, "T0")) == expected


def test_a_notice_to_a_reporter_is_no_task() -> None:
    notice = _notice("withheld", "no-safe-contact", recipient="reporter")
    assert not after_notice("notice-withheld", notice, "T0")


@pytest.mark.parametrize("urgency", ["T0", "T1", "T2", None])
@pytest.mark.parametrize(
    ("event", "state", "reason", "is_task"),
    [
        ("notice-withheld", "withheld", "no-gateway", True),
        ("notice-withheld", "withheld", "no-worker", True),
        ("notice-withheld", "withheld", "subscription-disabled", True),
        ("notice-failed", "failed", "exhausted", True),
        ("notice-failed", "unknown", "timeout", True),
        ("notice-withheld", "withheld", "test", False),
        ("notice-withheld", "withheld", "taken", False),
        ("notice-withheld", "withheld", "conflict", False),
        ("notice-withheld", "withheld", "subscription-deleted", False),
    ],
)
def test_a_provider_that_was_not_told_has_an_owner_where_it_burns(
    event: str, state: str, reason: str, urgency: str | None, *, is_task: bool
) -> None:
    for about in ("referral-assigned", "referral-withdrawn", "referral-accepted"):
        notice = provider_notice(state, reason, about_type=about)
        found = after_notice(event, notice, urgency)
        wanted = is_task and urgency in ("T0", "T1") and about != "referral-accepted"
        assert [(t.kind, t.about, t.detail) for t in found.opens] == (
            [("provider_not_told", REFERRAL, reason)] if wanted else []
        )
    tested = provider_notice(state, reason, about_type="referral-assigned", test=True)
    assert not after_notice(event, tested, urgency)


def provider_notice(state: str, reason: str | None = None, **more: Any) -> NoticeFacts:
    known: dict[str, Any] = {"about_type": "referral-assigned", "recipient": "provider"} | more
    return NoticeFacts(
        notice_id=uuid4(),
        notifier="provider",
        about_event=uuid4(),
        state=state,
        referral_id=REFERRAL,
        reason=reason,
        **known,
    )


def test_a_provider_that_was_told_after_all_or_acts_ends_the_task() -> None:
    for state in ("sent", "delivered"):
        found = after_notice(f"notice-{state}", provider_notice(state), "T1")
        assert found.ends == (("provider_not_told", REFERRAL),)
    assert "provider_not_told" in ended(after_referral("referral-accepted", referral("accepted")))
    assert "provider_not_told" in ended(after_referral("referral-expired", referral("expired")))
    for event, state in (("referral-assigned", "assigned"), ("referral-withdrawn", "withdrawn")):
        assert "provider_not_told" not in ended(after_referral(event, referral(state)))


def test_only_what_ended_before_anybody_was_asked_may_be_about_no_worker() -> None:
    assert asks_nobody(provider_notice("withheld", "no-gateway"))
    assert not asks_nobody(provider_notice("withheld", "no-worker"))
    assert not asks_nobody(provider_notice("withheld", "no-gateway", subscription_id=uuid4()))
    assert not asks_nobody(_notice("withheld", "no-gateway"))


def test_events_of_a_case() -> None:
    assert opened(after_case("case-created", facts(about="place"))) == [("verify", "coordinator")]
    assert not after_case("case-created", facts())
    assert not after_case("case-created", facts(about="place", test=True))
    assert after_case("case-triaged", facts()).ends == (("verify", NO_ONE),)
    assert opened(after_case("case-updated", facts(status="review_due"))) == [
        ("review", "coordinator")
    ]
    assert after_case("case-closed", facts(status="closed")).ends == ((None, None),)
    stopped = facts(contact_stopped=True, urgency="T1")
    assert opened(after_case("contact-recorded", stopped)) == [("contact_stopped", "coordinator")]
    assert not after_case("contact-recorded", facts(contact_stopped=True, urgency="T3"))
    assert opened(after_parking("referral.rule.shelter", "bug", "T0")) == [
        ("parked", "coordinator")
    ]


@pytest.mark.parametrize("event", ["case-created", "case-updated"])
def test_a_report_that_cannot_wait_is_before_a_person_without_kafka_or_a_need(event: str) -> None:
    for urgency in ("T0", "T1"):
        burning = facts(urgency=urgency)
        assert opened(after_case(event, burning)) == [("triage", "coordinator")]
    for calm in (facts(urgency="T2"), facts(urgency="T0", entitled=True), facts(test=True)):
        assert opened(after_case(event, calm)) == []


def test_the_most_urgent_counts() -> None:
    assert most_urgent(["T2", None, "T0"]) == "T0"
    assert most_urgent([None]) is None


def duty(person: str, level: str = "coordinator", district: str | None = None) -> Duty:
    return Duty(person, level, district, AT, AT + timedelta(hours=8))


def test_whoever_is_on_duty_at_the_level_and_in_the_district_is_told() -> None:
    roster = [
        duty("focal-bogura", "district_focal_person", "BD5010"),
        duty("named-in-the-case"),
        duty("anybody"),
        duty("boss", "supervisor"),
    ]
    assert who_is_told(roster, "coordinator", "BD5010", ["named-in-the-case"]) == "anybody"
    assert who_is_told(roster, "supervisor", None, []) == "boss"
    assert who_is_told(roster, "district_focal_person", "BD5010", []) == "focal-bogura"
    assert who_is_told(roster, "district_focal_person", "BD3026", []) is None


def attempt(state: str, number: int = 1, need: str = "shelter", part: str | None = None) -> Attempt:
    return Attempt(uuid4(), need, number, state, part, "T1", number)


@pytest.mark.parametrize(
    ("attempts", "due"),
    [
        ([attempt("delivered", part="all")], True),
        ([attempt("delivered", part="part")], False),
        ([attempt("delivered", part="part"), attempt("delivered", 2, part="all")], True),
        ([attempt("expired")], False),
        ([attempt("declined"), attempt("failed", 2)], True),
        ([attempt("withdrawn")], True),
        ([attempt("delivered", part="all"), attempt("assigned", 2)], False),
        ([attempt("delivered", need="legal_aid")], False),
        ([], False),
    ],
)
def test_a_case_is_due_for_review_when_its_last_referral_is_final(
    *, attempts: list[Attempt], due: bool
) -> None:
    assert is_review_due(facts(), attempts) is due
    assert not is_review_due(facts(status="closed"), attempts)
    assert not is_review_due(facts(status="review_due"), attempts)


def test_a_machine_marks_for_review_and_never_closes() -> None:
    new, draft = mark_review_due(CASE, facts())
    assert (new.status, draft.type) == ("review_due", "case-updated")


def closing(case: CaseFacts, reason: str = "goals_met_and_safe", **more: Any) -> Any:
    given: dict[str, Any] = {
        "by": "coordinator:c1",
        "role": Role.COORDINATOR,
        "attempts": [],
        "proposed": None,
        **more,
    }
    return close(CASE, case, reason, **given)


def test_a_named_person_closes_with_a_reason() -> None:
    new, draft = closing(facts(urgency="T2", status="review_due"))
    assert (new.status, new.reason) == ("closed", "goals_met_and_safe")
    assert new.worker is None, "who closes it is not whose case it was"
    assert draft.type == "case-closed"
    with pytest.raises(Conflict):
        closing(new)


def test_goals_are_not_met_while_a_referral_is_open() -> None:
    with pytest.raises(Conflict):
        closing(facts(), attempts=[attempt("accepted")])
    new, _ = closing(facts(), "person_declined", attempts=[attempt("accepted")])
    assert new.status == "closed"


@pytest.mark.parametrize("urgency", ["T0", "T1"])
def test_where_it_burns_a_second_person_a_supervisor_agrees(urgency: str) -> None:
    case = facts(urgency=urgency)
    proposal = closing(case)
    assert proposal == Closing("coordinator:c1", "goals_met_and_safe")
    boss: dict[str, Any] = {"by": "supervisor:s1", "role": Role.SUPERVISOR}
    assert isinstance(closing(case, **boss), Closing)
    new, _ = closing(case, proposed=proposal, **boss)
    assert new.status == "closed"
    with pytest.raises(Conflict):
        closing(case, "duplicate", proposed=proposal, **boss)
    with pytest.raises(Forbidden):
        closing(case, proposed=Closing("supervisor:s1", "goals_met_and_safe"), **boss)
    assert isinstance(closing(case, proposed=proposal), Closing)


def test_a_task_is_about_something_or_the_whole_case() -> None:
    assert UUID(int=0) == NO_ONE
