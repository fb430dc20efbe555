"""Whatever stands in a directory: a report by line that repeats nothing, and never a fall."""

from __future__ import annotations

import csv
import io
from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.referral.exchange.hsds.confidential import hide
from services.referral.exchange.hsds.documents import write_json
from services.referral.exchange.hsds.packing import write_package
from services.referral.exchange.hsds.taking import Package, prepare
from tests.support.hsds import DOCUMENTS, SERVICE, example, graph_of, packed, uid

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
NUL = "\0"
SAID = "Rina of 9 Canary Lane"

NESTED: list[Any] = []
for _ in range(200):
    NESTED = [NESTED]

ODD: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1.5, 1e308, -0.0, 10**400, -(10**400), 2**63, 10**13),
    *("", " ", "\0", SAID, SAID * 2000, "null", "true", "1" * 400, "1e400", "-0", "০১", "1_0"),
    *("0001-01-01", "9999-12-31", "2026-02-30", "0001-01-01T00:00:00+14:00", "20260101"),
    *("9999-12-31T23:59:59-14:00", "2026-11-29T24:00:00Z", "00:00+14:00", "23:59-13:59", "24:00"),
    *("60MO", "-1SA,+5FR", "SU,SU", "0", "-53", "366", "WEEKLY", "physical", "active", "shelter"),
    *([], {}, [SAID], {SAID: SAID}, [[]], [None], NESTED, [{"id": uid("odd")}], {"id": SAID}),
    *(uid("odd"), uid("doc/service"), uid("doc/organization"), uid("doc/term"), uid("doc/at")),
    *("service", "attribute", "taxonomy_term", "organization", "confidential", "provider_kind"),
]
NAMES: Final = (
    *("parent_id", "parent_organization_id", "organization_id", "location_id", "service_id"),
    *("link_id", "link_entity", "pashe_hidden", "id", "value", "code", "updated", "timezone", "x"),
    *("maximum_age", "valid_from", "attributes", "service", "location", "organization", SAID),
)
MANY: Final = 60
HOW = settings(
    max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def holders(value: Any) -> Iterator[dict[str, Any] | list[Any]]:
    """Give every object and list of a document."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in list(value.values() if isinstance(value, dict) else value):
            yield from holders(inner)


def spoil(document: Any, data: st.DataObject) -> None:
    """Change one thing of a document."""
    holder = data.draw(st.sampled_from(list(holders(document))), label="where")
    odd = data.draw(st.sampled_from(ODD) | st.text(max_size=20), label="what")
    if isinstance(holder, list):
        holder[data.draw(st.integers(0, len(holder) - 1))] = deepcopy(odd)
        return
    name = data.draw(st.sampled_from([*holder, *NAMES]), label="name")
    if name in holder and data.draw(st.booleans(), label="drop"):
        del holder[name]
    else:
        holder[name] = deepcopy(odd)


def all_is_well(package: Package) -> None:
    """Check that a report repeats nothing, and that what is taken can be given."""
    told = package.report.told()
    said = msgspec.json.encode(told).decode()
    assert "Rina" not in said
    assert "Canary" not in said
    for one in told["problems"]:
        assert one["wrong"]
        assert one["expected"]
    if package.report.count:
        return
    msgspec.json.encode(package.offers)
    for secret in (True, False):
        if not secret:
            hide(package.graph)
        graph = package.graph
        again, report = graph_of(b"".join(write_json(graph)))
        assert report.count == 0
        assert len(again) == len(graph)
        file = io.BytesIO()
        write_package(graph, file)
        assert prepare(file, AT).report.told()["problems"] == []


def taken(body: bytes) -> Package:
    return prepare(io.BytesIO(body), AT)


@HOW
@given(st.data())
def test_no_document_breaks_it(data: st.DataObject) -> None:
    document = deepcopy(data.draw(st.sampled_from(list(DOCUMENTS.values()))))
    for _ in range(data.draw(st.integers(1, 4), label="changes")):
        if list(holders(document)):
            spoil(document, data)
    all_is_well(taken(msgspec.json.encode(document)))


@HOW
@given(st.data())
def test_no_table_breaks_it(data: st.DataObject) -> None:
    files = example()
    for _ in range(data.draw(st.integers(1, 3), label="changes")):
        name = data.draw(st.sampled_from(sorted(files)), label="file")
        text = str(files[name])
        if not name.endswith(".csv"):
            document = msgspec.json.decode(text)
            spoil(document, data)
            files[name] = msgspec.json.encode(document).decode()
            continue
        rows = list(csv.reader(io.StringIO(text, newline="")))
        row = rows[data.draw(st.integers(0, len(rows) - 1), label="row")]
        odd = data.draw(st.sampled_from([o for o in ODD if isinstance(o, str)] + list(NAMES)))
        match data.draw(st.sampled_from(["cell", "more", "less", "file"]), label="how"):
            case "cell":
                row[data.draw(st.integers(0, len(row) - 1), label="column")] = odd
            case "more":
                for one in rows:
                    one.append(odd if one is row else "x")
            case "less":
                row.pop()
            case _:
                files[f"{odd[:30].replace(NUL, '')}.csv"] = files.pop(name)
                continue
        made = io.StringIO(newline="")
        csv.writer(made).writerows(rows)
        files[name] = made.getvalue()
    all_is_well(taken(packed(files).getvalue()))


@pytest.mark.parametrize("field", ["minimum_age", "fees", "unknown", "latitude"])
@pytest.mark.parametrize("digits", [b"1" * 400, b"-" + b"9" * 400, b"1" * 5000])
def test_a_number_of_many_digits_is_a_line_of_the_report(field: str, digits: bytes) -> None:
    package = taken(msgspec.json.encode({**SERVICE, field: 98765}).replace(b"98765", digits))
    all_is_well(package)
    rules = {problem.rule for problem in package.report.problems}
    assert rules == ({"not-json"} if len(digits) > 4300 else KEPT_OR[field])


KEPT_OR: Final = {
    "minimum_age": {"not-a-number"},
    "fees": {"not-text"},
    "latitude": set[str](),  # a service has none
    "unknown": set[str](),
}


def test_a_parent_of_what_has_none_is_a_field_that_is_not_known() -> None:
    for parent in (uid("doc/service"), [uid("doc/service")], {"id": 1}, uid("nobody")):
        package = taken(msgspec.json.encode({**SERVICE, "parent_id": parent}))
        all_is_well(package)
        assert package.report.count == 0
        assert ("service.parent_id", "unknown-field") in package.report.notes


def test_the_same_identifier_in_two_kinds_is_no_circle() -> None:
    one, two = uid("one"), uid("two")
    words = {"name": "x", "description": "x"}
    document = {
        "organizations": [
            {"id": one, **words, "parent_organization_id": two},
            {"id": two, **words},
        ],
        "taxonomy_terms": [{"id": two, **words, "parent_id": one}, {"id": one, **words}],
    }
    assert taken(msgspec.json.encode(document)).report.count == 0


def test_a_table_that_is_missing_or_not_known_is_told_of_by_its_number() -> None:
    files = example()
    described = msgspec.json.decode(str(files["datapackage.json"]))
    described["resources"].insert(1, {"name": SAID, "path": f"{SAID}.csv"})
    files["datapackage.json"] = msgspec.json.encode(described).decode()
    [problem] = taken(packed(files).getvalue()).report.told()["problems"]
    assert (problem["file"], problem["path"], problem["rule"]) == (
        *("datapackage.json", "/resources/1", "file-missing"),
    )
    assert SAID not in str(problem)
    files[f"{SAID}.csv"] = f"id\n{uid('x')}\n"
    package = taken(packed(files).getvalue())
    assert package.report.count == 0
    assert "Rina" not in str(package.report.told())
    assert ("/resources/1", "unknown-table") in package.report.notes


def test_a_file_of_an_archive_without_a_name_is_told_of() -> None:
    raw = packed({**example(), "Q.csv": "x"}).getvalue().replace(b"Q.csv", b"\0.csv")
    package = taken(raw)
    all_is_well(package)
    assert "unknown-table" in {rule for _, rule in package.report.notes}


def test_a_column_that_is_an_object_of_its_own_is_told_of_and_not_taken() -> None:
    files = example()
    rows = list(csv.reader(io.StringIO(str(files["services.csv"]), newline="")))
    made = io.StringIO(newline="")
    csv.writer(made).writerows([[*rows[0], "organization"], *[[*row, SAID] for row in rows[1:]]])
    package = taken(packed({**files, "services.csv": made.getvalue()}).getvalue())
    all_is_well(package)
    assert package.report.count == 0
    assert ("service.organization", "not-a-column") in package.report.notes
