"""HSDS 3 as a tabular package: a zip of CSV files with a `datapackage.json`, to a graph and back.

Nothing of an archive is ever written to disk, and no more of a file is unpacked than the archive
says it holds. Spreadsheets run cells that begin with `=`, `+`, `-`, `@`, a tab or a NUL as
formulas: such texts are written with an apostrophe before them, and read without it.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from services.referral.exchange.hsds.fields import HIDDEN, check_fields
from services.referral.exchange.hsds.kinds import NUMBERS, kinds, kinds_by_file
from services.referral.exchange.hsds.report import Report, Spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from services.referral.exchange.hsds.graph import Graph
    from services.referral.exchange.hsds.kinds import Kind

MOST_BYTES: Final = 300_000_000
"""Bytes of a package, unpacked."""

MOST_FILES: Final = 200
LONGEST_CELL: Final = 100_000

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
_MARK: Final = "'"
_MARKED: Final = tuple(_MARK + sign for sign in (*FORMULA, _MARK))
_DELIMITERS: Final = (",", ";", "\t", "|")
_PACKAGE: Final = "datapackage.json"
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(NotImplementedError, RuntimeError, OSError, EOFError),
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
            infos = [info for info in packed.infolist() if not info.is_dir()]
            if not _is_safe(infos, report):
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
    described = [name for name in names if _base(name) == _PACKAGE]
    found: dict[str, tuple[str, str]] = {}
    left = [name for name in names if _base(name) != _PACKAGE and not _base(name).startswith(".")]
    if described:
        root = described[0].removesuffix(_PACKAGE)
        resources = _resources(packed.read(described[0]), report)
        for number, (name, path, delimiter) in enumerate(resources):
            spot = Spot(_PACKAGE, path=f"/resources/{number}")
            if root + path in left:
                left.remove(root + path)
                _keep(found, name, (root + path, delimiter), spot, report)
            else:
                report.add(spot, kinds_by_file().get(name.lower(), ""), "file-missing")
    elif any(name.endswith(".csv") for name in names):
        report.note(Spot(), _PACKAGE, "no-datapackage")
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
        report.add(Spot(_PACKAGE), "", "not-a-datapackage")
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
    if graph.find(kind.name, row["id"]) is not None:
        first = graph.spot(kind.name, row["id"])
        report.add(spot, "id", "used-twice", f"Another identifier: row {first.row} has this one")
        return
    graph.put(kind.name, row, spot)


_NULLABLE: Final = NUMBERS | {"valid_from", "valid_to", "dtstart", "until", "assured_date"}


def _read_cell(cell: str) -> str:
    return cell[1:] if cell.startswith(_MARKED) else cell


# --- Writing --------------------------------------------------------------------------------------


NOBODY: Final = "c7a3c5de-5b0e-5d0c-9c39-6b1f5d5f6a10"
"""What services without an organization belong to in tables, where each must have one."""


def _complete(graph: Graph) -> None:
    """Put rows in for what is named and was never told: tables name nothing that they lack."""
    for kind in ("service", "program"):
        for row in graph.of(kind):
            if "organization_id" not in row:
                graph.put(kind, {**row, "organization_id": NOBODY})
    for kind, column, named in (
        ("service", "program_id", "program"),
        ("service", "organization_id", "organization"),
        ("program", "organization_id", "organization"),
        ("organization", "parent_organization_id", "organization"),
        ("taxonomy_term", "parent_id", "taxonomy_term"),
    ):
        for row in graph.of(kind):
            key = row.get(column)
            if key is not None and graph.find(named, key) is None:
                more = {"organization_id": NOBODY} if named == "program" else {}
                words = {"name": "Not told", "description": "Named, but not told"}
                graph.put(named, {"id": key, **words, **more, HIDDEN: True})


def write_package(graph: Graph, file: IO[bytes]) -> None:
    """Write a graph as a package; what its rows name and it lacks is put into it, by name only."""
    _complete(graph)
    resources = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for kind in kinds().values():
            if not graph.keys(kind.name):
                continue
            more = sorted({name for row in graph.of(kind.name) for name in row} - {*kind.fields})
            heads = [*kind.fields, *more]
            with packed.open(f"{kind.file}.csv", "w", force_zip64=True) as raw:
                text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
                table = csv.writer(text)
                table.writerow(map(_write_cell, heads))
                for row in graph.of(kind.name):
                    table.writerow([_write_cell(row.get(head)) for head in heads])
                text.flush()
                text.detach()
            resources.append(_resource(kind, heads))
        package = {
            "name": "human_services_data",
            "profile": "tabular-data-package",
            "version": "3.0.0",
            "resources": resources,
        }
        packed.writestr(_PACKAGE, json.dumps(package, indent=2, ensure_ascii=False))


def _resource(kind: Kind, heads: Iterable[str]) -> dict[str, Any]:
    needed = {*kind.needs, *kind.rows}
    return {
        "name": kind.name,
        "path": f"{kind.file}.csv",
        "format": "csv",
        "mediatype": "text/csv",
        "profile": "tabular-data-resource",
        "schema": {
            "primaryKey": "id",
            "fields": [
                {
                    "name": head,
                    "type": "number" if head in NUMBERS else "string",
                    **({"constraints": {"required": True}} if head in needed else {}),
                }
                for head in heads
            ],
            "foreignKeys": [
                {"fields": column, "reference": {"resource": named, "fields": "id"}}
                for column, named in kind.links.items()
            ],
        },
    }


def _write_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _MARK + value if value.startswith((*FORMULA, _MARK)) else value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if number else json.dumps(value, ensure_ascii=False)
