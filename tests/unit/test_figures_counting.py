"""What is counted of a person, in which quarter, and by which ways a hidden number is computed."""

from __future__ import annotations

import io
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from openpyxl import load_workbook

from services.audit.figures.counting import Cell, Line, count
from services.audit.figures.deriving import _bounded, find_exposed
from services.audit.figures.hiding import PUBLIC
from services.audit.figures.periods import (
    is_due,
    name_of,
    next_quarter,
    parse_quarter,
    quarter_of,
)
from services.audit.figures.person import Person, decode_person, encode_person, fold
from services.audit.figures.sheets import rows_of, rows_of_year, sums_of_year, write_csv, write_xlsx
from services.audit.figures.tables import NAMES, class_of, make_release
from services.audit.pages.figures import charts, short
from shared.events import decode
from shared.signing import Signer
from tests.support.persons import AT, make_persons
from tests.support.told import GIVEN, WAY, Teller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.audit.domain import Arrival


def folded(told: Sequence[Arrival]) -> Person:
    person = Person()
    for one in told:
        fold(person, decode(one.value))
    return person


def test_a_person_is_the_same_whatever_the_order_and_however_often() -> None:
    tell = Teller(Signer(b"k" * 32))
    case = str(uuid4())
    told = tell.case(case, district="BD3026", age=9, sex="female", by="partner:example-partner")
    told += tell.help(case, "shelter", *GIVEN)
    told += tell.help(case, "medical", "referral-planned", "referral-declined")
    told.append(tell.change(case, "case-updated", district="BD3033", age=12, sex="female"))
    told.append(tell.change(case, "case-closed", reason="duplicate", status="closed"))
    told.append(tell.change(case, "case-reopened", district="BD3033", age=13))
    wanted = folded(told)
    assert (wanted.district, wanted.age, wanted.initiative) == ("BD3033", 13, "example-partner")
    assert wanted.counts
    assert wanted.helps["medical"].declined
    assert not wanted.helps["medical"].accepted
    chance = random.Random(1)
    for _ in range(20):
        shuffled = chance.sample([*told, *told[:4]], len(told) + 4)
        assert encode_person(folded(shuffled)) == encode_person(wanted)
    assert encode_person(decode_person(encode_person(wanted))) == encode_person(wanted)


def test_tests_mistakes_and_what_never_became_a_case_are_not_counted() -> None:
    tell = Teller(Signer(b"k" * 32))
    case = str(uuid4())
    assert not folded(tell.case(case, test=True)).counts
    assert not folded(tell.case(case)[:1]).counts
    closed = tell.change(case, "case-closed", reason="entered_in_error", status="closed")
    assert not folded([*tell.case(case), closed]).counts
    helped = tell.change(case, "case-closed", reason="goals_met_and_safe", status="closed")
    assert folded([*tell.case(case), helped]).counts


def test_every_figure_counts_persons_not_requests_for_help() -> None:
    tell = Teller(Signer(b"k" * 32))
    case = str(uuid4())
    told = tell.case(case, district="BD3026")
    for need in ("shelter", "medical", "education"):
        told += tell.help(case, need, *WAY)
        told += tell.help(case, need, "referral-planned")
    cells = count([folded(told)]).cells
    assert cells[Cell("planned")] == cells[Cell("accepted", "district", "BD3026")] == 1
    assert cells[Cell("planned", "need", "shelter")] == 1
    assert cells[Cell("unserved", "need", "shelter")] == 0
    assert len(count([folded(told)]).waits["BD3026"]) == 1


def test_lines_hold_what_is_counted() -> None:
    counted = count(make_persons(500, 3))
    for line in counted.lines:
        assert counted.cells[line.total] == sum(counted.cells[part] for part in line.parts)
    assert min(counted.cells.values()) >= 0


def test_a_quarter_is_one_of_dhaka() -> None:
    midnight = datetime(2026, 6, 30, 18, tzinfo=UTC)
    assert quarter_of(midnight - timedelta(seconds=1)) == date(2026, 4, 1)
    assert quarter_of(midnight) == date(2026, 7, 1)
    assert next_quarter(date(2026, 10, 1)) == date(2027, 1, 1)
    assert next_quarter(date(2026, 7, 1)) == date(2026, 10, 1)
    for month in range(1, 13):
        first = quarter_of(datetime(2026, month, 15, tzinfo=UTC))
        assert parse_quarter(name_of(first)) == first
    for other in ("2026", "2026-Q5", "2026-07", "2026-Q3 ", "1999-Q1", "২০২৬-Q3"):
        assert parse_quarter(other) is None
    assert not is_due(date(2026, 7, 1), datetime(2026, 10, 14, 17, tzinfo=UTC))
    assert is_due(date(2026, 7, 1), datetime(2026, 10, 14, 18, tzinfo=UTC))


A, B, C, D, E, F = (Cell("cases", "x", name) for name in "ABCDEF")

