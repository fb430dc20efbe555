"""An attack on what is published: it finds nobody, and somebody as soon as less is hidden."""

from __future__ import annotations

import itertools
import random
from uuid import UUID

import pytest

from services.audit.figures.bounding import find_bounded
from services.audit.figures.counting import Cell, Counted, Line, count
from services.audit.figures.deriving import find_exposed
from services.audit.figures.hiding import DATASET, PUBLIC, hide
from services.audit.figures.person import Person
from services.audit.figures.tables import make_release
from tests.support.attack import Attacker
from tests.support.persons import AT, make_persons

DISTRICTS = {
    "BD3026": "BD30",
    "BD3033": "BD30",
    "BD3067": "BD30",
    "BD2015": "BD20",
    "BD2022": "BD20",
}


def few(count_: int, seed: int) -> Counted:
    """Count persons of a small country, which an attacker sees through sooner."""
    chance = random.Random(seed)
    persons = make_persons(count_, seed)
    for person in persons:
        person.district = chance.choices([*DISTRICTS, None], [40, 9, 3, 12, 2, 1])[0]
    return count(persons, DISTRICTS)


@pytest.mark.parametrize(("persons", "least"), [(60, PUBLIC), (400, PUBLIC), (400, DATASET)])
def test_nobody_is_found_in_what_is_published(persons: int, least: int) -> None:
    counted = few(persons, persons)
    hidden = hide(counted, least)
    shown = [cell for cell in counted.cells if cell not in hidden]
    assert all(counted.cells[cell] >= least for cell in shown)
    assert not list(Attacker(counted, hidden).finds(least))
    if persons >= 400:
        assert len(shown) > 30, "hiding everything is no protection, it is silence"


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=() if n == 38 else pytest.mark.long) for n in range(40)]
)
def test_nobody_is_found_in_many_quarters(seed: int) -> None:
    counted = few(random.Random(seed).choice((20, 80, 150, 300, 900)), seed)
    assert not list(Attacker(counted, hide(counted)).finds(PUBLIC))


def test_somebody_is_found_when_only_small_cells_are_hidden() -> None:
    counted = few(150, 3)
    small = {cell for cell, n in counted.cells.items() if n < PUBLIC} | counted.unshown
    attacker = Attacker(counted, small)
    assert list(attacker.subtracts(PUBLIC)), "two tables subtracted show nobody: a weak attack"
    assert next(attacker.finds(PUBLIC))


def test_what_two_tables_have_in_common_is_no_way_to_the_rest() -> None:
    """Four rows and columns, two hidden cells and more in each of them, yet one is found."""
    shape = [[2, 9, 7, 30], [8, 6, 3, 30], [40, 9, 3, 30], [40, 30, 8, 2]]
    hidden = {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3), (3, 2), (3, 3)}
    counted = Counted()
    for row, line in enumerate(shape):
        for column, n in enumerate(line):
            counted.cells[Cell("cases", "both", f"{row}{column}")] = n
        counted.cells[Cell("cases", "row", str(row))] = sum(line)
    for column in range(4):
        counted.cells[Cell("cases", "column", str(column))] = sum(line[column] for line in shape)
    for n in range(4):
        across = tuple(Cell("cases", "both", f"{n}{m}") for m in range(4))
        down = tuple(Cell("cases", "both", f"{m}{n}") for m in range(4))
        counted.lines += [Line(Cell("cases", "row", str(n)), across)]
        counted.lines += [Line(Cell("cases", "column", str(n)), down)]
    before = {Cell("cases", "both", f"{row}{column}") for row, column in hidden}
    # Rows 0 and 1 without columns 0 and 1 leave cell 1-2 alone.
    assert list(Attacker(counted, before).finds(PUBLIC))
    assert find_exposed(counted.cells, counted.lines, before, PUBLIC) is not None
    assert not list(Attacker(counted, hide(counted)).finds(PUBLIC))


def test_what_a_count_is_at_least_and_at_most_finds_somebody_in_no_single_line() -> None:
    """One and two are 6, two and three 5, one and four 4: so the first is 1 to 4."""
    one, two, three, four = (Cell("cases", "sex", each) for each in ("1", "2", "3", "4"))
    whole = [Cell("cases", "age", each) for each in ("6", "5", "4")]
    cells = {one: 2, two: 4, three: 1, four: 2} | {cell: int(cell.group) for cell in whole}
    pairs = ((one, two), (two, three), (one, four))
    lines = [Line(total, parts) for total, parts in zip(whole, pairs, strict=True)]
    hidden = {one, two, three, four}
    assert find_bounded(cells, lines, hidden, PUBLIC) == (one,)
    assert find_bounded(cells, lines, hidden | {whole[2]}, PUBLIC) is None


def test_a_family_is_hidden_like_one_person() -> None:
    """Six siblings in one district are more than five persons, and everybody there knows them."""
    others = [Person(opened=AT, district="BD3026", sex="female") for _ in range(40)]
    for number, person in enumerate(others[20:]):
        person.district = ("BD3033", "BD3067")[number % 2]
    home = UUID(int=7)
    siblings = [Person(opened=AT, district="BD2015", household=home) for _ in range(6)]
    counted = count([*others, *siblings], DISTRICTS)
    own = Cell("cases", "district", "BD2015")
    assert counted.cells[own] == 6
    hidden = hide(counted)
    assert own in hidden
    for person in siblings:
        person.household = None
    assert own not in hide(count([*others, *siblings], DISTRICTS))
    # Nor are they what is left of everybody less the others.
    low, high = Attacker(counted, hidden).bounds([own])
    assert (low, high) != (6, 6)


def test_a_row_does_not_say_that_somebody_is_in_it() -> None:
    persons = make_persons(200, 5)
    for person in persons:
        person.sex, person.initiative = "female", "centre"
    quarter = AT.date().replace(day=1)
    without = make_release(count(persons), quarter)["tables"]
    persons[0].sex, persons[0].initiative = "hijra", "example-partner"
    persons[0].concerns, persons[1].concerns = ["a-new-code"], ["a-new-code"]
    with_one = make_release(count(persons), quarter)["tables"]
    for name, table in with_one.items():
        if name != "gaps":
            assert table["groups"] == without[name]["groups"]


def test_a_person_with_rare_marks_is_in_no_set_that_is_shown() -> None:
    """Linkage: who knows place, age, sex, channel and concern of one child learns nothing small."""
    persons = make_persons(300, 11)
    release = make_release(count(persons), AT.date().replace(day=1))
    tables = release["tables"]
    for person in persons:
        marks = {"district": person.district, "sex": person.sex, "channel": person.channel}
        marks |= {"concern": person.concerns[0], "initiative": person.initiative}
        for by, group in marks.items():
            if group not in tables[by]["groups"]:
                continue
            row = tables[by]["rows"][tables[by]["groups"].index(group)]
            assert all(n is None or n >= PUBLIC for n in row)
            shown = [n for n in row if n is not None]
            steps = [a - b for a, b in itertools.pairwise(shown)]
            assert all(n == 0 or n >= PUBLIC for n in steps), "one step less the next is a set too"
