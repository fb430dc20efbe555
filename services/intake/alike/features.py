"""What is compared of a case: marks and coarse facts; nothing that names anybody. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.intake.blind import PHONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Features:
    """What is compared of one case.

    `own` are marks of the person, `near` of whoever reported or came along, `alleged` of whoever is
    said to do the harm. `age` is a range in whole years.
    """

    case_id: UUID
    report_id: UUID
    received_at: datetime
    own: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()
    alleged: frozenset[str] = frozenset()
    age: tuple[int, int] | None = None
    sex: str | None = None
    upazila: str | None = None
    district: str | None = None
    concerns: frozenset[str] = frozenset()
    happened: datetime | None = None


def phones(marks: Iterable[str]) -> frozenset[str]:
    """Return the marks of numbers among marks."""
    return frozenset(mark for mark in marks if mark.startswith(PHONE))


def words(marks: Iterable[str], kind: str) -> frozenset[str]:
    """Return the marks of words among marks, by their `FINE` or `ROUGH` sound."""
    return frozenset(mark for mark in marks if mark.startswith(kind))


def age_range(told: Mapping[str, Any] | None, known: int | None) -> tuple[int, int] | None:
    """Return a range of ages: as the report tells it, unless people have corrected it since."""
    low, high = (told or {}).get("min"), (told or {}).get("max")
    low, high = low if low is not None else high, high if high is not None else low
    if low is None or high is None:
        return None if known is None else (known, known)
    if known is not None and not low <= known <= high:
        return (known, known)
    return (int(low), int(high))


def features_of(
    case: Mapping[str, Any], report: Mapping[str, Any], subjects: Sequence[Mapping[str, Any]]
) -> Features:
    """Return what is compared of a stored case.

    `case` has case_id, submission_id, person_ref, received_at and facts (as JSON tells them);
    `subjects` have kind, case_id, ref and alike, and are all of its report.
    """
    facts = case["facts"]
    persons: list[dict[str, Any]] = report.get("persons", [])
    person = next((p for p in persons if p.get("ref") == case["person_ref"]), {})
    is_self = report.get("reporter", {}).get("kind") == "self"
    alone = sum(p.get("role", "at_risk") == "at_risk" for p in persons) <= 1
    own: set[str] = set()
    near: set[str] = set()
    alleged: set[str] = set()
    for one in subjects:
        mine = one["kind"] == "person" and one["case_id"] == case["case_id"]
        if (mine and one["ref"] == case["person_ref"]) or (
            one["kind"] == "reporter" and is_self and alone
        ):
            own |= set(one["alike"])
        elif one["kind"] == "alleged":
            alleged |= set(one["alike"])
        elif mine or one["kind"] == "reporter":
            near |= set(one["alike"])
    sex = facts.get("sex")
    return Features(
        case["case_id"],
        case["submission_id"],
        case["received_at"],
        frozenset(own),
        frozenset(near),
        frozenset(alleged),
        age_range(person.get("age"), facts.get("age")),
        None if sex in (None, "unknown", "not_said") else sex,
        facts.get("upazila"),
        facts.get("district"),
        frozenset(facts.get("concerns", ())) - {"unsure", "other"},
        _moment(report.get("happened", {}).get("from")),
    )


def _moment(told: str | None) -> datetime | None:
    if told is None:
        return None
    found = datetime.fromisoformat(told)
    return found if found.tzinfo is not None else None
