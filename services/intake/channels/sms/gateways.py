"""How gateways tell of a text: each a function from query and form to one inbound message.

`external` is RapidPro's External: `from` or `sender`, `text`, `date` or `time`, as form or query.
`twilio` is Twilio's form, signed over the public URL and the fields.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from shared.errors import Forbidden, InvalidBody
from shared.text import PhoneInvalid, ascii_digits, normalise, parse_phone

MAX_TEXT: Final = 20_000
"""Characters of a text that are kept; the longest concatenated SMS has 39,015."""

NATIONAL: Final = 10
"""Digits of a number of Bangladesh without its prefix."""

_FROM: Final = ("from", "sender", "msisdn")
_TEXT: Final = ("text", "message", "body")
_TIME: Final = ("date", "time", "received_at")
_ID: Final = ("id", "message_id", "uuid")
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])(?:880|0)1[3-9][0-9]{8}(?![0-9A-Za-z])")
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4}){16,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@dataclass(frozen=True, slots=True)
class Inbound:
    """One text as a gateway told of it. `message_id` and `time` are empty when it told none."""

    sender: str
    text: str
    message_id: str = ""
    time: str = ""

    @property
    def own_id(self) -> str | None:
        """The gateway's id as it may be kept in clear; None when it is made of a number."""
        said = ascii_digits(self.message_id)
        sender = "".join(filter(str.isdigit, ascii_digits(self.sender)))[-NATIONAL:]
        if _NUMBER.search(said) or (len(sender) == NATIONAL and sender in said):
            return None
        return self.message_id or None

    @property
    def number(self) -> str | None:
        """The sender in E.164, or None when it is no number that could be answered."""
        try:
            return parse_phone(self.sender)
        except PhoneInvalid:
            return None


def _decode(raw: bytes) -> str:
    """Decode bytes that a phone sent: UTF-8, else Latin-1, which reads anything."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return codecs.decode(raw, "latin-1")


def pairs(part: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form or query in their order, decoded as far as they can be."""
    found = parse_qsl(
        part.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=100
    )
    return [(name, _decode(value.encode("latin-1"))) for name, value in found]


def clean(text: str) -> str:
    """Return a text without control characters, in NFC, cut to what is kept."""
    kept = "".join(c for c in text if c in "\n\t" or (c >= " " and not "\ud800" <= c <= "\udfff"))
    return normalise(kept)[:MAX_TEXT]


def read_external(query: bytes, body: bytes) -> Inbound:
    """Read a RapidPro External message from query and form; later fields win.

    Raises:
        InvalidBody: neither sender nor text is there.

    """
    fields = {name.lower(): value for part in (query, body) for name, value in pairs(part)}

    def one(names: tuple[str, ...]) -> str:
        return next((fields[name] for name in names if name in fields), "")

    sender = one(_FROM)
    if not sender and not any(name in fields for name in _TEXT):
        message = "neither a sender nor a text was sent"
        raise InvalidBody(message)
    return Inbound(clean(sender)[:200], clean(one(_TEXT)), one(_ID), one(_TIME))


def sign_twilio(token: str, url: str, fields: list[tuple[str, str]]) -> str:
    """Return Twilio's signature: HMAC-SHA1 over the public URL and the sorted fields."""
    told = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(token.encode(), told.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def verified_twilio(token: str, url: str, signature: str | None, body: bytes) -> dict[str, str]:
    """Verify a Twilio form over the raw body and return its fields.

    Raises:
        Forbidden: the signature is missing or does not fit.

    """
    told = pairs(body)
    expected = sign_twilio(token, url, told).encode()
    if not hmac.compare_digest(expected, (signature or "").encode("utf-8", "replace")):
        raise Forbidden("the signature does not fit")
    return dict(told)


def read_twilio(token: str, url: str, signature: str | None, body: bytes) -> Inbound:
    """Verify a Twilio form over the raw body and read it.

    Raises:
        Forbidden: the signature is missing or does not fit. InvalidBody: no `MessageSid`.

    """
    fields = verified_twilio(token, url, signature, body)
    if not fields.get("MessageSid"):
        message = "there is no MessageSid"
        raise InvalidBody(message)
    text = _plain(fields.get("Body", ""))
    return Inbound(clean(fields.get("From", ""))[:200], clean(text), fields["MessageSid"])


def _plain(text: str) -> str:
    """Return a long text that came as base64 (as Twilio may send it) in plain letters."""
    if not _BASE64.fullmatch(text):
        return text
    try:
        plain = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return text
    return plain if " " in plain else text
