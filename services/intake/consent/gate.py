"""The gate: which consent of a report counts, by who may give it at that age. Pure."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid5

from services.intake.consent.record import OVERRIDES, Consent, shareable
from shared.clock import day_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_RULES: Final = Path(__file__).parent.parent / "consent.toml"


@cache
def load_rules() -> Mapping[str, Any]:
    """Read the configuration of who may consent."""
    return tomllib.loads(_RULES.read_text("utf-8"))


def rule_at(age: int | None, day: date) -> Mapping[str, Any] | None:
    """Return the rule of an age (whole years) on a day; unknown counts as the youngest."""
    years = age or 0
    for rule in load_rules()["rule"]:
        if is_in_force(rule, day) and rule["min_age"] <= years <= rule["max_age"]:
            found: Mapping[str, Any] = rule
            return found
    return None


def is_in_force(dated: Mapping[str, Any], day: date) -> bool:
    """Say whether something with `from` and `to` (empty = open) holds on a day."""
    return bool(dated["from"] <= day and not (dated["to"] and dated["to"] <= day))


def may_give(
    rule: Mapping[str, Any], by: str | None, basis: str | None, *, desk: bool = False
) -> bool:
    """Say whether somebody may consent on a basis at the age of the rule; `desk`: it heard it."""
    return any(
        g["by"] == by and basis in g["basis"] and (desk or not g.get("desk_only"))
        for g in rule["gives"]
    )


def still_counts(by: str, basis: str, age: int | None, day: date) -> bool:
    """Say whether a consent counts at an age that is known better now; an override always does."""
    rule = rule_at(age, day)
    return basis in OVERRIDES or (rule is not None and may_give(rule, by, basis, desk=True))


def is_heard(rule: Mapping[str, Any], how: str | None, *, witnessed: bool) -> bool:
    """Say whether it was written, or said before a witness, where the rule asks for that."""
    return not rule.get("witness") or how == "written" or witnessed


def is_caregiver_alleged(report: Mapping[str, Any], person: Mapping[str, Any] | None) -> bool:
    """Say whether a caregiver is among those said to do the harm, or lives with them."""
    return (
        any(a.get("relation") == "caregiver" for a in report.get("alleged", ()))
        or (person or {}).get("lives_with_alleged") == "yes"
    )


def moment(said: str) -> datetime:
    """Read an RFC 3339 time; one without an offset counts as UTC."""
    at = datetime.fromisoformat(said)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def agreed_in(
    report: Mapping[str, Any],
    person: Mapping[str, Any] | None,
    age: int | None,
    at: datetime,
    case_id: UUID,
) -> Consent | None:
    """Return the consent of a report that counts for a person, or None.

    A third party's tick is no consent; an alleged or disputed caregiver's is none either.
    """
    ref = (person or {}).get("ref")
    alleged = is_caregiver_alleged(report, person)
    rule = rule_at(age, day_of(at))
    for number, consent in enumerate(report.get("consent", ())):
        mine = consent.get("person") in (None, ref)
        by = consent.get("given_by")
        if not mine or rule is None or "refer" not in consent.get("allows", ()):
            continue
        if not may_give(rule, by, consent.get("basis")):
            continue
        if not is_heard(rule, consent.get("how"), witnessed=bool(consent.get("witnessed"))):
            continue
        if by == "caregiver" and alleged:
            continue
        expires = consent.get("expires_at")
        until = moment(expires) if expires else None
        if until is not None and until <= at:
            continue
        return Consent(
            consent_id=uuid5(case_id, f"report {number}"),
            given_by=by,
            basis=consent["basis"],
            given_at=at,
            recorded_by="service:intake.opener",
            purposes=tuple(consent.get("purposes", ())),
            providers=tuple(consent.get("providers", ())),
            fields=shareable(consent.get("fields")),
            share_identity="share_identity" in consent["allows"],
            explained=bool(consent.get("explained")),
            how=consent.get("how"),
            expires_at=until,
        )
    return None
