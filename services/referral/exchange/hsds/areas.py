"""Which places of Bangladesh a service of HSDS 3 serves, purely."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared import places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.referral.exchange.hsds.graph import Graph, Row


def areas_of(graph: Graph, service: Row, at_place: Row | None) -> list[str]:
    """Return the codes of the places served: told areas, else the district of the address."""
    rows: Sequence[Row] = ()
    if at_place is not None:
        rows = graph.children("service_at_location", at_place["id"], "service_area")
    rows = rows or graph.children("service", service["id"], "service_area")
    found = [code for row in rows if (code := _code_of(row.get("extent"), row.get("name")))]
    if not rows and at_place is not None and "location_id" in at_place:
        found = [code] if (code := district_of(graph, at_place["location_id"])) else []
    return list(dict.fromkeys(found))


def district_of(graph: Graph, location_id: str) -> str | None:
    """Return the code of the district that a location's address names, or None."""
    for address in graph.children("location", location_id, "address"):
        for name in ("state_province", "city", "region"):
            code = _code_of(None, address.get(name))
            district = places.district_of(code) if code is not None else None
            if district is not None:
                return district
    return None


def _code_of(extent: str | None, name: str | None) -> str | None:
    place = places.find(extent) if extent is not None else None
    if place is not None:
        return place.pcode
    return _named().get(str(name or "").strip().lower())


@cache
def _named() -> dict[str, str]:
    """Return the places below the country whose name no other has; unions are left out."""
    found: dict[str, set[str]] = {}
    for place in places.all_places().values():
        if place.level is not places.Level.UNION:
            for name in {place.name_en.lower(), place.name_bn}:
                found.setdefault(name, set()).add(place.pcode)
    named = {name: min(codes) for name, codes in found.items() if len(codes) == 1}
    for place in places.all_places().values():  # a district and its town share a name
        if place.level is places.Level.DISTRICT:
            named |= {place.name_en.lower(): place.pcode, place.name_bn: place.pcode}
    return named
