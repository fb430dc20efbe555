"""HSDS 3 becomes offers, offers are told as HSDS 3, and where shelters are stays secret."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from services.referral.calendars import check_schedule
from services.referral.directory import offers_of, read_profile
from services.referral.exchange.hsds import hours, mapping
from services.referral.exchange.hsds.changes import differing
from services.referral.exchange.hsds.confidential import NEEDS, hide
from services.referral.exchange.hsds.documents import write_json
from services.referral.exchange.hsds.giving import add_offers
from services.referral.exchange.hsds.graph import Graph
from services.referral.exchange.hsds.kinds import NUMBERS, kinds
from services.referral.exchange.hsds.packing import write_package
from services.referral.exchange.hsds.reading import read
from services.referral.exchange.hsds.taking import prepare
from shared.vocabulary import Enrolment, Need
from tests.support.hsds import changed, example, graph_of, packed, rows_of, uid

if TYPE_CHECKING:
    from services.referral.exchange.hsds.report import Report

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


def offers_in(files: dict[str, str | bytes] | bytes) -> tuple[dict[str, Any], Report]:
    """Return the offers of a package by the name of their service."""
    graph, report = graph_of(files)
    found = {
        f"{service['name']}": mapping.offers_of(graph, service, AT, report)
        for service in graph.of("service")
    }
    assert report.told()["problems"] == []
    return found, report


def one(document: dict[str, Any]) -> tuple[list[dict[str, Any]], Report]:
    found, report = offers_in(msgspec.json.encode(document))
    return found[document["name"]], report


def service(**more: Any) -> dict[str, Any]:
    """Return a service that says a need and a place."""
    return {
        "id": uid("s"),
        "name": "Invented",
        "status": "active",
        "organization": {"id": uid("o"), "name": "Invented", "description": "Invented"},
        "service_areas": [{"id": uid("a"), "extent": "BD3026", "extent_type": "text"}],
        "attributes": [said("medical")],
        **more,
    }


def said(code: str, value: str | None = None) -> dict[str, Any]:
    term = {"id": uid(f"t/{code}"), "code": code, "name": code, "description": code}
    return {"id": uid(f"at/{code}"), "taxonomy_term": term, "value": value}


def test_the_example_becomes_offers() -> None:
    found, report = offers_in(example())
    [home] = found["Example home for girls (invented)"]
    assert home == {
        "offer_id": uid("service/shelter"),
        "service_id": uid("service/shelter"),
        "provider_id": "example-shaluk",
        "area_level": "district",
        "area_pcode": "BD3026",
        "needs": ["shelter"],
        "min_age": 6,
        "max_age": 17,
        "sex": "female",
        "hours": "",
        "note": "",
        "mode": "in_person",
        "languages": ["bn", "ctg"],
        "accepting": True,
        "court_order": False,
        "serves_hijra": None,
        "accepts_children": True,
        "max_boy_age_with_mother": 7,
        "step_free": False,
        "sign_language": None,
        "trained_until": "2027-06-30",
        "accredited_until": None,
        "schedules": ["FREQ=DAILY||||"],
        "places": (3, 12, datetime(2026, 11, 25, 4, 40, tzinfo=UTC)),
    }
    [legal] = found["Example legal advice (invented)"]
    assert (legal["area_pcode"], legal["needs"]) == ("BD4041", ["court_support", "legal_aid"])
    assert legal["schedules"] == ["FREQ=MONTHLY;BYDAY=1SU,-1TH|10:00|13:00||"]
    assert not report.notes


def test_an_offer_for_each_area_and_place_with_identifiers_that_stay() -> None:
    areas = [{"id": uid(code), "extent": code} for code in ("BD3026", "BD4041")]
    offers, _ = one(service(service_areas=areas))
    assert [(o["offer_id"] == uid("s"), o["area_pcode"]) for o in offers] == [
        (True, "BD3026"),
        (False, "BD4041"),
    ]
    more = [*areas, {"id": uid("x"), "extent": "BD1004"}]
    again, _ = one(service(service_areas=more))
    assert [o["offer_id"] for o in again][:2] == [o["offer_id"] for o in offers]
    place = {"id": uid("l1"), "location_type": "physical"}
    at = [
        {"id": uid("sal1"), "location": place},
        {"id": uid("sal2"), "location": {**place, "id": uid("l2")},
         "service_areas": [{"id": uid("own"), "extent": "BD1004"}]},
    ]  # fmt: skip
    offers, _ = one(service(service_at_locations=at))
    assert [(o["offer_id"], o["area_pcode"]) for o in offers] == [
        (uid("sal1"), "BD3026"),
        (uid("sal2"), "BD1004"),
    ]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"attributes": []}, "no-need"),
        ({"attributes": [said("haircut")]}, "term-unknown"),
        ({"service_areas": [{"id": uid("a"), "name": "Atlantis"}]}, "no-place"),
        ({"organization": None}, "no-organization"),
    ],
)
def test_what_cannot_be_routed_is_kept_and_named(change: dict[str, Any], note: str) -> None:
    offers, report = one(service(**change))
    assert offers == []
    assert note in {rule for _, rule in report.notes}


def test_a_place_by_its_name_or_its_address() -> None:
    [offer], _ = one(service(service_areas=[{"id": uid("a"), "name": " কেরাণীগঞ্জ "}]))
    assert offer["area_pcode"] == "BD30260038"
    address = {
        "id": uid("ad"), "address_1": "1", "city": "Town", "state_province": "Jashore",
        "postal_code": "1", "country": "BD", "address_type": "physical",
    }  # fmt: skip
    place = {"id": uid("l"), "location_type": "physical", "addresses": [address]}
    at = [{"id": uid("sal"), "location": place}]
    [offer], _ = one(service(service_areas=[], service_at_locations=at))
    assert (offer["area_level"], offer["area_pcode"]) == ("district", "BD4041")


def test_a_fact_with_a_wrong_value_is_a_problem_and_an_unknown_one_stays_unknown() -> None:
    wrong = {"step_free": "perhaps", "trained_until": "soon", "max_boy_age_with_mother": "-1",
             "mode": "fax", "court_order": "", "provider_kind": "An NGO!"}  # fmt: skip
    for code, value in wrong.items():
        graph, report = graph_of(msgspec.json.encode(service(attributes=[said(code, value)])))
        mapping.told_of(graph, "service", uid("s"), report)
        assert [problem.rule for problem in report.problems] == ["fact"]
    [offer], _ = one(service())
    assert [offer[n] for n in ("step_free", "serves_hijra", "min_age", "trained_until")] == [
        None
    ] * 4
    assert (offer["sex"], offer["court_order"], offer["places"]) == ("any", False, None)


def capacity(**more: Any) -> dict[str, Any]:
    return {
        "id": uid("c"),
        "unit": {"id": uid("u"), "name": "bed"},
        "available": 2,
        "updated": "2026-11-28T00:00:00Z",
        **more,
    }


def test_free_places_are_as_old_as_they_say_never_more_than_there_are_and_never_twice() -> None:
    [offer], _ = one(service(capacities=[capacity()]))
    assert offer["places"] == (2, None, datetime(2026, 11, 28, tzinfo=UTC))
    [offer], report = one(service(capacities=[capacity(available=9, maximum=4)]))
    assert offer["places"][:2] == (4, 4)
    assert "more-free-than-places" in {rule for _, rule in report.notes}
    [offer], report = one(service(capacities=[capacity(updated="2031-01-01T00:00:00Z")]))
    assert offer["places"][2] == AT
    assert "in-the-future" in {rule for _, rule in report.notes}
    areas = [{"id": uid(code), "extent": code} for code in ("BD3026", "BD4041")]
    offers, report = one(service(capacities=[capacity()], service_areas=areas))
    assert [offer["places"] for offer in offers] == [None, None]
    assert "places-shared" in {rule for _, rule in report.notes}


@pytest.mark.parametrize(
    ("row", "schedule"),
    [
        ({"freq": "WEEKLY", "byday": "SU,MO"}, "FREQ=WEEKLY;BYDAY=SU,MO||||"),
        (
            {"freq": "WEEKLY", "byday": "SU", "opens_at": "09:00:00Z", "closes_at": "12:30Z"},
            "FREQ=WEEKLY;BYDAY=SU|15:00|18:30||",
        ),
        (
            {"freq": "WEEKLY", "byday": "SU", "opens_at": "14:00Z", "closes_at": "20:00Z"},
            "FREQ=WEEKLY;BYDAY=SU|20:00|02:00||",
        ),
        ({"freq": "WEEKLY", "byday": "SU", "opens_at": "20:00Z"}, None),  # Monday in Bangladesh
        (
            {"freq": "WEEKLY", "byday": "SU", "opens_at": "08:00", "timezone": 5.5},
            "FREQ=WEEKLY;BYDAY=SU|08:30|||",
        ),
        (
            {
                "freq": "MONTHLY", "bymonthday": "1, 15",
                "until": "2026-12-31", "valid_from": "2026-01-01",
            },
            "FREQ=MONTHLY;BYMONTHDAY=1,15|||2026-01-01|2026-12-31",
        ),
        ({"freq": "WEEKLY", "interval": 2, "dtstart": "2026-01-04", "valid_from": "2026-02-01"},
         "FREQ=WEEKLY;INTERVAL=2|||2026-01-04|"),
        ({"freq": "WEEKLY", "count": 3, "until": "2026-01-01"}, None),
        ({"byday": "SU"}, None),
        ({"freq": "WEEKLY", "byday": "SU,MO,TU,WE,TH,FR,SA"}, "FREQ=DAILY||||"),
    ],
)  # fmt: skip
def test_hours_are_in_bangladesh(row: dict[str, Any], schedule: str | None) -> None:
    assert hours.schedule_of(row) == schedule


def test_hours_that_cannot_be_followed_are_unknown_not_half_known() -> None:
    told_hours = [
        {"id": uid("h1"), "freq": "WEEKLY", "byday": "SU", "opens_at": "09:00"},
        {"id": uid("h2"), "freq": "WEEKLY", "byday": "MO", "opens_at": "23:00Z"},
    ]
    [offer], report = one(service(schedules=told_hours))
    assert offer["schedules"] == []
    assert "hours-unknown" in {rule for _, rule in report.notes}
    for schedule in ("FREQ=WEEKLY;BYDAY=SU|09:00|17:00|2026-01-01|", "FREQ=DAILY||||"):
        check_schedule(schedule)
        assert [hours.schedule_of(row) for row in hours.rows_of([schedule])] == [schedule]


# --- Offers that never were HSDS ------------------------------------------------------------------


def directory(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return offers of the directory's own files, as the store reads them."""
    names = {row["provider_key"]: row for row in rows}
    found = []
    for offer in offers_of(rows, Enrolment.ACTIVE):
        row = names[offer["provider_id"]]
        found.append(
            {
                **offer,
                "needs": offer["needs"].split(";"),
                "languages": offer["languages"].split(";"),
                "schedules": [s for s in offer["schedules"].split("\n") if s],
                "name_en": row["name_en"],
                "name_bn": row["name_bn"],
                "kind": row["kind"],
                "service_id": None,
                "edited": False,
                "capacity_at": AT if offer["places_free"] is not None else None,
            }
        )
    return found


