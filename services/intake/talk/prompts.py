"""What is said by voice: every prompt by name and language, to be recorded or spoken by a machine.

`python -m services.intake.talk.prompts` prints the script for whoever records them;
`… prompts FOLDER` makes placeholders there with espeak-ng, without touching what was recorded.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from services.intake.helplines import load_lines
from services.intake.reporters.status import TEXTS
from services.intake.talk.definition import LANGUAGES, load_definition
from services.intake.talk.engine import digits_in, options_of

if TYPE_CHECKING:
    from services.intake.talk.definition import Definition, Question


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing that is said; `name` and `language` name its recording, `LANGUAGE/NAME.wav`."""

    name: str
    language: str
    text: str

    @property
    def file(self) -> str:
        """Where its recording is, under the folder of recordings."""
        return f"{self.language}/{self.name}.wav"


def of_question(question: Question, definition: Definition, language: str) -> Prompt:
    """Return a question with the digits of its answers, as it is said."""
    offered = [
        definition.say("press", language, text=option.of(language), digit=option.digit)
        for option in options_of(question, definition)
    ]
    said = " ".join((question.of(language, spoken=True), *offered))
    return Prompt(f"question-{question.id}", language, digits_in(said, language))


def of_words(name: str, definition: Definition, language: str) -> Prompt:
    """Return a text that is no question, as it is said; nothing is filled in."""
    said = definition.say(name, language, receipt="", line="")
    return Prompt(name.replace("_", "-"), language, digits_in(said.strip(), language))


def of_danger(line: str, definition: Definition, language: str) -> Prompt:
    """Return who helps at once, digit by digit."""
    said = definition.say("danger", language, line=" ".join(line))
    return Prompt(f"danger-{line}", language, digits_in(said, language))


def of_digits(number: str, language: str) -> list[Prompt]:
    """Return a number digit by digit."""
    digits = (c for c in number if c.isdigit())
    return [Prompt(f"digit-{c}", language, digits_in(c, language)) for c in digits]


def of_answer(text: str, language: str) -> Prompt:
    """Return one of the four answers to a receipt, or that there is no such number."""
    names = {words[language]: f"status-{answer}" for answer, words in TEXTS.items()}
    return Prompt(names.get(text, "no-such-number"), language, text)


@cache
def all_prompts() -> tuple[Prompt, ...]:
    """Return everything that is ever said."""
    definition = load_definition()
    words = ("say_start", "again", "receipt", "say_number", "no_such_number", "silent", "not_now")
    made: list[Prompt] = []
    for language in LANGUAGES:
        made += [of_words(name, definition, language) for name in words]
        made += [of_question(question, definition, language) for question in definition.question]
        made += [of_danger(li.number, definition, language) for li in load_lines() if li.danger]
        made += of_digits("0123456789", language)
        made += [of_answer(words[language], language) for words in TEXTS.values()]
    return tuple(made)


def main(words: list[str]) -> int:
    """Print the script, or make what is missing of it in a folder; 1 without espeak-ng."""
    if not words:
        print("| file | say |\n| --- | --- |")  # noqa: T201  (a command prints)
        for prompt in all_prompts():
            print(f"| `{prompt.file}` | {prompt.text} |")  # noqa: T201  (likewise)
        return 0
    espeak = which("espeak-ng")
    if espeak is None:
        print("espeak-ng is not here: install it, or record the prompts")  # noqa: T201  (likewise)
        return 1
    for prompt in all_prompts():
        file = Path(words[0]) / prompt.file
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            told = [espeak, "-v", prompt.language, "-s", "130", "-w", str(file), "--stdin"]
            subprocess.run(told, input=prompt.text, text=True, check=True)  # noqa: S603  (known program)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
