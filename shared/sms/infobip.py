"""Infobip's SMS API v3: our key is the message's id there, so it can be asked for by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from shared.sms.gateway import Asks, Fate, Outcome, Refused, Sent, Unknown
from shared.sms.numbers import without_plus
from shared.sms.wire import Answer, Call, Lost, Wire

if TYPE_CHECKING:
    import ssl

    from shared.sms.gateway import Question

JSON: Final = "application/json"

FATES: Final = {
    "PENDING": Fate.SENT,
    "DELIVERED": Fate.DELIVERED,
    "UNDELIVERABLE": Fate.FAILED,
    "EXPIRED": Fate.FAILED,
    "REJECTED": Fate.FAILED,
}
"""What Infobip's groups of statuses mean."""


@dataclass(frozen=True, slots=True)
class InfobipSettings:
    """An account: its own address (`https://….api.infobip.com`), its key, and who it sends as."""

    url: str
    key: str = field(repr=False)
    sender: str
    timeout: timedelta = timedelta(seconds=15)


class Infobip:
    """Sends one message a request."""

    name: Final = "infobip"
    asks: Final = Asks.KEY

    def __init__(
        self,
        settings: InfobipSettings,
        callback: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the account, and where deliveries are told, if anywhere."""
        self._settings = settings
        self._callback = callback
        self._wire = Wire(settings.timeout, tls)
        self._authorization = f"App {settings.key}"

    @property
    def exchange(self) -> timedelta:
        """How long one send may take."""
        return self._settings.timeout

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Send one text."""
        message: dict[str, Any] = {
            "sender": self._settings.sender,
            "destinations": [{"to": without_plus(number), "messageId": key}],
            "content": {"text": text},
        }
        if self._callback:
            delivery = {"url": self._callback, "intermediateReport": True, "contentType": JSON}
            message["webhooks"] = {"delivery": delivery}
        url = f"{self._settings.url}/sms/3/messages"
        found = await self._wire.ask(
            lambda: Call(
                "POST", url, msgspec.json.encode({"messages": [message]}), JSON, self._authorization
            )
        )
        return found.outcome() if isinstance(found, Lost) else _judge(found, key)

    async def ask(self, question: Question) -> Fate | None:
        """Read the message's line in the log of the last two days."""
        url = f"{self._settings.url}/sms/3/logs?{urlencode({'messageId': question.key})}"
        found = await self._wire.ask(lambda: Call("GET", url, authorization=self._authorization))
        if isinstance(found, Lost) or not found.good:
            return None
        return fate_of(_one(found.json(), "results", question.key))

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def fate_of(told: dict[str, Any] | None) -> Fate | None:
    """Return what a message's `status.groupName` means, None when there is none to read."""
    status = told.get("status") if told else None
    return FATES.get(str(status.get("groupName"))) if isinstance(status, dict) else None


def _one(told: Any, among: str, key: str) -> dict[str, Any] | None:  # noqa: ANN401  (any JSON value)
    messages = told.get(among) if isinstance(told, dict) else None
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("messageId") == key:
            return message
    return None


def _judge(answer: Answer, key: str) -> Outcome:
    refusal = answer.refusal()
    if refusal is not None:
        return refusal
    match fate_of(_one(answer.json(), "messages", key)):
        case None:
            return Unknown("unexpected-answer", answer.status)
        case Fate.FAILED:
            return Refused("refused", status=answer.status)
        case _:
            return Sent(key, answer.status)