WAYS = {
    "one hidden cell of a line": ({A: 10, B: 3, C: 7}, [Line(A, (B, C))], {B}),
    "what is left of a line": ({A: 14, B: 2, C: 2, D: 10}, [Line(A, (B, C, D))], {B, C}),
    "a hidden total": ({A: 3, B: 3, C: 0}, [Line(A, (B, C))], {A}),
    "a part of a hidden part": (
        {A: 20, B: 19, C: 1, D: 17, E: 2},
        [Line(A, (B, C)), Line(B, (D, E))],
        {B, C, E},
    ),
    "a line within a hidden group": (
        {A: 15, B: 14, C: 1, D: 12, E: 1, F: 1},
        [Line(A, (B, C)), Line(B, (D, E, F))],
        {B, C, E, F},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_compute_a_few_is_seen(way: str) -> None:
    cells, lines, hidden = WAYS[way]
    exposed = find_exposed(cells, lines, hidden, PUBLIC)
    assert exposed is not None
    assert any(cell not in hidden for cell in exposed.by), "there is something more to hide"


def test_what_a_count_can_be_at_least_and_at_most_is_seen() -> None:
    """A + C = 9, C + E = 12, E + F = 6: so A is 3 at most; A + B = 8, B + D = 7: at least 1."""
    cells = {A: 2, C: 7, E: 5, F: 1, B: 6, D: 1}
    sums = {(A, C): 9, (C, E): 12, (E, F): 6, (A, B): 8, (B, D): 7}
    lines = []
    for number, (parts, n) in enumerate(sums.items()):
        total = Cell("cases", "sum", str(number))
        cells[total] = n
        lines.append(Line(total, parts))
    known = {cell for cell in cells if cell.by == "sum"}
    assert _bounded(cells, lines, known, PUBLIC) is not None
    assert _bounded(cells, lines[:4], known, PUBLIC) is None


def test_a_file_holds_no_formula() -> None:
    release = make_release(count(make_persons(300, 1)), date(2026, 7, 1))
    heads, rows = rows_of(release, "district")
    assert {len(row) for row in rows} == {len(heads)}
    evil = ["=1+1", "+1", "-1", "@x", "\tx", "\0=1", "'x", "plain"]
    told = write_csv(["=head"], [[text] for text in evil]).decode()
    assert all(not line.lstrip('"').startswith(("=", "+", "-", "@", "\t")) for line in told.split())
    book = load_workbook(io.BytesIO(write_xlsx([("one", ["=head"], [[t] for t in evil])])))
    cells = [cell for row in book["one"].iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} == {"s"}
    whole = load_workbook(
        io.BytesIO(write_xlsx([(name, *rows_of(release, name)) for name in NAMES]))
    )
    assert whole.sheetnames == list(NAMES)
    assert "<5" in {cell.value for row in whole["district"].iter_rows() for cell in row}


def test_a_year_is_the_sum_of_what_its_quarters_show() -> None:
    quarters = [date(2026, month, 1) for month in (1, 4, 7, 10)]
    made = [make_release(count(make_persons(300, n)), each) for n, each in enumerate(quarters)]
    _, rows = rows_of_year(2026, made, "sex")
    of_year = {row[1]: row[2:] for row in rows if row[0] == "2026"}
    assert of_year["hijra"][0] == "at least 0"
    female = [row[2] for row in rows if row[1] == "female" and row[0] != "2026"]
    assert of_year["female"][0] == sum(int(str(n)) for n in female)
    assert len(rows) == 5 * len(of_year)
    sex = made[2]["tables"]["sex"]
    del sex["rows"][sex["groups"].index("female")]
    sex["groups"].remove("female")
    told = sums_of_year(made, "sex")["female"][0]
    assert told == (sum(int(str(n)) for n in female[:2] + female[3:]), False), "a row is not there"


def test_a_time_has_its_class() -> None:
    assert [class_of(hours) for hours in (0.5, 1, 23, 24, 100, 500)] == [
        "under an hour",
        "1 to 4 hours",
        "4 hours to a day",
        "1 to 3 days",
        "3 to 7 days",
        "over a week",
    ]


def test_a_chart_shows_no_more_than_its_table() -> None:
    release = make_release(count(make_persons(80, 6)), AT.date().replace(day=1))
    for bar in charts.funnel(release):
        assert bar.length <= charts.WIDE
        assert bar.count is not None or bar.length == 0
    tiles = charts.tiles(release)
    assert len(tiles) == len({(tile.x, tile.y) for tile in tiles}) == 64
    assert Counter(tile.shade > 0 for tile in tiles)[True] == len(release["waits"])
    _, bands = charts.gaps(release)
    squares = [square for band in bands for square in band.squares]
    assert all(square.count is not None or square.shade == 0 for square in squares)


def test_a_short_name_cuts_no_sign() -> None:
    assert [short("ব্রাহ্মণবাড়িয়া"), short("চট্টগ্রাম"), short("Dhaka", 4)] == [
        "ব্রাহ্মণ",
        "চট্টগ্রা",
        "Dhak",
    ]
