"""Group commit: many submissions share one transaction, and each is answered only after it.

At most two commits are in flight and at most 200 submissions in one; at low load nothing waits. A
batch that the database refuses is tried row by row, so that one bad row never fails its neighbours.
When a connection drops with the outcome unknown, the ids are looked up for five seconds
(DECISIONS 9; PERFORMANCE, levers).

A submission may be made ready here, with the others of its commit (`Later`): what a processor does
many times in a row is still in its caches, so that under load a report takes a fifth less.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from services.intake.lanes import Lanes
from services.intake.submissions import CommitUnknown
from shared import telemetry
from shared.database import Blame, blame
from shared.errors import Unavailable
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from services.intake.submissions import Prepared, SubmissionStore

IN_FLIGHT: Final = 2
"""Commits under way at once."""

BATCH: Final = 200
"""Submissions in one commit."""

MAX_QUEUE: Final = 1000
"""Submissions that may wait; more are refused before their body is read."""

MAX_BEHIND: Final = 750
"""How many of them may be behind the others, so that there is room for these."""

KEPT_BEHIND: Final = BATCH // 4
"""Places of a commit that those behind have in any case: they wait, and are not forgotten."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes that may wait."""

OWN_ROOM: Final = 100
"""Submissions of one channel that may wait whatever the others have waiting."""

LOOK_UP: Final = 5.0
"""Seconds to look for a submission whose commit had an unknown outcome."""

_log = Log("committer")


@dataclass(frozen=True, slots=True)
class Later:
    """A submission that is made ready with its commit, in the context it was asked for in.

    `size` is about how many bytes it will have.
    """

    make: Callable[[], Prepared]
    size: int
    sender: bytes | None = None
    context: Context = field(default_factory=copy_context)


@dataclass(frozen=True, slots=True)
class _Waiting:
    one: Prepared | Later
    done: asyncio.Future[bytes] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def make_ready(self) -> _Ready | None:
        """Return it made ready; None once its caller was told why it cannot be."""
        if not isinstance(self.one, Later):
            return _Ready(self.one, self.done)
        try:
            return _Ready(self.one.context.run(self.one.make), self.done)
        except Exception as error:  # noqa: BLE001  (given to the one caller it concerns)
            _settle(self.done, error)
            return None


@dataclass(frozen=True, slots=True)
class _Ready:
    prepared: Prepared
    done: asyncio.Future[bytes]


class Committer:
    """Commits prepared submissions in groups; one instance a process."""

    def __init__(self, store: SubmissionStore, wake: Callable[[], None]) -> None:
        """Take the store and what to call after each commit."""
        self._store = store
        self._wake = wake
        self._lanes: Lanes[_Waiting] = Lanes()
        self._bytes = 0
        self._more = asyncio.Event()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many submissions wait for a commit."""
        return len(self._lanes)

    def door(self, channel: str = "") -> Door:
        """Return a channel's own way in."""
        return Door(self, channel)

    def check_room(self, *, behind: bool = False, channel: str = "") -> None:
        """Refuse before a body is read when too much waits already: never for others' flood alone.

        Raises:
            Unavailable: try again after the `Retry-After` it carries.

        """
        full = self.waiting >= MAX_QUEUE or self._bytes >= MAX_BYTES
        if full and not behind and self._lanes.of(channel) < OWN_ROOM:
            return
        if full or (behind and self._lanes.behind >= MAX_BEHIND):
            raise Unavailable

    async def commit(
        self, one: Prepared | Later, *, behind: bool = False, channel: str = ""
    ) -> bytes:
        """Store one submission and return the answer: its own, or the first one of its key.

        `behind`: after those that are not, as far as these leave room. Channels have a turn each,
        and so have the senders of one.

        Raises:
            Unavailable: the database is down; nothing was stored, or nothing is known of it.
            IdempotencyConflict: the key came before with another body.
            And what making it ready raises.

        """
        self.check_room(behind=behind, channel=channel)
        waiting = _Waiting(one)
        self._lanes.add(waiting, behind=behind, channel=channel, sender=one.sender)
        self._bytes += one.size
        self._more.set()
        return await waiting.done

    async def run(self) -> None:
        """Take what waits, commit it, go on; at the end what waits is still committed."""
        try:
            while True:
                await self._more.wait()
                await self._slots.acquire()
                group = self._lanes.take(BATCH, KEPT_BEHIND)
                self._bytes -= sum(w.one.size for w in group)
                if not self.waiting:
                    self._more.clear()
                if not group:
                    self._slots.release()
                    continue
                task = asyncio.create_task(self._group(group))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            group = self._lanes.take(self.waiting)
            if group:
                self._running.add(asyncio.create_task(self._group(group)))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _group(self, group: Sequence[_Waiting]) -> None:
        try:
            ready = [one for each in group if (one := each.make_ready()) is not None]
            if ready:
                await self._try_group(ready)
        except Exception as error:  # noqa: BLE001  (each caller gets an answer, whatever happened)
            for waiting in group:
                _settle(waiting.done, error)
        finally:
            self._slots.release()
            self._wake()

    async def _try_group(self, group: Sequence[_Ready]) -> None:
        try:
            answers = await self._store.insert_submissions([one.prepared for one in group])
        except Exception as error:
            if isinstance(error, CommitUnknown):
                await self._look_up(group, error)
            elif blame(error) in (Blame.WORLD, Blame.RETRY):
                _log.error("database-away", error, size=len(group))
                raise Unavailable from error
            elif len(group) > 1:
                _log.warning("group-refused", error=telemetry.describe(error), size=len(group))
                for one in group:
                    with contextlib.suppress(Exception):  # its own caller was told
                        await self._one(one)
            else:
                _log.error("submission-refused", error)
                _settle(group[0].done, error)
            return
        for one, answer in zip(group, answers, strict=True):
            _settle(one.done, answer)

    async def _one(self, one: _Ready) -> None:
        try:
            answers = await self._store.insert_submissions([one.prepared])
        except Exception as error:
            _settle(one.done, error)
            raise
        _settle(one.done, answers[0])

    async def _look_up(self, group: Sequence[_Ready], error: CommitUnknown) -> None:
        """Find out which of a lost commit are there; the rest are answered 503, never 2xx."""
        _log.error("commit-outcome-unknown", error.__cause__, size=len(group))
        ids = {one.prepared.submission_id for one in group}
        found: set[UUID] = set()
        running = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_UP):
                while running and found != ids:
                    with contextlib.suppress(Exception):  # the database may come back
                        found, running = await self._store.look_up(ids, error.pid)
                    await asyncio.sleep(0.2)
        for one in group:
            stored = one.prepared.submission_id in found
            _settle(one.done, one.prepared.answer if stored else Unavailable())


@dataclass(frozen=True, slots=True)
class Door:
    """A channel's way to the committer: its own room there, and its own turn."""

    committer: Committer
    channel: str

    def check_room(self, *, behind: bool = False) -> None:
        """Refuse before a body is read when too much waits already.

        Raises:
            Unavailable: try again after the `Retry-After` it carries.

        """
        self.committer.check_room(behind=behind, channel=self.channel)

    async def commit(self, one: Prepared | Later, *, behind: bool = False) -> bytes:
        """Store one submission and return its answer; see `Committer.commit`."""
        return await self.committer.commit(one, behind=behind, channel=self.channel)


def _settle(done: asyncio.Future[bytes], answer: bytes | Exception) -> None:
    """Tell a caller, unless it was told or has gone."""
    if done.done():
        return
    if isinstance(answer, Exception):
        done.set_exception(answer)
    else:
        done.set_result(answer)
