"""Whether a person is told by a machine, purely: the table of `policy.toml`, and what it decides.

Twice for each notice: `plan` when the event comes, with what the event says; `decide` before each
send, with what intake answers at that moment. What no row allows is withheld.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from services.notification.hours import DHAKA, next_safe

if TYPE_CHECKING:
    from collections.abc import Sequence


class Recipient(StrEnum):
    """Who may be meant by a row. A committee is none: it is told by people alone.

    `on_duty` is staff: whoever was paged about a case; `supervisor` too: whoever hears how much
    waits; `provider` are the workers that a referral waits for. Those are no notices to a person of
    the case.
    """

    PERSON = "person"
    REPORTER = "reporter"
    ON_DUTY = "on_duty"
    SUPERVISOR = "supervisor"
    PROVIDER = "provider"


class Reason(StrEnum):
    """Why a notice to a person was withheld; intake's own reasons are among them."""

    NEVER = "never-by-machine"
    DANGER = "danger-now"
    NO_ROW = "no-row"
    TEST = "test"
    STALE = "stale"
    REPEATED = "repeated"
    NO_GATEWAY = "no-gateway"
    NO_CONSENT = "no-consent"
    NO_SAFE_HOUR = "no-safe-hour"
    NO_SAFE_CONTACT = "no-safe-contact"
    STOPPED = "contact-stopped"
    EXPIRED = "expired"
    NO_NUMBER = "no-number"
    ERASED = "erased"
    NO_CASE = "no-case"
    NO_SAFE_WAY = "no-safe-way"
    AT_DESK = "at-desk"
    TAKEN = "taken"
    UNCHECKED = "contact-unchecked"
    UNSERVED = "unserved"
    TOO_MANY = "too-many"
    NO_WORKER = "no-worker"


WAYS: Final = {
    "sms": "sms",
    "page": "sms",
    "provider": "sms",
    "digest": "sms",
    "whatsapp": "whatsapp",
    "voice": "call",
    "push": "push",
    "email": "email",
}
"""The way that each notifier to people sends by."""

_FIRST: Final = "sms"
"""The notifier that plans what is withheld."""

_RELATIONS: Final = {
    Recipient.PERSON: "self",
    Recipient.REPORTER: "unknown",
    Recipient.ON_DUTY: "staff",
    Recipient.SUPERVISOR: "staff",
    Recipient.PROVIDER: "staff",
}
"""What is known here of a recipient's relation to the person; who they are, only intake knows."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of the table; see its head for the words."""

    event: str
    recipient: Recipient
    then: Literal["send", "withhold"]
    why: str
    relation: tuple[str, ...] = ()
    urgency: tuple[str, ...] = ()
    consent: Literal["given", "any"] = "given"
    safe_contact: Literal["given", "any"] = "given"
    hours: Literal["safe", "any"] = "safe"
    reason: Reason | None = None
    by: tuple[str, ...] = ()
    template: str = ""
    fallback: bool = False
    useful_days: int = 7
    useful_minutes: int | None = None

    @property
    def is_to_somebody(self) -> bool:
        """Whether it is a notice to somebody who is no staff."""
        return _RELATIONS[self.recipient] != "staff"

    @property
    def planner(self) -> str:
        """The notifier that plans it: the first that may send it."""
        return self.by[0] if self.by else _FIRST

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways that it may go, in the table's order."""
        return tuple(WAYS[name] for name in self.by)

    def notifier_for(self, way: str) -> str | None:
        """Return who sends it that way, None when nobody may."""
        return next((name for name in self.by if WAYS[name] == way), None)

    @property
    def useful_for(self) -> timedelta:
        """How long after the event it is worth telling."""
        if self.useful_minutes is not None:
            return timedelta(minutes=self.useful_minutes)
        return timedelta(days=self.useful_days)

    def fits(self, event: str, recipient: Recipient, urgency: str | None) -> bool:
        """Say whether the row speaks of this; an unknown urgency fits only rows for any."""
        return (
            (self.event, self.recipient) == (event, recipient)
            and (not self.relation or _RELATIONS[recipient] in self.relation)
            and (not self.urgency or urgency in self.urgency)
        )


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a message may come if nothing was said."""

    otherwise: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table."""

    row: tuple[Row, ...]
    hours: Hours
    languages: dict[str, str]

    def find_row(self, event: str, recipient: Recipient, urgency: str | None) -> Row | None:
        """Return the first row that fits."""
        return next((row for row in self.row if row.fits(event, recipient, urgency)), None)

    def recipients(self, event: str) -> list[Recipient]:
        """Return who is spoken of at an event, in the table's order."""
        return list(dict.fromkeys(row.recipient for row in self.row if row.event == event))

    def events(self, notifier: str) -> frozenset[str]:
        """Return every event type at which a notifier plans something."""
        return frozenset(row.event for row in self.row if row.planner == notifier)

    def may_tell(self, notifier: str, recipient: Recipient) -> bool:
        """Say whether a notifier may ever send to such a recipient."""
        return any(row.recipient is recipient and notifier in row.by for row in self.row)

    def senders(self, event: str, recipient: Recipient, since: str) -> tuple[str, ...]:
        """Return every notifier that may send this from `since` on, whatever the urgency."""
        rows = [row for row in self.row if (row.event, row.recipient) == (event, recipient)]
        names = tuple(dict.fromkeys(name for row in rows for name in row.by))
        return names[names.index(since) :] if since in names else ()

    def next_sender(self, event: str, recipient: Recipient, after: str) -> str | None:
        """Return who tries when a notifier could certainly not send, None when nobody does."""
        later = self.senders(event, recipient, after)[1:]
        falls = any(
            row.fallback for row in self.row if (row.event, row.recipient) == (event, recipient)
        )
        return later[0] if falls and later else None

    def language(self, language: str | None) -> str:
        """Return the language of the text for a contact's language."""
        return self.languages.get(language or "", self.languages["otherwise"])


