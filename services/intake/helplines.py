"""Lines that anybody can call, and which of them are open now, purely."""

from __future__ import annotations

import tomllib
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from services.intake.casework.rules import rules_on
from shared.clock import DHAKA

_FILE: Final = Path(__file__).with_name("helplines.toml")


class Line(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"begins": "from"}
):
    """One line; `hours` are `HH:MM-HH:MM` in Dhaka, None when nobody knows them."""

    number: str
    bn: str
    en: str
    status: Literal["answers", "silent"]
    instead: tuple[str, ...] = ()
    hours: str | None = None
    begins: date | None = None
    until: date | None = None
    danger: bool = False

    def is_open(self, at: datetime) -> bool:
        """Say whether it is known to answer at a time."""
        here = at.astimezone(DHAKA)
        if self.status != "answers" or self.hours is None or not self.holds_on(here.date()):
            return False
        first, _, last = self.hours.partition("-")
        now = here.strftime("%H:%M")
        if first < last:
            return first <= now < last
        return now >= first or now < last  # over midnight

    def holds_on(self, day: date) -> bool:
        """Say whether there is such a line on a day."""
        return (self.begins is None or self.begins <= day) and (
            self.until is None or day < self.until
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    line: tuple[Line, ...]


def parse_lines(text: str) -> tuple[Line, ...]:
    """Read lines, in the order they are shown.

    Raises:
        msgspec.ValidationError, tomllib.TOMLDecodeError: the text is not what it should be.

    """
    return msgspec.convert(tomllib.loads(text), _File).line


@cache
def load_lines() -> tuple[Line, ...]:
    """Return the lines that come with the centre."""
    return parse_lines(_FILE.read_text("utf-8"))


def help_now(lines: tuple[Line, ...], at: datetime, *, on_duty: bool) -> dict[str, Any]:
    """Return what somebody in danger is shown: whether a person answers here, and open lines.

    Without anybody on duty nothing is promised. A silent line is not shown; its alternates are in
    the list by themselves, if they are open.
    """
    return {
        "on_duty": on_duty,
        "answers_within_minutes": rules_on(at).page_within_minutes if on_duty else None,
        "lines": [
            {"number": line.number, "bn": line.bn, "en": line.en, "danger": line.danger}
            for line in lines
            if line.is_open(at)
        ],
        "lines_without_known_hours": [
            {"number": line.number, "bn": line.bn, "en": line.en}
            for line in lines
            if line.hours is None
            and line.status == "answers"
            and line.holds_on(at.astimezone(DHAKA).date())
        ],
    }
