"""How much is told at most: the table of `limits.toml`, and what to do when it is reached."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec

from shared.errors import SettingsError

FILE: Final = Path(__file__).parent / "limits.toml"

HOUR: Final = timedelta(hours=1)
"""The time that messages are counted over; marks of recipients are kept for as long."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one notifier may do; see the head of the file."""

    per_hour: Annotated[int, msgspec.Meta(ge=1)]
    recipient_per_hour: Annotated[int, msgspec.Meta(ge=1)]
    repeat_minutes: Annotated[int, msgspec.Meta(ge=0, le=60)]

    @property
    def window(self) -> timedelta:
        """For so long the same recipient does not get the same text again."""
        return timedelta(minutes=self.repeat_minutes)


class Begun(StrEnum):
    """What became of the wish to send: `yes`, or why not.

    `repeated`: the recipient got the same text; `crowded`: the recipient got enough for now;
    `full`: the notifier sent enough for now; `lost`: another worker has it.
    """

    YES = "yes"
    REPEATED = "repeated"
    CROWDED = "crowded"
    FULL = "full"
    LOST = "lost"


def load_limits(file: Path = FILE) -> dict[str, Limits]:
    """Read the limits by notifier.

    Raises:
        SettingsError: the file cannot be read.

    """
    try:
        found = tomllib.loads(file.read_text("utf-8"))
        return msgspec.convert(found, dict[str, Limits])
    except (OSError, ValueError, msgspec.ValidationError) as error:
        message = f"the limits of notices are wrong: {type(error).__name__}"
        raise SettingsError(message) from None