def test_the_whole_directory_told_as_hsds_is_the_same_directory() -> None:
    rows = [row for number, row in enumerate(read_profile("demonstration")) if number % 31 == 0]
    offers = directory([*rows, *[r for r in read_profile("demonstration") if "ngo" in r["kind"]]])
    known = {offer["offer_id"]: offer for offer in offers}
    graph = Graph()
    add_offers(graph, list(known.values()))
    file = io.BytesIO()
    write_package(graph, file)
    file.seek(0)
    package = prepare(file, AT)
    assert package.report.told()["problems"] == []
    assert package.report.notes == {}
    assert {o["provider_id"] for o in known.values()} == package.providers.keys()
    seen = 0
    for raw in package.offers:
        offer = msgspec.json.decode(raw)
        seen += 1
        assert differing(offer, known[offer["offer_id"]]) == []
    assert seen == len(known) > 200


# --- Where shelters are ---------------------------------------------------------------------------

CANARY = "canary-in-"
FORMED = (
    *("status", "location_type", "address_type", "extent_type", "freq", "wkst", "byday", "updated"),
    *("byweekno", "bymonthday", "byyearday", "opens_at", "closes_at", "valid_from", "valid_to"),
    *("dtstart", "until", "last_modified", "assured_date", "last_action_date"),
)
"""Fields whose text has a form: no address fits."""


