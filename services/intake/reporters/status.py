"""The four answers to a receipt, purely."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from services.intake.talk.definition import LANGUAGES, load_definition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Answer(StrEnum):
    """All that a receipt ever reveals."""

    RECEIVED = "received"
    LOOKED_AT = "looked_at"
    QUESTION = "question"
    ENDED = "ended"


TEXTS: Final[Mapping[Answer, Mapping[str, str]]] = {
    answer: {one: load_definition().say(f"status_{answer}", one) for one in LANGUAGES}
    for answer in Answer
}
"""The words of each answer in both languages, as every channel says them."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a report: `way` is `in` (from the reporter) or `out`; `kind` what it is."""

    way: str
    kind: str


def answer_of(*, seen: bool, said: Sequence[Said]) -> Answer:
    """Return the answer, from what people did about the report itself; `said` is oldest first."""
    last = next((message for message in reversed(said) if message.kind != "feedback"), None)
    if last is not None and last.kind == "end":
        return Answer.ENDED
    if last is not None and last.kind == "question":
        return Answer.QUESTION
    return Answer.LOOKED_AT if seen else Answer.RECEIVED
