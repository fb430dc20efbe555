"""The capacity model agrees with what was measured, and says which part ends first."""

from __future__ import annotations

import re

import pytest

from deploy.capacity import LARGE, PARTS, SMALL, load_model, simulate, table
from tests.support.processes import ROOT

MODEL = load_model()


@pytest.mark.parametrize("point", MODEL.points, ids=lambda point: f"{point.rate:g} a second")
def test_the_model_gives_back_what_was_measured(point: object) -> None:
    rate = point.rate  # type: ignore[attr-defined]
    cpu = point.cpu  # type: ignore[attr-defined]
    assert {part: MODEL.cpu(part, rate) for part in PARTS} == pytest.approx(cpu)


def test_the_bench_s_own_figure_comes_out_two_cores_end_where_it_ended() -> None:
    """`pashe bench` took 277 reports a second through the chain on two cores."""
    last = MODEL.points[-1]
    cores = last.rate * sum(last.cpu.values()) / 1e3
    assert cores == pytest.approx(2.0, rel=0.25)
    assert min(MODEL.most(part, SMALL[part]) for part in PARTS) * 2 == pytest.approx(277, rel=0.4)


def test_a_report_costs_less_the_more_come() -> None:
    totals = [sum(MODEL.cpu(part, rate) for part in PARTS) for rate in (1, 50, 100, 200, 277, 900)]
    assert totals == sorted(totals, reverse=True)


def test_what_does_not_fit_waits_and_what_fits_does_not() -> None:
    assert simulate(MODEL, 1e6, SMALL).late == 0
    assert simulate(MODEL, 1e8, LARGE).late == 0
    tiny = dict.fromkeys(PARTS, 0.002)
    assert simulate(MODEL, 1e8, tiny).late > 60


def test_the_page_shows_what_the_script_prints() -> None:
    page = (ROOT / "docs" / "capacity.md").read_text("utf-8")
    for cores in (SMALL, LARGE):
        assert table(MODEL, (1e6, 1e7, 1e8), cores) in page
    told = (ROOT / "deploy" / "capacity.toml").read_text("utf-8")
    assert re.findall(r"^rate = ", told, re.MULTILINE)
