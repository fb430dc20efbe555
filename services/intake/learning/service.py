"""Learning: answers are graded here, completions come from elsewhere too, sessions carry them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from services.intake.learning import store
from services.intake.learning.modules import find_module, grade, list_modules
from services.intake.learning.store import Passed
from shared.access_rules import load_matrix
from shared.clock import day_of
from shared.errors import InvalidBody, NotFound
from shared.membership import Training

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.intake.learning.modules import Result
    from services.intake.learning.store import Covered
    from shared.access import Caller

SOON: Final = timedelta(days=30)
"""How long before its end a training is said to end."""

SEEN: Final = timedelta(days=180)
"""Whoever has not signed in for longer is not counted any more."""

MOST_LINES: Final = 5_000
"""Lines of a file of completions."""

_COLUMNS: Final = ("subject", "module", "passed_on")
_LONGEST: Final = 64
"""Characters of a pseudonym."""


@dataclass(slots=True)
class Taken:
    """What became of a file of completions; `lines` names each that was refused, and why."""

    taken: int = 0
    refused: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Learning:
    """The use cases of learning."""

    engine: AsyncEngine

    async def arrive(self, caller: Caller, at: datetime) -> list[Training]:
        """Remember who signs in; return the training that their session carries."""
        async with self.engine.begin() as conn:
            await store.note(conn, caller, at)
            held = await store.held(conn, caller.subject)
        today = day_of(at)
        return [Training(one.module, one.until) for one in held if one.until >= today]

    async def held(self, caller: Caller) -> list[Passed]:
        """Return what the caller passed, also what has ended."""
        async with self.engine.connect() as conn:
            return await store.held(conn, caller.subject)

    async def answer(
        self, caller: Caller, name: str, answers: Sequence[int | None], at: datetime
    ) -> Result:
        """Grade answers, and keep a module that was passed.

        Raises:
            NotFound: there is no such module. InvalidBody: the answers do not fit its questions.

        """
        module = find_module("bn", name)
        if module is None:
            raise NotFound
        result = grade(module, answers)
        if result.passed:
            today = day_of(at)
            until = today + timedelta(days=module.holds)
            async with self.engine.begin() as conn:
                await store.keep(conn, [Passed(caller.subject, name, today, until)])
        return result

    async def take(self, text: str, caller: Caller, at: datetime) -> Taken:
        """Take completions of another platform: CSV with `subject`, `module`, `passed_on`.

        Raises:
            InvalidBody: the first line does not name these columns, or there are too many lines.

        """
        told = Taken()
        today, passed = day_of(at), []
        for line, row in enumerate(_rows(text), 2):
            found = _completion(row, today, caller.actor)
            if isinstance(found, Passed):
                passed.append(found)
                told.taken += 1
            else:
                told.refused += 1
                told.lines.append({"line": line, "rule": found})
        async with self.engine.begin() as conn:
            await store.keep(conn, passed)
        return told

    async def coverage(self, at: datetime) -> list[Covered]:
        """Count, by organisation and place, who has the training that the role needs."""
        today = day_of(at)
        async with self.engine.connect() as conn:
            needed = dict(load_matrix()["training"])
            return await store.cover(conn, needed, at - SEEN, today, today + SOON)


def _rows(text: str) -> list[dict[str, str | None]]:
    lines = io.StringIO(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"), newline="")
    reader = csv.DictReader(lines)
    try:
        heads, rows = set(reader.fieldnames or ()), list(reader)
    except csv.Error:
        raise InvalidBody("the table is not readable as CSV") from None
    if not set(_COLUMNS) <= heads:
        named = [{"field": "header", "rule": "missing-column"}]
        raise InvalidBody("the first line must name " + ", ".join(_COLUMNS), errors=named)
    if len(rows) > MOST_LINES:
        message = f"at most {MOST_LINES} lines at once"
        raise InvalidBody(message)
    return rows


def _completion(row: dict[str, str | None], today: date, by: str) -> Passed | str:
    """Return a completion, or the rule that the line breaks."""
    subject, module, day = ((row[name] or "").strip() for name in _COLUMNS)
    known = next((one for one in list_modules("bn") if one.name == module), None)
    if not subject or len(subject) > _LONGEST or not subject.isprintable():
        return "subject"
    if known is None:
        return "unknown-module"
    try:
        passed = date.fromisoformat(day)
    except ValueError:
        return "date"
    if passed > today:
        return "in-the-future"
    return Passed(subject, module, passed, passed + timedelta(days=known.holds), by)
