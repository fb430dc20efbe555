"""Whether a text asks for the short notices of awareness, or wants no more of them; pure.

The keyword alone, or the keyword and one place. Whatever says more is a text as any other, and a
person reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from services.intake.reading import read
from services.intake.reading.places import read_places
from shared.gazetteer import list_mentions
from shared.name_index import ADMIN_WORDS
from shared.places import district_of
from shared.text import normalise
from shared.vocabulary import Concern

if TYPE_CHECKING:
    from datetime import date

KEYWORDS: Final = {"খবর চাই": "bn", "khobor chai": "banglish", "news": "en"}
"""Each keyword and the language of its answer. "খবর" alone is also what a report is called: whoever
writes no more than that may have one, and a person reads it."""

MOST: Final = 60
"""Characters of a text that asks; whoever writes more says more than that."""

EXACT: Final = 98
"""How surely the place is named: its name in a known spelling, no likeness."""

_STOPS: Final = frozenset({"stop", "off", "বন্ধ", "বন্দ", "স্টপ", "bondho", "bondo"})
_WORD: Final = re.compile(r"[^\s,]+")


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks for notices: in which `language` the answer is, and of which district if any.

    `notices` is the language of what is sent later: there is no Bangla in Latin letters of it.
    """

    language: str
    district: str | None = None

    @property
    def notices(self) -> Literal["bn", "en"]:
        """The language of the notices."""
        return "en" if self.language == "en" else "bn"


def has_keyword(text: str) -> bool:
    """Say whether a text may be one of these at all; quick, before the places are looked at."""
    return len(text) <= MOST and any(keyword in _plain(text) for keyword in KEYWORDS)


def parse_ask(text: str, today: date) -> Ask | None:
    """Return what a text asks, or None when it is anything else, or says anything more."""
    plain = _plain(text)
    keyword, others = _split(plain)
    if keyword is None or len(plain) > MOST:
        return None
    language = KEYWORDS[keyword]
    if not others:
        return Ask(language)
    district = _district(others, today)
    return Ask(language, district) if district else None


def ends_notices(text: str) -> bool:
    """Say whether a text is the keyword with a word that stops, in either order."""
    plain = _plain(text)
    keyword, others = _split(plain)
    if keyword is not None:
        return others in _STOPS
    first, _, others = plain.partition(" ")
    return first in _STOPS and others in KEYWORDS


def _split(plain: str) -> tuple[str | None, str]:
    """Return the keyword that a text begins with, and what follows it."""
    for keyword in KEYWORDS:
        if plain == keyword or plain.startswith(f"{keyword} "):
            return keyword, plain.removeprefix(keyword).strip()
    return None, plain


def _plain(text: str) -> str:
    return " ".join(normalise(text).strip().rstrip(".।").casefold().split())


def _district(said: str, today: date) -> str | None:
    """Return the district of the one place that these words are, and are nothing but."""
    mentions = list_mentions(said)
    if not mentions or any(one.candidates[0].score < EXACT for one in mentions):
        return None
    rest = said
    for one in reversed(mentions):
        rest = f"{rest[: one.start]} {rest[one.end :]}"
    if any(word not in ADMIN_WORDS for word in _WORD.findall(rest)):
        return None
    heard = read(said, today=today)
    quiet = heard.urgency is None and heard.command is None and heard.age is None
    if not quiet or set(heard.concerns) - {Concern.UNSURE}:
        return None
    place = read_places(said).place
    return district_of(place) if place else None
