"""Where somebody is hidden stays out of an export, whoever says so and however badly."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from services.referral.exchange.hsds.confidential import hide
from services.referral.exchange.hsds.documents import write_json
from services.referral.exchange.hsds.packing import write_package
from services.referral.exchange.hsds.taking import prepare
from shared.clock import now
from tests.support.hsds import graph_of, uid

CANARY = "9 Canary Lane"


def said(code: str, value: str | None = None) -> dict[str, Any]:
    term = {"id": uid(f"term/{code}"), "code": code, "name": code, "description": code}
    more = {} if value is None else {"value": value}
    return {"id": uid(f"a/{code}/{value}"), "taxonomy_term": term, **more}


def clinic(on: str = "", *marks: dict[str, Any]) -> dict[str, Any]:
    """Return a clinic with its address, and attributes on one of its objects."""

    def of(kind: str) -> dict[str, Any]:
        return {"id": uid(kind), "attributes": [*marks] if kind == on else []}

    address = {
        **of("address"),
        "address_1": CANARY,
        "city": "Keraniganj",
        "state_province": "Dhaka",
        "postal_code": "1310",
        "country": "BD",
        "address_type": "physical",
    }
    phone = {**of("phone"), "number": "+8801700000009", "description": CANARY}
    location = {**of("location"), "location_type": "physical", "addresses": [address]}
    body = {"name": "Example (invented)", "description": f"Ask at {CANARY}", "website": CANARY}
    service = of("service")
    service["attributes"] = [said("medical"), *service["attributes"]]
    return {
        **service,
        "name": "An invented clinic",
        "status": "active",
        "organization": {**of("organization"), **body, "phones": [phone]},
        "program": {**of("program"), "name": "An invented programme", "description": CANARY},
        "service_at_locations": [
            {**of("service_at_location"), "description": CANARY, "location": location}
        ],
    }


def prepared(document: dict[str, Any]) -> Any:
    return prepare(io.BytesIO(msgspec.json.encode(document)), now())


def told(document: dict[str, Any], shelters: set[str] | None = None) -> str:
    graph, report = graph_of(msgspec.json.encode(document))
    assert report.count == 0
    hide(graph, shelters or ())
    return b"".join(write_json(graph)).decode()


PLACES = ("organization", "program", "service", "service_at_location", "location", "address")


def test_an_open_clinic_tells_where_it_is() -> None:
    assert f'"address_1":"{CANARY}"' in told(clinic())
    assert f'"address_1":"{CANARY}"' in told(clinic("service", said("confidential", "false")))


@pytest.mark.parametrize("on", PLACES)
@pytest.mark.parametrize("value", ["true", "TRUE ", "yes", "1", "হ্যাঁ", "false-ish", None])
def test_wherever_it_is_said_and_whatever_it_says_but_false_the_address_is_hidden(
    on: str, value: str | None
) -> None:
    assert f'"address_1":"{CANARY}"' not in told(clinic(on, said("confidential", value)))


def test_one_that_says_open_takes_nothing_back_that_another_says() -> None:
    marks = [said("confidential", value) for value in ("true", "false")]
    for on in ("service", "location"):
        for order in (marks, marks[::-1]):
            assert f'"address_1":"{CANARY}"' not in told(clinic(on, *order))


def test_of_a_confidential_organization_only_names_are_told() -> None:
    key = {"id": uid("key"), "identifier_scheme": "pashe", "identifier": "example-clinic"}
    document = clinic("organization", said("confidential", "true"))
    document["organization"]["organization_identifiers"] = [key]
    out = told(document)
    assert CANARY not in out
    assert "+8801700000009" not in out
    assert "Example (invented)" in out
    assert "example-clinic" in out  # it is still the same provider when it comes back
    graph, _ = graph_of(msgspec.json.encode(document))
    hide(graph)
    file = io.BytesIO()
    write_package(graph, file)
    file.seek(0)
    assert prepare(file, now()).report.count == 0


def test_the_words_of_an_odd_value_go_too() -> None:
    out = told(clinic("service", said("confidential", f"yes, at {CANARY}")))
    assert f"yes, at {CANARY}" not in out
    assert '"value":"true"' in out


def test_a_service_that_is_a_shelter_here_is_one_whatever_its_package_says() -> None:
    assert f'"address_1":"{CANARY}"' not in told(clinic(), {uid("service")})


def test_a_place_without_a_location_hinders_no_export() -> None:
    document = clinic("service", said("confidential", "true"))
    document["service_at_locations"].append({"id": uid("nowhere"), "description": CANARY})
    assert f'"address_1":"{CANARY}"' not in told(document)


def test_attributes_of_attributes_in_a_circle_end() -> None:
    document = clinic("service", said("confidential", "true"))
    graph, _ = graph_of(msgspec.json.encode(document))
    a, b = uid("circle/a"), uid("circle/b")
    term = {"taxonomy_term_id": uid("term/confidential"), "link_entity": "attribute"}
    graph.put("attribute", {"id": a, "link_id": b, **term})
    graph.put("attribute", {"id": b, "link_id": a, **term})
    hide(graph)
    assert CANARY not in str(graph.find("address", uid("address")))


@pytest.mark.parametrize("on", PLACES)
def test_an_odd_value_is_told_of_at_the_import(on: str) -> None:
    assert prepared(clinic(on, said("confidential", "true"))).report.count == 0
    report = prepared(clinic(on, said("confidential", "perhaps"))).report
    assert [(p.field, p.rule) for p in report.problems] == [("value", "fact")]
