"""Time and ids as arguments, so that decisions stay pure and tests move the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final
from uuid import UUID, uuid4

import uuid_utils.compat

Clock = Callable[[], datetime]
"""Returns the present time, aware, in UTC."""

DHAKA: Final = timezone(timedelta(hours=6), "Asia/Dhaka")
"""The centre's days and hours; Bangladesh has had no summer time since 2009."""

AHEAD: Final = timedelta(minutes=1)
"""By how much the clocks of two processes may differ; what is later than that, a wrong one said."""


def now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


def day_of(at: datetime) -> date:
    """Return the day of the centre at an aware time: it begins at 18:00 UTC."""
    return at.astimezone(DHAKA).date()


def new_event_id() -> UUID:
    """Return a UUIDv7 (RFC 9562), ordered by its creation time in milliseconds."""
    return uuid_utils.compat.uuid7()


def new_case_id() -> UUID:
    """Return a UUIDv4: a time-ordered id would tell the minute of the report (DECISIONS 1)."""
    return uuid4()


def rfc3339(at: datetime) -> str:
    """Render an aware time as RFC 3339 in UTC with microseconds and `Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_of(event_id: UUID) -> datetime:
    """Return the creation time inside a UUIDv7, in UTC, to the millisecond."""
    return datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)