def shelter(**more: Any) -> Graph:
    """Return a service with every kind of object, and a canary in each of their texts."""
    graph, report = graph_of(msgspec.json.encode(service(**more)))
    assert report.count == 0
    secret = uid("location/secret")
    graph.put("location", {"id": secret, "location_type": "physical", "organization_id": uid("o")})
    at = {"id": uid("sal"), "service_id": uid("s"), "location_id": secret}
    graph.put("service_at_location", at)
    parents = {"service_id": uid("s"), "service_at_location_id": uid("sal"), "location_id": secret,
               "contact_id": uid("canary/contact"), "phone_id": uid("canary/phone")}  # fmt: skip
    for kind in kinds().values():
        if kind.name in ("organization", "taxonomy", "taxonomy_term", "unit", "program",
                         "organization_identifier", "meta_table_description"):  # fmt: skip
            continue
        texts = {
            name: f"{CANARY}{kind.name}-{name}"
            for name in (*kind.fields, "unknown")
            if name not in {"id", "name", *FORMED, *NUMBERS, *kind.links, *(kind.anywhere or ())}
            or (name == "name" and kind.name != "service")
        }
        rows = [
            {
                "id": uid(f"canary/{kind.name}"),
                **{p: parents[p] for p in kind.links if p in parents},
            }
        ]
        if kind.anywhere is not None:
            ends = (("service", uid("s")), ("location", secret), ("phone", uid("canary/phone")))
            rows = [
                {
                    "id": uid(f"canary/{kind.name}/{end}"),
                    kind.anywhere[0]: key,
                    kind.anywhere[1]: end,
                }
                for end, key in ends
            ]
        if kind.name in ("service", "location", "service_at_location"):
            key = {"service": uid("s"), "location": secret, "service_at_location": uid("sal")}
            rows = [{**(graph.find(kind.name, key[kind.name]) or {})}]
        for row in rows:
            graph.put(kind.name, {**texts, **row})
    place = graph.find("location", secret) or {}
    graph.put("location", {**place, "latitude": 23.987654, "longitude": 90.123456})
    return graph


