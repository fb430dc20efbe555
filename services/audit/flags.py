"""What can be wrong with an entry of the log, as numbers that are stored."""

from __future__ import annotations

from enum import IntFlag
from typing import Final


class Flag(IntFlag):
    """What is wrong with an entry; several may be. The numbers are stored: only add."""

    UNREADABLE = 1
    """The value is no event; it is kept as it came."""
    UNSIGNED = 2
    """There is no signature."""
    BAD_SIGNATURE = 4
    """The signature is not by the source that the event names."""
    WRONG_OWNER = 8
    """The source does not own the stream."""
    GAP = 16
    """Events of this subject and stream before this one have not been seen."""
    INVERSION = 32
    """It came after one with a higher sequence."""
    REPEATED_SEQUENCE = 64
    """Another proven event has this sequence."""
    OTHER_BYTES = 128
    """An event with this id and other bytes was recorded before: somebody forges, or is broken."""
    REFUSED = 256
    """It could not be stored as what it says it is, by a fault of ours: only its bytes are kept."""


def names_of(flags: int) -> list[str]:
    """Return flags as words."""
    return [str(flag.name).lower().replace("_", "-") for flag in Flag if flags & flag]


UNPROVEN: Final = int(
    Flag.UNREADABLE | Flag.UNSIGNED | Flag.BAD_SIGNATURE | Flag.WRONG_OWNER | Flag.REFUSED
)
"""An entry with one of these vouches for nothing: its sequence is not followed."""

NOT_FOLLOWED: Final = UNPROVEN | int(Flag.OTHER_BYTES)
"""With one of these an entry's sequence does not count."""

ALARMS: Final = UNPROVEN | int(Flag.REPEATED_SEQUENCE | Flag.OTHER_BYTES)
"""Flags that somebody must look at now."""
