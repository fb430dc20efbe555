"""The conversation as data: read from `talk.toml`, and refused when it would not do."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE: Final = Path(__file__).with_name("talk.toml")
LANGUAGES: Final = ("bn", "en")

Fills = Literal["danger_now", "reporter", "age", "place", "call_back", "words", "note"]


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text in both languages; `banglish` is Bangla in Latin letters, where a text needs it."""

    bn: str
    en: str
    banglish: str = ""

    def of(self, language: str) -> str:
        """Return the text in a language; Bangla for any other than English."""
        if language == "banglish" and self.banglish:
            return self.banglish
        return self.en if language == "en" else self.bn


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer by a digit; `value` is what the report gets."""

    digit: str
    bn: str
    en: str
    value: str = ""

    def of(self, language: str) -> str:
        """Return the answer's words in a language."""
        return self.en if language == "en" else self.bn


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One question; without `answers` it is answered in own words. `sms` is how a text asks it."""

    id: str
    bn: str
    en: str
    fills: Fills = "note"
    answers: tuple[Option, ...] = ()
    say_bn: str = ""
    say_en: str = ""
    sms: Words | None = None

    def of(self, language: str, *, spoken: bool = False) -> str:
        """Return the question in a language, as it is read or as it is said."""
        said = self.say_en if language == "en" else self.say_bn
        return said if spoken and said else (self.en if language == "en" else self.bn)


class StartDigits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digits of the first screen."""

    bangla: str
    english: str
    go_on: str
    number: str


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first screen, a line for each digit."""

    digits: StartDigits
    bn: str
    en: str
    go_on: str
    number: str


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole conversation."""

    start: Start
    unsure: Option
    unsaid: Option
    question: tuple[Question, ...]
    says: dict[str, Words]

    def say(self, name: str, language: str, **filled: str) -> str:
        """Return a text that is no question, filled in."""
        return self.says[name].of(language).format(**filled)

    def filling(self, fills: Fills) -> Question | None:
        """Return the question that fills this, or None when it is not asked."""
        return next((one for one in self.question if one.fills == fills), None)

    def text(self, fills: Sequence[Fills], language: str) -> str:
        """Return the text of an SMS that says "received", and asks what fills these."""
        asked = [one.sms.of(language) for one in map(self.filling, fills) if one and one.sms]
        return " ".join((self.say("received", language), *asked))


def parse_definition(text: str) -> Definition:
    """Read a conversation.

    Raises:
        ValueError: two questions or two answers are alike, or a text is empty.
        msgspec.ValidationError, tomllib.TOMLDecodeError: the text is not what it should be.

    """
    made = msgspec.convert(tomllib.loads(text), Definition)
    ids = [question.id for question in made.question]
    filled = [question.fills for question in made.question if question.fills != "note"]
    for question in made.question:
        digits = [a.digit for a in (*question.answers, made.unsure, made.unsaid)]
        if len(set(digits)) != len(digits) or not all(len(d) == 1 and d.isdigit() for d in digits):
            message = f"the answers to {question.id} need a digit of their own each"
            raise ValueError(message)
    if len(set(ids)) != len(ids) or len(set(filled)) != len(filled):
        message = "two questions have one id, or fill the same"
        raise ValueError(message)
    said: list[Words | Option | Question] = [made.unsure, made.unsaid, *made.says.values()]
    for question in made.question:
        said += [question, *question.answers]
    texts = [one.of(language) for one in said for language in LANGUAGES]
    if not all(text.strip() for text in texts):
        message = "a text is empty in one of the languages"
        raise ValueError(message)
    return made


@cache
def load_definition() -> Definition:
    """Return the conversation that comes with the centre."""
    return parse_definition(FILE.read_text("utf-8"))
