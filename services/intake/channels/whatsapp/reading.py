"""What WhatsApp's Cloud API posts: read leniently into messages, after its signature held.

A sender is a number, or a business-scoped id (`CC.digits`) in any of the fields where it may stand.
Of a contact only that is read; its name is not.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.channels.sms.inbound import clean
from services.intake.talk.engine import RECORDED
from shared.errors import Forbidden
from shared.text import PhoneInvalid, is_clean, parse_phone

if TYPE_CHECKING:
    from collections.abc import Iterator

MEDIA: Final = ("image", "voice", "audio", "video", "document", "sticker")
MILLISECONDS: Final = 10**11
"""A time above this many seconds was told in milliseconds."""

_SCOPED: Final = re.compile(r"[A-Z]{2}\.[0-9A-Za-z]{1,128}")


@dataclass(frozen=True, slots=True)
class Written:
    """One message. `phone` is in E.164 or empty, `scoped` a business-scoped id or empty.

    `parts` are what it says, each a text or the id of something that was sent; `sent` is in seconds
    since 1970, None when nothing readable was told.
    """

    message_id: str
    phone: str
    scoped: str
    sent: float | None
    parts: tuple[str, ...]

    @property
    def sender(self) -> str:
        """Who wrote, in the form that answers go to; empty when nobody can be answered."""
        return self.phone or self.scoped


def verify(secret: str, signature: str | None, body: bytes) -> None:
    """Verify `X-Hub-Signature-256` over the raw body.

    Raises:
        Forbidden: it is missing or does not fit.

    """
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), (signature or "").encode("utf-8", "replace")):
        raise Forbidden("the signature does not fit")


def read_messages(payload: object) -> list[Written]:
    """Return the messages of a post, as they were sent; statuses and other changes are none."""
    found: list[Written] = []
    for entry in _dicts(_get(payload, "entry")):
        for change in _dicts(_get(entry, "changes")):
            value = _get(change, "value")
            people = list(_dicts(_get(value, "contacts")))
            only = people[0] if len(people) == 1 else {}
            found += [_message(message, only) for message in _dicts(_get(value, "messages"))]
    return sorted(found, key=lambda message: message.sent or 0.0)


def _message(message: dict[str, Any], contact: dict[str, Any]) -> Written:
    ids = [_text(message, "from"), _text(message, "from_user_id")]
    if not any(ids):
        ids = [_text(contact, "wa_id"), _text(contact, "user_id")]
    return Written(
        _text(message, "id")[:200],
        next(filter(None, map(_phone, ids)), ""),
        next((one for one in ids if _SCOPED.fullmatch(one)), ""),
        _time(_text(message, "timestamp")),
        tuple(_parts(message)),
    )


def _parts(message: dict[str, Any]) -> Iterator[str]:
    """Yield what a message says; an empty text when it is of a kind that cannot be read."""
    kind = _text(message, "type")
    inside = _get(message, kind)
    match kind:
        case "text":
            yield clean(_text(inside, "body"))
        case "button":
            yield _chosen(_text(inside, "payload"), _text(inside, "text"))
        case "interactive":
            yield _interactive(inside)
        case "location":
            told = ("latitude", "longitude", "name", "address")
            yield clean(" ".join(filter(None, (_text(inside, name) for name in told))))
        case _ if kind in MEDIA:
            yield f"{RECORDED}whatsapp:{_text(inside, 'id')}"[:200]
            if caption := clean(_text(inside, "caption")):
                yield caption
        case _:
            yield ""


def _interactive(inside: object) -> str:
    kind = _text(inside, "type")
    reply = _get(inside, kind)
    if kind == "nfm_reply":
        return clean(_text(reply, "response_json"))
    return _chosen(_text(reply, "id"), _text(reply, "title"))


def _chosen(key: str, title: str) -> str:
    """Return the digit of an answer that we offered, else what its button said."""
    return key if len(key) == 1 and key.isdigit() else clean(title or key)


def _phone(said: str) -> str | None:
    try:
        return parse_phone(said if said.startswith("+") else f"+{said}")
    except PhoneInvalid:
        return None


def _time(said: str) -> float | None:
    if not said.isascii() or not said.isdigit() or len(said) > len(str(MILLISECONDS)) + 2:
        return None
    seconds = float(said)
    return seconds / 1000 if seconds > MILLISECONDS else seconds


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: object, name: str) -> str:
    found = _get(value, name)
    if isinstance(found, int | float) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str):
        return "" if found is None else clean(msgspec.json.encode(found).decode())
    return found if is_clean(found) else clean(found)


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))
