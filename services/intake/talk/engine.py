"""Follows a conversation, purely: from the answers so far to what is asked next.

Whatever was pressed or written, there is a next question or the end; the same answers always lead
to the same. An answer that fits no digit asks the question again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from shared.text import ascii_digits, normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.intake.talk.definition import Definition, Option, Question

UNSURE: Final = "unsure"
UNSAID: Final = "unsaid"

RECORDED: Final = "recorded:"
"""What stands before the address of a recording that answers in own words."""

LONGEST: Final = 5_000
"""Characters of one answer in own words that are kept."""

Stage = Literal["start", "asking", "number", "end"]


@dataclass(frozen=True, slots=True)
class Talk:
    """Where a conversation stands. `given` maps a question's id to its answer.

    `goes_on` says that the earlier conversation is wanted; `number` is what was said as a receipt;
    `said` are words that answered no question.
    """

    stage: Stage
    language: str = "bn"
    question: Question | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    again: bool = False
    goes_on: bool = False
    number: str = ""
    said: tuple[str, ...] = ()

    @property
    def danger(self) -> bool:
        """Whether the first thing to show is who helps at once."""
        return self.given.get("danger_now") == "yes"


def answer_to(question: Question, said: str, definition: Definition) -> str | None:
    """Return what an answer means, or None when it is none of the offered ones."""
    plain = ascii_digits(normalise(said)).strip()
    for option, value in ((definition.unsure, UNSURE), (definition.unsaid, UNSAID)):
        if plain == option.digit:
            return value
    if not question.answers:
        return normalise(said).strip()[:LONGEST] or UNSAID
    return next((a.value for a in question.answers if a.digit == plain), None)


def ask(
    definition: Definition,
    language: str,
    answers: Sequence[str],
    *,
    skip: frozenset[str] = frozenset(),
    known: Mapping[str, str] | None = None,
) -> Talk:
    """Follow the questions in a language; `skip` are kinds that this channel does not ask.

    `known` is what is known without asking (by kind): what is known is not asked again.
    """
    given: dict[str, str] = dict(known or {})
    said: list[str] = []
    waiting = [q for q in definition.question if q.fills not in skip and _key(q) not in given]
    again = False
    for answer in answers:
        if not waiting:
            said.append(answer)
            continue
        meant = answer_to(waiting[0], answer, definition)
        again = meant is None
        if meant is not None:
            given[_key(waiting.pop(0))] = meant
        elif not ascii_digits(answer).strip().isdigit() and answer.strip():
            said.append(normalise(answer).strip()[:LONGEST])
    if not waiting:
        return Talk("end", language, None, given, said=tuple(said))
    return Talk("asking", language, waiting[0], given, again=again, said=tuple(said))


def _key(question: Question) -> str:
    return question.id if question.fills == "note" else question.fills


def follow(
    definition: Definition, answers: Sequence[str], *, skip: frozenset[str] = frozenset()
) -> Talk:
    """Follow a conversation that begins with the first screen (USSD, voice)."""
    digits = definition.start.digits
    for position, answer in enumerate(answers):
        first = ascii_digits(answer).strip()
        rest = answers[position + 1 :]
        if first in (digits.bangla, digits.english):
            return ask(definition, "en" if first == digits.english else "bn", rest, skip=skip)
        if first == digits.go_on:  # nothing earlier is known here: it begins
            return replace(ask(definition, "bn", rest, skip=skip), goes_on=True)
        if first == digits.number:
            number = "".join(ascii_digits(part).strip() for part in rest)
            return Talk("number", "bn", number=number)
    return Talk("start", again=bool(answers))


def options_of(question: Question, definition: Definition) -> tuple[Option, ...]:
    """Return every answer that is offered, the two ways past the question last."""
    return (*question.answers, definition.unsure, definition.unsaid)


_BANGLA: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")


def digits_in(text: str, language: str) -> str:
    """Return a text with its digits as the language writes them."""
    return text if language == "en" else text.translate(_BANGLA)


def screen(talk: Talk, definition: Definition, *, line: str | None = None) -> str:
    """Return what a screen shows: the question and a line for each answer.

    `line` is who helps at once, shown with the question after danger was said.
    """
    if talk.stage == "start":
        start = definition.start
        return f"{start.bn}\n{start.en}\n{start.go_on}\n{start.number}"
    if talk.stage == "number":
        return definition.say("ask_number", talk.language)
    if talk.question is None:
        return definition.say("received", talk.language)
    head = [talk.question.of(talk.language)]
    if line is not None and is_after_danger(talk, definition):
        head.insert(0, definition.say("danger", talk.language, line=line))
    elif talk.again:
        head.insert(0, definition.say("again", talk.language))
    offered = [
        f"{digits_in(option.digit, talk.language)} {option.of(talk.language)}"
        for option in options_of(talk.question, definition)
    ]
    *own, unsure, unsaid = offered
    return digits_in("\n".join((" ".join(head), *own, f"{unsure} {unsaid}")), talk.language)


def is_after_danger(talk: Talk, definition: Definition) -> bool:
    """Say whether danger was told in the answer just before."""
    asked = [_key(question) for question in definition.question]
    if not talk.danger or talk.question is None or "danger_now" not in asked:
        return False
    return asked.index(_key(talk.question)) == asked.index("danger_now") + 1


IN_A_THREAD: Final = frozenset({"call_back", "words"})
"""What is not asked where people write: the words are there, and nobody is called back unasked."""


def thread(
    definition: Definition, messages: Sequence[str], language: str, known: Mapping[str, str]
) -> Talk:
    """Follow a conversation that begins with somebody's own words (WhatsApp).

    `known` is what those words told already, by kind.
    """
    if not messages:
        return Talk("asking", language)
    talk = ask(definition, language, messages[1:], skip=IN_A_THREAD, known=known)
    return replace(talk, said=(messages[0], *talk.said))
