"""Bundles of FHIR R4 that another centre hands a case over with, as `packets.fhir_out` writes them.

Codes of systems that are not ours are noted and kept with the original, never guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.exchange.rows import OLDEST, Refused, Row, age_on
from shared.vocabulary import Concern, Need, Sex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

_OURS: Final = "urn:pashe:"
_GENDERS: Final[Mapping[str, str | None]] = {
    "female": Sex.FEMALE.value,
    "male": Sex.MALE.value,
    "other": None,
    "unknown": None,
}
_READ: Final = ("Patient", "Consent", "Condition", "ServiceRequest", "Task")
_PRESSING: Final = ("stat", "asap")


def bundles_in(value: Any) -> Iterator[Any]:  # noqa: ANN401  (any JSON value)
    """Give every bundle of a document: one, or a list."""
    yield from value if isinstance(value, list) else [value]


def read_bundle(line: int, value: Any, today: date) -> Row:  # noqa: ANN401  (any JSON value)
    """Read one bundle about one person; `line` is its number in the file.

    Raises:
        Refused: `no-bundle` when it is none, `persons` when it is not about exactly one.

    """
    if not isinstance(value, dict) or value.get("resourceType") != "Bundle":
        raise Refused("no-bundle")
    found = [_dict(_dict(one).get("resource")) for one in _list(value.get("entry"))]
    people = [one for one in found if one.get("resourceType") == "Patient"]
    if len(people) != 1:
        raise Refused("persons")
    row = Row(line, value)
    for one in found:
        if one.get("resourceType") not in _READ:
            row.note("another resource", "unknown-field")
    requests = [one for one in found if one.get("resourceType") == "ServiceRequest"]
    conditions = [one for one in found if one.get("resourceType") == "Condition"]
    notes = [str(_dict(n).get("text") or "") for r in requests for n in _list(r.get("note"))]
    row.body = {
        "about": "people",
        "reporter": {"kind": "partner_worker"},
        "persons": [_person(row, people[0], today)],
        "concerns": _codes(row, conditions, "Condition.code", "concern", list(Concern)),
        "needs": _codes(row, requests, "ServiceRequest.code", "need", list(Need)),
        "places": _places(row, people[0]),
        "narrative": next(filter(None, notes), None),
        "external_refs": _references(row, people[0]),
    }
    if any(one.get("resourceType") == "Consent" for one in found):
        row.body["consent"] = [{"person": "a", "given_by": "third_party", "allows": ["refer"]}]
    row.pressing = any(one.get("priority") in _PRESSING for one in requests)
    return row


def _dict(value: Any) -> dict[str, Any]:  # noqa: ANN401  (any JSON value)
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:  # noqa: ANN401  (any JSON value)
    return value if isinstance(value, list) else []


def _person(row: Row, patient: Mapping[str, Any], today: date) -> dict[str, Any]:
    person: dict[str, Any] = {"ref": "a"}
    names = [_dict(one) for one in _list(patient.get("name"))]
    if names:
        whole = " ".join(
            [*map(str, _list(names[0].get("given"))), str(names[0].get("family") or "")]
        )
        person["name"] = row.text("Patient.name", names[0].get("text") or whole.strip())
    for one in map(_dict, _list(patient.get("telecom"))):
        if one.get("system") == "phone" and "phone" not in person:
            person["phone"] = row.text("Patient.telecom", one.get("value"))
    coded = [one.get("valueCode") for one in _extensions(patient.get("_gender"), "urn:pashe:sex")]
    if coded and coded[0] in list(Sex):
        person["sex"] = coded[0]
    elif patient.get("gender"):
        told = row.chosen("Patient.gender", [patient["gender"]], _GENDERS)
        person |= {"sex": told[0]} if told else {}
    languages = [
        str(coding.get("code"))
        for one in map(_dict, _list(patient.get("communication")))
        for coding in map(_dict, _list(_dict(one.get("language")).get("coding")))
    ]
    person["languages"] = [
        code for code in languages if code.isascii() and code.isalpha() and len(code) in (2, 3)
    ]
    if len(person["languages"]) < len(languages):
        row.note("Patient.communication", "unknown-value")
    age = _age(row, patient, today)
    return person | ({"age": age} if age else {})


def _extensions(value: Any, url: str) -> list[dict[str, Any]]:  # noqa: ANN401  (any JSON value)
    return [
        one for one in map(_dict, _list(_dict(value).get("extension"))) if one.get("url") == url
    ]


def _age(row: Row, patient: Mapping[str, Any], today: date) -> dict[str, Any] | None:
    for one in _extensions(patient, "urn:pashe:age"):
        try:
            told = _dict(msgspec.json.decode(str(one.get("valueString"))))
        except msgspec.DecodeError:
            told = {}
        years = [told.get(name) for name in ("min", "max")]
        if told and all(n is None or (type(n) is int and 0 <= n <= OLDEST) for n in years):
            return {k: told[k] for k in ("min", "max", "basis") if told.get(k) is not None}
        row.note("Patient.extension", "unknown-value")
    born = row.day("Patient.birthDate", patient.get("birthDate"))
    age = age_on(born, today) if born is not None else None
    return None if age is None else {"min": age, "max": age, "basis": "stated"}


def _codes(
    row: Row, resources: list[dict[str, Any]], field: str, kind: str, known: list[Any]
) -> list[str]:
    found = []
    for one in resources:
        codings = [_dict(c) for c in _list(_dict(one.get("code")).get("coding"))]
        ours = [c.get("code") for c in codings if c.get("system") == f"{_OURS}{kind}"]
        if ours and ours[0] in known:
            found.append(str(ours[0]))
        else:
            row.note(field, "unknown-value")
    return list(dict.fromkeys(found))


def _places(row: Row, patient: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for one in map(_dict, _list(patient.get("address"))):
        text = row.text("Patient.address", one.get("text"))
        if text:
            country = row.country("Patient.address", one.get("country"))
            found.append({"role": "home", "text": text} | ({"country": country} if country else {}))
    return found


def _references(row: Row, patient: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []
    for one in map(_dict, _list(patient.get("identifier"))):
        value = row.text("Patient.identifier", one.get("value"))
        system = str(one.get("system") or "")
        if value and system == "urn:pashe:case":
            found.append({"system": "pashe.case", "value": value})
        elif value and system.startswith("urn:pashe:reference:"):
            found.append({"system": system.rpartition(":")[2], "value": value})
        elif value:
            row.note("Patient.identifier", "unknown-value")
    return found
