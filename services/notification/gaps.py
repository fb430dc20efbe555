"""Gaps in providers' feeds: what is missing is waited for, told of, and passed over at last.

The feed is gapless where referral makes it, and its order is the webhook's (DECISIONS 17). Cases
lie in different partitions, so an entry may come before the one before it; that one can be late,
for as long as Kafka or a relay stands still, but not lost. It is passed over when its record is
parked here for a person, or after `wait`; either is counted and told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.notification import feed
from services.notification.domain import ProviderId
from shared import telemetry
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy.ext.asyncio import AsyncEngine

LOOK: Final = 1.0
"""Seconds between looks for gaps."""

ALERT_AFTER: Final = timedelta(seconds=5)
"""A gap that lasts longer is measured, told once in the log, and looked for among the parked."""

_log = Log("gaps")


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries of a provider's feed that are missing before later ones: `first` to `last`."""

    organisation: ProviderId
    first: int
    last: int
    since: datetime


class Passed(StrEnum):
    """Why a gap is passed over: its entries are kept for a person, or it has lasted too long."""

    PARKED = "parked"
    TIME = "time"


def pass_gap(gap: Gap, parked: Collection[int], at: datetime, wait: timedelta) -> Passed | None:
    """Decide whether the feed goes on without what is missing; None while it can still come.

    `parked` are the places of this feed whose records wait for a person. The feed is gapless where
    it is made, so everything else comes when Kafka and the relay let it; `wait` is for what no
    longer lies in Kafka.
    """
    missing = gap.last - gap.first + 1
    if sum(gap.first <= place <= gap.last for place in parked) == missing:
        return Passed.PARKED
    return Passed.TIME if at >= gap.since + wait else None


def place_in(value: bytes | None) -> tuple[str, int] | None:
    """Return provider and place in its feed of a record's bytes, if anything of it can be read."""
    try:
        told = msgspec.json.decode(value or b"")
        place: Any = (told["data"]["provider_id"], told["data"]["feed_seq"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return None
    return place if isinstance(place[0], str) and type(place[1]) is int else None


class Gaps:
    """Watches the gaps of all feeds; any number of replicas may run."""

    def __init__(
        self,
        engine: AsyncEngine,
        consumer: str,
        wait: timedelta,
        *,
        clock: Callable[[], datetime],
        wake: Callable[[], None],
    ) -> None:
        """Take the flow engine, whose parked records to look among, and the longest wait."""
        self._engine = engine
        self._consumer = consumer
        self._wait = wait
        self._clock = clock
        self._wake = wake
        self._told: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Watch until cancelled; a database that is down only makes it wait."""
        while True:
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001  (the watch outlives a lost database)
                _log.warning("gaps-not-seen", error=telemetry.describe(error))
            await asyncio.sleep(LOOK)

    async def round(self) -> int:
        """Look once; return how many gaps were passed over."""
        at = self._clock()
        async with self._engine.connect() as conn:
            found = await feed.list_gaps(conn)
        gaps = [Gap(ProviderId(name), first, last, since) for name, first, last, since in found]
        old = [gap for gap in gaps if at - gap.since >= ALERT_AFTER]
        telemetry.FEED_GAPS.set(len(old))
        oldest = max(((at - gap.since).total_seconds() for gap in old), default=0.0)
        telemetry.FEED_GAP_SECONDS.set(oldest)
        for gap in old:
            if (gap.organisation, gap.first) not in self._told:
                _log.error("feed-gap", provider=gap.organisation, first=gap.first, last=gap.last)
        self._told = {(gap.organisation, gap.first) for gap in old}
        passed = [await self._pass(gap, at) for gap in old]
        if any(passed):
            self._wake()
        return sum(passed)

    async def _pass(self, gap: Gap, at: datetime) -> bool:
        async with self._engine.begin() as conn:
            values = await feed.list_parked_values(conn, self._consumer, gap.organisation)
            places = {place_in(value) for value in values} - {None}
            parked = {seq for name, seq in places if name == gap.organisation}  # type: ignore[misc]
            why = pass_gap(gap, parked, at, self._wait)
            if why is None or not await feed.pass_over(
                conn, gap.organisation, gap.first, gap.last, at
            ):
                return False
        telemetry.FEED_GAPS_PASSED.labels(str(why)).inc()
        _log.error(
            "feed-gap-passed",
            provider=gap.organisation,
            first=gap.first,
            last=gap.last,
            why=str(why),
        )
        return True
