"""Who appears in the demonstration: twenty reports over several districts, all invented."""

from __future__ import annotations

from typing import Any, Final

KERANIGANJ: Final = "BD30260038"
SAVAR: Final = "BD30260072"
SHARSHA: Final = "BD40410090"
TEKNAF: Final = "BD20220090"
BOGURA: Final = "BD50100020"
GOALANDA: Final = "BD30820029"
RAJARHAT: Final = "BD55490077"
BATIAGHATA: Final = "BD40470012"


def _report(  # one row of the table below
    place: str, age: int, sex: str, concern: str, needs: list[str]
) -> dict[str, Any]:
    by_caregiver = {"given_by": "caregiver", "basis": "assent_and_caregiver"}
    by_person = {"given_by": "person", "basis": "consent"}
    consent = {
        "person": "a",
        "how": "spoken",
        "witness": "Example Colleague",
        "explained": True,
        "allows": ["refer", "share_identity"],
        **(by_person if age >= 15 else by_caregiver),  # noqa: PLR2004  (consent.toml)
    }
    return {
        "channel": "partner",
        "language": "bn",
        "about": "people",
        "reporter": {"kind": "partner_worker", "name": "Example Worker"},
        "persons": [
            {
                "ref": "a",
                "name": "Example Person",
                "age": {"min": age, "max": age, "basis": "stated"},
                "sex": sex,
                "languages": ["bn"],
            }
        ],
        "places": [{"role": "now", "pcode": place, "text": "an invented address"}],
        "concerns": [concern],
        "needs": needs,
        "narrative": "An invented story for the demonstration.",
        "consent": [consent],
    }


def _reached(report: dict[str, Any]) -> dict[str, Any]:
    """Return the report of somebody who said how a neutral text may reach them."""
    contact = {
        "allowed": True,
        "channel": "sms",
        "number": "+8801700009001",
        "hours": ["00:00-23:59"],
        "shared_phone": False,
    }
    person = {**report["persons"][0], "safe_contact": contact}
    return {**report, "persons": [person]}


DANGER: Final[dict[str, Any]] = {
    **_report(KERANIGANJ, 16, "female", "physical_violence", ["psychosocial"]),
    "danger_now": True,
}
"""Somebody in danger now, of whom nobody said how to reach them safely."""

WORKED: Final = _report(KERANIGANJ, 16, "female", "child_labour", ["education"])
"""Somebody whose case people work step by step."""

REPORTS: Final[list[dict[str, Any]]] = [
    _report(KERANIGANJ, 15, "female", "child_trafficking", ["shelter", "legal_aid"]),
    _report(KERANIGANJ, 16, "female", "child_sexual_exploitation", ["medical", "psychosocial"]),
    _report(KERANIGANJ, 12, "male", "child_labour", ["education", "child_labour_removal"]),
    _report(SAVAR, 10, "male", "hazardous_child_labour", ["child_labour_removal", "education"]),
    _reached(_report(SAVAR, 17, "female", "forced_labour", ["legal_aid"])),
    _report(SAVAR, 14, "female", "child_marriage", ["case_management", "shelter"]),
    _report(SHARSHA, 15, "female", "child_trafficking", ["shelter", "psychosocial"]),
    _report(SHARSHA, 24, "female", "adult_trafficking", ["shelter", "medical", "legal_aid"]),
    _report(SHARSHA, 13, "male", "missing_child", ["family_tracing"]),
    _report(TEKNAF, 19, "male", "unsafe_migration", ["safe_migration"]),
    _report(TEKNAF, 16, "female", "child_trafficking", ["psychosocial"]),
    _report(TEKNAF, 30, "male", "adult_trafficking", ["legal_aid", "livelihood"]),
    _report(BOGURA, 11, "male", "hazardous_child_labour", ["education"]),
    _report(BOGURA, 17, "hijra", "physical_violence", ["medical", "mental_health"]),
    _report(GOALANDA, 17, "female", "child_sexual_exploitation", ["medical", "psychosocial"]),
    _report(GOALANDA, 20, "female", "adult_trafficking", ["legal_aid"]),
    _report(RAJARHAT, 13, "female", "child_marriage", ["case_management", "education"]),
    _report(BATIAGHATA, 9, "male", "child_labour", ["education", "civil_documents"]),
    {
        "channel": "web",
        "language": "bn",
        "about": "people",
        "persons": [{"ref": "a", "age": {"min": 12, "max": 12}, "sex": "female"}],
        "places": [{"role": "event", "pcode": KERANIGANJ}],
        "concerns": ["child_labour"],
        "needs": ["child_labour_removal"],
        "narrative": "An invented anonymous story.",
    },
    {
        "channel": "web",
        "language": "en",
        "about": "place",
        "places": [{"role": "event", "pcode": TEKNAF, "text": "an invented drying yard"}],
        "concerns": ["hazardous_child_labour"],
        "narrative": "Invented: many children work at night in this place.",
    },
]

MESSAGES: Final = "messages.json"
"""Short messages as they come by SMS, all invented, beside this file."""
