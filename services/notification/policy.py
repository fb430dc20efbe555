"""Whether a person is told by a machine, purely: the table of `policy.toml`, and what it decides.

Twice for each notice: `plan` when the event comes, with what the event says; `decide` before each
send, with what intake answers at that moment. What no row allows is withheld.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from services.notification.hours import DHAKA, next_safe, parse_window
from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Recipient(StrEnum):
    """Who may be meant by a row. A committee is none: it is told by people alone.

    `on_duty` is staff: whoever was paged about a case. That is no notice to a person of it.
    """

    PERSON = "person"
    REPORTER = "reporter"
    ON_DUTY = "on_duty"


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
    NOT_BY_SMS = "not-reachable-by-sms"
    AT_DESK = "at-desk"
    TAKEN = "taken"


_RELATIONS: Final = {
    Recipient.PERSON: "self",
    Recipient.REPORTER: "unknown",
    Recipient.ON_DUTY: "staff",
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
    by: str = ""
    template: str = ""
    useful_days: int = 7
    useful_minutes: int | None = None

    @property
    def is_to_somebody(self) -> bool:
        """Whether it is a notice to somebody who is no staff."""
        return self.recipient is not Recipient.ON_DUTY

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


class _Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    otherwise: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table."""

    row: tuple[Row, ...]
    hours: _Hours
    languages: dict[str, str]

    def find_row(self, event: str, recipient: Recipient, urgency: str | None) -> Row | None:
        """Return the first row that fits."""
        return next((row for row in self.row if row.fits(event, recipient, urgency)), None)

    def recipients(self, event: str) -> list[Recipient]:
        """Return who is spoken of at an event, in the table's order."""
        return list(dict.fromkeys(row.recipient for row in self.row if row.event == event))

    def events(self) -> frozenset[str]:
        """Return every event type that a row names."""
        return frozenset(row.event for row in self.row)

    def language(self, language: str | None) -> str:
        """Return the language of the text for a contact's language."""
        return self.languages.get(language or "", self.languages["otherwise"])


@dataclass(frozen=True, slots=True)
class Contact:
    """What intake answered when it may be: everything but the number, which is no matter here."""

    language: str | None
    days: Sequence[str]
    hours: Sequence[str]
    timezone: str = DHAKA
    urgency: str | None = None
    consent: bool = False
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send this template in this language now."""

    template: str
    language: str


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
    by: str
    template: str
    useful_until: datetime
    reason: Reason | None = None


def plan(
    policy: Policy, event: str, urgency: str | None, happened: datetime, at: datetime, *, test: bool
) -> list[Planned]:
    """Decide what an event gives rise to: a notice for each recipient that a row names."""
    planned = []
    for recipient in policy.recipients(event):
        row = policy.find_row(event, recipient, urgency)
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
        planned.append(
            Planned(recipient, row.by if row else "", row.template if row else "", until, reason)
        )
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
    if row is None:
        return Withhold(Reason.NO_ROW)
    if row.then == "withhold":
        return Withhold(row.reason or Reason.NO_ROW)
    if row.consent == "given" and not contact.consent:
        return Withhold(Reason.NO_CONSENT)
    if contact.valid_until is not None and at > contact.valid_until:
        return Withhold(Reason.EXPIRED)
    if at > useful_until:
        return Withhold(Reason.STALE)
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
    return Send(row.template, policy.language(contact.language))


def parse_policy(text: str, templates: Collection[str], languages: Collection[str]) -> Policy:
    """Read the table, and check that what it names is there.

    Raises:
        SettingsError: it cannot be read, or a row contradicts itself.

    """
    try:
        policy = msgspec.convert(tomllib.loads(text), Policy)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"the table of notices is wrong: {error}"
        raise SettingsError(message) from None
    for number, row in enumerate(policy.row, 1):
        sends = row.then == "send"
        if sends != bool(row.by and row.template) or sends == (row.reason is not None):
            message = f"row {number} of the table of notices: send by what, or withhold why?"
            raise SettingsError(message)
        if "any" in (row.consent, row.safe_contact, row.hours) and row.is_to_somebody:
            message = f"row {number} of the table of notices: only staff is told whatever they said"
            raise SettingsError(message)
        if (sends and row.template not in templates) or not row.useful_for or not row.why:
            message = f"row {number} of the table of notices: no such template, no days or no why"
            raise SettingsError(message)
    if not set(policy.languages.values()) <= set(languages) or "otherwise" not in policy.languages:
        raise SettingsError("the table of notices names a language that no template has")
    if not policy.hours.otherwise or None in map(parse_window, policy.hours.otherwise):
        raise SettingsError("the table of notices names hours that cannot be read")
    return policy
