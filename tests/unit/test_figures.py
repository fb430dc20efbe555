"""The objective: each report is judged once, when its time is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from services.intake import figures
from services.intake.casework.rules import rules_on
from shared.metrics import REGISTRY

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(seq: int, ago: timedelta, **more: Any) -> SimpleNamespace:
    told = {"urgency": "T1", "test": False, "seen_at": None, "assigned": False} | more
    return SimpleNamespace(seq=seq, received_at=AT - ago, **told)


def test_the_times_are_those_of_the_urgencies() -> None:
    within = rules_on(AT).before_person
    assert {name: time.total_seconds() / 60 for name, time in within.items()} == {
        "T0": 15,
        "T1": 60,
        "T2": 180,
        "T3": 1440,
    }


def test_a_report_is_in_time_if_somebody_looked_or_a_provider_was_asked() -> None:
    rows = [
        row(1, 2 * HOUR, seen_at=AT - 1.5 * HOUR),
        row(2, 2 * HOUR, assigned=True),
        row(3, 2 * HOUR, seen_at=AT - 0.5 * HOUR),  # an hour and a half after it came
        row(4, 2 * HOUR, seen_at=AT - 0.5 * HOUR, assigned=True),  # released by whoever was late
        row(5, 2 * HOUR),
    ]
    assert figures._judge(rows, "T1", HOUR, AT, 0) == (5, {"in_time": 2, "late": 3})


def test_only_what_is_over_is_judged_and_only_once() -> None:
    rows = [row(7, 2 * HOUR), row(8, HOUR / 2), row(9, 2 * HOUR)]
    assert figures._judge(rows, "T1", HOUR, AT, 6) == (7, {"late": 1})
    assert figures._judge(rows[1:], "T1", HOUR, AT, 7) == (7, {})


def test_tests_and_other_urgencies_are_passed_over() -> None:
    rows = [row(1, 2 * HOUR, test=True), row(2, 2 * HOUR, urgency="T2")]
    assert figures._judge(rows, "T1", HOUR, AT, 0) == (2, {})


def test_a_stage_is_counted_by_urgency_and_without_one_nowhere() -> None:
    def counted(stage: str) -> float:
        labels = {"stage": stage, "urgency": "T2"}
        return REGISTRY.get_sample_value("pashe_report_stage_seconds_count", labels) or 0

    before = counted("accepted")
    figures.count_stage("accepted", "T2", HOUR)
    figures.count_stage("accepted", None, HOUR)
    assert counted("accepted") == before + 1
