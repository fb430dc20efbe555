"""`notification.voice`: calls whoever is on duty with one recorded line, by Twilio.

The line is a recording for each template and language (`VOICE_LINES_URL/bn/look_now.mp3`), or read
out by the gateway when there is none. It says no more than the text does. Whether somebody listened
is no claim of the page: the next one is called when nobody takes it.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from services.notification.person_notifier import PersonNotifier
from shared.errors import SettingsError
from shared.sms import Asks, Outcome, Refused, Sent, Unknown
from shared.sms.making import check_url
from shared.sms.twilio import FORM, URL, fault_of
from shared.sms.wire import Answer, Call, Lost, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.notification.carrier import Message
    from services.notification.notifiers import Desk, Notifier
    from shared.sms import Fate, Question

RING: Final = 40
"""Seconds that it rings."""

_VOICES: Final = {"bn": "bn-IN", "en": "en-GB"}
_FAILED: Final = ("busy", "failed", "no-answer", "canceled")


@dataclass(frozen=True, slots=True)
class CallSettings:
    """An account of Twilio's and the number it calls from; `lines` is where recordings are."""

    account: str
    token: str = field(repr=False)
    number: str
    lines: str = ""
    url: str = URL
    timeout: timedelta = timedelta(seconds=15)


class TwilioCall:
    """Twilio's Calls resource as a carrier."""

    name: Final = "twilio"
    asks: Final = Asks.NOTHING

    def __init__(self, settings: CallSettings, callback: str) -> None:
        """Take the account, and where the end of a call is told (with `?notice=` behind)."""
        self._settings = settings
        self._callback = callback
        self._wire = Wire(settings.timeout)
        account = f"{settings.account}:{settings.token}".encode()
        self._authorization = "Basic " + base64.b64encode(account).decode("ascii")

    @property
    def exchange(self) -> timedelta:
        """How long beginning a call may take."""
        return self._settings.timeout

    async def send(self, address: str, message: Message, key: str) -> Outcome:
        """Begin a call that says the line twice."""
        form = {
            "To": address,
            "From": self._settings.number,
            "Twiml": render_line(self._settings.lines, message),
            "Timeout": str(RING),
            "StatusCallback": f"{self._callback}?notice={key}",
        }
        url = f"{self._settings.url}/2010-04-01/Accounts/{self._settings.account}/Calls.json"
        found = await self._wire.ask(
            lambda: Call("POST", url, urlencode(form).encode(), FORM, self._authorization)
        )
        return found.outcome() if isinstance(found, Lost) else _judge(found)

    async def ask(self, question: Question) -> Fate | None:
        """Know nothing: the end of a call is told."""
        del question
        return None

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def render_line(lines: str, message: Message) -> str:
    """Render what the call says: the recording, or the text."""
    if lines:
        file = quote(f"{message.language}/{message.template}.mp3")
        return f'<Response><Play loop="2">{escape(f"{lines}/{file}")}</Play></Response>'
    voice = _VOICES.get(message.language, "en-GB")
    said = escape(message.text)
    return f'<Response><Say language="{voice}" loop="2">{said}</Say></Response>'


def _judge(answer: Answer) -> Outcome:
    told = answer.json()
    told = told if isinstance(told, dict) else {}
    refusal = answer.refusal()
    if isinstance(refusal, Refused) and not refusal.again:
        return Refused(fault_of(told.get("code"), refusal.reason), status=answer.status)
    if refusal is not None:
        return refusal
    if not isinstance(told.get("sid"), str):
        return Unknown("unexpected-answer", answer.status)
    if told.get("status") in _FAILED:
        return Refused("refused", status=answer.status)
    return Sent(told["sid"], answer.status)


def load_settings(env: Mapping[str, str] | None = None) -> CallSettings | None:
    """Read the account; None without `VOICE_NUMBER`.

    With it `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN` are needed; `VOICE_LINES_URL` and
    `TWILIO_URL` may be set.

    Raises:
        SettingsError: a variable is wrong or missing.

    """
    source = os.environ if env is None else env
    number = source.get("VOICE_NUMBER", "")
    if not number:
        return None
    account, token = source.get("TWILIO_ACCOUNT_SID", ""), source.get("TWILIO_AUTH_TOKEN", "")
    if not account.isalnum() or not account.isascii() or not token:
        raise SettingsError("VOICE_NUMBER needs TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
    url, lines = source.get("TWILIO_URL") or URL, source.get("VOICE_LINES_URL", "")
    check_url(url, "TWILIO_URL")
    if lines:
        check_url(lines, "VOICE_LINES_URL")
    return CallSettings(account, token, number, lines.rstrip("/"), url.rstrip("/"))


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of calls."""
    settings = load_settings()
    carrier = None if settings is None else TwilioCall(settings, f"{desk.callbacks}/twilio")
    return PersonNotifier(desk, "voice", carrier)
