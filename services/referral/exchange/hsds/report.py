"""What is wrong with a package, by file, row and field, in words; the input is never echoed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_NAMED: Final = 200
"""Problems that a report names; it counts all of them."""

MOST_KINDS: Final = 500
"""Different notes that a report holds."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something stands: a file and its row (from 1, the heads are row 1), or a JSON path."""

    file: str = ""
    row: int | None = None
    path: str = ""

    def within(self, part: str) -> Spot:
        """Return a spot deeper in the same document."""
        return Spot(self.file, self.row, f"{self.path}/{part}")

    def told(self) -> dict[str, Any]:
        """Return it for a report, without what does not apply."""
        members = {"file": self.file, "row": self.row, "path": self.path}
        return {name: value for name, value in members.items() if value not in ("", None)}


@cache
def rules() -> Mapping[str, Mapping[str, str]]:
    """Return the words of each rule: what is `wrong`, what is `expected`."""
    return tomllib.loads(Path(__file__).with_name("rules.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that keeps a package from being taken."""

    spot: Spot
    field: str
    rule: str
    expected: str = ""

    def told(self) -> dict[str, Any]:
        """Return it as a report shows it."""
        words = rules()[self.rule]
        return {
            **self.spot.told(),
            "field": self.field,
            "rule": self.rule,
            "wrong": words["wrong"],
            "expected": self.expected or words["expected"],
        }


@dataclass(slots=True)
class Note:
    """What a person should know and is no error: how often it was seen, and where first."""

    first: Spot
    count: int = 0


@dataclass(slots=True)
class Report:
    """All problems counted, the first ones named; notes counted by field and rule."""

    count: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: dict[tuple[str, str], Note] = field(default_factory=dict)

    def add(self, spot: Spot, name: str, rule: str, expected: str = "") -> None:
        """Keep a problem."""
        self.count += 1
        if len(self.problems) < MOST_NAMED:
            self.problems.append(Problem(spot, name, rule, expected))

    def note(self, spot: Spot, name: str, rule: str) -> None:
        """Count what is no error."""
        if (name, rule) in self.notes or len(self.notes) < MOST_KINDS:
            self.notes.setdefault((name, rule), Note(spot)).count += 1

    def told(self) -> dict[str, Any]:
        """Return it as JSON values."""
        notes = [
            {
                "field": name,
                "rule": rule,
                "what": rules()[rule]["wrong"],
                "then": rules()[rule]["expected"],
                "count": note.count,
                "first": note.first.told(),
            }
            for (name, rule), note in self.notes.items()
        ]
        problems = [problem.told() for problem in self.problems]
        return {"problem_count": self.count, "problems": problems, "notes": notes}
