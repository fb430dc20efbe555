"""Intake's decisions, purely: what a report says about each case.

No clock, id, input or output inside: everything comes as an argument (STYLE).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from services.intake.calls import call_of, is_kept_apart, is_many_silent, is_pressing
from services.intake.consent.gate import agreed_in, moment
from services.intake.consent.record import state_of
from services.intake.naming import NOT_A_KEY
from shared import places
from shared.events import CASES, CaseFacts, ConsentState, Draft
from shared.vocabulary import Concern, Urgency

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.intake.consent.record import Consent
    from services.intake.reading import Reading

_HERE: Final = Path(__file__).parent
_SEXUAL: Final = frozenset(
    {Concern.CHILD_SEXUAL_EXPLOITATION, Concern.CHILD_SEXUAL_ABUSE, "sexual_violence"}
)
_AFTER_VIOLENCE: Final = timedelta(hours=120)
_TREAT_WITHIN: Final = timedelta(hours=72)
_CHILD_BELOW: Final = 18
_WIDEST_RANGE: Final = 4
_UPAZILA_LIKE: Final = ("upazila", "thana", "city_corporation")
CONVERSATIONS: Final = ("sms", "whatsapp")
"""Channels on which a text may be a command or the answer to a question."""

_NO_CASE: Final = UUID(int=0)
_PLACE_ROLES: Final = ("now", "event", "last_seen", "home", "destination")


@dataclass(frozen=True, slots=True)
class Submission:
    """A stored submission without anything that names a person: the coarse report."""

    submission_id: UUID
    channel: str
    case_ids: tuple[UUID, ...]
    report: Mapping[str, Any]
    entitled: bool
    received_at: datetime
    test: bool


@cache
def _usual_needs() -> Mapping[str, list[str]]:
    return tomllib.loads((_HERE / "needs.toml").read_text("utf-8"))


def age_of(age: Mapping[str, Any] | None) -> int | None:
    """Return one age in whole years, or None when the range says too little.

    A range that straddles 18 or spans more than four years stays unknown, and unknown is treated
    as a child.
    """
    if not age:
        return None
    low, high = age.get("min"), age.get("max")
    if low is None or high is None:
        known: int | None = low if high is None else high
        return known
    if high - low > _WIDEST_RANGE or (low < _CHILD_BELOW <= high):
        return None
    return int((low + high) // 2)


def place_of(given: Sequence[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Return (upazila or metropolitan thana, district) P-codes of where help is needed.

    The place with the nearest role counts: now, event, last seen, home; abroad counts as unknown.
    """
    inside = [p for p in given if p.get("country", "BD") == "BD" and p.get("pcode")]
    for role in _PLACE_ROLES:
        for place in inside:
            if place.get("role", "event") == role:
                code = places.coarse(place["pcode"])
                found = places.find(code)
                finer = found is not None and found.level in _UPAZILA_LIKE
                return (code if finer else None), places.district_of(code)
    return None, None


def consent_of(
    report: Mapping[str, Any], person: Mapping[str, Any] | None, age: int | None, at: datetime
) -> ConsentState:
    """Return the consent that counts for a person: given by who may give it at that age.

    A third party's tick is no consent; an alleged or disputed caregiver's is none either.
    """
    found = agreed_in(report, person, age, at, _NO_CASE)
    return state_of([found] if found is not None else [])


def consents_of(
    submission: Submission, cases: Iterable[tuple[UUID, CaseFacts]], at: datetime
) -> list[tuple[UUID, Consent]]:
    """Return the consent behind the state of each case that was opened with one."""
    people = [p for p in submission.report.get("persons", ()) if p.get("role") == "at_risk"]
    person_of = dict(zip(submission.case_ids, people, strict=False))
    return [
        (case_id, found)
        for case_id, facts in cases
        if facts.consent.given
        and (found := agreed_in(submission.report, person_of.get(case_id), facts.age, at, case_id))
    ]


def open_cases(
    submission: Submission, reading: Reading | None, at: datetime
) -> list[tuple[UUID, CaseFacts, Draft]]:
    """Say what each case of a submission is about; one for each person at risk, or one for a place.

    `reading` is what a machine read in free text, or None; what the reporter said by hand wins.
    Returns nothing when a message was a command and no report, or a call said nothing; a form is
    always a report.
    """
    report = submission.report
    if is_kept_apart(report):
        return []
    commanded = reading is not None and reading.command and not reading.concerns
    if commanded and submission.channel in CONVERSATIONS:
        return []
    at_risk = [p for p in report.get("persons", ()) if p.get("role", "at_risk") == "at_risk"]
    people: Sequence[Mapping[str, Any] | None] = at_risk or [None]
    opened = []
    for case_id, person in zip(submission.case_ids, people, strict=True):
        facts = _facts(submission, person, reading, at)
        together = len(people) > 1 and any(p and p.get("with") for p in people)
        if together:
            facts = msgspec.structs.replace(
                facts, household_id=submission.case_ids[0], keep_together=True
            )
        draft = Draft(CASES, "case-created", str(case_id), facts, tuple(facts.needs))
        opened.append((case_id, facts, draft))
    return opened


