"""Providers and offers of the directory out of HSDS 3, purely.

An offer is a service at a location and in an area. What HSDS has no field for stands in attributes
whose term's code is of Pashe's own vocabulary: a need, a sex, or a fact (`FACTS`) whose `value`
says more. A place is a service area whose extent is a P-code, or whose name only one place has;
else the district of an address. What is unknown stays unknown and never excludes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from services.referral.exchange.hsds.areas import areas_of
from services.referral.exchange.hsds.hours import schedule_of
from shared import places
from shared.vocabulary import Need

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from services.referral.exchange.hsds.graph import Graph, Row
    from services.referral.exchange.hsds.report import Report

SCHEME: Final = "pashe"
"""Scheme of the identifier of an organization that is a provider's key here."""

CONFIDENTIAL: Final = "confidential"
"""Code of the term whose attributes say that a place is not to be told."""

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_KIND: Final = re.compile(r"[a-z][a-z_]{0,39}")
_LEVELS: Final = {"thana": "metro_thana"}
_NEEDS: Final = frozenset(map(str, Need))
_SEXES: Final = frozenset({"female", "male"})
_AGE_MOST: Final = 120


def _flag(value: str) -> bool:
    return {"true": True, "false": False}[value.lower()]


def _age(value: str) -> int:
    if not 0 <= int(value) <= _AGE_MOST:
        raise ValueError
    return int(value)


def _word(*words: str) -> Callable[[str], str]:
    return {word: word for word in words}.__getitem__


FACTS: Final[Mapping[str, Callable[[str], Any]]] = {
    "serves_hijra": _flag,
    "accepts_children": _flag,
    "step_free": _flag,
    "sign_language": _flag,
    "court_order": _flag,
    "max_boy_age_with_mother": _age,
    "trained_until": lambda value: date.fromisoformat(value).isoformat(),
    "accredited_until": lambda value: date.fromisoformat(value).isoformat(),
    "mode": _word("in_person", "phone", "online"),
    "hours": lambda value: value[:300],
    "note": lambda value: value[:300],
    CONFIDENTIAL: _flag,
    "provider_kind": lambda value: value if _KIND.fullmatch(value) else _word()(value),
}
"""Facts by the code of their term, and how their value is read."""


@dataclass(slots=True)
class Told:
    """What the attributes of one object say."""

    needs: set[str] = field(default_factory=set)
    sexes: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)


def told_of(graph: Graph, kind: str, key: str, report: Report | None = None) -> Told:
    """Read the attributes of an object; a term that is not known is noted."""
    told = Told()
    for attribute in graph.children(kind, key, "attribute"):
        term = graph.find("taxonomy_term", attribute.get("taxonomy_term_id")) or {}
        code = str(term.get("code") or "").strip().lower()
        if code in _NEEDS:
            told.needs.add(code)
        elif code in _SEXES or code == "any":
            told.sexes.add(code)
        elif code in FACTS:
            try:
                told.facts[code] = FACTS[code](str(attribute.get("value") or ""))
            except (ValueError, KeyError):
                if report is not None:
                    report.add(graph.spot("attribute", attribute["id"]), "value", "fact")
        elif report is not None:
            report.note(graph.spot("attribute", attribute["id"]), "attribute.term", "term-unknown")
    return told


def check_confidential(graph: Graph, report: Report) -> None:
    """Tell of a `confidential` that is not read elsewhere, as of a location, and that is odd."""
    for attribute in graph.of("attribute"):
        term = graph.find("taxonomy_term", attribute.get("taxonomy_term_id")) or {}
        if str(term.get("code")).strip().lower() != CONFIDENTIAL:
            continue
        read = attribute.get("link_entity") in ("organization", "service")
        if not read and str(attribute.get("value")).lower() not in ("true", "false"):
            report.add(graph.spot("attribute", attribute["id"]), "value", "fact")


def provider_key(graph: Graph, organization: Row) -> str:
    """Return the key of a provider: the one that it has here, or one made of its HSDS id."""
    for told in graph.children("organization", organization["id"], "organization_identifier"):
        if told.get("identifier_scheme") == SCHEME and _KEY.fullmatch(told["identifier"]):
            return str(told["identifier"])
    return f"hsds-{organization['id']}"


def providers_of(graph: Graph, report: Report) -> dict[str, dict[str, Any]]:
    """Return the providers by their key; `kind` is empty where nothing says it."""
    found: dict[str, dict[str, Any]] = {}
    for organization in graph.of("organization"):
        key = provider_key(graph, organization)
        spot = graph.spot("organization", organization["id"])
        if key in found:
            report.add(spot, "organization_identifier", "key-twice")
        kind = told_of(graph, "organization", organization["id"], report).facts.get("provider_kind")
        if kind is None:
            report.note(spot, "organization", "kind-untold")
        names = [
            str(organization[n])[:300] for n in ("name", "alternate_name") if n in organization
        ]
        bangla = next((name for name in names if _is_bangla(name)), names[0])
        english = next((name for name in names if not _is_bangla(name)), names[0])
        found[key] = {
            "provider_id": key,
            "kind": kind or "",
            "name_en": english,
            "name_bn": bangla,
        }
    return found


