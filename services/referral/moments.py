"""Moments, purely: by when a referral is owed what, and what a clock that ran ahead left in it.

Whoever runs on a wrong clock for a while notes moments that are still to come, and every deadline
and step of the ladder after them is late by as much. So a moment of the past that lies in the
future is taken for the present, as soon as anybody looks, and what is owed is reckoned from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.referral.referral import Referral, change
from shared.clock import AHEAD

if TYPE_CHECKING:
    from datetime import datetime

    from services.referral.rules import Terms

_PAST: Final = (
    *("awaits_since", "released_at", "assigned_at", "first_contact_at"),
    *("heard_at", "withdrawn_at", "acknowledged_at"),
)
"""Fields that say when something happened."""


def answer_owed(referral: Referral, terms: Terms, at: datetime) -> datetime:
    """Return by when a referral that is offered now must be answered."""
    pace, violence = terms.paces[referral.urgency], terms.after_violence
    by = pace.due(at, pace.respond_within)
    if violence is None or not _still_treatable(referral, at):
        return by
    return min(by, at + violence.respond_within)


def treatment_owed(referral: Referral, terms: Terms, at: datetime) -> datetime | None:
    """Return by when the person must be seen while treatment after violence still helps."""
    violence, until = terms.after_violence, referral.medical_until
    if violence is None or until is None or not _still_treatable(referral, at):
        return None
    return max(at, min(at + violence.see_within, until - violence.travel))


def contact_owed(referral: Referral, terms: Terms, at: datetime) -> datetime:
    """Return by when the person must be seen after a yes of now."""
    pace = terms.paces[referral.urgency]
    by = pace.due(at, pace.first_contact_within)
    return min(by, treatment_owed(referral, terms, at) or by)


def _still_treatable(referral: Referral, at: datetime) -> bool:
    return referral.medical_until is not None and referral.medical_until > at


def astray(referral: Referral, at: datetime) -> bool:
    """Say whether a referral holds a moment of the past that is still to come."""
    return bool(_ahead(referral, at))


def put_right(referral: Referral, terms: Terms, at: datetime) -> Referral:
    """Return the referral as if what a clock ahead noted had happened now; nothing becomes later.

    The version counts it; no event tells it, since what was told before was only too late.
    """
    fields = _ahead(referral, at)
    if not fields:
        return referral
    pace = terms.paces[referral.urgency]
    owed = {
        "respond_by": answer_owed(referral, terms, at),
        "first_contact_by": contact_owed(referral, terms, at),
        "deliver_by": pace.due(at, pace.deliver_within),
    }
    for name, by in owed.items():
        if (told := getattr(referral, name)) is not None:
            fields[name] = min(told, by)
    return change(referral, version=referral.version + 1, **fields)


def _ahead(referral: Referral, at: datetime) -> dict[str, Any]:
    """Return the fields whose moment is still to come, with the present in its place."""
    latest, told, waiting = at + AHEAD, referral.escalation, referral.waiting
    found: dict[str, Any] = {
        name: at
        for name in _PAST
        if (then := getattr(referral, name)) is not None and then > latest
    }
    if told is not None and told.at > latest:
        found["escalation"] = msgspec.structs.replace(told, at=at)
    if waiting is not None and waiting.since > latest:
        found["waiting"] = msgspec.structs.replace(waiting, since=at)
    return found
