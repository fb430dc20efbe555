"""One text as a gateway told of it, and how bytes of any kind become its letters. Pure.

Whatever comes is read: UTF-8, else Latin-1; a long text in base64 as it was written. A text in
the letters of SutonnyMJ (Bijoy) stays as it is, and is marked: those letters are Latin-1 signs that
only a person with the font can read.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from services.intake.preparing import own_id
from shared.text import PhoneInvalid, ascii_digits, normalise, parse_phone

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT: Final = 20_000
"""Characters of a text that are kept; the longest concatenated SMS has 39,015."""

MAX_NAME: Final = 200
"""Characters of a sender that are kept: a number, or a word such as a company's name."""

NATIONAL: Final = 10
"""Digits of a number of Bangladesh without its prefix."""

BIJOY: Final = "SutonnyMJ"
"""The mark of a text in the letters of this font."""

_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4}){16,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_BANGLA: Final = re.compile("[\u0980-\u09ff]")
_BIJOY_WORD: Final = re.compile("[A-Za-z`|&^~‡†‰Š\u00a0-\u00ff\u2013-\u2122]{2,}")
_BIJOY_SIGN: Final = re.compile("[†‡‰Š©¨ªÖ¯Í¶—Ë•š›œžŸ¤§¢£¥¦«¬®°±²³´µ·¸¹º»¼½¾¿Ñ–˜™Ó]")
_BIJOY_LEAST: Final = 0.4
"""Of the words, how many hold such a sign in a text of that font; in no other language so many."""
_MILLIS: Final = 100_000_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a longer text this is, counted from 1, as the gateway says."""

    reference: str
    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Inbound:
    """One text as a gateway told of it. `message_id` and `time` are empty when it told none.

    `refs` are what else must not be lost, by a short name: where a picture lies, a mark.
    """

    sender: str
    text: str
    message_id: str = ""
    time: str = ""
    written_at: datetime | None = None
    part: Part | None = None
    refs: tuple[tuple[str, str], ...] = ()

    @property
    def own_id(self) -> str | None:
        """The gateway's id as it may be kept in clear; None when it holds a number or words."""
        sender = "".join(filter(str.isdigit, ascii_digits(self.sender)))[-NATIONAL:]
        if len(sender) == NATIONAL and sender in self.message_id:
            return None
        return own_id(self.message_id)

    @property
    def number(self) -> str | None:
        """The sender in E.164, or None when it is no number that could be answered."""
        try:
            return parse_phone(self.sender)
        except PhoneInvalid:
            return None


def make_inbound(
    sender: object,
    text: object,
    message_id: object = "",
    time: object = "",
    *,
    zone: tzinfo = UTC,
    formats: tuple[str, ...] = (),
    part: Part | None = None,
    refs: tuple[tuple[str, str], ...] = (),
) -> Inbound:
    """Make one text of what a gateway told, whatever types its fields have."""
    said = clean(plain_of(_word(text)))
    marks = (("encoding", BIJOY),) if is_bijoy(said) else ()
    when = clean(_word(time)).strip()
    return Inbound(
        sender=clean(_word(sender))[:MAX_NAME],
        text=said,
        message_id=clean(_word(message_id))[:MAX_NAME],
        time=when[:MAX_NAME],
        written_at=read_time(when, zone, formats),
        part=part,
        refs=(*((system, clean(value)) for system, value in refs), *marks),
    )


def _word(value: object) -> str:
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return str(value)


def decode(raw: bytes) -> str:
    """Decode bytes that a phone sent: UTF-8, else Latin-1, which reads anything."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return codecs.decode(raw, "latin-1")


def pairs_of(form: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form or query in their order, empty ones too.

    Raises:
        ValueError: they are more than a hundred.

    """
    found = parse_qsl(
        form.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=100
    )
    return [(decode(name.encode("latin-1")), decode(v.encode("latin-1"))) for name, v in found]


def clean(text: str) -> str:
    """Return a text without control characters, in NFC, cut to what is kept."""
    kept = "".join(c for c in text if c in "\n\t" or (c >= " " and not "\ud800" <= c <= "\udfff"))
    return normalise(kept)[:MAX_TEXT]


def plain_of(text: str) -> str:
    """Return a long text that came as base64 in plain letters, and any other as it is."""
    if not _BASE64.fullmatch(text):
        return text
    try:
        plain = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return text
    return plain if " " in plain or _BANGLA.search(plain) else text


def is_bijoy(text: str) -> bool:
    """Tell whether a text is in the letters of SutonnyMJ: Latin letters, full of odd signs."""
    if _BANGLA.search(text):
        return False
    words = _BIJOY_WORD.findall(text)
    odd = sum(bool(_BIJOY_SIGN.search(word)) for word in words)
    return len(words) > 1 and odd >= _BIJOY_LEAST * len(words)


def read_time(said: str, zone: tzinfo = UTC, formats: tuple[str, ...] = ()) -> datetime | None:
    """Read when a text was written: these formats (`strptime`), RFC 3339 and what is near it.

    An offset may lack its colon; a time without one is of `zone`; a plain number is seconds since
    1970, or milliseconds when it is that large. None when it is nothing of that.
    """
    plain = ascii_digits(said).strip()
    found: datetime | None = None
    for form in formats:
        try:
            found = datetime.strptime(plain, form)  # noqa: DTZ007  (the zone is added below)
            break
        except ValueError:
            continue
    try:
        if found is None and plain.isdecimal():
            number = int(plain[:20])
            found = datetime.fromtimestamp(number / (1000 if number > _MILLIS else 1), UTC)
        if found is None:
            found = datetime.fromisoformat(plain)
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone)
        return found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def first_of(fields: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first of these fields that is there; empty when none is."""
    return next((fields[name] for name in names if name in fields), "")
