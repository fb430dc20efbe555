"""The dataset for research: nobody in it is one of few, and subtracting tables shows no few."""

from __future__ import annotations

from collections import Counter

import pytest

from services.audit.figures.dataset import (
    CTDC,
    HTCDS,
    KINDS,
    Record,
    TooFew,
    ctdc_rows,
    htcds_rows,
    protect,
    record_of,
)
from services.audit.figures.hiding import DATASET
from services.audit.figures.person import Person
from services.intake.exchange.htcds import fields
from tests.support.persons import AT, make_persons

YEAR = 2026


def records(count: int, seed: int) -> list[Record]:
    made = (record_of(person) for person in make_persons(count, seed))
    return [record for record in made if record is not None]


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_like_at_least_ten_others(seed: int) -> None:
    source = records(900, seed)
    dataset = protect(source)
    rows = Counter(map(tuple, ctdc_rows(dataset, YEAR)))
    assert rows.total() == len(source), "nobody is left out, only hidden"
    assert min(rows.values()) >= DATASET
    # Whoever has both files, line beside line.
    both = zip(ctdc_rows(dataset, YEAR), htcds_rows(dataset), strict=True)
    assert min(Counter((*one, *other) for one, other in both).values()) >= DATASET
    report = dataset.report
    assert report["k"] == min(dataset.groups.values()) >= report["k_required"] == DATASET
    assert report["before"]["in_groups_below_k"] > 0
    assert 0 < report["share_with_hidden_values"] < 0.9
    assert report["highest_risk"] <= 1 / DATASET


@pytest.mark.parametrize("seed", range(3))
def test_less_what_another_table_says_there_are_never_few(seed: int) -> None:
    source = records(900, seed)
    dataset = protect(source)
    for read in (
        lambda r: [r.sex] if r.sex else [],
        lambda r: [r.age] if r.age else [],
        lambda r: r.kinds,
    ):
        there = Counter(value for record in source for value in read(record))
        shown: Counter[str] = Counter()
        for record, n in dataset.groups.items():
            shown.update(dict.fromkeys(read(record), n))
        assert all(there[v] == shown[v] or there[v] - shown[v] >= DATASET for v in shown)


def test_of_too_few_persons_there_is_no_dataset() -> None:
    with pytest.raises(TooFew):
        protect([Record("female", "09--17")] * (DATASET - 1))
    assert protect([Record("female", "09--17")] * DATASET).groups == {
        Record("female", "09--17"): DATASET
    }


def test_without_hiding_somebody_is_alone() -> None:
    assert min(Counter(records(900, 1)).values()) == 1


def test_only_trafficking_and_exploitation_is_in_it_and_only_as_possible() -> None:
    abused = Person(opened=AT, concerns=["child_sexual_abuse", "neglect"])
    assert record_of(abused) is None
    tried = Person(opened=AT, concerns=["child_labour"], test=True)
    assert record_of(tried) is None
    begging = Person(opened=AT, concerns=["forced_begging"], age=7, sex="hijra")
    assert record_of(begging) == Record("hijra", "0--8", ("ForcedBegging",))


def test_columns_and_codes_are_those_of_the_standards() -> None:
    known = fields()
    assert set(HTCDS) <= set(known)
    assert {kind for kind in KINDS.values() if kind} <= set(known["vic_TypeOfExploitation"])
    rows = htcds_rows(protect(records(900, 1)))
    assert {row[0] for row in rows} <= {"", *known["prs_Gender"]}
    assert {row[1] for row in rows} <= set(known["vic_TraffickingStatus"])
    assert len(CTDC) == len(set(CTDC)) == 27
