"""The one question to intake: may this person be reached now, and how (DECISIONS 18).

Asked at the moment of sending, with a token of our own. The answer stays in memory for the one
send; a number is in no log, no row and no picture of an object.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, Protocol
from uuid import UUID

import httpx
import msgspec

from services.notification.hours import DHAKA
from services.notification.policy import Contact, Reason
from shared import telemetry
from shared.text import PhoneInvalid, parse_phone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from services.notification.person_store import PersonNotice

TIMEOUT: Final = 5.0
"""Seconds that intake has to answer."""

PATH: Final = "/intake/v1/contacts"

_BY_NUMBER: Final = ("sms", "whatsapp", "call")


@dataclass(frozen=True, slots=True)
class Reachable:
    """The person may be reached as `contact` says.

    `address` is what its way wants: a number in E.164, a mail address, a push subscription.
    """

    contact: Contact
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """The person may not be reached, for intake's reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Away:
    """Intake did not answer: ask again later. `why` is a short word for the log."""

    why: str


Answer = Reachable | Denied | Away


class Contacts(Protocol):
    """Who can be asked."""

    async def resolve(self, notice: PersonNotice, ways: Sequence[str]) -> Answer:
        """Ask how one recipient is reached for one notice, by one of these ways.

        Never raises but for a cancel.
        """
        ...

    async def sift(self, referrals: Sequence[UUID]) -> Sifted:
        """Ask of which referrals no worker of their provider need hear, or not yet.

        Never raises but for a cancel; whoever cannot be asked sifts nothing.
        """
        ...


class Sifted(msgspec.Struct, frozen=True):
    """Of some referrals: those of which nobody need hear, and those not known to intake yet."""

    moot: tuple[UUID, ...] = ()
    later: tuple[UUID, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    decision: Literal["contact", "withheld"]
    number: str | None = None
    address: str | None = None
    way: str = "sms"
    language: str | None = None
    days: tuple[str, ...] = ()
    hours: tuple[str, ...] = ()
    timezone: str = DHAKA
    urgency: str | None = None
    consent: bool = False
    valid_until: str | None = None
    reason: str | None = None


_decoder: Final = msgspec.json.Decoder(_Answer)
_sifted: Final = msgspec.json.Decoder(Sifted)


class IntakeContacts:
    """Asks intake over HTTP."""

    def __init__(self, base_url: str, token: Callable[[], str], timeout: float = TIMEOUT) -> None:
        """Take intake's address, what makes a fresh token, and the seconds to wait."""
        self._token = token
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def resolve(self, notice: PersonNotice, ways: Sequence[str]) -> Answer:
        """Ask once; whatever is no answer in the agreed form is `Away`."""
        body = {
            "case_id": str(notice.case_id),
            "recipient": str(notice.recipient),
            "purpose": notice.template,
            "notice_id": str(notice.id),
            "referral_id": str(notice.referral_id) if notice.referral_id else None,
            "event_id": str(notice.event_id),
            "ways": list(ways),
        }
        said = await self._post("resolve", body)
        return said if isinstance(said, Away) else read_answer(said)

    async def sift(self, referrals: Sequence[UUID]) -> Sifted:
        """Ask once; whatever is no answer in the agreed form sifts nothing."""
        said = await self._post("sift", {"referral_ids": [str(one) for one in referrals]})
        if not isinstance(said, Away):
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                return _sifted.decode(said)
        return Sifted()

    async def _post(self, what: str, body: Mapping[str, object]) -> bytes | Away:
        headers = {"authorization": f"Bearer {self._token()}"}
        if trace := telemetry.current_traceparent():
            headers["traceparent"] = trace
        try:
            async with asyncio.timeout(self._timeout):
                said = await self._client.post(f"{PATH}/{what}", json=body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            return Away(type(error).__name__)
        return said.content if said.status_code == httpx.codes.OK else Away(str(said.status_code))

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()


def read_answer(content: bytes) -> Answer:
    """Read intake's answer; one that is not understood counts as none, so the notice waits."""
    try:
        told = _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Away("unreadable")
    if told.decision == "withheld":
        if told.reason == "not-yet":  # intake has not read of it so far
            return Away("not-yet")
        try:
            return Denied(Reason(told.reason or ""))
        except ValueError:  # a reason of a newer intake
            return Denied(Reason.NO_SAFE_CONTACT)
    try:
        until = None if told.valid_until is None else _moment(told.valid_until)
    except ValueError:  # an end that nobody can read has come
        return Denied(Reason.EXPIRED)
    address = _address(told)
    if not address:
        return Denied(Reason.NO_NUMBER)
    contact = Contact(
        language=told.language,
        days=told.days,
        hours=told.hours,
        way=told.way,
        timezone=told.timezone,
        urgency=told.urgency,
        consent=told.consent,
        valid_until=until,
    )
    return Reachable(contact, address)


def _address(told: _Answer) -> str:
    """Return where to, empty when it is nothing of the kind that the way wants."""
    if told.way not in _BY_NUMBER:
        return told.address or ""
    try:
        return parse_phone(told.number or "")
    except PhoneInvalid:
        return ""


def _moment(text: str) -> datetime:
    """Read a time as intake does: one without an offset is in UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
