"""The numbers of case work that hold on a day, purely: the sets of `casework.toml`."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from shared.clock import DHAKA, day_of

_FILE: Final = Path(__file__).with_name("casework.toml")


class Night(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begins": "from"}):
    """Hours of the clock in Dhaka between which it is night."""

    begins: int
    until: int


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of something are taken without a word, and over how many it is refused."""

    warn: int
    refuse: int


class Exposure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which concerns make a case heavy, and how many such one person takes on."""

    concerns: tuple[str, ...]
    day: Limit
    week: Limit


class Rules(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"begins": "from"}
):
    """One set of numbers; `until` is the first day on which it no longer holds."""

    begins: date
    until: date | None = None
    open_cases_warning: int
    review_every_days: int
    check_after_closing_days: int
    page_within_minutes: int
    alternates: int
    before_person_minutes: dict[str, int]
    debrief_after_hours: int
    told_beside: dict[str, tuple[Literal["supervisor", "district_focal_person"], ...]] = {}
    digest_hours: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    night: Night
    follow_up_days: dict[str, int]
    exposure: Exposure

    def follow_up(self, risk: str | None) -> timedelta:
        """Return how soon somebody looks again; a risk that nobody assessed counts as high."""
        return timedelta(days=self.follow_up_days.get(risk or "high", self.follow_up_days["high"]))

    @property
    def review(self) -> timedelta:
        """How often a case is reviewed."""
        return timedelta(days=self.review_every_days)

    @property
    def check(self) -> timedelta:
        """How long after its closing a case is looked at once more."""
        return timedelta(days=self.check_after_closing_days)

    @property
    def page_within(self) -> timedelta:
        """How long a page waits for whoever was paged."""
        return timedelta(minutes=self.page_within_minutes)

    @property
    def before_person(self) -> dict[str, timedelta]:
        """Within which time of each urgency a report is before a person, or assigned."""
        return {u: timedelta(minutes=m) for u, m in self.before_person_minutes.items()}

    @property
    def debrief_after(self) -> timedelta:
        """How long after somebody took a T0 case a supervisor talks with them."""
        return timedelta(hours=self.debrief_after_hours)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    in_force: tuple[Rules, ...]


def parse_rules(text: str) -> tuple[Rules, ...]:
    """Read the sets.

    Raises:
        msgspec.ValidationError, tomllib.TOMLDecodeError: the file is not what it should be.

    """
    return msgspec.convert(tomllib.loads(text), _File).in_force


@cache
def _sets() -> tuple[Rules, ...]:
    return parse_rules(_FILE.read_text("utf-8"))


def rules_on(at: datetime) -> Rules:
    """Return the numbers that hold at a time; before the first set, the first."""
    day = day_of(at)
    holding = [r for r in _sets() if r.begins <= day and (r.until is None or day < r.until)]
    return holding[-1] if holding else _sets()[0]


def is_night(at: datetime) -> bool:
    """Say whether it is night in Dhaka."""
    hour, night = at.astimezone(DHAKA).hour, rules_on(at).night
    if night.begins <= night.until:
        return night.begins <= hour < night.until
    return hour >= night.begins or hour < night.until
