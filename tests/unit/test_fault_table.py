"""The table of faults: every word of the list is tried, and its figures are what was seen."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.faults.__main__ import chosen
from tests.faults.compared import Came, compare
from tests.faults.listed import FAULTS, PROVED
from tests.faults.proving import outcomes
from tests.faults.rigs import RIGS
from tests.faults.rows import Row, bound, markdown, plain, said, to_json, total
from tests.faults.scene import LISTED
from tests.faults.soak import drawn, joined
from tests.faults.streams import poisons
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CLEAN = Row(fault="kill -9 intake", rig="one", reports=300, strikes=2, recoveries=(1.0, 3.0))
LOST = Row(fault="kill -9 audit", rig="one", reports=100, lost=2, examples=("lost: m1",))
RIVAL = Row(fault="a consumer", rig="lab", subject="FastStream ACK", reports=50, lost=9)


@pytest.mark.parametrize("word", LISTED)
def test_every_fault_of_the_list_is_struck_or_shown_by_a_test(word: str) -> None:
    covering = [f.covers for f in FAULTS] + [p.covers for p in PROVED]
    assert word in covering


def test_every_fault_covers_a_word_of_the_list_and_has_a_rig_and_a_name_of_its_own() -> None:
    assert {f.covers for f in FAULTS} | {p.covers for p in PROVED} <= set(LISTED)
    assert {f.rig for f in FAULTS} <= RIGS.keys()
    names = Counter([f.name for f in FAULTS] + [p.name for p in PROVED])
    assert set(names.values()) == {1}


@pytest.mark.parametrize("test", [p.test for p in PROVED])
def test_what_is_shown_by_a_test_names_one_that_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text()


def test_there_are_fifteen_kinds_of_poison_and_no_two_are_the_same() -> None:
    kinds = poisons()
    assert len(kinds) == 15
    assert len({repr(kind) for kind in kinds}) == 15


def test_a_bound_is_given_for_zero_only() -> None:
    assert bound(CLEAN) == "1.0e-02"
    assert bound(LOST) == "–"
    assert bound(Row(fault="x", rig="one")) == "–"


def test_the_sum_is_of_ours_and_a_baselines_losses_are_not_held_against_us() -> None:
    rows = [CLEAN, LOST, RIVAL]
    assert (total(rows).reports, total(rows).lost, total(rows).strikes) == (400, 2, 2)
    assert RIVAL.clean
    assert not LOST.clean
    assert not Row(fault="x", rig="one", error="it never came back").clean


def test_the_table_is_markdown_text_and_json() -> None:
    rows = [CLEAN, LOST, RIVAL]
    lines = markdown(rows).splitlines()
    assert len({line.count("|") for line in lines[:6]}) == 1
    assert "| kill -9 audit | Pashe | 100 | 0 | 2 |" in markdown(rows)
    assert "- lost: m1" in lines
    assert "FastStream ACK" in plain(rows)
    assert msgspec.json.decode(to_json(rows), type=list[Row]) == rows


def test_what_never_came_back_still_tells_what_it_lost() -> None:
    row = Row(fault="x", rig="one", reports=9, lost=4, error="it never came back")
    assert "| x | Pashe | 9 | 0 | 4 |" in markdown([row])
    assert "it never came back" in markdown([row])
    assert "lost 4" in said(row)
    assert "it never came back" in said(row)


def test_names_are_chosen_by_words() -> None:
    assert chosen([], ["a b", "c"]) == ["a b", "c"]
    assert chosen(["B"], ["a b", "c"]) == ["a b"]


def test_a_baseline_is_judged_by_what_came_first() -> None:
    came = [Came("c", 1, "e1"), Came("c", 3, "e3"), Came("c", 2, "e2"), Came("c", 1, "e1")]
    assert compare(["e1", "e2", "e3", "e4"], came) == (1, 1, 1)
    assert compare(["e1"], [Came("c", 1, "e1")]) == (0, 0, 0)
    other = [Came("c", 2, "e2"), Came("d", 1, "d1")]
    assert compare(["e2", "d1"], other) == (0, 0, 0)


def test_a_soak_draws_the_same_from_the_same_seed_and_joins_what_is_of_one_fault() -> None:
    assert drawn(random.Random(4)) == drawn(random.Random(4))
    one, two = joined([CLEAN, LOST, CLEAN])
    assert (one.reports, one.strikes, one.recoveries) == (600, 4, (1.0, 3.0, 1.0, 3.0))
    assert (two.lost, two.examples) == (2, ("lost: m1",))


def test_a_skipped_or_failed_test_is_no_proof(tmp_path: Path) -> None:
    report = """<testsuites><testsuite>
    <testcase classname="tests.integration.test_relay" name="test_a" time="1.5"/>
    <testcase classname="tests.integration.test_relay" name="test_b"><skipped/></testcase>
    <testcase classname="tests.integration.test_tap" name="test_c[1]"><failure/></testcase>
    </testsuite></testsuites>"""
    assert outcomes(report) == {
        "tests/integration/test_relay.py": [("test_a", True, 1.5), ("test_b", False, 0.0)],
        "tests/integration/test_tap.py": [("test_c[1]", False, 0.0)],
    }
