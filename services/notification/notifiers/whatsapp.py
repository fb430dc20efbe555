"""`notification.whatsapp`: tells people by WhatsApp when that is the way they said is safe.

What we begin is always a template that Meta has approved: free words are for an answer within 24
hours of what somebody wrote, which the channel itself gives. A template there has the name and the
words of ours, and no place to fill.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.notification.person_notifier import PersonNotifier
from shared.errors import SettingsError
from shared.sms import Asks, Outcome, Refused, Sent, Unknown, without_plus
from shared.sms.gateway import BAD_NUMBER
from shared.sms.making import check_url
from shared.sms.wire import Answer, Call, Lost, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.notification.carrier import Message
    from services.notification.notifiers import Desk, Notifier
    from shared.sms import Fate, Question

GRAPH: Final = "https://graph.facebook.com/v23.0"
JSON: Final = "application/json"

_NO_SUCH_CONTACT: Final = 131026
_BUSY: Final = frozenset({4, 80007, 130429, 131056})
"""Codes of the Cloud API: too much at once, of the account or to this number."""


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """The business account's number and token; `prefix` begins the names of its templates."""

    phone_number_id: str
    token: str = field(repr=False)
    url: str = GRAPH
    prefix: str = ""
    timeout: timedelta = timedelta(seconds=15)


class Cloud:
    """The Cloud API as a carrier."""

    name: Final = "cloud"
    asks: Final = Asks.NOTHING

    def __init__(self, settings: CloudSettings) -> None:
        """Take the account."""
        self._settings = settings
        self._wire = Wire(settings.timeout)

    @property
    def exchange(self) -> timedelta:
        """How long one send may take."""
        return self._settings.timeout

    async def send(self, address: str, message: Message, key: str) -> Outcome:
        """Send a template to a number; our key comes back with each status."""
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": without_plus(address),
            "type": "template",
            "template": {
                "name": f"{self._settings.prefix}{message.template}",
                "language": {"code": message.language},
            },
            "biz_opaque_callback_data": key,
        }
        found = await self._wire.ask(
            lambda: Call(
                "POST",
                f"{self._settings.url}/{self._settings.phone_number_id}/messages",
                msgspec.json.encode(body),
                JSON,
                f"Bearer {self._settings.token}",
            )
        )
        return found.outcome() if isinstance(found, Lost) else _judge(found)

    async def ask(self, question: Question) -> Fate | None:
        """Know nothing: statuses are told, and cannot be asked for."""
        del question
        return None

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def _judge(answer: Answer) -> Outcome:
    told = answer.json()
    told = told if isinstance(told, dict) else {}
    refusal = answer.refusal()
    if refusal is None:
        match told.get("messages"):
            case [{"id": str(reference)}, *_]:
                return Sent(reference, answer.status)
            case _:
                return Unknown("unexpected-answer", answer.status)
    if isinstance(refusal, Refused) and not refusal.again:
        return _refused(told.get("error"), answer)
    return refusal


def _refused(error: Any, answer: Answer) -> Outcome:  # noqa: ANN401  (any JSON value)
    code = error.get("code") if isinstance(error, dict) else None
    if code == _NO_SUCH_CONTACT:
        return Refused(BAD_NUMBER, status=answer.status)
    if isinstance(code, int) and code in _BUSY:
        return Refused("busy", again=True, after=answer.after, status=answer.status)
    return Refused("refused", status=answer.status)


def load_settings(env: Mapping[str, str] | None = None) -> CloudSettings | None:
    """Read the account; None without `WHATSAPP_TOKEN` and `WHATSAPP_PHONE_NUMBER_ID`.

    `WHATSAPP_GRAPH_URL` and `WHATSAPP_TEMPLATE_PREFIX` may be set.

    Raises:
        SettingsError: a variable is wrong.

    """
    source = os.environ if env is None else env
    token, number = source.get("WHATSAPP_TOKEN", ""), source.get("WHATSAPP_PHONE_NUMBER_ID", "")
    if not token or not number:
        return None
    if not (token.isascii() and token.isprintable() and number.isascii() and number.isalnum()):
        raise SettingsError("WHATSAPP_TOKEN or WHATSAPP_PHONE_NUMBER_ID is none")
    url = source.get("WHATSAPP_GRAPH_URL") or GRAPH
    check_url(url, "WHATSAPP_GRAPH_URL")
    return CloudSettings(number, token, url.rstrip("/"), source.get("WHATSAPP_TEMPLATE_PREFIX", ""))


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of WhatsApp."""
    settings = load_settings()
    return PersonNotifier(desk, "whatsapp", None if settings is None else Cloud(settings))
