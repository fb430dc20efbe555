"""Figures as files: CSV for programs, XLSX for people; no cell of them is a formula (SAFETY 24)."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "'")
"""How a text begins that a spreadsheet would run, or would not show as it is."""

CSV_TYPE: Final = "text/csv; charset=utf-8"
XLSX_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

QUARTERS: Final = 4
"""Of a year."""

Value = str | int | None


def plain(value: Value) -> Value:
    """Return a value that no spreadsheet runs; NUL goes, which no XLSX can hold."""
    if not isinstance(value, str):
        return value
    marked = f"'{value}" if value.startswith(FORMULA) else value
    return "".join(sign for sign in marked if sign == "\t" or sign.isprintable())


def write_csv(heads: Sequence[str], rows: Iterable[Sequence[Value]]) -> bytes:
    """Write one table as CSV in UTF-8."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([plain(head) for head in heads])
    writer.writerows([plain(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def write_xlsx(sheets: Iterable[tuple[str, Sequence[str], Iterable[Sequence[Value]]]]) -> bytes:
    """Write tables as sheets of a workbook; texts are texts, numbers numbers."""
    from openpyxl import Workbook  # noqa: PLC0415  (large, and seldom wanted)
    from openpyxl.styles import Font  # noqa: PLC0415

    book = Workbook()
    book.remove(book.worksheets[0])
    for name, heads, rows in sheets:
        sheet = book.create_sheet(name)
        sheet.append([plain(head) for head in heads])
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for row in rows:
            sheet.append([plain(cell) for cell in row])
        for line in sheet.iter_rows():
            for cell in line:
                if isinstance(cell.value, str):
                    cell.data_type = "s"
        sheet.freeze_panes = "A2"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def rows_of(release: dict[str, Any], table: str) -> tuple[list[str], list[list[Value]]]:
    """Return a table of a release as heads and rows; what is hidden is `<5`."""
    found, hidden = release["tables"][table], f"<{release['least']}"
    rows = [
        [release["quarter"], group, *(hidden if n is None else n for n in cells)]
        for group, cells in zip(found["groups"], found["rows"], strict=True)
    ]
    return ["quarter", table, *found["columns"]], rows


def rows_of_year(
    year: int, releases: Sequence[dict[str, Any]], table: str
) -> tuple[list[str], list[list[Value]]]:
    """Return a table of every quarter of a year, and of the year: the sums of what is shown.

    Where a quarter hides something the sum says `at least`.
    """
    heads: list[str] = []
    rows: list[list[Value]] = []
    for release in releases:
        heads, of_quarter = rows_of(release, table)
        rows += of_quarter
    for group, sums in sums_of_year(releases, table).items():
        rows.append([str(year), group, *(n if whole else f"at least {n}" for n, whole in sums)])
    return heads, rows


def sums_of_year(
    releases: Sequence[dict[str, Any]], table: str
) -> dict[str, list[tuple[int, bool]]]:
    """Return the sums of what a year's quarters show, by group, each with whether it is all.

    Nothing of a year is counted anew, so that nothing of it can be subtracted from its quarters. It
    is not all where a quarter hides something, has not such a row, or is not published yet.
    """
    found: dict[str, list[list[int | None]]] = {}
    for release in releases:
        told = release["tables"][table]
        for group, row in zip(told["groups"], told["rows"], strict=True):
            found.setdefault(group, []).append(row)
    return {
        group: [
            (sum(n or 0 for n in column), len(rows) == QUARTERS and None not in column)
            for column in zip(*rows, strict=True)
        ]
        for group, rows in found.items()
    }
