"""What one row or case of a file comes to, and the words for what was not understood of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from shared.text import is_clean
from shared.vocabulary import Concern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHILD_BELOW: Final = 18
LONGEST: Final = 200
"""Characters of a short text; a longer one stays in the original alone."""

OLDEST: Final = 120
_ISO_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ].*)?")
_ALPHA3: Final = {"BGD": "BD", "IND": "IN", "NPL": "NP", "MMR": "MM", "PAK": "PK", "MYS": "MY"}


@dataclass(frozen=True, slots=True)
class Note:
    """What was not taken over of a row: which field of the format, and by which rule."""

    field: str
    rule: str


class Refused(Exception):  # noqa: N818  (a state of the row, not of the program)
    """A row that cannot be read at all; `rule` says why in one word."""

    def __init__(self, rule: str) -> None:
        """Keep the rule."""
        super().__init__(rule)
        self.rule = rule


@dataclass(slots=True)
class Row:
    """One row as it was read: the report's body, what is noted, and the row itself, whole.

    `pressing`: the sender says that it cannot wait. `line` counts from 1, as an editor shows it.
    """

    line: int
    original: Any
    body: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    pressing: bool = False

    def note(self, name: str, rule: str) -> None:
        """Note once what was not taken over."""
        one = Note(name, rule)
        if one not in self.notes:
            self.notes.append(one)

    def text(self, name: str, value: object) -> str | None:
        """Return a short text, or None for none; one that is too long is noted."""
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not is_clean(value):
            self.note(name, "unknown-value")
            return None
        if len(value) > LONGEST:
            self.note(name, "too-long")
            return None
        return value.strip() or None

    def day(self, name: str, value: object) -> date | None:
        """Return a day written as YYYY-MM-DD (a time may follow); another way is noted."""
        if value is None or value == "":
            return None
        found = _ISO_DATE.fullmatch(str(value).strip())
        try:
            return date(*map(int, found.groups())) if found else _no_date()
        except ValueError:
            self.note(name, "bad-date")
            return None

    def country(self, name: str, value: object) -> str | None:
        """Return an ISO 3166 alpha-2 code; what is none is noted."""
        said = self.text(name, value)
        if said is None:
            return None
        code = _ALPHA3.get(said.upper(), said.upper())
        if not re.fullmatch(r"[A-Z]{2}", code):
            self.note(name, "unknown-value")
            return None
        return code

    def chosen(
        self, name: str, values: Sequence[object], words: Mapping[str, str | None]
    ) -> list[str]:
        """Return our words for codes of the format: unknown ones are noted, and those without."""
        found: list[str] = []
        for value in values:
            key = str(value).strip()
            if key not in words:
                self.note(name, "unknown-value")
            elif (ours := words[key]) is None:
                self.note(name, "no-word-for-it")
            else:
                found.append(ours)
        return list(dict.fromkeys(found))


def _no_date() -> date:
    raise ValueError


def age_on(born: date, today: date) -> int | None:
    """Return an age in whole years; None for a day that no living person was born on."""
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return years if 0 <= years <= OLDEST else None


def trafficking(age: int | None) -> str:
    """Return the concern of a suspicion of trafficking; an unknown age is treated as a child."""
    adult = age is not None and age >= CHILD_BELOW
    return Concern.ADULT_TRAFFICKING if adult else Concern.CHILD_TRAFFICKING
