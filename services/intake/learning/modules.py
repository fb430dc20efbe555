"""The modules as they stand in `content/`: Markdown to read, then questions; pure.

After a line `---` come the questions: `?` asks, `-` is a wrong answer, `+` the right one, `!` says
why.
The languages of a module ask the same, in the same order.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markdown_it import MarkdownIt
from markupsafe import Markup

from shared.errors import InvalidBody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.pages.languages import Language

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answers, which of them is right (from 0), and why."""

    text: str
    answers: tuple[str, ...]
    right: int
    why: str


@dataclass(frozen=True, slots=True)
class Module:
    """A module in one language; it `holds` so many days, and `right` is the share it takes."""

    name: str
    number: int
    holds: int
    right: float
    title: str
    text: Markup
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of some answers: passed or not, and which questions (from 0) were wrong."""

    passed: bool
    wrong: tuple[int, ...]


@cache
def list_modules(language: Language) -> tuple[Module, ...]:
    """Return the modules of a language in their order; HTML in them is no HTML.

    Raises:
        ValueError: a file is not written as above.

    """
    told = tomllib.loads((_HERE / "modules.toml").read_text("utf-8"))
    return tuple(
        _read(name, language, **terms) for name, terms in sorted(told.items(), key=_by_number)
    )


def find_module(language: Language, name: str) -> Module | None:
    """Return a module by its name."""
    return next((one for one in list_modules(language) if one.name == name), None)


def grade(module: Module, answers: Sequence[int | None]) -> Result:
    """Compare answers (numbers from 0; None: not answered) with the right ones.

    Raises:
        InvalidBody: there are not as many answers as questions, or one that is not offered.

    """
    asked = module.questions
    if len(answers) != len(asked) or any(
        given is not None and not 0 <= given < len(question.answers)
        for given, question in zip(answers, asked, strict=False)
    ):
        raise InvalidBody
    wrong = tuple(n for n, given in enumerate(answers) if given != asked[n].right)
    return Result(len(asked) - len(wrong) >= module.right * len(asked), wrong)


def _by_number(item: tuple[str, dict[str, float]]) -> float:
    return item[1]["number"]


def _read(name: str, language: Language, number: int, holds: int, right: float) -> Module:
    file = _HERE / "content" / language / f"{number}-{name}.md"
    text, _, asked = file.read_text("utf-8").partition("\n---\n")
    title, _, text = text.partition("\n")
    rendered = MarkdownIt("commonmark", {"html": False}).render(text)
    return Module(
        name,
        number,
        holds,
        right,
        title.removeprefix("# "),
        Markup(rendered),  # noqa: S704  (our own files, HTML in them escaped)
        tuple(_question(one) for one in asked.split("\n? ")),
    )


def _question(text: str) -> Question:
    first, *lines = text.strip().removeprefix("? ").splitlines()
    offered = [line for line in lines if line.startswith(("- ", "+ "))]
    right = [n for n, line in enumerate(offered) if line.startswith("+ ")]
    why = [line[2:] for line in lines if line.startswith("! ")]
    if len(right) != 1 or len(why) != 1 or len(offered) + 1 != len(lines):
        message = f"not one right answer and one reason: {first}"
        raise ValueError(message)
    return Question(first, tuple(line[2:] for line in offered), right[0], why[0])
