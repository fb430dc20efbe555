"""SSL Wireless' SMS API v3: the outcome is in the body, and nothing is told of deliveries.

Its token goes in the body, never in a URL. `csms_id` is unique in a day, so that the same message
twice would be refused there too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from shared.sms.gateway import Asks, Outcome, Refused, Sent, Unknown
from shared.sms.numbers import without_plus
from shared.sms.wire import Answer, Call, Lost, Wire

if TYPE_CHECKING:
    import ssl

    from shared.sms.gateway import Fate, Question

URL: Final = "https://smsplus.sslwireless.com"
JSON: Final = "application/json"
ID_LENGTH: Final = 20
"""Characters of a `csms_id`."""


@dataclass(frozen=True, slots=True)
class SslWirelessSettings:
    """An account: its token, and the name it sends as (`sid`)."""

    token: str = field(repr=False)
    sender: str
    url: str = URL
    timeout: timedelta = timedelta(seconds=15)


class SslWireless:
    """Sends one message a request."""

    name: Final = "sslwireless"
    asks: Final = Asks.NOTHING

    def __init__(self, settings: SslWirelessSettings, tls: ssl.SSLContext | None = None) -> None:
        """Take the account."""
        self._settings = settings
        self._wire = Wire(settings.timeout, tls)

    @property
    def exchange(self) -> timedelta:
        """How long one send may take."""
        return self._settings.timeout

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Send one text."""
        body = {
            "api_token": self._settings.token,
            "sid": self._settings.sender,
            "msisdn": without_plus(number),
            "sms": text,
            "csms_id": key.replace("-", "")[-ID_LENGTH:],
        }
        url = f"{self._settings.url}/api/v3/send-sms"
        found = await self._wire.ask(lambda: Call("POST", url, msgspec.json.encode(body), JSON))
        return found.outcome() if isinstance(found, Lost) else _judge(found)

    async def ask(self, question: Question) -> Fate | None:
        """Know nothing: there is no public interface to ask."""
        del question
        return None

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def _judge(answer: Answer) -> Outcome:
    refusal = answer.refusal()
    if refusal is not None:
        return refusal
    told = answer.json()
    told = told if isinstance(told, dict) else {}
    match told.get("status"):
        case "SUCCESS":
            return Sent(None, answer.status)
        case "FAILED":
            return Refused("refused", status=answer.status)
        case _:
            return Unknown("unexpected-answer", answer.status)
