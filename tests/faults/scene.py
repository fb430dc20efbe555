"""What a named fault gets to strike with: a stack under load, the proxies before it, a seed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import psutil

from deploy.local.ports import Ports
from tests.bench.servers import Server, serving
from tests.faults import reading
from tests.faults.attempts import Outcome
from tests.faults.figures import Fault
from tests.support.stack import SERVICES, Stack, StackError, gone, send_signal

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from tests.faults.load import Load
    from tests.faults.run import Cast
    from tests.support.cut import Cut

BACK_WITHIN = 150.0
"""Seconds after which what does not flow again counts as never back."""

EVERY = 0.1


@dataclass(slots=True)
class Scene:
    """One stack under load. `front` stands before its origin, `collector` before the collector,
    `database` before PostgreSQL where the rig has it so. `planted` are the places in Kafka of
    records that no attempt made.
    """

    stack: Stack
    rng: random.Random
    load: Load
    cast: Cast
    front: Cut
    collector: Cut
    orders: Path
    database: Cut | None = None
    disks: dict[str, Path] = field(default_factory=dict)
    planted: set[tuple[str, int, int]] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    ports: Ports = field(default_factory=Ports)

    async def pid(self, part: str) -> int:
        """Return the process of a part; waits while it is between two lives."""
        until = time.monotonic() + BACK_WITHIN
        while True:
            with contextlib.suppress(StackError, OSError):
                return await asyncio.to_thread(self.stack.pid, part)
            if time.monotonic() > until:
                message = f"{part} is not there"
                raise StackError(message)
            await asyncio.sleep(EVERY)

    async def family(self, part: str) -> list[int]:
        """Return the process of a part and its children (PostgreSQL's backends)."""
        return family_of(await self.pid(part))

    async def back(self, what: str, since: float, *parts: str, old: int | None = None) -> None:
        """Wait until the parts are ready and a report flows through all of it; note how long."""
        until = time.monotonic() + BACK_WITHIN
        flows = False
        while time.monotonic() < until and not flows:
            ready = [await asyncio.to_thread(self._is_ready, part, old) for part in parts]
            flows = all(ready) and await self._flows(until)
            if not flows:
                await asyncio.sleep(EVERY)
        self.faults.append(Fault(what, "", since, since, time.monotonic() if flows else None))

    def _is_ready(self, part: str, old: int | None) -> bool:
        with contextlib.suppress(StackError, OSError):
            return self.stack.is_ready(part, old)
        return False

    async def _flows(self, until: float) -> bool:
        """Report, and wait until the case is referred and in the history."""
        done = await self.load.report()
        if done.outcome is not Outcome.OK or not done.case_ids:
            return False
        query = "SELECT 1 FROM entries WHERE type = 'referral-planned' AND subject = $1"
        while time.monotonic() < until:
            with contextlib.suppress(OSError, asyncpg.PostgresError, StackError, TimeoutError):
                async with asyncio.timeout(5):
                    if await reading.rows(self.stack, "audit", query, done.case_ids[0]):
                        return True
            await asyncio.sleep(EVERY)
        return False

    @asynccontextmanager
    async def replica(self, service: str, number: int) -> AsyncIterator[Server]:
        """Run one more process of a service, with its own place among the members of its groups."""
        env = self.stack.environment(service) | {"REPLICA": str(number)}
        log = self.stack.home / "logs" / f"{service}-replica-{number}.log"
        port = self.ports.reserve()
        async with serving(f"services.{service}.main", port, env, log, "/ready") as server:
            yield server

    @contextlib.contextmanager
    def nobody_restarts(self) -> Any:
        """Hold the supervisor still, so that what is dead stays dead."""
        supervisor = int(self.stack.status()["supervisor"])
        send_signal(supervisor, signal.SIGSTOP)
        try:
            yield
        finally:
            send_signal(supervisor, signal.SIGCONT)

    async def order(self, service: str, words: str) -> None:
        """Make a running service do what `tests/support/orders` knows."""
        pid = await self.pid(service)
        (self.orders / str(pid)).write_text(words)
        send_signal(pid, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Named:
    """A fault with a name. `covers` is the word of the list that it answers (`LISTED`)."""

    name: str
    covers: str
    strike: Callable[[Scene], Awaitable[None]]
    rig: str = "one"
    root: bool = False
    tool: str = ""

    @property
    def lacks(self) -> str:
        """What is not here and it needs; empty when it can be tried."""
        if self.root and os.geteuid() != 0:
            return "needs root"
        if self.tool and shutil.which(self.tool) is None:
            return f"needs {self.tool}: apt-get install {self.tool}"
        return ""


LISTED = (
    "kill -9 of every process",
    "SIGTERM of every process",
    "brokers killed, frozen, restarted (one)",
    "brokers killed, frozen, restarted (three)",
    "PostgreSQL killed",
    "PostgreSQL frozen",
    "PostgreSQL black-holed",
    "connections slowed, cut, replies lost",
    "rebalance storms",
    "handler slower than the poll interval",
    "long transactions",
    "disk full: PostgreSQL",
    "disk full: Kafka",
    "offsets expired or out of range",
    "null and non-UTF-8 headers",
    "a refused batch before an accepted one",
    "a relay's lock holder frozen",
    "a new group on an old log",
    "poison of 15 kinds at 1 %",
    "replays and duplicates of 10 %",
    "clock jumps",
    "event loop blocked",
    "memory, descriptor and CPU pressure",
    "collector down",
    "gateways misbehaving",
    "everything lost but a backup",
    "a new release under load",
)
"""What has to be tried; every word is covered by a named fault or by a test."""


def family_of(pid: int) -> list[int]:
    """Return a process and its children."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        send_signal(pid, number)


__all__ = ["LISTED", "SERVICES", "Named", "Scene", "family_of", "gone", "signal_all"]
