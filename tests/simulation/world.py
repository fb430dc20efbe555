"""Virtual time, seeded chance and mortal processes: what a simulated schedule is made of.

Time passes only when nobody has anything to do at once. Every chance comes from one seed, so the
same seed gives the same schedule, step by step; `World.trace` is the hash of all steps. A process
is a set of tasks: whatever it asks of the outside world (database, Kafka) passes `World.step`,
where it may be slow, frozen, or dead from there on. What a dead process still does to clean up
changes nothing outside, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import selectors
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

BEGINNING = datetime(2026, 7, 1, 6, tzinfo=UTC)  # a Wednesday, noon in Dhaka


class Instant(selectors.SelectSelector):
    """Waits for nothing: the time that would be waited has passed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nobody will ever do anything again")
        self.at += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual."""

    def __init__(self) -> None:
        self._instant = Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.at


class GoneError(ConnectionError):
    """The process is dead: nothing outside hears of it any more."""


@dataclass(eq=False)
class Process:
    """A process: its tasks, and at which step it dies. `run` starts it, again after each death."""

    name: str
    run: Callable[[Process], Coroutine[Any, Any, None]]
    dies_in: int = -1
    dead: bool = True
    frozen_until: float = 0.0
    lives: int = 0
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    at_end: list[Callable[[], None]] = field(default_factory=list)

    def spawn(self, *coros: Coroutine[Any, Any, Any]) -> None:
        """Start tasks of this life."""
        self.tasks += [asyncio.create_task(coro) for coro in coros]


_process: ContextVar[Process] = ContextVar("process")


def here() -> Process:
    """Return the process that this runs in."""
    return _process.get()


@dataclass
class Chances:
    """How likely what is, per step; all zero is a kind world."""

    slow: float = 0.02
    refused: float = 0.01  # a statement that fails with a serialisation failure
    cut: float = 0.004  # a connection that breaks
    commit_unknown: float = 0.02
    send_refused: float = 0.03
    ack_lost: float = 0.05
    doubled: float = 0.03  # a batch that the client itself sends twice
    rewound: float = 0.02  # a committed offset that goes back
    rebalance: float = 0.02


KIND = Chances(*[0.0] * 9)


class World:
    """One schedule: its time, its chances, its processes, and the hash of what happened."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.chances = Chances()
        self.processes: list[Process] = []
        self.steps = 0
        self.deaths = 0
        self.faults: dict[str, int] = {}
        self._hash = hashlib.blake2b(digest_size=16)
        self._ids = random.Random(seed ^ 0x5EED)

    @property
    def trace(self) -> str:
        """The hash of every step so far: the same for the same seed."""
        return self._hash.hexdigest()

    # --- Time and ids --------------------------------------------------------------------------

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=asyncio.get_running_loop().time())

    def _uuid7(self) -> UUID:
        milliseconds = int(self.now().timestamp() * 1000)
        rest = self._ids.getrandbits(74)
        return UUID(int=milliseconds << 80 | 7 << 76 | (rest >> 62) << 64 | 2 << 62 | rest % 2**62)

    def uuid4(self) -> UUID:
        return UUID(int=self._ids.getrandbits(128), version=4)

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Let the product's own clock and ids be this world's."""
        world = self

        class Present(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return world.now() if tz is not None else world.now().replace(tzinfo=None)

        names = ("datetime", "uuid_utils", "uuid4")
        before = {name: vars(clock)[name] for name in names}
        ids = SimpleNamespace(compat=SimpleNamespace(uuid7=self._uuid7))
        vars(clock).update(datetime=Present, uuid_utils=ids, uuid4=self.uuid4)
        try:
            yield
        finally:
            vars(clock).update(before)

    # --- Chance --------------------------------------------------------------------------------

    def happens(self, what: str) -> bool:
        """Say whether a fault of this name happens now; count it."""
        chance: float = getattr(self.chances, what)
        if not chance or self.dice.random() >= chance:
            return False
        self.count(what)
        return True

    def count(self, what: str) -> None:
        self.faults[what] = self.faults.get(what, 0) + 1

    def note(self, *what: object) -> None:
        """Add to the trace what happened."""
        at = asyncio.get_running_loop().time()
        self._hash.update(f"{at:.6f} {' '.join(map(str, what))}\n".encode())

    # --- Processes -----------------------------------------------------------------------------

    async def step(self, what: str, pace: float = 0.004) -> Process:
        """Pass one step towards the outside world; only what comes after it is done there."""
        process = here()
        if process.dead:
            raise GoneError
        self.steps += 1
        if self.happens("slow"):
            pace = 0.5
        await asyncio.sleep(self.dice.random() * pace)
        await self._thaw(process)
        self.pass_point(process, what)
        return process

    async def _thaw(self, process: Process) -> None:
        left = process.frozen_until - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)
            await self._thaw(process)

    def pass_point(self, process: Process, what: str) -> None:
        """Pass a point between two awaits, where the process may die."""
        if process.dead:
            raise GoneError
        self.note(process.name, what)
        process.dies_in -= 1
        if process.dies_in == 0:
            self.kill(process)
            raise asyncio.CancelledError

    def start(self, process: Process) -> None:
        """Start a process, for the first time or again."""
        process.dead, process.tasks, process.at_end = False, [], []
        process.lives += 1
        self.note(process.name, "starts")
        token = _process.set(process)
        try:
            process.spawn(process.run(process))
        finally:
            _process.reset(token)

    def kill(self, process: Process) -> None:
        """End a process as SIGKILL does."""
        if process.dead:
            return
        self.note(process.name, "dies")
        process.dead = True
        process.dies_in = -1
        self.deaths += 1
        for end in process.at_end:  # the other side sees its connections close
            end()
        for task in process.tasks:
            task.cancel()

    async def bury(self) -> None:
        """Kill all, and wait until every task is over."""
        for process in self.processes:
            self.kill(process)
        tasks = [task for process in self.processes for task in process.tasks]
        await asyncio.gather(*tasks, return_exceptions=True)
