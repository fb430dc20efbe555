"""Text at the edge: one normal form, digits, telephone numbers and the language of a message.

Bangla text is NFC everywhere, once, here (ড় ঢ় য় decompose in NFC, and that is right). Nothing in
this module raises on a text, however strange; `parse_phone` refuses, without an echo.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import ClassVar, Final, Literal

from shared.errors import Problem

Language = Literal["bn", "banglish", "en", ""]

# Zero width space, word joiner, byte order mark, soft hyphen, direction marks and isolates.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]",
)
# The joiners mean something in Bangla (র‍্যাব) and in emoji; after ASCII or another joiner they do
# not.
_IDLE_JOINER: Final = re.compile("(?:^|(?<=[\x00-\x7f\u200c\u200d]))[\u200c\u200d]")
# Bangla and ASCII, by far the most of what comes, is NFC once ড় ঢ় য় are in two parts and none of
# these pairs occurs: vowel signs that compose, and a hasanta before a nukta. The sign ৾ is beyond.
_BEYOND: Final = re.compile("[^\x00-\x7f\u0964\u0965\u0980-\u09fd]")
_NUKTA: Final = (("\u09dc", "\u09a1\u09bc"), ("\u09dd", "\u09a2\u09bc"), ("\u09df", "\u09af\u09bc"))
_UNORDERED: Final = ("\u09c7\u09be", "\u09c7\u09d7", "\u09cd\u09bc")
_DIGIT: Final = re.compile(r"\d")
_UNCLEAN: Final = re.compile("[\x00\ud800-\udfff]")

_SEPARATORS: Final = re.compile("[\\s().\\-\u2010-\u2015\u2212/]+")
_BANGLADESH: Final = re.compile(r"(?:\+|00)?(?:880)?0?(1[3-9]\d{8})")
_ABROAD: Final = re.compile(r"\+(?!880)[1-9]\d{7,14}")

_BANGLA_LETTER: Final = re.compile("[\u0980-\u09e3\u09f0\u09f1\u09fc]")
_BANGLA_DIGIT: Final = re.compile("[০-৯]")
_LATIN_WORD: Final = re.compile(r"[A-Za-z]+")
_LATIN_MANY: Final = 2
# Endings of Bangla verbs and cases in Latin letters that hardly an English word has.
_BANGLISH_ENDING: Final = re.compile(
    r"..(?:tese|tase|teche|tache|chhe|cchi|cche|chche|echi|eche|yeche|esi|tesi|techi|tachi|achi"
    r"|aisi|aise|iase|chilo|silo|chila|bena|beno|derke|guli|gula|tare|keo|iya|aiya|aye|oya|aya)$",
)
_WORDS: Final = Path(__file__).parent / "data" / "words.csv"
_READ: Final = 4_000  # characters that tell the language; a longer text tells no more


class PhoneInvalid(Problem):
    """The text is not a telephone number we can use: ask again, nothing is echoed."""

    slug: ClassVar[str] = "phone-invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "This is not a telephone number that can be used"


def normalise(text: str) -> str:
    """Return the text in NFC, without invisible characters; idempotent.

    ZWJ and ZWNJ stay where they shape a Bangla letter or an emoji. Nothing else is dropped, so a
    control character or a lone surrogate is still there for `is_clean` to find.
    """
    if text.isascii():
        return text
    for whole, parts in _NUKTA:
        text = text.replace(whole, parts)
    if _BEYOND.search(text) is None and not any(pair in text for pair in _UNORDERED):
        return text
    composed = unicodedata.normalize("NFC", text)
    visible = _IDLE_JOINER.sub("", _INVISIBLE.sub("", composed))
    return composed if visible == composed else unicodedata.normalize("NFC", visible)


def is_clean(text: str) -> bool:
    """Tell whether the text can be stored and sent: no NUL and no lone surrogate."""
    return _UNCLEAN.search(text) is None


def ascii_digits(text: str) -> str:
    """Return the text with every decimal digit of Unicode (০–৯, ०–९, ٠–٩ …) in ASCII."""
    if text.isascii():
        return text
    return _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def parse_whole(text: str, most: int) -> int | None:
    """Return the number that ASCII digits say; None for anything else, or one above `most`.

    Python refuses to read thousands of digits as a number; whoever sends them is refused as well.
    """
    if not text.isascii() or not text.isdigit():
        return None
    digits = text.lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(most)) else most + 1
    return number if number <= most else None


def parse_phone(text: str) -> str:
    """Return the number in E.164, or raise `PhoneInvalid`.

    Bangladesh: `+8801[3-9]XXXXXXXX`, written with or without `+`, `00`, `880`, the trunk `0`, in
    Bangla digits, with spaces, dashes, dots or brackets; 011 is dead and the rest of the plan are
    landlines and short codes. Elsewhere: `+` and 8–15 digits, as they are.
    """
    compact = _SEPARATORS.sub("", ascii_digits(normalise(text)))
    if home := _BANGLADESH.fullmatch(compact):
        written = compact[: home.start(1)]
        if written not in ("", "+", "00", "+0", "000"):  # no country code and no trunk 0
            return f"+880{home[1]}"
    elif _ABROAD.fullmatch(compact):
        return compact
    raise PhoneInvalid


def detect_language(text: str) -> Language:
    """Tell Bangla, Bangla in Latin letters, English, or `""` when there is no word of them."""
    head = text[:_READ]
    bangla = len(_BANGLA_LETTER.findall(head))
    words = [word.lower() for word in _LATIN_WORD.findall(head)]
    latin = sum(map(len, words))
    if bangla and bangla * _LATIN_MANY >= latin:
        return "bn"
    if not words:
        return "bn" if _BANGLA_DIGIT.search(head) else ""
    banglish = sum(_weight_of_banglish(word) for word in words)
    english = sum(word in words_of("en") for word in words)
    return "banglish" if banglish > english else "en"


@cache
def words_of(language: str) -> frozenset[str]:
    """Return frequent words of `bn`, `banglish`, `en`, or `common` to tell from names of places."""
    with _WORDS.open(encoding="utf-8", newline="") as file:
        return frozenset(row["word"] for row in csv.DictReader(file) if row["language"] == language)


def _weight_of_banglish(word: str) -> float:
    if word in words_of("banglish"):
        return 1.0
    if word in words_of("en"):
        return 0.0
    return 0.6 if _BANGLISH_ENDING.search(word) else 0.0
