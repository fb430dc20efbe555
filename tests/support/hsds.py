"""HSDS 3 for tests: the example package, and documents shaped as the specification's own examples.

The shapes, identifiers that repeat, odd values and slips are those of the published documentation
of HSDS 3.0 (openreferral/specification, CC BY-SA 4.0); the words are invented here.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec

from services.referral.exchange.hsds.reading import read

if TYPE_CHECKING:
    from services.referral.exchange.hsds.graph import Graph
    from services.referral.exchange.hsds.report import Report

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "directory"
_NAMES = UUID("7d1f3c52-6a08-5c1e-8f7b-0a4be7f6c111")


def uid(name: str) -> str:
    return str(uuid5(_NAMES, name))


def packed(files: dict[str, str | bytes]) -> io.BytesIO:
    """Return a zip of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


def example() -> dict[str, str | bytes]:
    """Return the files of the example package."""
    return {path.name: path.read_text("utf-8") for path in sorted(EXAMPLE.iterdir())}


def changed(file: str, row: int, **cells: str) -> dict[str, str | bytes]:
    """Return the example with some cells of a row changed; the heads are row 1."""
    files = example()
    lines = list(csv.reader(io.StringIO(str(files[file]), newline="")))
    for name, value in cells.items():
        if name not in lines[0]:
            lines = [[*line, name if number == 0 else ""] for number, line in enumerate(lines)]
        lines[row - 1][lines[0].index(name)] = value
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return {**files, file: text.getvalue()}


def graph_of(files: dict[str, str | bytes] | bytes) -> tuple[Graph, Report]:
    return read(io.BytesIO(files) if isinstance(files, bytes) else packed(files))


def rows_of(graph: Graph) -> dict[tuple[str, str], bytes]:
    """Return everything of a graph, comparable."""
    return {
        (kind, key): msgspec.json.encode(msgspec.json.decode(raw), order="sorted")
        for kind, key, raw in graph.raw()
    }


# --- As the documentation has them ----------------------------------------------------------------

