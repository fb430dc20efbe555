"""Where shelters are, taken out of a graph, purely: only the district stays.

An address of a shelter leads to whoever is looked for. Confidential is a service that an attribute
says so of, one for a need of `NEEDS`, and one whose need is not known; and with it its places, and
all places of its organization that no open service is at. Of what is confidential only the fields
below stay, so that a new field or a free text cannot give it away.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from services.referral.exchange.hsds.areas import areas_of, district_of
from services.referral.exchange.hsds.fields import HIDDEN
from services.referral.exchange.hsds.graph import parents_of
from services.referral.exchange.hsds.kinds import kinds
from services.referral.exchange.hsds.mapping import FACTS, told_of
from shared import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

from services.referral.exchange.hsds.graph import Graph, Row

NEEDS: Final = frozenset({"shelter", "rescue", "alternative_care"})
"""Needs whose places are never shown without the right."""

_SAFE: Final[Mapping[str, frozenset[str]]] = {
    "service": frozenset(
        (
            *("id", "organization_id", "program_id", "name", "status", "minimum_age"),
            *("maximum_age", "last_modified"),
        )
    ),
    "service_at_location": frozenset(("id", "service_id", "location_id")),
    "location": frozenset(("id", "location_type", "organization_id")),
    "schedule": frozenset(
        (
            *("id", "service_id", "service_at_location_id", "valid_from", "valid_to", "dtstart"),
            *("timezone", "until", "count", "wkst", "freq", "interval", "byday", "byweekno"),
            *("bymonthday", "byyearday", "opens_at", "closes_at"),
        )
    ),
    "service_area": frozenset(("id", "service_id", "service_at_location_id", "extent_type")),
    "language": frozenset(("id", "service_id", "code")),
    "service_capacity": frozenset(
        ("id", "service_id", "unit_id", "available", "maximum", "updated")
    ),
    "attribute": frozenset(("id", "link_id", "link_entity", "taxonomy_term_id")),
}
"""What stays of each kind; what belongs to them and is not here goes."""

_VALUES: Final = FACTS.keys() - {"note", "hours"}
"""Facts whose value stays; that of the others is free text."""


def is_confidential(graph: Graph, service: Row) -> bool:
    """Say whether the places of a service are confidential; an unknown need is."""
    told = told_of(graph, "service", service["id"])
    said = told.facts.get("confidential")
    if told.needs & NEEDS:
        return True  # no attribute opens a shelter
    return bool(said) if said is not None else not told.needs


def hide(graph: Graph) -> int:
    """Take what is confidential out of a graph; return how many places were hidden."""
    services = {s["id"]: s for s in graph.of("service") if is_confidential(graph, s)}
    ats = {at["id"]: at for at in graph.of("service_at_location")}
    secret = {a["location_id"] for a in ats.values() if a.get("service_id") in services}
    shown = {a["location_id"] for a in ats.values() if a.get("service_id") not in services}
    bodies = {service.get("organization_id") for service in services.values()} - {None}
    secret |= {
        location["id"]
        for location in graph.of("location")
        if told_of(graph, "location", location["id"]).facts.get("confidential")
        or (location.get("organization_id") in bodies and location["id"] not in shown)
    }
    secret.discard(None)
    districts = {key: _district(graph, key, ats, services) for key in secret}
    _cut(graph, "service", services.keys())
    there = {k for k, a in ats.items() if a.get("location_id") in secret}
    there |= {k for k, a in ats.items() if a.get("service_id") in services}
    _cut(graph, "service_at_location", there)
    _cut(graph, "location", secret)
    for key, district in districts.items():
        row = graph.find("location", key)
        if row is not None and district is not None:
            graph.put(
                "location", {**row, HIDDEN: True, "name": places.all_places()[district].name_en}
            )
    return len(secret)


def _district(
    graph: Graph, location: str, ats: Mapping[str, Row], services: Mapping[str, Row]
) -> str | None:
    found = district_of(graph, location)
    for at in ats.values() if found is None else ():
        service = services.get(at.get("service_id", ""))
        if at.get("location_id") == location and service is not None:
            codes = [places.district_of(code) for code in areas_of(graph, service, at)]
            return codes[0] if len({*codes}) == 1 else None
    return found


def _cut(graph: Graph, kind: str, keys: Iterable[str]) -> None:
    """Leave of rows, and of what belongs to them, what is safe."""
    todo = [(kind, key) for key in keys]
    gone: list[tuple[str, str]] = []
    while todo:
        name, key = todo.pop()
        for child in {*kinds()[name].lists.values()} - {"service_at_location"}:
            todo += [(child, row["id"]) for row in graph.children(name, key, child)]
        gone.append((name, key))
    for name, key in gone:
        row = graph.find(name, key)
        if row is not None:
            _leave(graph, name, row)


def _leave(graph: Graph, kind: str, row: Row) -> None:
    kept = {name: value for name, value in row.items() if name in _SAFE.get(kind, ())}
    facts = kinds()[kind]
    left = [parent for parent in parents_of(facts, kept) if graph.find(*parent) is not None]
    if not kept or (parents_of(facts, row) and not left):
        graph.drop(kind, row["id"])
        return
    if kind == "language" and not re.fullmatch(r"[a-z]{2,3}", str(kept.get("code"))):
        graph.drop(kind, row["id"])
        return
    if kind == "attribute" and "value" in row:
        term = graph.find("taxonomy_term", row.get("taxonomy_term_id")) or {}
        kept |= {"value": row["value"]} if term.get("code") in _VALUES else {}
    if kind == "service_area":  # a place's own code says which it is; a text could say anything
        place = places.find(str(row.get("extent", "")))
        if place is not None:
            code = places.coarse(place.pcode)
            kept |= {"extent": code, "name": places.all_places()[code].name_en}
    graph.put(kind, kept if kept == row else {**kept, HIDDEN: True})
