"""Providers and offers that never were HSDS, told as HSDS 3, purely; and what is counted here.

Identifiers are always the same, so that what is exported again and again stays one directory. A
service has its offer's identifier, so that what comes back is the same offer. Whether a provider
uses Pashe (`enrolment`, `reach`) is this centre's own and never told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from services.referral.exchange.hsds.hours import rows_of
from services.referral.exchange.hsds.mapping import FACTS, SCHEME
from shared import places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.referral.exchange.hsds.graph import Graph, Row

_OURS: Final = uuid5(NAMESPACE_URL, "https://pashe.example/hsds")
_TAXONOMY: Final = {
    "id": str(uuid5(_OURS, "taxonomy")),
    "name": "Pashe",
    "description": "Needs, whom a service is for, and facts that HSDS has no field for",
}
_UNIT: Final = {"id": str(uuid5(_OURS, "unit/place")), "name": "place"}
_SAID: Final = FACTS.keys() - {"confidential", "provider_kind"}


def uuid_of(offer_id: str) -> str:
    """Return the identifier of a service for an offer: the same where that is a UUID."""
    try:
        return str(UUID(offer_id))
    except ValueError:
        return str(uuid5(_OURS, f"offer/{offer_id}"))


def organization_id_of(provider_id: str) -> str:
    """Return the identifier of an organization for a provider that never was HSDS."""
    return str(uuid5(_OURS, f"provider/{provider_id}"))


def tell_provider(graph: Graph, provider: Mapping[str, Any]) -> str:
    """Put a provider into a graph as an organization; return its identifier."""
    key = organization_id_of(provider["provider_id"])
    row: Row = {"id": key, "name": provider["name_en"], "description": provider["name_en"]}
    if provider["name_bn"] != provider["name_en"]:
        row["alternate_name"] = provider["name_bn"]
    graph.put("organization", row)
    graph.put(
        "organization_identifier",
        {
            "id": str(uuid5(UUID(key), "key")),
            "organization_id": key,
            "identifier_scheme": SCHEME,
            "identifier_type": "provider key",
            "identifier": provider["provider_id"],
        },
    )
    _attribute(graph, "organization", key, "provider_kind", provider["kind"])
    return key


def tell_offer(graph: Graph, offer: Mapping[str, Any], organization_id: str, name: str) -> None:
    """Put an offer into a graph as a service with its area, hours, languages and attributes."""
    key = uuid_of(offer["offer_id"])
    row: Row = {
        "id": key,
        "organization_id": organization_id,
        "name": f"{name}: {', '.join(offer['needs'])}",
        **counted(offer),
    }
    graph.put("service", row)
    place = places.find(offer["area_pcode"])
    area = {"extent": offer["area_pcode"], "extent_type": "text"}
    named = {"name": place.name_en} if place is not None else {}
    graph.put("service_area", {**_child(key, "area"), **named, **area})
    for number, schedule in enumerate(rows_of(offer["schedules"])):
        graph.put("schedule", {**_child(key, f"schedule/{number}"), **schedule})
    for code in offer["languages"]:
        graph.put("language", {**_child(key, f"language/{code}"), "code": code})
    for code in [*offer["needs"], *([] if offer["sex"] == "any" else [offer["sex"]])]:
        _attribute(graph, "service", key, code)
    for code in sorted(_SAID):
        value = offer.get(code)
        if value not in (None, "", "in_person") and (code, value) != ("court_order", False):
            said = str(value).lower() if isinstance(value, bool) else str(value)
            _attribute(graph, "service", key, code, said)
    tell_places(graph, key, offer)


def counted(offer: Mapping[str, Any]) -> Row:
    """Return the plain fields of a service that this centre knows best."""
    ages = {"minimum_age": offer["min_age"], "maximum_age": offer["max_age"]}
    status = "active" if offer["accepting"] else "temporarily closed"
    return {"status": status, **{name: age for name, age in ages.items() if age is not None}}


def tell_places(graph: Graph, service_id: str, offer: Mapping[str, Any]) -> None:
    """Put the free places that are counted here into a graph, in place of what was told before."""
    free, total, at = (offer[n] for n in ("places_free", "places_total", "capacity_at"))
    if free is None or at is None:
        return
    old = graph.children("service", service_id, "service_capacity")
    unit = old[0].get("unit_id") if old else None
    if unit is None:
        graph.put("unit", _UNIT)
    graph.put(
        "service_capacity",
        {
            **(old[0] if old else _child(service_id, "capacity")),
            "unit_id": unit or _UNIT["id"],
            "available": free,
            **({"maximum": total} if total is not None else {}),
            "updated": at.isoformat(),
        },
    )


def _child(service_id: str, what: str) -> Row:
    return {"id": str(uuid5(UUID(service_id), what)), "service_id": service_id}


def _attribute(graph: Graph, kind: str, key: str, code: str, value: str | None = None) -> None:
    term = str(uuid5(_OURS, f"term/{code}"))
    words = code.replace("_", " ")
    graph.put("taxonomy", _TAXONOMY)
    graph.put(
        "taxonomy_term",
        {
            "id": term,
            "code": code,
            "name": words,
            "description": words,
            "taxonomy": _TAXONOMY["name"],
            "taxonomy_id": _TAXONOMY["id"],
        },
    )
    row: Row = {"id": str(uuid5(UUID(key), f"attribute/{code}")), "link_id": key}
    row |= {"link_entity": kind, "link_type": "pashe", "taxonomy_term_id": term}
    graph.put("attribute", row | ({"value": value} if value is not None else {}))
