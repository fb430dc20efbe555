"""The checker of the fault runs catches each anomaly, shown on made-up logs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.attempts import Attempt, Kind, Outcome, judge
from tests.faults.checker import Verdict, check, since
from tests.faults.figures import Fault, availability, quantile, recovery, table
from tests.faults.truth import Entry, Heard, Referral, Submission, Truth

REPORT = Attempt("m1", Kind.REPORT, Outcome.OK, 1.0, 1.1, case_ids=("c1",), statuses=(201,))
TRIAGE = Attempt("m2", Kind.TRIAGE, Outcome.OK, 2.0, 2.1, about="c1", statuses=(200,))
ACCEPT = Attempt("m3", Kind.ACCEPT, Outcome.OK, 3.0, 3.1, about="r1", statuses=(200,))
ATTEMPTS = [REPORT, TRIAGE, ACCEPT]
ENTRIES = (
    Entry(0, "e1", "report-submitted", "submissions", "c1", 1, "partner:m1", "s1"),
    Entry(1, "e2", "case-created", "cases", "c1", 1),
    Entry(2, "e3", "case-triaged", "cases", "c1", 2, "coordinator:m2"),
    Entry(3, "e4", "referral-planned", "referrals", "c1", 1),
    Entry(4, "e5", "referral-accepted", "referrals", "c1", 2, "provider_system:m3"),
)
TRUTH = Truth(
    entries=ENTRIES,
    submissions=(Submission("s1", "m1", ("c1",)),),
    cases=(("c1", "s1/a"),),
    referrals=(Referral("r1", "c1", "legal_aid", 1),),
    events={e.event_id: e.stream for e in ENTRIES},
    heard=(
        Heard("sse p1", 1, "e4", "x", "c1", 1),
        Heard("sse p1", 2, "e5", "y", "c1", 2),
    ),
    expected={"sse p1": ("e4", "e5")},
)


def found(truth: Truth, attempts: list[Attempt] | None = None) -> set[str]:
    return set(check(ATTEMPTS if attempts is None else attempts, truth).fatal)


def without(*ids: str, outbox: bool = True) -> Truth:
    """Forget events: from the history, and from the outbox too unless told otherwise."""
    entries = tuple(e for e in ENTRIES if e.event_id not in ids)
    events = {k: v for k, v in TRUTH.events.items() if k not in ids or not outbox}
    return replace(TRUTH, entries=entries, events=events)


def test_a_clean_run_shows_nothing() -> None:
    assert not found(TRUTH)


def test_a_report_without_a_submission_is_lost() -> None:
    truth = replace(TRUTH, submissions=(), cases=())
    assert "lost" in found(truth)


def test_a_report_that_is_not_in_the_history_is_lost() -> None:
    assert found(without("e1")) == {"lost"}


def test_a_case_that_is_not_in_the_history_is_lost() -> None:
    assert "lost" in found(without("e2"))


def test_a_report_without_a_case_within_the_bound_is_lost() -> None:
    truth = replace(TRUTH, submissions=(Submission("s1", "m1", ("c1",), "received"),))
    assert "lost" in found(truth)


def test_a_report_whose_promised_case_was_dropped_is_lost() -> None:
    truth = replace(TRUTH, submissions=(Submission("s1", "m1", ("c1",), "no_case"),))
    assert "lost" in found(truth)


def test_a_report_told_other_case_ids_than_are_stored_is_lost() -> None:
    assert "lost" in found(TRUTH, [replace(REPORT, case_ids=("c9",)), TRIAGE, ACCEPT])


@pytest.mark.parametrize("gone", ["e3", "e5"])
def test_a_change_that_is_not_in_the_history_is_lost(gone: str) -> None:
    assert "lost" in found(replace(without(gone), expected={}, heard=()))


def test_a_stored_event_that_the_history_never_saw_is_unseen_and_not_lost() -> None:
    assert found(without("e1", outbox=False)) == {"unseen"}


def test_an_event_of_a_feed_that_nobody_heard_is_unseen() -> None:
    assert found(replace(TRUTH, heard=TRUTH.heard[:1])) == {"unseen"}


def test_an_unknown_report_may_be_there_or_not() -> None:
    unknown = replace(REPORT, outcome=Outcome.UNKNOWN, case_ids=(), statuses=(0,))
    assert not found(TRUTH, [unknown, TRIAGE, ACCEPT])
    assert not found(Truth(), [unknown])


def test_two_submissions_of_one_attempt_are_a_duplicate_effect() -> None:
    twice = (*TRUTH.submissions, Submission("s2", "m1", ("c1",)))
    assert found(replace(TRUTH, submissions=twice)) == {"duplicate effect"}


def test_two_answers_to_one_key_are_a_duplicate_effect() -> None:
    assert "duplicate effect" in found(TRUTH, [replace(REPORT, answers=2), TRIAGE, ACCEPT])


def test_two_cases_of_one_person_are_a_duplicate_effect() -> None:
    cases = (("c1", "s1/a"), ("c2", "s1/a"))
    assert "duplicate effect" in found(replace(TRUTH, cases=cases))


def test_two_referrals_of_one_case_need_and_attempt_are_a_duplicate_effect() -> None:
    twice = (*TRUTH.referrals, Referral("r2", "c1", "legal_aid", 1))
    assert found(replace(TRUTH, referrals=twice)) == {"duplicate effect"}
    again = (*TRUTH.referrals, Referral("r2", "c1", "legal_aid", 2))
    assert not found(replace(TRUTH, referrals=again))


def test_two_entries_of_one_event_are_a_duplicate_effect() -> None:
    twice = (*ENTRIES, replace(ENTRIES[4], index=5))
    assert "duplicate effect" in found(replace(TRUTH, entries=twice))


def test_two_openings_of_one_case_are_a_duplicate_effect() -> None:
    again = Entry(5, "e6", "case-created", "cases", "c1", 3)
    truth = replace(TRUTH, entries=(*ENTRIES, again), events=TRUTH.events | {"e6": "cases"})
    assert found(truth) == {"duplicate effect"}


def test_one_change_twice_is_a_duplicate_effect() -> None:
    again = Entry(5, "e6", "case-triaged", "cases", "c1", 3, "coordinator:m2")
    truth = replace(TRUTH, entries=(*ENTRIES, again), events=TRUTH.events | {"e6": "cases"})
    assert found(truth) == {"duplicate effect"}


def test_one_notice_with_two_bodies_is_a_duplicate_effect() -> None:
    heard = (Heard("hook", 1, "n1", "a"), Heard("hook", 1, "n1", "b"))
    assert found(replace(TRUTH, heard=heard, expected={})) == {"duplicate effect"}


def test_one_notice_twice_with_the_same_body_is_absorbed() -> None:
    heard = (Heard("hook", 1, "n1", "a"), Heard("hook", 1, "n1", "a"))
    verdict = check(ATTEMPTS, replace(TRUTH, heard=heard, expected={}))
    assert not verdict.fatal
    assert verdict.absorbed == 1


def test_an_entry_by_nobody_of_the_load_is_a_phantom() -> None:
    assert found(TRUTH, [REPORT, ACCEPT]) == {"phantom"}


def test_a_submission_that_nobody_made_is_a_phantom() -> None:
    more = (*TRUTH.submissions, Submission("s9", "m9", ()))
    assert found(replace(TRUTH, submissions=more)) == {"phantom"}


def test_an_entry_that_is_in_no_outbox_is_a_phantom() -> None:
    events = {k: v for k, v in TRUTH.events.items() if k != "e2"}
    assert found(replace(TRUTH, events=events)) == {"phantom"}


def test_an_event_heard_that_is_not_in_the_feed_is_a_phantom() -> None:
    heard = (*TRUTH.heard, Heard("sse p1", 3, "e9", "z"))
    assert found(replace(TRUTH, heard=heard)) == {"phantom"}


def test_a_later_event_before_an_earlier_one_is_an_inversion() -> None:
    swapped = (*ENTRIES[:1], replace(ENTRIES[2], index=1), replace(ENTRIES[1], index=2))
    truth = replace(TRUTH, entries=(*swapped, *ENTRIES[3:]))
    assert found(truth) == {"inversion"}


def test_a_feed_out_of_order_is_an_inversion() -> None:
    assert "inversion" in found(replace(TRUTH, heard=TRUTH.heard[::-1]))


def test_a_webhook_out_of_the_order_of_its_feed_is_an_inversion() -> None:
    first = Heard("hook", 1, "n1", "a", "r1", 1)
    other = Heard("hook", 2, "n2", "b", "r2", 1)
    assert found(replace(TRUTH, heard=(first, other), expected={})) == set()
    assert found(replace(TRUTH, heard=(other, first), expected={})) == {"inversion"}


def test_a_missing_sequence_number_is_a_gap() -> None:
    moved = (*ENTRIES[:2], replace(ENTRIES[2], sequence=3), *ENTRIES[3:])
    assert found(replace(TRUTH, entries=moved)) == {"gap"}


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_visible_of_a_refused_attempt_is_g1a(which: int) -> None:
    attempts = list(ATTEMPTS)
    attempts[which] = replace(attempts[which], outcome=Outcome.FAIL, case_ids=())
    assert found(TRUTH, attempts) == {"G1a"}


def test_an_entry_that_audit_holds_something_against_is_flagged() -> None:
    entries = (*ENTRIES[:4], replace(ENTRIES[4], flags=("unsigned",)))
    assert found(replace(TRUTH, entries=entries)) == {"flagged"}


def test_a_later_look_shows_only_what_is_new_and_the_same_again_is_new() -> None:
    before = check(ATTEMPTS, replace(without("e1"), absorbed=5))
    assert not since(before, before).fatal
    later = check(ATTEMPTS, replace(without("e1", "e2"), absorbed=2))
    new = since(before, later)
    assert new.count("lost") == later.count("lost") - before.count("lost") > 0
    assert new.absorbed == 0, "a process that died has forgotten what it had counted"
    again = Verdict()
    again.blame("unsettled", "x")
    again.blame("unsettled", "x")
    once = Verdict()
    once.blame("unsettled", "x")
    assert since(once, again).count("unsettled") == 1


def test_a_run_that_does_not_settle_fails() -> None:
    assert found(replace(TRUTH, unsent=1)) == {"unsettled"}
    assert found(replace(TRUTH, lag=1)) == {"unsettled"}


def test_a_log_that_does_not_verify_fails() -> None:
    assert found(replace(TRUTH, audit_valid=False)) == {"invalid log"}


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((201,), Outcome.OK),
        ((0, 503, 201), Outcome.OK),
        ((422,), Outcome.FAIL),
        ((-1, -1), Outcome.FAIL),
        ((0,), Outcome.UNKNOWN),
        ((503,), Outcome.UNKNOWN),
        ((0, 409), Outcome.UNKNOWN),
        ((-1, 0, -1), Outcome.UNKNOWN),
    ],
)
def test_only_what_certainly_did_not_happen_is_a_fail(
    statuses: tuple[int, ...], outcome: Outcome
) -> None:
    assert judge(statuses) is outcome


def test_recovery_is_the_first_success_after_the_part_was_down() -> None:
    early = replace(REPORT, started=2.1, ended=2.2)
    late = replace(REPORT, started=2.3, ended=6.5)
    faults = [Fault("term", "intake", 2.0, 2.5, 3.0), Fault("kill", "audit", 2.0, 2.0, 3.5)]
    assert recovery(faults, [early, late]) == {"term intake": [4.5], "kill audit": [1.5]}


def test_recovery_that_never_came_is_endless() -> None:
    assert recovery([Fault("kill", "intake", 9.0, 9.0, None)], [REPORT]) == {
        "kill intake": [float("inf")]
    }


def test_availability_counts_first_sends_and_final_answers() -> None:
    again = replace(REPORT, sends=2)
    never = replace(REPORT, outcome=Outcome.UNKNOWN)
    assert availability([REPORT, again, never, never]) == (0.25, 0.5)


def test_quantiles_take_the_nearest_rank() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0], 0.99) == 1.0


def test_the_table_names_what_was_found() -> None:
    verdict = check(ATTEMPTS, without("e1"))
    text = table(7, 60.0, ATTEMPTS, [Fault("kill", "intake", 0.5, 0.5, 1.0)], verdict, 4)
    assert "seed 7" in text
    assert "LOST:" in text
    assert "kill intake" in text