@dataclass(frozen=True, slots=True)
class Contact:
    """What intake answered when it may be: everything but the number, which is no matter here."""

    language: str | None
    days: Sequence[str]
    hours: Sequence[str]
    way: str = "sms"
    timezone: str = DHAKA
    urgency: str | None = None
    consent: bool = False
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send this template in this language now, by this notifier: it may be another one's turn."""

    template: str
    language: str
    by: str = _FIRST


@dataclass(frozen=True, slots=True)
class Later:
    """Ask again at this moment: it is the next safe one."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Withhold:
    """Do not send, for this reason; a person decides."""

    reason: Reason


Decision = Send | Later | Withhold


@dataclass(frozen=True, slots=True)
class Planned:
    """A notice to plan: `reason` is None when it waits to be sent."""

    recipient: Recipient
    template: str
    useful_until: datetime
    reason: Reason | None = None


def plan(
    policy: Policy,
    event: str,
    urgency: str | None,
    happened: datetime,
    at: datetime,
    *,
    test: bool,
    notifier: str = _FIRST,
) -> list[Planned]:
    """Decide what an event gives rise to: a notice for each recipient that a row names.

    Each row is planned by one notifier alone, whoever sends it in the end.
    """
    planned = []
    for recipient in policy.recipients(event):
        row = policy.find_row(event, recipient, urgency)
        if notifier != (row.planner if row else _FIRST):
            continue
        until = happened + (row.useful_for if row else timedelta())
        reason: Reason | None = None
        if test:
            reason = Reason.TEST
        elif row is None:
            reason = Reason.NO_ROW
        elif row.then == "withhold":
            reason = row.reason
        elif at > until:
            reason = Reason.STALE
        planned.append(Planned(recipient, row.template if row else "", until, reason))
    return planned


def decide(
    policy: Policy,
    event: str,
    recipient: Recipient,
    contact: Contact,
    at: datetime,
    useful_until: datetime,
) -> Decision:
    """Decide, at this moment, whether a planned notice is sent, waits or is withheld."""
    row = policy.find_row(event, recipient, contact.urgency)
    if row is None or row.then == "withhold":
        return Withhold((row and row.reason) or Reason.NO_ROW)
    if row.consent == "given" and not contact.consent:
        return Withhold(Reason.NO_CONSENT)
    if contact.valid_until is not None and at > contact.valid_until:
        return Withhold(Reason.EXPIRED)
    if at > useful_until:
        return Withhold(Reason.STALE)
    by = row.notifier_for(contact.way)
    if by is None:
        return Withhold(Reason.NO_SAFE_WAY)
    moment: datetime | None = at
    if row.hours == "safe":
        moment = next_safe(
            at, contact.days, contact.hours, contact.timezone, policy.hours.otherwise
        )
    until = min(useful_until, contact.valid_until or useful_until)
    if moment is None or moment > until:
        return Withhold(Reason.NO_SAFE_HOUR)
    if moment > at:
        return Later(moment)
    return Send(row.template, policy.language(contact.language), by)
