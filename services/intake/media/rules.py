"""The numbers of attachments that hold on a day, purely: the sets of `media.toml`."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from shared.clock import DHAKA
from shared.vocabulary import Role

_FILE: Final = Path(__file__).with_name("media.toml")


class Rules(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"begins": "from"}
):
    """One set: sizes in bytes and pixels, counts, roles; `until` is the first day without it."""

    begins: date
    until: date | None = None
    max_bytes: int
    max_of_report: int
    max_pixels: int
    side: int
    blurred_side: int
    blurred_points: int
    blurred_per_day: int
    clear_per_day: int
    sound_per_day: int
    first_in_ten_minutes: int
    images: tuple[Role, ...]
    sound: tuple[Role, ...]

    def trained(self, kind: str) -> tuple[Role, ...]:
        """Return the roles that may open an attachment of a kind."""
        return self.sound if kind == "audio" else self.images

    def per_day(self, shown: str) -> int:
        """Return how often one person may see this in a day."""
        return {"blurred": self.blurred_per_day, "clear": self.clear_per_day}.get(
            shown, self.sound_per_day
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    in_force: tuple[Rules, ...]


@cache
def _sets() -> tuple[Rules, ...]:
    return msgspec.convert(tomllib.loads(_FILE.read_text("utf-8")), _File).in_force


def rules_on(at: datetime) -> Rules:
    """Return the set that holds at a time; before the first, the first."""
    day = at.astimezone(DHAKA).date()
    holding = [r for r in _sets() if r.begins <= day and (r.until is None or day < r.until)]
    return holding[-1] if holding else _sets()[0]


def day_of(at: datetime) -> tuple[datetime, datetime]:
    """Return when the day of Dhaka that holds a time begins and ends."""
    begins = at.astimezone(DHAKA).replace(hour=0, minute=0, second=0, microsecond=0)
    return begins, begins + timedelta(days=1)
