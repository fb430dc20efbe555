"""Cases of Primero v2 (CPIMS+) as its interface gives them: `{"data": {…}}`, a list, or lines.

Sites change ids of choices, so that what is none of Primero's own is noted and kept, never guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.intake.exchange.rows import (
    CHILD_BELOW,
    OLDEST,
    Refused,
    Row,
    age_on,
    trafficking,
)
from shared.vocabulary import Concern, Need, Sex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

_SEXES: Final = {"female": Sex.FEMALE.value, "male": Sex.MALE.value}
_NEEDS: Final[dict[str, str | None]] = {
    "safehouse_service": Need.SHELTER.value,
    "health_medical_service": Need.MEDICAL.value,
    "psychosocial_service": Need.PSYCHOSOCIAL.value,
    "legal_assistance_service": Need.LEGAL_AID.value,
    "livelihoods_service": Need.LIVELIHOOD.value,
    "child_protection_service": Need.CASE_MANAGEMENT.value,
    "family_mediation_service": Need.FAMILY_SUPPORT.value,
    "family_seunification_service": Need.FAMILY_TRACING.value,
    "family_reunification_service": Need.FAMILY_TRACING.value,
    "education_service": Need.EDUCATION.value,
    "nfi_clothes_shoes_service": Need.FOOD_AND_ITEMS.value,
    "food_service": Need.FOOD_AND_ITEMS.value,
    "registration_service": Need.CIVIL_DOCUMENTS.value,
    "police_other_service": None,
    "water_sanitation_service": None,
    "other_service": None,
}
_TAKEN: Final = frozenset(
    {"id", "case_id", "case_id_display", "short_id", "module_id", "name", "sex", "age", "estimated"}
    | {"date_of_birth", "registration_date", "status", "risk_level", "protection_concerns"}
    | {"urgent_protection_concern", "consent_for_services", "disclosure_other_orgs"}
    | {"services_section", "owned_by", "created_at", "enabled"}
)
"""Fields that are used or say nothing about the person; any other is noted and kept."""

_SAYS_YES: Final = (True, "true")


def cases_in(value: Any) -> Iterator[Any]:  # noqa: ANN401  (any JSON value)
    """Give every case of a document: one, a list, or what `data` of it holds."""
    if isinstance(value, dict) and isinstance(value.get("case"), dict) and "referrals" in value:
        value = value["case"]  # a packet of another centre: the case with its referrals
    if isinstance(value, dict) and isinstance(value.get("data"), dict | list):
        value = value["data"]
    yield from value if isinstance(value, list) else [value]


def read_case(line: int, value: Any, today: date) -> Row:  # noqa: ANN401  (any JSON value)
    """Read one case; `line` is its number in the file.

    Raises:
        Refused: `no-case` when it is no object with fields.

    """
    if not isinstance(value, dict) or not value:
        raise Refused("no-case")
    told = value["data"] if isinstance(value.get("data"), dict) and len(value) == 1 else value
    row = Row(line, told)
    if any(name not in _TAKEN for name in told):
        row.note("another field", "unknown-field")
    age = _age(row, told, today)
    person: dict[str, Any] = {"ref": "a", "name": row.text("name", told.get("name"))}
    if age is not None:
        basis = "estimated" if told.get("estimated") in _SAYS_YES else "stated"
        person["age"] = {"min": age, "max": age, "basis": basis}
    said = [told["sex"]] if told.get("sex") else []
    if sexes := row.chosen("sex", said, _SEXES):
        person["sex"] = sexes[0]
    refs = [
        {"system": f"primero.{name}", "value": text}
        for name in ("id", "case_id_display")
        if (text := row.text(name, told.get(name)))
    ]
    row.body = {
        "about": "people",
        "reporter": {"kind": "partner_worker"},
        "persons": [person],
        "concerns": _concerns(row, told, age),
        "needs": row.chosen("services_section", _services(row, told), _NEEDS),
        "external_refs": refs,
    }
    if told.get("consent_for_services") in _SAYS_YES:
        row.body["consent"] = [{"person": "a", "given_by": "third_party", "allows": ["refer"]}]
    urgent = told.get("urgent_protection_concern") in _SAYS_YES
    row.pressing = urgent or told.get("risk_level") == "high"
    return row


def _age(row: Row, told: Mapping[str, Any], today: date) -> int | None:
    age = told.get("age")
    if isinstance(age, int) and not isinstance(age, bool) and 0 <= age <= OLDEST:
        return age
    if age not in (None, ""):
        row.note("age", "unknown-value")
    born = row.day("date_of_birth", told.get("date_of_birth"))
    return age_on(born, today) if born is not None else None


def _list(row: Row, told: Mapping[str, Any], name: str) -> list[Any]:
    found = told.get(name) or []
    if not isinstance(found, list):
        row.note(name, "unknown-value")
        return []
    return found


def _services(row: Row, told: Mapping[str, Any]) -> list[object]:
    found = []
    for one in _list(row, told, "services_section"):
        if isinstance(one, dict) and one.get("service_type"):
            found.append(one["service_type"])
        else:
            row.note("services_section", "unknown-value")
    return found


def _concerns(row: Row, told: Mapping[str, Any], age: int | None) -> list[str]:
    """Return what is suspected; a choice that means two things counts as the graver, and is noted.

    An unknown age is treated as a child's.
    """
    child = age is None or age < CHILD_BELOW
    words: dict[str, str | None] = {
        "sexually_exploited": Concern.CHILD_SEXUAL_EXPLOITATION.value if child else None,
        "trafficked_smuggled": str(trafficking(age)),
        "physically_or_mentally_abused": Concern.PHYSICAL_VIOLENCE.value,
        "worst_forms_of_child_labor": Concern.HAZARDOUS_CHILD_LABOUR.value,
        "other": Concern.OTHER.value,
        **dict.fromkeys(("gbv_survivor", "street_child", "migrant", "child_headed_household")),
    }
    chosen = _list(row, told, "protection_concerns")
    if {"trafficked_smuggled", "physically_or_mentally_abused"} & {str(one) for one in chosen}:
        row.note("protection_concerns", "two-meanings")
    found = row.chosen("protection_concerns", chosen, words)
    return found or ([Concern.UNSURE.value] if chosen else [])
