"""HSDS 3 as a tabular package, read: a zip of CSV files with a `datapackage.json`, to a graph.

Nothing of an archive is ever written to disk, and no more of a file is unpacked than the archive
says it holds.
"""

from __future__ import annotations

import csv
import io
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

import msgspec

from services.referral.exchange.hsds.fields import check_fields
from services.referral.exchange.hsds.kinds import NUMBERS, kinds, kinds_by_file
from services.referral.exchange.hsds.packing import MARKED, PACKAGE
from services.referral.exchange.hsds.report import Report, Spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.referral.exchange.hsds.graph import Graph
    from services.referral.exchange.hsds.kinds import Kind

MOST_BYTES: Final = 300_000_000
"""Bytes of a package, unpacked."""

MOST_FILES: Final = 200
LONGEST_CELL: Final = 100_000

_WORKBOOK: Final = "xl/workbook.xml"
_DELIMITERS: Final = (",", ";", "\t", "|")
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(NotImplementedError, RuntimeError, OSError, EOFError, ValueError),
)


def read_package(
    file: IO[bytes],
    graph: Graph,
    report: Report,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Read a package into a graph; `progress` is told now and then how many objects there are."""
    try:
        with zipfile.ZipFile(file) as packed:
            infos = [info for info in packed.infolist() if not info.filename.endswith("/")]
            if not _is_safe(infos, report):
                return
            if any(info.filename == _WORKBOOK for info in infos):
                report.add(Spot(), "", "spreadsheet")
                return
            for table in _tables(packed, [info.filename for info in infos], report):
                with packed.open(table.path) as raw:
                    _read_table(table, raw, graph, report, progress)
    except _BROKEN:
        report.add(Spot(), "", "not-a-zip")


@dataclass(frozen=True, slots=True)
class _Table:
    """One file of a package, and the kind of its rows."""

    kind: Kind
    path: str
    delimiter: str = ","


def _is_safe(infos: list[zipfile.ZipInfo], report: Report) -> bool:
    before = report.count
    if len(infos) > MOST_FILES or sum(info.file_size for info in infos) > MOST_BYTES:
        report.add(Spot(), "", "too-large")
    for info in infos:
        name = info.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or ":" in name:
            report.add(Spot(), "", "unsafe-path")
        if info.flag_bits & 1:
            report.add(Spot(), "", "not-a-zip")
    return report.count == before


def _tables(packed: zipfile.ZipFile, names: list[str], report: Report) -> Iterator[_Table]:
    """Find the tables by `datapackage.json`, the others by their usual names."""
    described = [name for name in names if _base(name) == PACKAGE]
    found: dict[str, tuple[str, str]] = {}
    left = [name for name in names if _base(name) != PACKAGE and not _base(name).startswith(".")]
    if described:
        root = described[0].removesuffix(PACKAGE)
        resources = _resources(packed.read(described[0]), report)
        for number, (name, path, delimiter) in enumerate(resources):
            spot = Spot(PACKAGE, path=f"/resources/{number}")
            if root + path in left:
                left.remove(root + path)
                _keep(found, name, (root + path, delimiter), spot, report)
            else:
                report.add(spot, kinds_by_file().get(name.lower(), ""), "file-missing")
    elif any(name.endswith(".csv") for name in names):
        report.note(Spot(), PACKAGE, "no-datapackage")
    for path in left:
        stem, _, ending = _base(path).rpartition(".")
        name = stem if ending.lower() == "csv" else _base(path)
        _keep(found, name, (path, ","), Spot(path=f"file {names.index(path) + 1}"), report)
    for kind in kinds().values():
        if kind.name in found:
            yield _Table(kind, *found[kind.name])


def _keep(
    found: dict[str, tuple[str, str]], name: str, table: tuple[str, str], spot: Spot, report: Report
) -> None:
    """Keep a table, or note that it is none; a name that is not of HSDS could say anything."""
    kind = kinds_by_file().get(name.lower())
    if kind is None:
        report.note(spot, spot.path, "unknown-table")
    elif kind in found:
        report.add(Spot(kinds()[kind].file), "", "same-file-twice")
    else:
        found[kind] = table


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _resources(raw: bytes, report: Report) -> list[tuple[str, str, str]]:
    try:
        told = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
        found = [
            (str(one["name"]), str(one["path"]), one.get("dialect", {}).get("delimiter") or ",")
            for one in told["resources"]
        ]
        if any(delimiter not in _DELIMITERS for _, _, delimiter in found):
            raise ValueError  # noqa: TRY301  (one way out)
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        report.add(Spot(PACKAGE), "", "not-a-datapackage")
        return []
    return found


# --- One table ------------------------------------------------------------------------------------


def _read_table(
    table: _Table,
    raw: IO[bytes],
    graph: Graph,
    report: Report,
    progress: Callable[[int], None],
) -> None:
    kind, name = table.kind, _base(table.path)
    file = name if name.lower().removesuffix(".csv") in kinds_by_file() else f"{kind.file}.csv"
    csv.field_size_limit(LONGEST_CELL)
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    lines = csv.reader(text, delimiter=table.delimiter, strict=True)
    row = 1
    try:
        heads = [head.strip() for head in next(lines, [])]
        if "id" not in heads or len({*heads}) != len(heads) or "" in heads:
            report.add(Spot(file, 1), "", "heads")
            return
        row = lines.line_num + 1
        for cells in lines:
            if cells:
                _read_row(kind, heads, cells, Spot(file, row), graph, report)
            row = lines.line_num + 1
            if row % 1000 == 0:
                progress(len(graph))
    except UnicodeDecodeError:
        report.add(Spot(file, row), "", "encoding")
    except csv.Error:
        report.add(Spot(file, row), "", "quoting")


def _read_row(
    kind: Kind, heads: list[str], cells: list[str], spot: Spot, graph: Graph, report: Report
) -> None:
    if len(cells) != len(heads):
        report.add(spot, "", "cells", f"{len(heads)} cells, as in the first row")
        return
    told = {head: _read_cell(cell) for head, cell in zip(heads, cells, strict=True)}
    for head in {*heads} & _NULLABLE:  # the specification's own examples say `null` so
        if told[head] == "null":
            told[head] = ""
    row = check_fields(kind, told, spot, report, row=True)
    if "id" not in row:
        return
    if graph.has(kind.name, row["id"]):
        first = graph.spot(kind.name, row["id"])
        report.add(spot, "id", "used-twice", f"Another identifier: row {first.row} has this one")
        return
    graph.put(kind.name, row, spot)


_NULLABLE: Final = NUMBERS | {"valid_from", "valid_to", "dtstart", "until", "assured_date"}


def _read_cell(cell: str) -> str:
    return cell[1:] if cell.startswith(MARKED) else cell
