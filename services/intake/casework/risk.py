"""Risk by a readable, dated instrument, purely: answers in, a level with its reasons out."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from shared.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE: Final = Path(__file__).with_name("risk.toml")

Said = Literal["yes", "no", "unknown"]


class Risk(StrEnum):
    """How great the risk is, as a person assessed it."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


_ORDER: Final = (Risk.LOW, Risk.MEDIUM, Risk.HIGH)


class RiskRefused(Problem):
    """The assessment cannot be taken; `rule` says why."""

    slug, status, title = "risk-refused", 422, "This assessment cannot be taken"


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One question in both languages, and what an answer stands for; no always stands for low."""

    key: str
    en: str
    bn: str
    yes: Risk
    unknown: Risk

    def level(self, said: Said) -> Risk:
        """Return the level that an answer stands for."""
        return {"yes": self.yes, "unknown": self.unknown}.get(said, Risk.LOW)


class Instrument(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"begins": "from"}
):
    """A list of questions with the days it holds; `until` is the first day it no longer does."""

    key: str
    en: str
    bn: str
    begins: date
    until: date | None = None
    question: tuple[Question, ...]

    def holds_on(self, day: date) -> bool:
        """Say whether it may be used on a day."""
        return self.begins <= day and (self.until is None or day < self.until)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    instrument: tuple[Instrument, ...]


def parse_instruments(text: str) -> dict[str, Instrument]:
    """Read instruments by key.

    Raises:
        msgspec.ValidationError, tomllib.TOMLDecodeError: the text is not what it should be.

    """
    return {i.key: i for i in msgspec.convert(tomllib.loads(text), _File).instrument}


@cache
def load_instruments() -> dict[str, Instrument]:
    """Return the instruments that come with the centre."""
    return parse_instruments(_FILE.read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Assessed:
    """A level with the questions that gave it; `lowered`: a person set it below the instrument."""

    risk: Risk
    reasons: tuple[str, ...]
    instrument: str
    lowered: bool = False


def assess(
    instruments: Mapping[str, Instrument],
    key: str,
    answers: Mapping[str, Said],
    day: date,
    *,
    chosen: Risk | None = None,
    reasoned: bool = False,
) -> Assessed:
    """Return the level by an instrument; a person may raise it, and lower it only with a reason.

    A question that was not answered is unknown.

    Raises:
        RiskRefused: no such instrument holds on that day (`instrument`), an answer is to no
            question of it (`question`), or it was lowered without a reason (`reason`).

    """
    instrument = instruments.get(key)
    if instrument is None or not instrument.holds_on(day):
        raise RiskRefused(None, rule="instrument")
    if answers.keys() - {q.key for q in instrument.question}:
        raise RiskRefused(None, rule="question")
    levels = {q.key: q.level(answers.get(q.key, "unknown")) for q in instrument.question}
    found = max(levels.values(), key=_ORDER.index)
    reasons = tuple(k for k, level in levels.items() if level is found and found is not Risk.LOW)
    risk = chosen or found
    lowered = _ORDER.index(risk) < _ORDER.index(found)
    if lowered and not reasoned:
        raise RiskRefused("a level below the instrument's needs a reason", rule="reason")
    return Assessed(risk, reasons, key, lowered)
