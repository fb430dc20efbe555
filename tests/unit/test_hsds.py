"""HSDS 3 as JSON and as tables: what comes in goes out again, whatever it is."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example as with_example
from hypothesis import given, settings
from hypothesis import strategies as st

from services.referral.exchange.hsds.documents import write_json
from services.referral.exchange.hsds.graph import Graph
from services.referral.exchange.hsds.kinds import NUMBERS, kinds
from services.referral.exchange.hsds.packing import FORMULA, write_package
from services.referral.exchange.hsds.reading import read
from services.referral.exchange.hsds.report import rules
from shared.text import normalise
from tests.support.hsds import DOCUMENTS, TABLES, example, graph_of, packed, rows_of, uid

if TYPE_CHECKING:
    from services.referral.exchange.hsds.kinds import Kind


def as_json(graph: Graph) -> bytes:
    return b"".join(write_json(graph))


def as_package(graph: Graph) -> io.BytesIO:
    file = io.BytesIO()
    write_package(graph, file)
    file.seek(0)
    return file


def comes_back(graph: Graph) -> None:
    """Both forms of a graph are read as the same graph."""
    for file in (io.BytesIO(as_json(graph)), as_package(graph)):
        again, report = read(file)
        assert report.told()["problems"] == []
        assert rows_of(again) == rows_of(graph)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documentations_examples_come_back_as_they_were(name: str) -> None:
    raw = json.dumps(DOCUMENTS[name]).encode()
    graph, report = graph_of(raw)
    assert report.told()["problems"] == []
    again, told = graph_of(as_json(graph))
    assert told.told()["problems"] == []
    assert rows_of(again) == rows_of(graph)
    tables, told = read(as_package(graph))
    assert told.told()["problems"] == []
    assert rows_of(graph_of(raw)[0]).keys() <= rows_of(tables).keys()
    graph, _ = graph_of(raw)
    texts = [text for text in _texts(DOCUMENTS[name]) if text not in kinds()]
    assert texts
    out = as_json(graph)
    assert [
        text for text in texts if json.dumps(text, ensure_ascii=False).encode() not in out
    ] == []


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def test_the_documentations_tables_and_the_example_come_back() -> None:
    for files in (TABLES, example()):
        graph, report = graph_of(files)
        assert report.told()["problems"] == []
        comes_back(graph)


def test_a_package_says_what_its_tables_are() -> None:
    graph, _ = graph_of(example())
    with zipfile.ZipFile(as_package(graph)) as archive:
        told = json.loads(archive.read("datapackage.json"))
        assert {r["path"] for r in told["resources"]} | {"datapackage.json"} == {
            *archive.namelist()
        }
    assert (told["profile"], told["version"]) == ("tabular-data-package", "3.0.0")
    [services] = [r for r in told["resources"] if r["name"] == "service"]
    keys = {(f["fields"], f["reference"]["resource"]) for f in services["schema"]["foreignKeys"]}
    assert ("organization_id", "organization") in keys


# --- whatever it is -------------------------------------------------------------------------------

_ids = st.integers(0, 3)
_words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
_words = _words.map(normalise).filter(lambda text: text.strip() != "")
_FORMS: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["active", "inactive", "defunct", "temporarily closed"]),
    "location_type": st.sampled_from(["physical", "postal", "virtual"]),
    "address_type": st.sampled_from(["physical", "postal", "virtual"]),
    "extent_type": st.sampled_from(["geojson", "text"]),
    "freq": st.sampled_from(["WEEKLY", "MONTHLY"]),
    "wkst": st.sampled_from(["SU", "MO"]),
    "byday": st.sampled_from(["MO", "1FR,-1SA"]),
    "byweekno": st.just("1,-1"),
    "bymonthday": st.just("31"),
    "byyearday": st.just("-366"),
    "opens_at": st.sampled_from(["09:00", "09:00:00Z"]),
    "closes_at": st.just("17:00+06:00"),
    "minimum_age": st.sampled_from([0, 5.5]),
    "maximum_age": st.integers(6, 150),
    "timezone": st.sampled_from([6, -5.5]),
    "interval": st.integers(1, 9),
    "count": st.integers(1, 9),
    "valid_from": st.just("2026-01-01"),
    "valid_to": st.just("2026-12-31"),
    **dict.fromkeys(
        ("dtstart", "until", "assured_date", "last_action_date"), st.just("2026-06-01")
    ),
    **dict.fromkeys(("updated", "last_modified"), st.just("2026-06-01T10:00:00+06:00")),
}


def _row(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    fixed = {"id": _ids.map(lambda n: uid(f"{kind.name}/{n}"))}
    free: dict[str, st.SearchStrategy[Any]] = {}
    for name in kind.fields[1:]:
        if name in kind.links:
            value: st.SearchStrategy[Any] = st.just(uid(f"{kind.links[name]}/0"))
        elif name in NUMBERS:
            value = _FORMS.get(name, st.integers(0, 80))
        elif kind.anywhere is not None and name in kind.anywhere:
            value = st.just(uid("service/0") if name == kind.anywhere[0] else "service")
        else:
            value = _FORMS.get(name, st.one_of(_words, st.sampled_from(["=1+1", "-x", "'", "'=a"])))
        needed = {*kind.needs, *kind.rows, *(kind.anywhere or ())} | {*kind.of.values()}
        (fixed if name in needed or name == "organization_id" else free)[name] = value
    free = {n: v for n, v in free.items() if not n.startswith("parent")}
    return st.fixed_dictionaries(fixed, optional=free)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    graph = Graph()
    for kind in kinds().values():
        rows = draw(st.lists(_row(kind), max_size=2))
        rows += [{**draw(_row(kind)), "id": uid(f"{kind.name}/0")}]
        for row in rows:
            graph.put(kind.name, row)
    return graph


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_any_directory_comes_back_in_both_forms(graph: Graph) -> None:
    comes_back(graph)


@given(st.binary(max_size=300))
@with_example(b"")
@with_example(b'{"services": [[[[[[')
@with_example(b'[{"id":"\\ud800"}]')
@with_example(b"9" * 5000)
@with_example(b'{"services":[{"id":1e999,"minimum_age":' + b"9" * 4000 + b"}]}")
@with_example(b"[" * 5000)
@with_example(b'{"x":' * 5000)
def test_no_bytes_break_it_and_nothing_is_taken_of_what_is_none(raw: bytes) -> None:
    for file in (io.BytesIO(raw), packed({"services.csv": raw})):
        graph, report = read(file)
        assert report.count or len(graph)
        assert all(problem.rule in rules() for problem in report.problems)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_told_of(data: st.DataObject) -> None:
    raw = bytearray(packed(example()).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(2, len(raw) - 1))] = data.draw(st.integers(0, 255))
    graph, report = read(io.BytesIO(bytes(raw)))
    if not report.count:  # what was hit says nothing: a time, a comment
        assert len(graph)


def test_no_cell_of_a_package_is_a_formula_and_all_come_back() -> None:
    graph = Graph()
    for number, sign in enumerate((*FORMULA, "'", "'=", "''")):
        if sign != "\0":
            row = {"id": uid(str(number)), "name": f"{sign}cmd|' /C calc'!A0", "description": "x"}
            graph.put("organization", row)
    with zipfile.ZipFile(as_package(graph)) as archive:
        text = archive.read("organizations.csv").decode()
        cells = [c for line in csv.reader(io.StringIO(text, newline="")) for c in line]
    assert [cell for cell in cells if cell.startswith(FORMULA)] == []
    again, _ = read(as_package(graph))
    assert rows_of(again) == rows_of(graph)


def test_what_stands_under_two_parents_is_kept_twice_and_noted() -> None:
    phone = {"id": uid("p"), "number": "1"}
    services = [
        {"id": uid(n), "name": n, "status": "active", "phones": [phone]} for n in ("one", "two")
    ]
    graph, report = graph_of(msgspec.json.encode(services))
    assert report.count == 0
    assert [len(graph.children("service", uid(n), "phone")) for n in ("one", "two")] == [1, 1]
    assert ("phone.service_id", "shared") in report.notes
    again, told = graph_of(as_json(graph))
    assert (told.count, rows_of(again)) == (0, rows_of(graph))
    tables, told = read(as_package(graph))  # where each service must have an organization
    assert (told.count, len(tables)) == (0, len(graph))


def test_lines_are_objects_and_unknown_members_are_kept_and_named() -> None:
    lines = [{"id": uid(n), "name": n, "status": "active", "zone": {"a": [1]}} for n in "ab"]
    graph, report = graph_of(b"\n".join(map(msgspec.json.encode, lines)))
    assert (report.count, len(graph)) == (0, 2)
    assert report.notes["service.zone", "unknown-field"].count == 2
    out = msgspec.json.decode(as_json(graph))
    assert [service["zone"] for service in out["services"]] == [{"a": [1]}] * 2
