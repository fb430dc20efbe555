"""What the answers of a filled form become: the body of a report, as the committee's page sends it.

What is understood is taken out of the form; whatever is left (another form, another version, a
value that we have no word for) stands line by line in the narrative, so that a person reads it.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from services.intake.channels.openrosa.parts import Part
from services.intake.report import ReportIn
from shared import places
from shared.bodies import validate
from shared.errors import InvalidBody
from shared.vocabulary import Channel, Concern, Need, ReporterKind, Sex, Support

if TYPE_CHECKING:
    from services.intake.channels.openrosa.instances import Instance

LONGEST: Final = 50_000
"""Characters of a narrative; the whole form is sealed besides."""

FILES: Final = "openrosa.file"
"""The system of `external_refs` that names a file which the form says belongs to it."""

EDITS: Final = "openrosa.edits"
"""Likewise the instance that this one corrects; it is a report of its own, for a person to link."""

_TRI: Final = {"yes": True, "no": False, "unsure": None}
_ROLES: Final = ("now", "event", "home", "last_seen", "destination")
_CARRIED: Final = ("photo", "voice")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
_KEPT_FROM: Final = ("police", "up_chair", "ctc_member")
"""Kinds of bodies, which stand in clear in events: no other word does."""

_TOLD: Final = re.compile(r"[a-z0-9_]{1,40}")
_HOURS: Final = re.compile(r"\d\d:\d\d-\d\d:\d\d")
_ALLOWS: Final = ("refer", "share_identity", "contact")
_LONG: Final = 2000
_LONGEST_REF: Final = 200


def report_of(instance: Instance, *, known: bool) -> ReportIn:
    """Return the report that a filled form is; `known`: its questions are ours, of any version."""
    edited = instance.deprecated_id
    refs = [{"system": EDITS, "value": edited}] if 0 < len(edited) <= _LONGEST_REF else []
    body: dict[str, Any] = {
        "channel": Channel.OPENROSA,
        "reporter": {"kind": ReporterKind.CTC_MEMBER},
        "external_refs": refs,
    }
    if known:
        try:
            return validate(ReportIn, _said(Part(deepcopy(instance.root)), body))
        except InvalidBody:  # no app writes that: then all of it is for a person to read
            pass
    left = Part(deepcopy(instance.root)).left()
    return validate(ReportIn, body | {"narrative": left[:LONGEST] or None})


def _said(form: Part, body: dict[str, Any]) -> dict[str, Any]:
    """Read our own form."""
    start, end = form.time("start"), form.time("end")
    persons = [(f"p{n}", part) for n, part in enumerate(form.parts("person"), 1)]
    told = {
        "about": form.one("about", ("people", "place", "unsure")) or "unsure",
        "device_time": end or start,
        "observed_at": start,
        "danger_now": _TRI.get(form.one("danger_now", _TRI) or ""),
        "persons": [_person(ref, part) for ref, part in persons],
        "consent": [one for ref, part in persons for one in _consent(ref, part, end or start)],
        "places": _places(form),
        "concerns": form.several("concerns", frozenset(Concern).__contains__),
        "needs": form.several("needs", frozenset(Need).__contains__),
        "happened": {
            "from": form.day("happened_on"),
            "precision": "day",
            "ongoing": form.one("ongoing", _TRI),
        },
        "alleged": _alleged(form),
        "exclude": {"kinds": form.several("kept_from", _KEPT_FROM.__contains__)},
        "told_before": [{"who": who} for who in form.several("told", _TOLD.fullmatch)],
        "external_refs": body["external_refs"]
        + [{"system": FILES, "value": name} for q in _CARRIED if (name := form.text(q))],
    }
    identity = form.one("identity", ("hidden", "shared")) or "hidden"
    reporter = body["reporter"] | {"identity": identity}
    words = [form.text("narrative", LONGEST), form.left()]  # last: what is left now is all
    narrative = "\n".join(text for text in words if text)[:LONGEST]
    return body | told | {"reporter": reporter, "narrative": narrative or None}


def _person(ref: str, part: Part) -> dict[str, Any]:
    basis = part.one("age_basis", ("stated", "document", "estimated"))
    part.one("age_basis", ("unknown",))
    age = part.number("age")
    least, most = part.number("age_from"), part.number("age_to")
    if least is not None and most is not None and least > most:
        least, most = most, least
    ages = {"min": least if age is None else age, "max": most if age is None else age}
    known = any(one is not None for one in ages.values())
    return {
        "ref": ref,
        "name": part.text("name"),
        "age": {**ages, "basis": basis} if known else None,
        "sex": part.one("sex", frozenset(Sex)) or Sex.UNKNOWN,
        "languages": part.several("languages", _LANGUAGE.fullmatch),
        "support": part.several("support", frozenset(Support).__contains__),
        "relation_to_reporter": part.text("relation"),
        "aware_of_report": part.one("aware", _TRI),
        "lives_with_alleged": part.one("lives_with_alleged", _TRI),
        "safe_contact": _safe_contact(part),
    }


def _safe_contact(part: Part) -> dict[str, Any] | None:
    """Read a safe way; without a clear yes there is none, whatever else was written."""
    if part.one("contact_safe", ("yes",)) is None:
        part.one("contact_safe", ("no", "unsure"))
        return None
    hours = part.fitting("contact_hours", _HOURS)
    return {
        "allowed": True,
        "channel": part.one("contact_by", ("sms", "call")),
        "number": part.text("contact_number"),
        "hours": [hours] if hours else [],
        "ask_for": part.text("contact_ask_for"),
        "shared_phone": _TRI.get(part.one("contact_shared", _TRI) or ""),
    }


def _consent(ref: str, part: Part, at: str | None) -> list[dict[str, Any]]:
    """Read who agreed to what; a no, and that nobody asked yet, are a person's to read."""
    by = part.one("agreed", ("person", "caregiver"))
    if by is None:
        return []
    child = part.one("agreed_child", _TRI) if by == "caregiver" else None
    return [
        {
            "person": ref,
            "given_by": by,
            "giver_relation": part.text("agreed_relation"),
            "how": part.one("agreed_how", ("spoken", "written", "thumbprint")),
            "witness": part.text("agreed_witness"),
            "explained": part.one("agreed_explained", _TRI) == "yes",
            "allows": part.several("agreed_to", _ALLOWS.__contains__),
            "basis": "assent_and_caregiver" if child == "yes" else "consent",
            "at": at,
        }
    ]


def _places(form: Part) -> list[dict[str, Any]]:
    """Read the place; of a district and an upazila of another one a person decides."""
    role = form.one("place_role", _ROLES)
    upazila, district = (form.passing(name, _is_place) for name in ("upazila", "district"))
    text = form.text("place_text", _LONG)
    pcode = upazila or district
    if upazila and district and places.district_of(upazila) != district:
        said = [named for code in (district, upazila) if (named := _named(code))]
        pcode, text = None, "; ".join([*said, *([text] if text else [])])[:_LONG]
    if not (pcode or text):
        return []
    return [{"role": role or "event", "pcode": pcode, "text": text}]


def _named(pcode: str) -> str:
    place = places.find(pcode)
    return "" if place is None else f"{place.name_bn}, {place.name_en} ({place.pcode})"


def _is_place(pcode: str) -> bool:
    return places.find(pcode) is not None


def _alleged(form: Part) -> list[dict[str, Any]]:
    part = form.part("alleged")
    told = {name: part.text(f"alleged_{name}") for name in ("relation", "name", "office")}
    near = part.one("alleged_near", _TRI)
    if not (near or any(told.values())):
        return []
    form.one("alleged_known", _TRI)
    return [{**told, "near_person": _TRI.get(near or "")}]
