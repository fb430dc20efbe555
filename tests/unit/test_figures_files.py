"""Figures as Parquet: the columns, the cells and what is hidden of the CSV."""

from __future__ import annotations

import csv
import io
import sys
from datetime import date
from typing import TYPE_CHECKING

import pytest
from pyarrow import parquet

from services.audit.figures.columns import NoParquet, write_parquet
from services.audit.figures.counting import count
from services.audit.figures.dataset import HTCDS, htcds_rows, protect, record_of
from services.audit.figures.sheets import rows_of, rows_of_year, write_csv
from services.audit.figures.tables import NAMES, make_release
from tests.support.persons import make_persons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.audit.figures.sheets import Value


def read_parquet(content: bytes) -> list[list[str]]:
    table = parquet.read_table(io.BytesIO(content))
    assert {str(field.type) for field in table.schema} == {"string"}
    columns = [column.to_pylist() for column in table.columns]
    return [table.column_names, *map(list, zip(*columns, strict=True))]


def same(heads: Sequence[str], rows: Sequence[Sequence[Value]]) -> list[list[str]]:
    """Return what a table is as Parquet, once it is what it is as CSV."""
    told = write_csv(heads, rows).decode()
    found = read_parquet(write_parquet(heads, rows))
    assert found == list(csv.reader(io.StringIO(told, newline="")))
    return found


def test_every_table_is_the_same_as_csv_with_the_same_hidden() -> None:
    release = make_release(count(make_persons(300, 1)), date(2026, 7, 1))
    hidden = 0
    for name in NAMES:
        hidden += sum(row.count("<5") for row in same(*rows_of(release, name)))
        same(*rows_of_year(2026, [release], name))
    assert hidden


def test_a_dataset_is_the_same_as_csv() -> None:
    records = [found for one in make_persons(400, 3) if (found := record_of(one)) is not None]
    assert len(same(HTCDS, htcds_rows(protect(records)))) == len(records) + 1


def test_no_row_and_odd_cells_are_the_same_too() -> None:
    same(["=head", "b"], [])
    same(["=head", "b"], [["=1+1", None], ["-2", -2], ["\0@x", "plain, \u0995"]])


def test_where_the_library_is_not_the_form_is_refused_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NoParquet) as refused:
        write_parquet(["a"], [["b"]])
    assert (refused.value.slug, refused.value.status) == ("no-parquet", 406)
    assert "parquet" in str(refused.value.detail)
