"""Whether somebody may be reached now, purely; the default is no."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from shared.text import PhoneInvalid, parse_phone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

TIMEZONE: Final = "Asia/Dhaka"
"""The zone that days and hours of safe contact are said in."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Nobody is reached, and why, as a stable word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reach:
    """A number (E.164), by which way, and when it is safe; empty days or hours: none were said."""

    number: str
    way: str = "sms"
    days: list[str] = field(default_factory=list)
    hours: list[str] = field(default_factory=list)
    shared_phone: bool = True
    valid_until: str | None = None


def resolve_contact(
    safe_contact: Mapping[str, Any] | None,
    phone: str | None,
    at: datetime,
    ways: Collection[str] = ("sms",),
) -> Reach | Withheld:
    """Say by which number and way somebody may be reached, from what that person said is safe.

    The one way that was said, or SMS, if it is among `ways`: there is no other in its place. The
    phone is shared unless said otherwise; a number that is no number is none.
    """
    if safe_contact is None or not safe_contact.get("allowed"):
        return Withheld("no-safe-contact")
    way = str(safe_contact.get("channel") or "sms").strip().lower()
    if way not in ways:
        return Withheld("no-safe-way")
    until = safe_contact.get("valid_until")
    if until is not None and _moment(until) <= at:
        return Withheld("expired")
    try:
        number = parse_phone(safe_contact.get("number") or phone or "")
    except PhoneInvalid:
        return Withheld("no-number")
    shared = safe_contact.get("shared_phone")
    return Reach(
        number,
        way,
        list(safe_contact.get("days") or ()),
        list(safe_contact.get("hours") or ()),
        shared_phone=True if shared is None else bool(shared),
        valid_until=until,
    )


def _moment(said: str) -> datetime:
    at = datetime.fromisoformat(said)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
