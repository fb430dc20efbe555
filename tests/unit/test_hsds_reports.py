"""A bad package is told of by file, row and field, in words, without what stood there."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import msgspec
import pytest

from services.referral.exchange.hsds import graph as graphs
from services.referral.exchange.hsds import packages
from services.referral.exchange.hsds.report import MOST_NAMED, rules
from tests.support.hsds import changed, example, graph_of, packed, uid

ELSE = "00000000-0000-4000-8000-000000000099"
Files = dict[str, str | bytes]
Told = tuple[str, int | None, str, str]


def problems(files: Files | bytes) -> list[Told]:
    _, report = graph_of(files)
    assert report.count == len(report.problems)
    for one in report.told()["problems"]:
        assert one["wrong"]
        assert one["expected"]
    return [(p.spot.file, p.spot.row, p.field, p.rule) for p in report.problems]


CELLS = [
    ("services.csv", 2, {"id": ""}, ("id", "missing")),
    ("services.csv", 2, {"name": ""}, ("name", "missing")),
    ("services.csv", 3, {"organization_id": ""}, ("organization_id", "missing")),
    ("services.csv", 3, {"organization_id": ELSE}, ("organization_id", "names-nothing")),
    ("services.csv", 3, {"organization_id": "7"}, ("organization_id", "not-a-uuid")),
    ("services.csv", 4, {"status": "open"}, ("status", "unknown-code")),
    ("services.csv", 2, {"minimum_age": "six"}, ("minimum_age", "not-a-number")),
    ("services.csv", 2, {"minimum_age": "-1"}, ("minimum_age", "not-a-number")),
    ("services.csv", 2, {"minimum_age": "18"}, ("maximum_age", "ages")),
    ("services.csv", 2, {"last_modified": "20 Nov"}, ("last_modified", "not-an-instant")),
    ("services.csv", 2, {"name": "a\0b"}, ("name", "unclean")),
    ("services.csv", 2, {"description": "x" * 20_001}, ("description", "too-long")),
    ("locations.csv", 2, {"location_type": "tent"}, ("location_type", "unknown-code")),
    ("addresses.csv", 3, {"postal_code": ""}, ("postal_code", "missing")),
    ("service_at_location.csv", 2, {"location_id": ELSE}, ("location_id", "names-nothing")),
    ("attributes.csv", 2, {"link_entity": "thing"}, ("link_entity", "unknown-code")),
    ("attributes.csv", 2, {"link_id": ELSE}, ("link_id", "names-nothing")),
    ("schedules.csv", 2, {"freq": "DAILY"}, ("freq", "unknown-code")),
    ("schedules.csv", 2, {"byday": "SUNDAY"}, ("byday", "not-days")),
    ("schedules.csv", 2, {"bymonthday": "0"}, ("bymonthday", "not-positions")),
    ("schedules.csv", 2, {"bymonthday": "32"}, ("bymonthday", "not-positions")),
    ("schedules.csv", 2, {"interval": "0"}, ("interval", "not-a-number")),
    ("schedules.csv", 2, {"opens_at": "9 am"}, ("opens_at", "not-a-time")),
    ("schedules.csv", 2, {"valid_from": "2026-02-30"}, ("valid_from", "not-a-date")),
    ("schedules.csv", 2, {"valid_from": "2026-W01-1"}, ("valid_from", "not-a-date")),
    ("schedules.csv", 2, {"valid_to": "2025-01-01"}, ("valid_to", "from-to")),
    ("service_capacities.csv", 2, {"updated": ""}, ("updated", "missing")),
    ("service_capacities.csv", 2, {"available": "1.5"}, ("available", "not-a-number")),
    ("phones.csv", 2, {"service_id": ELSE}, ("service_id", "names-nothing")),
]


@pytest.mark.parametrize(("file", "row", "cells", "told"), CELLS)
def test_a_wrong_cell_is_told_of_by_file_row_and_field(
    file: str, row: int, cells: dict[str, str], told: tuple[str, str]
) -> None:
    found = problems(changed(file, row, **cells))
    assert (file, row, *told) in found
    rest = {rule for _, _, _, rule in found} - {told[1]}
    assert rest <= {"names-nothing"}  # what named a row that has no identifier now


def test_the_report_never_holds_what_stood_there() -> None:
    secret = "Rina of Invented Lane"
    files = changed("services.csv", 2, status=secret, minimum_age=secret, id=secret)
    files |= {f"{secret}.csv": "id\n1\n"}
    _, report = graph_of(files)
    assert report.count > 2
    assert secret not in json.dumps(report.told())
    wide = {**example(), "services.csv": f"id,{secret},{secret}\n"}
    assert secret not in json.dumps(graph_of(wide)[1].told())


def test_rows_that_do_not_fit_and_quotes_that_do_not_close() -> None:
    good = str(example()["units.csv"])
    heads = problems({**example(), "units.csv": good.replace("id,name", "id;name")})
    assert ("units.csv", 1, "", "heads") in heads
    assert ("units.csv", 1, "", "heads") in problems({**example(), "units.csv": "id,id\n"})
    row = f"{uid('x')},a,b\n"
    assert ("units.csv", 3, "", "cells") in problems({**example(), "units.csv": good + row})
    broken = problems({**example(), "units.csv": f'{good}{uid("x")},"a"b\n'})
    assert ("units.csv", 3, "", "quoting") in broken
    lines = f'{uid("x")},"a\nb"\n{uid("y")}\n'  # a row over two lines: the next is row 5
    assert ("units.csv", 5, "", "cells") in problems({**example(), "units.csv": good + lines})


def test_of_a_table_that_cannot_be_read_nothing_else_is_told() -> None:
    files = example()
    services = str(files["services.csv"])
    for spoilt, rule in (
        (services.replace(",", ";"), "heads"),
        (services.encode("utf-16"), "encoding"),
        (services.replace('"A safe', '"A" safe'), "quoting"),
    ):
        assert [p[3] for p in problems({**files, "services.csv": spoilt})] == [rule]


def test_identifiers_twice_are_told_of_with_the_first_row() -> None:
    good = str(example()["services.csv"])
    _, report = graph_of({**example(), "services.csv": good + good.splitlines()[2] + "\n"})
    [told] = report.told()["problems"]
    assert (told["file"], told["row"], told["rule"]) == ("services.csv", 5, "used-twice")
    assert "row 3" in told["expected"]
    other = {"id": uid("o"), "name": "another", "description": "x"}
    same = [{"id": uid(n), "name": n, "status": "active", "organization": other} for n in "ab"]
    same[1]["organization"] = {**other, "name": "not the same"}
    _, report = graph_of(msgspec.json.encode(same))
    [problem] = report.problems
    assert (problem.spot.path, problem.rule) == ("/1/organization", "told-differently")


def test_circles_of_parents() -> None:
    ids = [uid(str(n)) for n in range(4)]
    rows = [
        {"id": ids[n], "name": "x", "description": "x", "parent_organization_id": ids[(n + 1) % 3]}
        for n in range(3)
    ]
    rows.append({"id": ids[3], "name": "x", "description": "x", "parent_organization_id": ids[0]})
    _, report = graph_of(msgspec.json.encode({"organizations": rows}))
    assert [problem.rule for problem in report.problems] == ["cycle"]
    itself = [{"id": ids[0], "name": "x", "description": "x", "parent_id": ids[0]}]
    _, report = graph_of(msgspec.json.encode({"taxonomy_terms": itself}))
    assert [problem.rule for problem in report.problems] == ["cycle"]
    long = [
        {"id": uid(f"l{n}"), "name": "x", "description": "x"}
        | ({"parent_organization_id": uid(f"l{n + 1}")} if n < 3_000 else {})
        for n in range(3_001)
    ]
    _, report = graph_of(msgspec.json.encode({"organizations": long}))
    assert report.count == 0


def test_encodings() -> None:
    services = str(example()["services.csv"])
    with_mark = {**example(), "services.csv": b"\xef\xbb\xbf" + services.encode()}
    assert problems(with_mark) == []
    for encoding in ("utf-16", "cp1252"):
        text = services.replace("A safe bed", "Un lit sûr")
        found = problems({**example(), "services.csv": text.encode(encoding)})
        assert {rule for file, _, _, rule in found if file == "services.csv"} == {"encoding"}
    assert problems(b"\xef\xbb\xbf" + msgspec.json.encode([])) == [("", None, "", "empty")]


def test_archives_that_are_dangerous_or_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("../services.csv", "/services.csv", "a/../../services.csv", "c:\\services.csv"):
        assert ("", None, "", "unsafe-path") in problems({path: "id\n"})
    assert ("", None, "", "not-a-zip") in problems(b"PK\x03\x04 and no more")
    many: Files = {f"{n}.csv": "id\n" for n in range(packages.MOST_FILES + 1)}
    assert ("", None, "", "too-large") in problems(many)
    bomb = packed({"services.csv": b"a" * 1_000_000}).getvalue()
    monkeypatch.setattr(packages, "MOST_BYTES", 900_000)
    assert len(bomb) < 3_000
    assert ("", None, "", "too-large") in problems(bomb)
    monkeypatch.setattr(packages, "MOST_BYTES", 1 << 40)  # it says it is small, and is not
    size = (1_000_000).to_bytes(4, "little")
    lying = bomb.replace(size, (50).to_bytes(4, "little"))
    assert lying != bomb
    assert problems(lying)


def test_more_objects_than_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs.Graph.__init__, "__defaults__", (10,))
    assert problems(example()) == [("", None, "", "too-large")]


def test_empty_packages_and_missing_files() -> None:
    assert problems({}) == [("", None, "", "empty")]
    assert problems(b"") == [("", None, "", "empty")]
    assert problems({"services.csv": "id,name,status\n"}) == [("", None, "", "empty")]
    assert problems({"services.csv": ""}) == [("services.csv", 1, "", "heads")]
    assert problems({"readme.txt": "hello"}) == [("", None, "", "empty")]
    workbook: Files = {"[Content_Types].xml": "<x/>", "xl/workbook.xml": "<x/>"}
    assert problems(workbook) == [("", None, "", "spreadsheet")]
    files = example()
    del files["units.csv"]
    assert problems(files) == [("datapackage.json", None, "unit", "file-missing")]
    for bad in ("[]", "{", '{"resources": [{"name": "service"}]}', '{"resources": 7}'):
        found = problems({**example(), "datapackage.json": bad})
        assert found == [("datapackage.json", None, "", "not-a-datapackage")]


def test_names_of_files_may_be_plural_singular_or_told_in_a_folder() -> None:
    files = example()
    del files["datapackage.json"]
    singular = {
        {"services.csv": "service.csv", "phones.csv": "phone.csv"}.get(n, n): text
        for n, text in files.items()
    }
    graph, report = graph_of(singular)
    assert report.count == 0
    assert ("datapackage.json", "no-datapackage") in report.notes
    assert len(graph) == len(graph_of(example())[0])
    inside = {f"folder/{name}": text for name, text in example().items()}
    inside |= {"folder/more.csv": "id\n", "__MACOSX/._x": "x"}
    graph, report = graph_of(inside)
    assert (report.count, len(graph)) == (0, len(graph_of(example())[0]))
    assert (f"file {[*inside].index('folder/more.csv') + 1}", "unknown-table") in report.notes


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("{", ("/", "", "not-json")),
        ('[1, {"id": 5}]', ("/0", "", "not-an-object")),
        ('[{"colour": "red"}]', ("/0", "", "unknown-object")),
        ('{"services": [{"name": "x", "status": "active"}]}', ("/services/0", "id", "missing")),
        ('[{"status": 7}]', ("/0", "status", "unknown-code")),
        ('[{"status": ["active"]}]', ("/0", "status", "not-text")),
        ('[{"status": "active", "phones": {}}]', ("/0", "phones", "not-a-list")),
        ('[{"status": "active", "phones": [5]}]', ("/0/phones/0", "", "not-an-object")),
        ('[{"status": "active", "organization": []}]', ("/0/organization", "", "not-an-object")),
        ('[{"status": "active", "name": "\\u0000"}]', ("/0", "name", "unclean")),
        ('[{"status": "active", "zone": ["\\u0000"]}]', ("/0", "zone", "unclean")),
        ('[{"status": "active", "minimum_age": true}]', ("/0", "minimum_age", "not-a-number")),
        ('[{"status": "active", "minimum_age": 1e300}]', ("/0", "minimum_age", "not-a-number")),
    ],
)
def test_a_wrong_document_is_told_of_by_path(document: str, told: tuple[str, str, str]) -> None:
    _, report = graph_of(document.encode())
    assert told in [(p.spot.path, p.field, p.rule) for p in report.problems]


def test_objects_nested_without_end() -> None:
    deep: dict[str, Any] = {"id": uid("0"), "location_type": "physical"}
    for _ in range(40):
        deep = {"id": uid("0"), "name": "x", "status": "active",
                "service_at_locations": [{"id": uid("0"), "service": deep}]}  # fmt: skip
    _, report = graph_of(msgspec.json.encode(deep))
    assert "too-deep" in {problem.rule for problem in report.problems}


def test_a_line_that_is_none_is_told_of_by_its_number() -> None:
    good = msgspec.json.encode({"id": uid("a"), "name": "a", "status": "active"})
    _, report = graph_of(good + b"\n\n{broken\n")
    assert [(p.spot.row, p.rule) for p in report.problems] == [(3, "not-json")]


def test_many_problems_are_counted_and_the_first_named() -> None:
    rows = "".join(f"{n},x\n" for n in range(1000))
    _, report = graph_of({"units.csv": "id,name\n" + rows})
    assert (report.count, len(report.problems)) == (1000, MOST_NAMED)


def test_a_zip_with_the_same_table_twice() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("units.csv", "unit.csv"):
            archive.writestr(name, f"id,name\n{uid('u')},bed\n")
    assert [rule for *_, rule in problems(buffer.getvalue())] == ["same-file-twice"]


def test_every_rule_has_its_words() -> None:
    for words in rules().values():
        assert words.keys() == {"wrong", "expected"}
