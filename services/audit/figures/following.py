"""Reads the history in its order into what is counted, and publishes quarters that are over.

Any replica may read: a row's lock is the turn. A batch is one transaction with how far it came, so
that nothing is counted twice. What is read costs the same however long the history is; a quarter is
counted once, from its own persons alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.audit.figures import store
from services.audit.figures.counting import Counted, count
from services.audit.figures.periods import is_due, parse_quarter, quarter_of, quarters_of
from services.audit.figures.person import Person, cases_of, fold
from services.audit.figures.tables import make_release
from services.audit.store import load_head
from shared.clock import now
from shared.errors import NotFound, RecordInvalid
from shared.events import CASES, NewerVersion, decode
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.audit.figures.store import Line
    from shared.events import Event

BATCH: Final = 2000
"""Entries of the history in one transaction."""

PAUSE: Final = 1.0
"""Seconds between looks when all that there was has been read."""

PUBLISHING: Final = 60.0
"""Seconds between looks whether a quarter is over."""

FRESH: Final = 300.0
"""Seconds for which a count of the running quarter is shown again."""

_log = Log("figures")


class Figures:
    """The projection that figures are counted from, and the quarters that were published."""

    def __init__(self, flow: AsyncEngine) -> None:
        """Take the engine of the flow role."""
        self._flow = flow
        self._running: tuple[date, float, dict[str, Any]] | None = None
        self._counting = asyncio.Lock()

    async def run(self) -> None:
        """Follow the history for ever; a database that blinks only makes figures late."""
        looked = 0.0
        while True:
            read = 0
            try:
                read = await self.follow()
                clock = asyncio.get_running_loop().time()
                if read < BATCH and (not looked or clock - looked > PUBLISHING):
                    await self.publish(now())
                    looked = clock
            except Exception as error:  # noqa: BLE001  (it is tried again)
                _log.error("figures-late", error)
            if read < BATCH:  # what comes meanwhile is one transaction more, not one each
                await asyncio.sleep(PAUSE)

    async def follow(self) -> int:
        """Take in the next entries of the history; return how many, 0 when there are none."""
        async with self._flow.begin() as conn:
            size = (await load_head(conn)).size
            if await store.load_progress(conn) >= size:
                return 0
            start = await store.take_turn(conn)
            if start is None:
                return 0
            until = min(size, start + BATCH)
            if until <= start:
                return 0
            await take_in(conn, await store.list_lines(conn, start, until))
            await store.move(conn, until)
        return until - start

    async def rebuild(self) -> None:
        """Drop what was counted; `follow` begins anew. What was published stays as it is."""
        async with self._flow.begin() as conn:
            await store.empty(conn)

    async def count_quarter(self, quarter: date) -> Counted:
        """Count a quarter from its persons."""
        async with self._flow.begin() as conn:  # rows that come by and by need a transaction
            persons = [person async for person in store.read_persons(conn, quarter)]
        return await asyncio.to_thread(count, persons)

    async def publish(self, at: datetime) -> list[date]:
        """Publish each quarter that is over long enough, once the history is read to its end."""
        async with self._flow.connect() as conn:
            due = [each for each in await store.list_unpublished(conn) if is_due(each, at)]
        for quarter in due:
            counted = await self.count_quarter(quarter)
            release = await asyncio.to_thread(make_release, counted, quarter)
            text = msgspec.json.encode(release).decode()
            async with self._flow.begin() as conn:
                await store.keep_release(conn, quarter, at, text)
            _log.info("figures-published", quarter=release["quarter"])
        return due

    async def running(self, at: datetime) -> dict[str, Any]:
        """Return the quarter that runs, hidden like the others: for who may read all history.

        It is counted once in five minutes at most, however many ask.
        """
        quarter, clock = quarter_of(at), asyncio.get_running_loop().time()
        async with self._counting:
            kept = self._running
            if kept is None or kept[0] != quarter or clock - kept[1] > FRESH:
                counted = await self.count_quarter(quarter)
                release = await asyncio.to_thread(make_release, counted, quarter)
                kept = self._running = (quarter, clock, release)
        return kept[2]


class Releases:
    """The published quarters, for everybody."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Take an engine; the web role's will do."""
        self._engine = engine

    async def quarters(self) -> Sequence[tuple[date, datetime]]:
        """Return the published quarters with the time of publication, newest first."""
        async with self._engine.connect() as conn:
            return [(r.quarter, r.published_at) for r in await store.list_releases(conn)]

    async def release(self, name: str) -> dict[str, Any]:
        """Return the release of a quarter.

        Raises:
            NotFound: there is none.

        """
        quarter = parse_quarter(name)
        if quarter is None:
            raise NotFound
        async with self._engine.connect() as conn:
            found = await store.find_release(conn, quarter)
        if found is None:
            raise NotFound
        release: dict[str, Any] = msgspec.json.decode(found)
        return release

    async def year(self, year: int) -> list[dict[str, Any]]:
        """Return the releases of a year's quarters, in order.

        Raises:
            NotFound: none of them is published.

        """
        async with self._engine.connect() as conn:
            told = [await store.find_release(conn, quarter) for quarter in quarters_of(year)]
        found: list[dict[str, Any]] = [msgspec.json.decode(one) for one in told if one is not None]
        if not found:
            raise NotFound
        return found


async def take_in(conn: AsyncConnection, lines: Sequence[Line]) -> None:
    """Fold lines of the history into the persons they are about; erased ones are forgotten."""
    erased = {line.subject for line in lines if _erases(line)}
    told = [
        (case_id, event)
        for line in lines
        if (event := _event(line)) is not None
        for case_id in cases_of(event)
    ]
    ids = {case_id for case_id, _ in told}
    gone = erased | await store.list_erased(conn, ids)
    persons = await store.load_persons(conn, ids - gone)
    for case_id, event in told:
        if case_id not in gone:
            fold(persons.setdefault(case_id, Person()), event)
    if persons:
        await store.keep_persons(conn, persons)
    if erased:
        await store.forget(conn, erased)


def _erases(line: Line) -> bool:
    return line.type == "case-erased" and line.stream == CASES


def _event(line: Line) -> Event | None:
    """Return the event of a line, None when it was erased or this code cannot read it."""
    try:
        return decode(line.value)
    except (RecordInvalid, NewerVersion):
        return None
