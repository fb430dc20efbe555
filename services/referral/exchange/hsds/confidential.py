"""Where shelters are, taken out of a graph, purely: only the district stays.

An address of a shelter leads to whoever is looked for. Confidential is a service for a need of
`NEEDS`, by its attributes or as this centre knows it, and one whose need is not known; whatever an
attribute says so of, be it organization, programme, service, place or what belongs to one, and a
value that cannot be read says so too; and with a service its places, and all places of its
organization that no open service is at. Of what is confidential only the fields below stay, so that
a new field or a free text cannot give it away.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from services.referral.exchange.hsds.areas import areas_of, district_of
from services.referral.exchange.hsds.fields import HIDDEN
from services.referral.exchange.hsds.graph import parents_of
from services.referral.exchange.hsds.kinds import kinds
from services.referral.exchange.hsds.mapping import CONFIDENTIAL, FACTS, SCHEME, told_of
from shared import places

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

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
    "organization": frozenset(("id", "name", "parent_organization_id")),
    "program": frozenset(("id", "organization_id", "name")),
}
"""What stays of each kind; what belongs to them and is not here goes."""

_VALUES: Final = FACTS.keys() - {"note", "hours", CONFIDENTIAL}
"""Facts whose value stays; that of the others is free text."""


_MARKED: Final = ("organization", "program", "service", "service_at_location", "location")
"""What an attribute can make confidential; of anything else it makes what that belongs to so."""

_Marks = dict[tuple[str, str], bool]


def marks_of(graph: Graph) -> _Marks:
    """Return of what attributes speak: True is confidential, False is said to be open."""
    marks: _Marks = {}
    for attribute in graph.of("attribute"):
        term = graph.find("taxonomy_term", attribute.get("taxonomy_term_id")) or {}
        if str(term.get("code") or term.get("name")).strip().lower() != CONFIDENTIAL:
            continue
        closed = not _is_open(attribute.get("value"))
        for marked in _marked_by(graph, attribute):
            marks[marked] = marks.get(marked, False) or closed
    return marks


def _is_open(value: object) -> bool:
    """Say whether the value of a `confidential` attribute clearly says that it is not."""
    return str(value).strip().lower() == "false"


def _marked_by(graph: Graph, attribute: Row) -> set[tuple[str, str]]:
    """Return what an attribute marks: what it belongs to, or what that belongs to."""
    todo, seen = parents_of(kinds()["attribute"], attribute), set[tuple[str, str]]()
    while todo:
        kind, key = one = todo.pop()
        row = graph.find(kind, key) if one not in seen and kind in kinds() else None
        seen.add(one)
        if row is not None and kind not in _MARKED:
            todo += parents_of(kinds()[kind], row)
    return {one for one in seen if one[0] in _MARKED}


def is_confidential(graph: Graph, service: Row, marks: _Marks) -> bool:
    """Say whether the places of a service are confidential; an unknown need is."""
    above = (
        ("organization", service.get("organization_id", "")),
        ("program", service.get("program_id", "")),
    )
    said = marks.get(("service", service["id"]))
    needs = told_of(graph, "service", service["id"]).needs
    if needs & NEEDS or said or any(map(marks.get, above)):
        return True  # no attribute opens a shelter
    return said is None and not needs


def hide(graph: Graph, shelters: Collection[str] = ()) -> int:
    """Take what is confidential out of a graph; return how many places were hidden.

    `shelters`: services whose need here is one of `NEEDS`, whatever their attributes say.
    """
    marks = marks_of(graph)
    services = {
        service["id"]: service
        for service in graph.of("service")
        if service["id"] in shelters or is_confidential(graph, service, marks)
    }
    ats = {at["id"]: at for at in graph.of("service_at_location")}
    within = {key for key, at in ats.items() if at.get("service_id") in services}
    shown = {at.get("location_id") for key, at in ats.items() if key not in within}
    bodies = {service.get("organization_id") for service in services.values()} - {None}
    closed = {
        kind: {key for (k, key), said in marks.items() if said and k == kind} for kind in _MARKED
    }
    within |= closed["service_at_location"] & ats.keys()
    secret: set[str] = {ats[key].get("location_id", "") for key in within}
    secret |= {
        location["id"]
        for location in graph.of("location")
        if location["id"] in closed["location"]
        or location.get("organization_id") in closed["organization"]
        or (location.get("organization_id") in bodies and location["id"] not in shown)
    }
    secret.discard("")
    districts = {key: _district(graph, key, ats, services) for key in secret}
    _cut(graph, "organization", closed["organization"])
    programs = {service.get("program_id", "") for service in services.values()}
    _cut(graph, "program", closed["program"] | programs)
    _cut(graph, "service", services.keys())
    within |= {key for key, at in ats.items() if at.get("location_id") in secret}
    _cut(graph, "service_at_location", within)
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


def _value(code: object, value: object) -> Row:
    """Return the value of an attribute where it is one that Pashe knows, and no other text."""
    if code == CONFIDENTIAL:
        return {"value": "false" if _is_open(value) else "true"}
    if code not in _VALUES:
        return {}
    try:
        FACTS[str(code)](str(value))
    except (ValueError, KeyError):
        return {}
    return {"value": value}


def _leave(graph: Graph, kind: str, row: Row) -> None:
    if kind == "organization_identifier" and row.get("identifier_scheme") == SCHEME:
        return  # our own key of a provider
    kept = {name: value for name, value in row.items() if name in _SAFE.get(kind, ())}
    facts = kinds()[kind]
    left = [parent for parent in parents_of(facts, kept) if graph.find(*parent) is not None]
    if not kept or (parents_of(facts, row) and not left):
        graph.drop(kind, row["id"])
        return
    if kind == "language" and not re.fullmatch(r"[a-z]{2,3}", str(kept.get("code"))):
        graph.drop(kind, row["id"])
        return
    if kind == "organization":
        kept["description"] = "Not told"
    if kind == "attribute" and "value" in row:
        term = graph.find("taxonomy_term", row.get("taxonomy_term_id")) or {}
        kept |= _value(term.get("code"), row["value"])
    if kind == "service_area":  # a place's own code says which it is; a text could say anything
        place = places.find(str(row.get("extent", "")))
        if place is not None:
            code = places.coarse(place.pcode)
            kept |= {"extent": code, "name": places.all_places()[code].name_en}
    graph.put(kind, kept if kept == row else {**kept, HIDDEN: True})