_LANGUAGE = {"id": uid("doc/language"), "name": "Urdu", "code": "ur", "note": "By our own people"}
_PHONE = {
    "id": uid("doc/phone"),
    "number": '"+44 1234 000000"',
    "extension": 100,
    "type": "voice",
    "description": "Reception",
    "languages": [_LANGUAGE],
}
_CONTACT = {
    "id": uid("doc/contact"),
    "name": "A. Invented",
    "title": "Reception",
    "department": "Front desk",
    "email": "desk@example.com",
    "phones": [_PHONE],
}
_SCHEDULE = {
    "id": uid("doc/schedule"),
    "valid_from": "2005-01-01",
    "valid_to": "2005-01-01",
    "dtstart": "2005-01-01",
    "timezone": 3,
    "until": "2005-01-01",
    "count": 3,
    "wkst": "TU",
    "freq": "WEEKLY",
    "interval": 1,
    "byday": "TH,FR",
    "byweekno": "41,42",
    "bymonthday": "2,3,4",
    "byyearday": "2,3,4",
    "description": "On work days",
    "opens_at": "10:00:00",
    "closes_at": "18:00:00",
    "schedule_link": "http://example.com",
    "attending_type": "In person or by video",
    "notes": "Closed at noon",
}
_LOCATION = {
    "id": uid("doc/location"),
    "location_type": "physical",
    "url": "http://example.com",
    "name": "An invented centre",
    "alternate_name": "Centre",
    "description": "Some rooms",
    "transportation": "Bus 1",
    "latitude": 100,
    "longitude": 101,
    "external_identifier": "10000000000",
    "external_identifier_type": "UPRN",
    "languages": [_LANGUAGE],
    "addresses": [
        {
            "id": uid("doc/address"),
            "attention": "A. Invented",
            "address_1": "1-30 Invented Street",
            "address_2": "Village",
            "city": "Town",
            "region": "Region",
            "state_province": "State",
            "postal_code": "ABC 1234",
            "country": "US",
            "address_type": "postal",
        }
    ],
    "contacts": [_CONTACT],
    "accessibility": [
        {
            "id": uid("doc/accessibility"),
            "description": "Induction loops",
            "details": "Ask at the desk",
            "url": "http://example.com",
        }
    ],
    "phones": [_PHONE],
    "schedules": [_SCHEDULE],
}
_TERM = {
    "id": uid("doc/term"),
    "code": "code",
    "name": "name",
    "description": "description",
    "taxonomy": "taxonomy",
    "taxonomy_detail": {
        "id": uid("doc/taxonomy"),
        "name": "name",
        "description": "description",
        "uri": "http://example.com",
        "version": "version",
    },
    "language": "eng",
    "term_uri": "http://example.com",
}
_URL = {"id": uid("doc/url"), "label": "Website", "url": "https://example.org"}
_PROGRAM = {
    "id": uid("doc/program"),
    "name": "Invented programme",
    "alternate_name": "Programme",
    "description": "More than one service",
}
ORGANIZATION: dict[str, Any] = {
    "id": uid("doc/organization"),
    "name": "Example Invented Inc.",
    "alternate_name": "Example",
    "description": "An invented body",
    "email": "desk@example.com",
    "website": "http://example.com",
    "additional_websites": [_URL],
    "tax_status": "tax_status",
    "year_incorporated": 2011,
    "legal_status": "Company",
    "logo": "https://example.com/logo.png",
    "uri": "http://example.com",
    "parent_organization_id": uid("doc/elsewhere"),
    "funding": [{"id": uid("doc/funding"), "source": "Invented donors"}],
    "contacts": [_CONTACT],
    "phones": [_PHONE],
    "locations": [_LOCATION],
    "programs": [
        _PROGRAM,
    ],
    "organization_identifiers": [
        {
            "id": uid("doc/identifier"),
            "identifier_scheme": "GB-COH",
            "identifier_type": "company",
            "identifier": 1234567,
        }
    ],
}
_PLAIN: dict[str, Any] = {
    "id": uid("doc/service"),
    "name": "Invented counselling",
    "alternate_name": "Counselling",
    "description": "Talking; costs £50",
    "url": "http://example.com/counselling",
    "additional_urls": [{**_URL, "id": uid("doc/url2")}],
    "email": "desk@example.com",
    "status": "active",
    "interpretation_services": "Urdu, Polish",
    "application_process": "Ask",
    "fees_description": "By the hour",
    "wait_time": "wait_time",
    "fees": "fees_description",
    "accreditations": "Some",
    "eligibility_description": "People aged 12 and over",
    "minimum_age": 12,
    "maximum_age": 100,
    "assured_date": "2005-01-01",
    "assurer_email": "desk@example.com",
    "licenses": "licences",
    "alert": "Online only",
    "last_modified": "2023-03-15T10:30:45.123Z",
    "phones": [_PHONE],
    "schedules": [_SCHEDULE],
    "service_areas": [
        {
            "id": uid("doc/area"),
            "name": "Everybody in the town",
            "description": "And around",
            "extent": "extent",
            "extent_type": "geojson",
            "uri": "http://example.com",
        }
    ],
    "languages": [_LANGUAGE],
    "funding": [{"id": uid("doc/funding"), "source": "Invented donors"}],
    "cost_options": [
        {
            "id": uid("doc/cost"),
            "valid_from": "2020-01-01",
            "valid_to": "2022-12-31",
            "option": "Under 18s",
            "currency": "gbp",
            "amount": 35,
            "amount_description": "an hour",
        }
    ],
    "required_documents": [
        {"id": uid("doc/document"), "document": "Any paper", "uri": "http://example.com"}
    ],
    "capacities": [
        {
            "id": uid("doc/capacity"),
            "unit": {"id": uid("doc/unit"), "name": "Bed", "scheme": "s", "identifier": "bed"},
            "available": 12,
            "maximum": 10,
            "description": "Beds",
            "updated": "2024-09-25T14:23:06.5+01:00",
        }
    ],
    "attributes": [
        {
            "id": uid("doc/attribute"),
            "link_type": "link_type",
            "link_entity": "service",
            "value": "value",
            "label": "A label",
            "taxonomy_term": _TERM,
        }
    ],
    "metadata": [
        {
            "id": uid("doc/metadata"),
            "resource_type": "service",
            "last_action_date": "2022-01-01",
            "last_action_type": "update",
            "field_name": "name",
            "previous_value": "Before",
            "replacement_value": "After",
            "updated_by": "A. Invented",
        }
    ],
    "organization": ORGANIZATION,
    "program": _PROGRAM,
}
AT_LOCATION: dict[str, Any] = {
    "id": uid("doc/at"),
    "description": "In the town",
    "contacts": [_CONTACT],
    "phones": [_PHONE],
    "schedules": [_SCHEDULE],
    "location": _LOCATION,
}
SERVICE: dict[str, Any] = {**_PLAIN, "service_at_locations": [AT_LOCATION]}
_PAGE = {
    "total_items": 1,
    "total_pages": 1,
    "page_number": 1,
    "size": 1,
    "first_page": True,
    "last_page": True,
    "empty": False,
}
_FIGURE: dict[str, Any] = {
    "name": "Time with invented cats",
    "description": "Cats",
    "status": "active",
    "attributes": [
        {
            "id": uid("doc/a1"),
            "taxonomy_term": {
                **{key: _TERM[key] for key in ("name", "description", "taxonomy")},
                "id": uid("doc/stress"),
                "taxonomy_details": _TERM["taxonomy_detail"],
            },
        }
    ],
}
DOCUMENTS: dict[str, Any] = {
    "service, full": SERVICE,
    "service at location, full": {**AT_LOCATION, "service": _PLAIN},
    "organization, full": ORGANIZATION,
    "location": _LOCATION,
    "taxonomy term": _TERM,
    "taxonomy": _TERM["taxonomy_detail"],
    "page of services": {**_PAGE, "contents": [SERVICE]},
    "page of organizations": {**_PAGE, "contents": [ORGANIZATION]},
    "services without an organization, by attributes": {
        "services": [
            {**_FIGURE, "id": uid("doc/cats")},
            {
                **_FIGURE,
                "id": uid("doc/dogs"),
                "attributes": [{**_FIGURE["attributes"][0], "id": uid("doc/a2")}],
            },
        ]
    },
    "services with schedules": {
        "services": [
            {
                "id": uid("doc/hours"),
                "name": "Invented hours",
                "status": "active",
                "schedules": [
                    {
                        "id": uid("doc/morning"),
                        "dtstart": "2020-04-01",
                        "valid_from": "2020-04-01",
                        "valid_to": "2020-12-20",
                        "freq": "WEEKLY",
                        "byday": "MO,TU,WE,TH",
                        "opens_at": "09:00:00Z",
                        "closes_at": "12:00:00Z",
                    },
                    {
                        "id": uid("doc/saturday"),
                        "dtstart": "2020-07-04",
                        "until": "2020-11-07",
                        "freq": "MONTHLY",
                        "byday": "1SA",
                        "opens_at": "09:00:00Z",
                        "closes_at": "17:00:00Z",
                    },
                ],
            }
        ]
    },
}
TABLES: dict[str, str | bytes] = {
    "services.csv": "id,name,description,status,organization_id\n"
    f"{uid('doc/hours')},Invented hours,Hours,active,{uid('doc/organization')}\n",
    "organizations.csv": "id,name,description\n"
    f"{uid('doc/organization')},Example Invented Inc.,An invented body\n",
    "schedules.csv": "id,service_id,description,dtstart,until,valid_from,valid_to,freq,byday,"
    "opens_at,closes_at\n"
    f'{uid("doc/morning")},{uid("doc/hours")},"Monday to Thursday, mornings",2020-04-01,null,'
    '2020-04-01,2020-12-20,WEEKLY,"MO,TU,WE,TH",09:00:00Z,12:00:00Z\n'
    f'{uid("doc/saturday")},{uid("doc/hours")},"First Saturday",2020-07-04,2020-11-07,null,null,'
    "MONTHLY,1SA,09:00:00Z,17:00:00Z\n",
}