def _is_bangla(name: str) -> bool:
    return any("\u0980" <= letter <= "\u09ff" for letter in name)


def offers_of(graph: Graph, service: Row, at: datetime, report: Report) -> list[dict[str, Any]]:
    """Return the offers of a service, as the store takes them but for enrolment and reach.

    `places` has what is told of free places and when, or None. Their ids stay the same from
    package to package: the first area of a service has the id of the service (or of the service at
    the location), any other one made of that and the area.
    """
    spot = graph.spot("service", service["id"])
    told = told_of(graph, "service", service["id"], report)
    organization = graph.find("organization", service.get("organization_id"))
    spots: Sequence[Row | None]
    spots = graph.children("service", service["id"], "service_at_location") or [None]
    found = [(at_place, area) for at_place in spots for area in areas_of(graph, service, at_place)]
    if not told.needs:
        report.note(spot, "service.attributes", "no-need")
    if not found:
        report.note(spot, "service.service_areas", "no-place")
    if not told.needs or organization is None:
        return []
    capacity = _capacity(graph, service, at, report)
    if capacity is not None and len(found) > 1:
        report.note(spot, "service.capacities", "places-shared")
        capacity = None
    key = provider_key(graph, organization)
    offers: list[dict[str, Any]] = []
    for at_place, area in found:
        base = service["id"] if at_place is None or len(spots) == 1 else at_place["id"]
        taken = any(offer["offer_id"] == base for offer in offers)
        offers.append(
            {
                "offer_id": str(uuid5(UUID(base), area)) if taken else base,
                "service_id": service["id"],
                "provider_id": key,
                **_area(area),
                **_facts(graph, service, at_place, told, report),
                "places": capacity,
            }
        )
    return offers


def _area(pcode: str) -> dict[str, Any]:
    level = str(places.all_places()[pcode].level)
    return {"area_level": _LEVELS.get(level, level), "area_pcode": pcode}


def _facts(
    graph: Graph, service: Row, at_place: Row | None, told: Told, report: Report
) -> dict[str, Any]:
    facts = told.facts
    schedules = _schedules(graph, service, at_place, report)
    languages = [
        str(language.get("code", "")).lower()
        for language in graph.children("service", service["id"], "language")
    ]
    sexes = told.sexes
    return {
        "needs": sorted(told.needs),
        "min_age": _whole(service.get("minimum_age"), up=True),
        "max_age": _whole(service.get("maximum_age"), up=False),
        "sex": next(iter(sexes)) if len(sexes) == 1 else "any",
        "hours": facts.get("hours", ""),
        "note": facts.get("note", ""),
        "mode": facts.get("mode", "in_person"),
        "languages": [c for c in dict.fromkeys(languages) if re.fullmatch(r"[a-z]{2,3}", c)],
        "accepting": service["status"] == "active",
        "court_order": facts.get("court_order", False),
        **{name: facts.get(name) for name in _UNKNOWN},
        "schedules": schedules,
    }


_UNKNOWN: Final = (
    "serves_hijra",
    "accepts_children",
    "max_boy_age_with_mother",
    "step_free",
    "sign_language",
    "trained_until",
    "accredited_until",
)


def _whole(value: float | None, *, up: bool) -> int | None:
    """Return an age in whole years; a bound between two never excludes more than was said."""
    if value is None:
        return None
    return min(_AGE_MOST, int(value) + (1 if up and value != int(value) else 0))


def _schedules(graph: Graph, service: Row, at_place: Row | None, report: Report) -> list[str]:
    """Return the schedules at the place, else those of the service; all followed, or none."""
    rows: Sequence[Row] = ()
    if at_place is not None:
        rows = graph.children("service_at_location", at_place["id"], "schedule")
    rows = rows or graph.children("service", service["id"], "schedule")
    found = []
    for row in rows:
        schedule = schedule_of(row)
        if schedule is None:
            spot = graph.spot("schedule", row["id"])
            report.note(spot, "schedule", "hours-unknown")
            return []
        found.append(schedule)
    return list(dict.fromkeys(found))[:20]


def _capacity(
    graph: Graph, service: Row, at: datetime, report: Report
) -> tuple[int, int | None, datetime] | None:
    rows = graph.children("service", service["id"], "service_capacity")
    if not rows:
        return None
    row = max(rows, key=lambda one: (_instant(one["updated"]), one["id"]))
    spot = graph.spot("service_capacity", row["id"])
    updated, free, total = _instant(row["updated"]), row["available"], row.get("maximum")
    if updated > at:
        report.note(spot, "service_capacity.updated", "in-the-future")
    if total is not None and free > total:
        report.note(spot, "service_capacity.available", "more-free-than-places")
        free = total
    return int(free), None if total is None else int(total), min(updated, at)


def _instant(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