def told(graph: Graph) -> str:
    return b"".join(write_json(graph)).decode()


def test_of_a_shelter_only_the_district_is_told() -> None:
    whole = told(shelter(attributes=[said("shelter")]))
    assert whole.count(CANARY) > 60
    graph = shelter(attributes=[said("shelter")])
    assert hide(graph) == 1
    out = told(graph)
    assert [part[:60] for part in out.split(CANARY)[1:]] == []
    assert "23.98" not in out
    assert '"name":"Dhaka"' in out
    assert uid("location/secret") in out


@pytest.mark.parametrize("need", sorted(map(str, Need)))
def test_which_services_have_secret_places(need: str) -> None:
    graph = shelter(attributes=[said(need)])
    assert hide(graph) == (1 if need in NEEDS else 0)


def test_an_unknown_need_is_secret_and_an_attribute_opens_it_but_never_a_shelter() -> None:
    for codes, places in (
        ([said("refuge")], 1),
        ([], 1),
        ([said("medical"), said("confidential", "true")], 1),
        ([said("refuge"), said("confidential", "false")], 0),
        ([said("shelter"), said("confidential", "false")], 1),
    ):
        graph = shelter(attributes=codes)
        assert hide(graph) == places
        assert (CANARY in told(graph)) is (places == 0)


def test_a_place_of_the_same_body_that_no_open_service_is_at_is_secret_too() -> None:
    files = changed("service_at_location.csv", 2, location_id=uid("location/office"))
    graph, _ = graph_of(files)  # the home is still the body's, and nothing else says what it is
    hide(graph)
    out = told(graph)
    for secret in ("1 Invented Lane", "2 Invented Road", "8801700000003"):
        assert secret not in out
    assert "3 Invented Street" in out
    graph, _ = graph_of(example())
    hide(graph)
    out = told(graph)
    assert "1 Invented Lane" not in out
    assert "2 Invented Road" in out


def test_what_was_hidden_says_so_when_it_comes_back() -> None:
    graph, _ = graph_of(example())
    hide(graph)
    file = io.BytesIO()
    write_package(graph, file)
    again, report = read(file)
    assert (report.count, report.notes) == (0, {})
    assert rows_of(again) == rows_of(graph)
    hidden = [row["id"] for row in again.of("location") if row.get("pashe_hidden")]
    assert hidden == [uid("location/home")]
    assert packed(example()).getvalue()[:2] == b"PK"
