"""HSDS 3 as a tabular package, written: a zip of CSV files with a `datapackage.json`.

Spreadsheets run cells that begin with `=`, `+`, `-`, `@`, a tab or a NUL as formulas: such texts
are written with an apostrophe before them, and read without it.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import IO, TYPE_CHECKING, Any, Final

from services.referral.exchange.hsds.fields import HIDDEN
from services.referral.exchange.hsds.kinds import NUMBERS, kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.referral.exchange.hsds.graph import Graph
    from services.referral.exchange.hsds.kinds import Kind

PACKAGE: Final = "datapackage.json"

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
_MARK: Final = "'"
MARKED: Final = tuple(_MARK + sign for sign in (*FORMULA, _MARK))

NOBODY: Final = "c7a3c5de-5b0e-5d0c-9c39-6b1f5d5f6a10"
"""What rows name that must name something in tables, and do not."""

_NOT_TOLD: Final = {"name": "Not told", "description": "Named, but not told"}
_UNTOLD: Final[Mapping[str, dict[str, Any]]] = {
    "organization": _NOT_TOLD,
    "program": {"name": "Not told", "organization_id": NOBODY},
    "service": {"name": "Not told", "status": "inactive", "organization_id": NOBODY},
    "location": {"name": "Not told", "location_type": "virtual"},
    "unit": {"name": "Not told"},
    "taxonomy_term": _NOT_TOLD,
}
"""What is put into tables for an object that is named and was never told, by its kind."""


def _complete(graph: Graph) -> None:
    """Put rows in for what is named and was never told: tables name nothing that they lack."""
    for kind in reversed([*kinds().values()]):  # what a row put in names comes after it
        for row in graph.of(kind.name):
            whole = {**dict.fromkeys(kind.rows, NOBODY), **row}
            links = [
                (named, whole[column]) for column, named in kind.links.items() if column in whole
            ]
            if kind.anywhere is not None and kind.rows and kind.anywhere[0] not in row:
                whole[kind.anywhere[1]] = "organization"
                links.append(("organization", NOBODY))
            if whole != row:
                graph.put(kind.name, whole)
            for named, key in links:
                if named in _UNTOLD and not graph.has(named, key):
                    graph.put(named, {"id": key, **_UNTOLD[named], HIDDEN: True})


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
        packed.writestr(PACKAGE, json.dumps(package, indent=2, ensure_ascii=False))


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
