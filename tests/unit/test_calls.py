"""Calls to a helpline: what a call says, and which open no case."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.intake.channels.helpline.capture import CallIn, facts_of, written
from services.intake.domain import Submission, open_cases
from services.intake.preparing import _coarse
from services.intake.reading import read

if TYPE_CHECKING:
    from shared.events import CaseFacts

AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)


def opened(times: int = 0, **body: Any) -> list[CaseFacts]:
    call = CallIn.model_validate(body)
    report = written(call, AT)
    told = facts_of(call)
    if times:
        told["call"]["times"] = times
    coarse = {**_coarse(report.model_dump(mode="json", by_alias=True)), **told}
    ids = tuple(uuid4() for _ in range(len(report.persons) or 1))
    found = Submission(uuid4(), "helpline", ids, coarse, entitled=True, received_at=AT, test=False)
    said = report.narrative
    reading = read(said, today=date(2026, 11, 25)) if said and not report.concerns else None
    return [facts for _, facts, _ in open_cases(found, reading, AT)]


@pytest.mark.parametrize("kind", ["silent", "prank", "test", "hang_up", "wrong_number"])
def test_a_call_that_says_nothing_opens_no_case(kind: str) -> None:
    assert opened(kind=kind, report={"narrative": "someone breathes"}) == []


@pytest.mark.parametrize(
    "more",
    [
        {"caller": "child_alone"},
        {"caller": "in_danger"},
        {"report": {"danger_now": True}},
        {"report": {"persons": [{}]}},
        {"report": {"concerns": ["unsure"]}},
        {"report": {"needs": ["shelter"]}},
    ],
)
def test_a_person_or_a_danger_in_a_prank_makes_it_a_report(more: dict[str, Any]) -> None:
    assert len(opened(kind="prank", **more)) == 1


@pytest.mark.parametrize(("times", "cases"), [(1, 0), (2, 0), (3, 1), (4, 0), (5, 0), (6, 1)])
def test_each_third_silent_call_is_about_a_person_and_cannot_wait(times: int, cases: int) -> None:
    found = opened(times, kind="silent")
    assert [(f.about, f.urgency) for f in found] == [("person", "T1")] * cases


@pytest.mark.parametrize(
    ("caller", "urgency"),
    [("in_danger", "T0"), ("child_alone", "T1"), ("calm", None), ("silent", None)],
)
def test_the_state_of_the_caller_counts(caller: str, urgency: str | None) -> None:
    (facts,) = opened(caller=caller, report={"about": "people"})
    assert facts.urgency == urgency


def test_what_was_written_of_the_danger_wins_over_the_state() -> None:
    (facts,) = opened(caller="in_danger", report={"about": "people", "danger_now": False})
    assert facts.urgency is None


@pytest.mark.parametrize("language", ["rhg", "ctg", "syl", "ccp"])
def test_words_in_any_language_are_a_report(language: str) -> None:
    (facts,) = opened(languages=[language], report={"narrative": "ãrár fua re loi giyé gói"})
    assert (facts.languages, facts.about) == ([language], "person")


def test_a_hand_over_to_us_is_told_with_its_reference() -> None:
    call = CallIn.model_validate({"came_from": {"helpline": "109", "reference": "H-7"}})
    report = written(call, AT)
    assert [(t.who, t.reference) for t in report.told_before] == [("109", "H-7")]
    assert [(r.system, r.value) for r in report.external_refs] == [("helpline.109", "H-7")]


def test_a_test_call_is_test_traffic_and_the_number_is_the_reporters() -> None:
    report = written(CallIn.model_validate({"kind": "test", "number": "01712345678"}), AT)
    assert report.test
    assert report.reporter.phone == "01712345678"
