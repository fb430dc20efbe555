"""The table of metrics: what may be declared, what a process shows, and how old a figure is."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, get_args

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from services.audit.flags import Flag, names_of
from services.intake import channels
from services.intake.casework.tasks import LEVELS
from services.intake.channels.helpline.capture import Kind
from services.notification.domain import NoticeState
from services.notification.notifiers import NAMES
from shared import metrics, places, telemetry
from shared.metrics import EVERY, TABLE, render

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SERVICES = ("intake", "referral", "notification", "audit")
PERSONAL = re.compile(r"(_|^)(id|key|name|case|person|phone|receipt|provider|offer|actor)(_|$)")
FINE = ("need", "urgency", "division")


def shown(service: str) -> dict[str, Metric]:
    text = render(service).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("declared", TABLE.values(), ids=lambda one: one.name)
def test_a_metric_is_well_declared(declared: metrics.Declared) -> None:
    assert re.fullmatch(r"pashe_[a-z0-9_]+", declared.name)
    assert not declared.name.endswith("_total")
    assert declared.owner in (*SERVICES, EVERY)
    assert re.match("[A-Z]|1 while", declared.text)
    for name, values in declared.labels.items():
        assert not PERSONAL.search(name), "no label may hold an id"
        assert values
    # one figure of people by need, urgency and division at once would single out a child
    assert len([name for name in declared.labels if name in FINE]) <= 1


def test_the_closed_labels_are_those_of_the_services() -> None:
    assert telemetry.NOTIFIERS == NAMES
    assert TABLE["pashe_notices"].labels["state"] == tuple(NoticeState)
    assert TABLE["pashe_submissions"].labels["channel"] == tuple(channels.NAMES)
    assert TABLE["pashe_duty_persons"].labels["level"] == LEVELS
    assert TABLE["pashe_helpline_calls"].labels["kind"] == get_args(Kind)
    assert list(TABLE["pashe_audit_flags"].labels["flag"]) == names_of(sum(Flag))


def test_every_place_lies_in_a_division() -> None:
    told = {place.pcode for place in places.all_places().values() if place.level == "division"}
    assert set(telemetry.DIVISIONS) == told
    for place in places.all_places().values():
        if place.level in {"district", "upazila", "metro_thana", "thana"}:
            above = [code for code in places.ancestors(place.pcode) if code in told]
            assert telemetry.division_of(place.pcode) == telemetry.DIVISIONS[above[0]]
    assert telemetry.division_of(None) == telemetry.division_of("IN1234") == "unknown"


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_shows_what_its_service_owns_and_nothing_else(service: str) -> None:
    assert set(shown(service)) == {one.name for one in metrics.own(service)}


def test_the_funnel_is_nought_from_the_start() -> None:
    metrics.begin("referral")
    declines = shown("referral")["pashe_referral_declines"].samples
    assert {sample.labels["reason"] for sample in declines} >= {"no_capacity", "other"}
    division = shown("referral")["pashe_referral_division_transitions"].samples
    assert len(division) == 13 * 9


def test_a_figure_that_was_never_read_is_not_shown_as_nought() -> None:
    made = metrics.reading("lab")
    try:
        found = metrics.gauge(EVERY, "pashe_lab_depth", "Of a test", read=made)
        assert not shown("audit")["pashe_lab_depth"].samples
        made.expect()
        found.set(7)
        assert not shown("audit")["pashe_lab_depth"].samples
        made.done()
        assert [sample.value for sample in shown("audit")["pashe_lab_depth"].samples] == [7]
    finally:
        TABLE.pop("pashe_lab_depth")
        metrics.REGISTRY.unregister(found)


def test_the_age_of_a_reading_grows_while_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    at = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: at)
    made = metrics.reading("lab of age")
    made.expect()
    at += 90
    assert made.age() == 90
    made.done()
    assert made.age() == 0
    at += 5
    assert made.age() == 5


def test_a_series_never_goes_away() -> None:
    metrics.set_known(telemetry.TASKS_OPEN, {("triage", "T0"): 2, ("verify", "T1"): 1})
    metrics.set_known(telemetry.TASKS_OPEN, {("verify", "T1"): 3})
    value = metrics.REGISTRY.get_sample_value
    assert value("pashe_desk_tasks", {"kind": "triage", "urgency": "T0"}) == 0
    assert value("pashe_desk_tasks", {"kind": "verify", "urgency": "T1"}) == 3
