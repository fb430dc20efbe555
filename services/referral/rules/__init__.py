"""One rule a need, as data, found by its name: `rules/<need>.toml`, dated, read once.

The declared interface is `Rule.terms(day)`: default urgency, how the need is released, and the
clocks. Urgencies and clocks are configuration with dates, never constants in code: the law changes.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from shared.vocabulary import Need, Urgency

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_HERE: Final = Path(__file__).parent
_CLOCKS: Final = "clocks.toml"
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EVER: Final = date.max

NEVER_ALONE: Final = frozenset(
    {Need.RESCUE, Need.SHELTER, Need.FAMILY_TRACING, Need.ALTERNATIVE_CARE, Need.REPATRIATION}
)
"""Needs of the police, a shelter or a home enquiry: no file lets a machine release them."""


class RuleUnknown(LookupError):  # noqa: N818  (says what went wrong)
    """No rule has this name; `REFERRAL_RULES` lists needs, and `cases` for the projection."""


class NoTerms(ValueError):  # noqa: N818  (says what went wrong)
    """The configuration of a rule has no period for this day."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the steps of one urgency may take, and on which clock.

    `assign_within` is the desk's time for what a person must release, choose or call;
    `waitlist_within` holds where a provider gave no day; `acknowledge_within` is for hearing of a
    withdrawal; `quiet_within` for a word of whoever serves; `escalate_within` lies between two
    steps of the ladder.
    """

    clock: Literal["calendar", "working_days"]
    assign_within: timedelta
    respond_within: timedelta
    first_contact_within: timedelta
    deliver_within: timedelta
    waitlist_within: timedelta
    escalate_within: timedelta
    acknowledge_within: timedelta
    quiet_within: timedelta
    weekend: frozenset[int] = frozenset()
    timezone: str = "Asia/Dhaka"

    def due(self, at: datetime, within: timedelta) -> datetime:
        """Return the time (UTC) `within` after `at`; a working clock stands still on weekends."""
        if self.clock == "calendar" or not self.weekend:
            return at + within
        zone = ZoneInfo(self.timezone)
        local, left = at.astimezone(zone), within
        while True:
            midnight = datetime.combine(
                local.date() + timedelta(days=1), datetime.min.time(), tzinfo=zone
            )
            if local.weekday() not in self.weekend:
                if left < midnight - local:
                    return (local + left).astimezone(UTC)
                left -= midnight - local
            local = midnight

    def end_of_day(self, day: str) -> datetime:
        """Return the last moment (UTC) of a local day given in ISO 8601."""
        last = datetime.combine(date.fromisoformat(day), time.max, tzinfo=ZoneInfo(self.timezone))
        return last.astimezone(UTC)


_SPANS: Final = tuple(f.name for f in fields(Pace) if f.name.endswith("_within"))


@dataclass(frozen=True, slots=True)
class AfterViolence:
    """What holds for `medical` after sexual violence, while treatment still helps."""

    respond_within: timedelta
    see_within: timedelta
    travel: timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rule of a need says on one day."""

    need: str
    urgency: str
    follows_case: bool
    release: Literal["automatic", "person"]
    paces: Mapping[str, Pace]
    retry_waiting_within: timedelta
    after_violence: AfterViolence | None = None

    def urgency_for(self, case: str | None) -> str:
        """Return the referral's urgency: the case's where that is more urgent and counts."""
        if case in self.paces and self.follows_case and str(case) < self.urgency:
            return str(case)
        return self.urgency


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one need: its periods, as read from its file and the common clocks."""

    need: str
    periods: tuple[Mapping[str, Any], ...]
    clocks: tuple[Mapping[str, Any], ...]

    def terms(self, day: date) -> Terms:
        """Return what holds on a day.

        Raises:
            NoTerms: no period of the rule or of the clocks holds that day. ValueError: `release`
                is no word, or lets a machine do what only people do.

        """
        mine, common = _period(self.periods, day), _period(self.clocks, day)
        weekend = frozenset(_DAYS.index(name) for name in common["weekend"])
        paces = {
            str(urgency): _pace(
                {**common[urgency], **mine.get(urgency, {})}, weekend, common["timezone"]
            )
            for urgency in Urgency
        }
        violence = mine.get("after_violence")
        allowed = {"person"} if self.need in NEVER_ALONE else {"person", "automatic"}
        if mine["release"] not in allowed:
            message = f"release of {self.need} must be one of {sorted(allowed)}"
            raise ValueError(message)
        return Terms(
            need=self.need,
            urgency=str(Urgency(mine["urgency"])),
            follows_case=mine["follows_case"],
            release=mine["release"],
            paces=paces,
            retry_waiting_within=_span(common["retry_waiting_within"]),
            after_violence=None
            if violence is None
            else AfterViolence(**{name: _span(value) for name, value in violence.items()}),
        )


def load_rules(only: Collection[str] = (), changes: Path | None = None) -> dict[str, Rule]:
    """Load the rules of these needs, or of all; each is found by its name.

    `changes` is a file of a centre's own: a table `period` whose entries take the place of those
    of the common clocks, in every period of theirs.

    Raises:
        RuleUnknown: a name has no rule. NoTerms, ValueError, KeyError: a file is not valid.
        OSError: the file of changes cannot be read.

    """
    clocks = _read(_CLOCKS)
    if changes is not None:
        clocks = tuple(_changed(period, changes) for period in clocks)
    names = sorted(only) if only else sorted(str(need) for need in Need)
    rules = {}
    for name in names:
        if name not in set(Need) or not (_HERE / f"{name}.toml").is_file():
            raise RuleUnknown(name)
        rules[name] = Rule(name, _read(f"{name}.toml"), clocks)
        rules[name].terms(_latest(rules[name].periods, clocks))  # a wrong file stops the start
    return rules


def _latest(*files: tuple[Mapping[str, Any], ...]) -> date:
    found: date = max(period["from"] for periods in files for period in periods)
    return found


def _read(name: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(tomllib.loads((_HERE / name).read_text("utf-8"))["period"])


def _changed(period: Mapping[str, Any], changes: Path) -> Mapping[str, Any]:
    """Return the clocks of a period with those of another file over them."""
    told = tomllib.loads(changes.read_text("utf-8"))["period"]
    over = {k: {**period[k], **v} if isinstance(v, dict) else v for k, v in told.items()}
    return {**period, **over}


def _period(periods: tuple[Mapping[str, Any], ...], day: date) -> Mapping[str, Any]:
    for period in periods:
        if period["from"] <= day < period.get("to", _EVER):
            return period
    raise NoTerms(str(day))


def _pace(found: Mapping[str, Any], weekend: frozenset[int], timezone: str) -> Pace:
    if found["clock"] not in ("calendar", "working_days"):
        message = "clock must be calendar or working_days"
        raise ValueError(message)
    return Pace(
        clock=found["clock"],
        **{name: _span(found[name]) for name in _SPANS},
        weekend=weekend if found["clock"] == "working_days" else frozenset(),
        timezone=timezone,
    )


def _span(said: str) -> timedelta:
    found = re.fullmatch(r"(\d+)([smhd])", said)
    if found is None:
        message = "a span is a number with s, m, h or d"
        raise ValueError(message)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