def _facts(
    submission: Submission,
    person: Mapping[str, Any] | None,
    reading: Reading | None,
    at: datetime,
) -> CaseFacts:
    report = submission.report
    told = person or {}
    age = age_of(told.get("age")) if person else (reading.age if reading else None)
    upazila, district = place_of(report.get("places", ()))
    if district is None and reading is not None and reading.place is not None:
        upazila, district = place_of([{"pcode": reading.place}])
    concerns = list(report.get("concerns", ())) or list(reading.concerns if reading else ())
    concerns = concerns or [Concern.UNSURE]
    needs = list(dict.fromkeys(report.get("needs", ()))) or needs_of(concerns)
    languages = list(told.get("languages", ()))
    languages = languages or list(call_of(report).get("languages", ()))
    if not languages and report.get("language"):
        languages = [report["language"]]
    least, most = _count(told, reading)
    return CaseFacts(
        report_id=submission.submission_id,
        channel=submission.channel,
        about=_about(report, person, reading),
        age=age,
        sex=_sex(told, reading),
        upazila=upazila,
        district=district,
        concerns=concerns,
        needs=needs,
        urgency=_urgency(report, concerns, reading),
        languages=languages,
        support=list(told.get("support", ())),
        consent=consent_of(report, person, age, at),
        entitled=submission.entitled and bool(report.get("needs")),
        conflict=_conflict(report, reading),
        excluded=excluded_of(report),
        medical_until=_medical_until(report, concerns, submission.received_at),
        keep_together=any(w.get("keep_together") for w in told.get("with", ())),
        places_needed=int(told.get("count", 1)) + len(told.get("with", ())),
        count=least,
        count_max=most if most > least else None,
        boys_with=_boys_with(told, report),
        test=submission.test,
    )


def _boys_with(told: Mapping[str, Any], report: Mapping[str, Any]) -> list[int]:
    """Return the known ages of boys who are to stay with a person, for a house of women asks."""
    kept = {w["ref"] for w in told.get("with", ()) if w.get("keep_together")}
    boys = [p for p in report.get("persons", ()) if p.get("ref") in kept and p.get("sex") == "male"]
    ages = [age_of(p.get("age")) for p in boys]
    return sorted(age for age in ages if age is not None and age < _CHILD_BELOW)


def _about(
    report: Mapping[str, Any], person: Mapping[str, Any] | None, reading: Reading | None
) -> str:
    nobody = person is None or int(person.get("count", 1)) > 1  # "twenty children" names nobody yet
    if report.get("about") == "place" and nobody:
        return "place"
    if person is not None or reading is not None or is_many_silent(report):
        return "person"
    if report.get("about") in ("people", "service_wanted"):
        return "person"
    return "person" if report.get("reporter", {}).get("kind") == "self" else "place"


def _count(person: Mapping[str, Any], reading: Reading | None) -> tuple[int, int]:
    """Return how many persons it is about, at least and at most."""
    if not person and reading is not None and reading.count is not None:
        return reading.count
    least = int(person.get("count", 1))
    return least, int(person.get("count_max") or least)


def _sex(person: Mapping[str, Any], reading: Reading | None) -> str:
    said = person.get("sex")
    if said and said != "unknown":
        return str(said)
    return (reading.sex if reading is not None and reading.sex else None) or "unknown"


def needs_of(concerns: Sequence[str]) -> list[str]:
    """Return the needs that concerns usually come to."""
    usual = _usual_needs()
    return list(dict.fromkeys(need for c in concerns for need in usual.get(c, ())))


def _urgency(
    report: Mapping[str, Any], concerns: Sequence[str], reading: Reading | None
) -> str | None:
    if report.get("danger_now") or Concern.SELF_HARM_RISK in concerns:
        return Urgency.T0
    read = reading.urgency if reading is not None else None
    return min(read or Urgency.T1, Urgency.T1) if is_pressing(report) else read


def _conflict(report: Mapping[str, Any], reading: Reading | None) -> bool:
    named = any(a.get("office") or a.get("provider_id") for a in report.get("alleged", ()))
    unknown = NOT_A_KEY in report.get("exclude", {}).get("providers", ())
    return named or unknown or (reading is not None and bool(reading.possible_conflict))


def excluded_of(report: Mapping[str, Any]) -> list[str]:
    """Return the names, kinds and areas that must not hear of a report."""
    exclude = report.get("exclude", {})
    alleged = [a["provider_id"] for a in report.get("alleged", ()) if a.get("provider_id")]
    area = exclude.get("area")
    areas = [f"area:{places.coarse(area)}"] if area is not None else []
    named = (*exclude.get("providers", ()), *exclude.get("kinds", ()), *alleged, *areas)
    return list(dict.fromkeys(named))


def _medical_until(
    report: Mapping[str, Any], concerns: Sequence[str], received_at: datetime
) -> datetime | None:
    if not _SEXUAL.intersection(concerns):
        return None
    said = report.get("happened", {}).get("to") or report.get("happened", {}).get("from")
    happened = min(moment(said), received_at) if said else received_at  # no wrong clock
    if received_at - happened > _AFTER_VIOLENCE:
        return None
    return happened + _TREAT_WITHIN
