"""The four answers to a receipt, purely."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Answer(StrEnum):
    """All that a receipt ever reveals."""

    RECEIVED = "received"
    LOOKED_AT = "looked_at"
    QUESTION = "question"
    ENDED = "ended"


TEXTS: Final[Mapping[Answer, Mapping[str, str]]] = {
    Answer.RECEIVED: {"bn": "পেয়েছি", "en": "Received"},
    Answer.LOOKED_AT: {"bn": "দেখা হচ্ছে", "en": "Being looked at"},
    Answer.QUESTION: {"bn": "আপনার জন্য একটি প্রশ্ন আছে", "en": "There is a question for you"},
    Answer.ENDED: {
        "bn": "এখন শেষ; আবার লিখতে পারেন",
        "en": "Ended for now; you can write again",
    },
}
"""The words of each answer (PRODUCT, Words on screens)."""


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
