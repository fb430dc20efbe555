"""Twilio's messages: sent by a form, told of by a signed callback, and found again in its list.

A message has no key of ours at Twilio, so the callback's URL carries it, and a message that may
have been sent is looked for among the newest of the account: which of them went to that number with
that text is found here, for a number in a URL would stand in the logs of whoever passes it on.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from shared.sms.gateway import BAD_NUMBER, OPTED_OUT, Asks, Fate, Outcome, Refused, Sent, Unknown
from shared.sms.wire import Answer, Call, Lost, Wire

if TYPE_CHECKING:
    import ssl

    from shared.sms.gateway import Question

URL: Final = "https://api.twilio.com"
FORM: Final = "application/x-www-form-urlencoded"

FATES: Final = {
    "accepted": Fate.SENT,
    "scheduled": Fate.SENT,
    "queued": Fate.SENT,
    "sending": Fate.SENT,
    "sent": Fate.SENT,
    "delivered": Fate.DELIVERED,
    "read": Fate.DELIVERED,
    "partially_delivered": Fate.DELIVERED,
    "undelivered": Fate.FAILED,
    "failed": Fate.FAILED,
    "canceled": Fate.FAILED,
}
"""What Twilio's statuses mean."""

_NUMBER_FAULTS: Final = {
    "21211": BAD_NUMBER,
    "21610": OPTED_OUT,
    "21614": BAD_NUMBER,
    "30005": BAD_NUMBER,
    "30006": BAD_NUMBER,
}
"""Twilio's error codes that speak of the number."""

SKEW: Final = timedelta(minutes=1)
"""How far Twilio's clock and ours may differ."""

LATEST: Final = timedelta(minutes=5)
"""How long after its beginning a message of ours may have been made at Twilio."""

OLDEST: Final = timedelta(hours=1)
"""A message made so long before the one that is looked for ends the looking."""

PAGE: Final = 25
PAGES: Final = 8
"""Messages of one answer, which stays whole at that, and answers that one question may take."""


@dataclass(frozen=True, slots=True)
class TwilioSettings:
    """An account; `sender` is a number, a name, or a messaging service (`MG…`)."""

    account: str
    token: str = field(repr=False)
    sender: str
    url: str = URL
    timeout: timedelta = timedelta(seconds=15)


class Twilio:
    """Sends by the Messages resource."""

    name: Final = "twilio"
    asks: Final = Asks.NUMBER

    def __init__(
        self,
        settings: TwilioSettings,
        callback: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the account, and where deliveries are told (with `?notice=` behind), if anywhere."""
        self._settings = settings
        self._callback = callback
        self._wire = Wire(settings.timeout, tls)
        account = f"{settings.account}:{settings.token}".encode()
        self._authorization = "Basic " + base64.b64encode(account).decode("ascii")
        self._url = f"{settings.url}/2010-04-01/Accounts/{settings.account}/Messages.json"

    @property
    def exchange(self) -> timedelta:
        """How long one send may take."""
        return self._settings.timeout

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Send one text."""
        sender = self._settings.sender
        form = {
            "To": number,
            "MessagingServiceSid" if sender.startswith("MG") else "From": sender,
            "Body": text,
        }
        if self._callback:
            form["StatusCallback"] = f"{self._callback}?notice={key}"
        found = await self._wire.ask(
            lambda: Call("POST", self._url, urlencode(form).encode(), FORM, self._authorization)
        )
        return found.outcome() if isinstance(found, Lost) else _judge(found)

    async def ask(self, question: Question) -> Fate | None:
        """Look for the message among the newest, page by page, until they are older than it."""
        url = f"{self._url}?PageSize={PAGE}"
        for _ in range(PAGES):
            messages, after = await self._list(url)
            for message in messages:
                if _is_meant(message, question):
                    return FATES.get(str(message.get("status")))
            if after is None or any(_is_older(message, question.since) for message in messages):
                return None
            url = after
        return None

    async def _list(self, url: str) -> tuple[list[dict[str, Any]], str | None]:
        """Return the messages of a page, newest first, and where the next one is; only here."""
        found = await self._wire.ask(lambda: Call("GET", url, authorization=self._authorization))
        told = None if isinstance(found, Lost) or not found.good else found.json()
        if not isinstance(told, dict) or not isinstance(told.get("messages"), list):
            return [], None
        after = f"{self._settings.url}{told.get('next_page_uri')}"
        messages = [message for message in told["messages"] if isinstance(message, dict)]
        return messages, after if after.startswith(f"{self._url}?") else None

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def fault_of(code: object, otherwise: str) -> str:
    """Return what an error code of Twilio's says of the number, or `otherwise`."""
    return _NUMBER_FAULTS.get(str(code), otherwise)


def _judge(answer: Answer) -> Outcome:
    told = answer.json()
    told = told if isinstance(told, dict) else {}
    refusal = answer.refusal()
    if isinstance(refusal, Refused) and not refusal.again:
        return Refused(fault_of(told.get("code"), refusal.reason), status=answer.status)
    if refusal is not None:
        return refusal
    fate = FATES.get(str(told.get("status")))
    if not isinstance(told.get("sid"), str) or fate is None:
        return Unknown("unexpected-answer", answer.status)
    if fate is Fate.FAILED:
        return Refused(fault_of(told.get("error_code"), "refused"), status=answer.status)
    return Sent(told["sid"], answer.status)


def _made_at(message: dict[str, Any]) -> datetime | None:
    try:
        made = parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return None
    return made if made.tzinfo is not None else None


def _is_older(message: dict[str, Any], since: datetime) -> bool:
    """Say whether a message was made so long before that one asked for is on no later page.

    The list is by when they were sent, which may be a while after they were made.
    """
    made = _made_at(message)
    return made is not None and made < since - OLDEST


def _is_meant(message: dict[str, Any], question: Question) -> bool:
    made = _made_at(message)
    return (
        str(message.get("direction", "")).startswith("outbound")
        and message.get("to") == question.number
        and message.get("body") in question.texts
        and made is not None
        and question.since - SKEW <= made <= question.since + LATEST
    )
