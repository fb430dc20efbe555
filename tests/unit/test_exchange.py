"""Files of other systems: what is read of them, what is noted, and that nothing is guessed."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from services.intake.exchange.htcds import Header
from services.intake.exchange.primero import cases_in, read_case
from services.intake.exchange.rows import Refused, Row
from services.intake.exchange.tables import BadEncoding, cells_of, delimiter_of, records_of, text_of
from services.intake.report import ReportIn
from shared.errors import InvalidBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TODAY = date(2026, 11, 25)
PRIMERO: dict[str, Any] = {
    "id": "7c0e3c5e-8b1c-4c59-8c8a-0d6f3b8f2a11",
    "module_id": "primeromodule-cp",
    "name": "Invented Person",
    "sex": "female",
    "age": 14,
    "status": "open",
    "risk_level": "high",
    "protection_concerns": ["trafficked_smuggled", "worst_forms_of_child_labor"],
    "consent_for_services": True,
    "services_section": [{"unique_id": "x", "service_type": "safehouse_service"}],
}


async def pieces(raw: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), size):
        yield raw[at : at + size]


async def records(raw: bytes, encoding: str | None = None) -> list[tuple[int, str | None]]:
    return [one async for one in records_of(text_of(pieces(raw), encoding))]


def htcds(**cells: str) -> Row:
    return Header(list(cells)).read(2, list(cells.values()), TODAY)


def rules(row: Row) -> set[tuple[str, str]]:
    return {(note.field, note.rule) for note in row.notes}


def report(row: Row) -> ReportIn:
    return ReportIn.model_validate({"channel": "partner", **row.body})


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        ("a,b\nরিনা,২\n".encode(), None),
        ("a,b\nরিনা,২\n".encode("utf-8-sig"), None),
        ("a,b\r\nরিনা,২\r\n".encode("utf-16"), None),
        ("a,b\nরিনা,২".encode("utf-16-be"), "utf-16-be"),
    ],
)
async def test_a_file_is_read_in_its_encoding(raw: bytes, encoding: str | None) -> None:
    assert await records(raw, encoding) == [(1, "a,b"), (2, "রিনা,২")]


async def test_another_encoding_is_named_and_never_guessed() -> None:
    raw = "prs_FirstName\nJosé\n".encode("windows-1252")
    with pytest.raises(BadEncoding) as refused:
        await records(raw)
    assert refused.value.members["errors"] == [{"field": "body", "rule": "encoding", "byte": 17}]
    assert await records(raw, "windows-1252") == [(1, "prs_FirstName"), (2, "José")]


async def test_line_ends_in_quotes_belong_to_the_record_and_lines_are_counted() -> None:
    found = await records(b'a,b\n"x\ny",1\nz,2\n')
    assert found == [(1, "a,b"), (2, '"x\ny",1'), (4, "z,2")]
    assert cells_of('"x\ny",1', ",") == ["x\ny", "1"]


async def test_a_quote_that_never_ends_takes_its_own_line_alone() -> None:
    found = await records(b'a,b\n"x,1\ny,2\nz,3\n')
    assert found == [(1, "a,b"), (2, None), (3, "y,2"), (4, "z,3")]
    many = b'a,b\n"x,1\n' + b"y,2\n" * 60_000
    found = await records(many)
    assert found[1] == (2, None)
    assert len(found) == 60_002
    assert {record for _, record in found[2:]} == {"y,2"}
    assert [line for line, _ in found] == list(range(1, 60_003))


async def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(InvalidBody):
        await records(b"x" * 500_000)


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_the_header_shows_the_delimiter(sign: str) -> None:
    assert delimiter_of(f"prs_Gender{sign}cas_Status", ["prs_Gender", "cas_Status"]) == sign


def test_cells_stay_as_they_came() -> None:
    row = htcds(prs_FirstName="=cmd|' /C calc'!A0", prs_MobilePhone="+8801712345678")
    (person,) = report(row).persons
    assert (person.name, person.phone) == ("=cmd|' /C calc'!A0", "+8801712345678")
    assert ["prs_FirstName", "=cmd|' /C calc'!A0"] in row.original


def test_an_htcds_row_is_a_report_of_what_it_says() -> None:
    row = htcds(
        prs_Gender="Feminine",
        prs_Birthdate="2012-06-01",
        vic_TraffickingStatus="PossibleVictimOfTrafficking",
        vic_TypeOfExploitation="ChildLabour;Forced labour",
        prs_PrimaryLanguage="rhg",
        hte_Country="BGD",
        hte_City="Keraniganj",
        con_Consent="TRUE",
    )
    found = report(row)
    (person,) = found.persons
    assert (person.sex, person.languages, person.age and person.age.min) == ("female", ["rhg"], 14)
    assert found.concerns == ["child_trafficking", "child_labour", "forced_labour"]
    assert [(p.role, p.country, p.text) for p in found.places] == [("event", "BD", "Keraniganj")]
    assert found.consent[0].given_by == "third_party"
    assert not row.notes


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        ({"prs_Gender": "Lady"}, ("prs_Gender", "unknown-value")),
        ({"prs_Gender": "TransgenderFeminine"}, ("prs_Gender", "no-word-for-it")),
        ({"prs_Birthdate": "01/02/2012"}, ("prs_Birthdate", "bad-date")),
        ({"prs_Birthdate": "2012-02-31"}, ("prs_Birthdate", "bad-date")),
        ({"prs_Birthdate": "2030-01-01"}, ("prs_Birthdate", "bad-date")),
        ({"prs_FirstName": "x" * 201}, ("prs_FirstName", "too-long")),
        ({"prs_PrimaryLanguage": "Bangla"}, ("prs_PrimaryLanguage", "unknown-value")),
        ({"con_Consent": "perhaps"}, ("con_Consent", "unknown-value")),
        ({"hte_Country": "Somewhere"}, ("hte_Country", "unknown-value")),
        ({"vic_TypeOfExploitation": "Servitude"}, ("vic_TypeOfExploitation", "no-word-for-it")),
    ],
)
def test_what_is_not_understood_is_noted_and_not_guessed(
    cells: dict[str, str], rule: tuple[str, str]
) -> None:
    row = htcds(**cells)
    assert rule in rules(row)
    found = report(row)
    assert found.persons[0].sex == "unknown"
    assert found.persons[0].age is None


def test_a_header_names_fields_or_the_file_is_refused() -> None:
    with pytest.raises(Refused, match="no-header"):
        Header(["Rina", "14"])
    with pytest.raises(Refused, match="double-column"):
        Header(["prs_Gender", "PRS_GENDER"])
    header = Header(["prs_Gender", "our own", "cas_Status"])
    assert (header.unknown, header.kept_only) == ([2], ["cas_Status"])
    assert ["column 2", "kept"] in header.read(2, ["Feminine", "kept", "Active"], TODAY).original
    for cells, rule in ((["x"], "cells"), (["", " ", ""], "empty"), (["a", "\0", "b"], "not-text")):
        with pytest.raises(Refused, match=rule):
            header.read(2, cells, TODAY)


def test_an_adult_is_not_counted_as_a_child_and_unknown_is() -> None:
    told = {"vic_TraffickingStatus": "ActualVictimOfTrafficking"}
    adult = htcds(prs_Birthdate="1990-01-01", vic_TypeOfExploitation="SexualExploitation", **told)
    assert report(adult).concerns == ["adult_trafficking"]
    unknown = htcds(vic_TypeOfExploitation="SexualExploitation", **told)
    assert set(report(unknown).concerns) == {"child_trafficking", "child_sexual_exploitation"}


def test_a_primero_case_is_a_report_with_its_reference() -> None:
    row = read_case(1, {"data": PRIMERO}, TODAY)
    found = report(row)
    assert found.needs == ["shelter"]
    assert found.concerns == ["child_trafficking", "hazardous_child_labour"]
    assert [(r.system, r.value) for r in found.external_refs] == [("primero.id", PRIMERO["id"])]
    assert rules(row) == {("protection_concerns", "two-meanings")}
    assert row.pressing
    assert row.original == PRIMERO


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"sex": "other"}, ("sex", "unknown-value")),
        ({"age": "14"}, ("age", "unknown-value")),
        ({"age": True}, ("age", "unknown-value")),
        ({"protection_concerns": "trafficked_smuggled"}, ("protection_concerns", "unknown-value")),
        ({"protection_concerns": ["site_choice"]}, ("protection_concerns", "unknown-value")),
        ({"services_section": [{"x": 1}, 7]}, ("services_section", "unknown-value")),
        ({"services_section": {"a": []}}, ("services_section", "unknown-value")),
        ({"name": ["Rina"]}, ("name", "unknown-value")),
        ({"nationality": "x"}, ("another field", "unknown-field")),
        ({"age": None, "date_of_birth": "14 years"}, ("date_of_birth", "bad-date")),
    ],
)
def test_a_strange_primero_case_is_still_a_report(
    change: dict[str, Any], rule: tuple[str, str]
) -> None:
    row = read_case(1, {**PRIMERO, **change}, TODAY)
    assert rule in rules(row)
    report(row)


def test_primero_comes_as_one_case_or_many() -> None:
    ways: list[Any] = [PRIMERO, {"data": PRIMERO}, {"data": [PRIMERO]}, [PRIMERO]]
    for document in (*ways, [{"data": PRIMERO}]):
        (one,) = cases_in(json.loads(json.dumps(document)))
        assert read_case(1, one, TODAY).body["persons"][0]["name"] == "Invented Person"
    strange: list[Any] = [[], "x", 1, None, {}]
    for wrong in strange:
        with pytest.raises(Refused, match="no-case"):
            read_case(1, wrong, TODAY)
