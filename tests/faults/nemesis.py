"""The nemesis: kills, stops and freezes the processes of a stack, in an order drawn from a seed.

Rounds go over the parts, so that no part is struck twice before the others were; two or three are
often down together. The supervisor alone restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from tests.faults.figures import Fault
from tests.support.stack import SERVICES, Stack, StackError, gone, send_signal

if TYPE_CHECKING:
    import random

BACK_WITHIN = 120.0
"""Seconds after which a part that is not ready again counts as never back."""

FROZEN = 4.0
"""Seconds that a frozen process stands still: longer than a relay's holder may be silent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each fault strikes in a run."""

    kills: int = 5
    terms: int = 0
    freezes: int = 0
    brokers: int = 1
    databases: int = 1
    between: tuple[float, float] = (0.6, 1.6)
    """Seconds between two faults, drawn evenly."""

    def __len__(self) -> int:
        """Return how many faults there are in all."""
        services = self.kills + self.terms + self.freezes
        return services * len(SERVICES) + self.brokers + self.databases

    def rounds(self, rng: random.Random) -> list[tuple[str, str]]:
        """Return (what, part) in the order of striking."""
        rows: list[list[tuple[str, str]]] = []
        for what, times in (("kill", self.kills), ("term", self.terms), ("freeze", self.freezes)):
            for _ in range(times):
                row = [(what, part) for part in SERVICES]
                rng.shuffle(row)
                rows.append(row)
        rng.shuffle(rows)
        plan = [step for row in rows for step in row]
        for part, times in (("kafka", self.brokers), ("postgres", self.databases)):
            for _ in range(times):
                plan.insert(rng.randrange(len(plan) + 1), ("kill", part))
        return plan


@dataclass(slots=True)
class Nemesis:
    """Strikes one stack; `faults` is what it did."""

    stack: Stack
    plan: list[tuple[str, str]]
    rng: random.Random
    between: tuple[float, float]
    faults: list[Fault] = field(default_factory=list)

    async def run(self) -> None:
        """Strike at drawn times: several parts may be down, none is struck while it is."""
        under_way: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            for what, part in self.plan:
                await asyncio.sleep(self.rng.uniform(*self.between))
                if part in under_way:
                    await under_way[part]
                under_way[part] = group.create_task(self._record(what, part))

    async def _record(self, what: str, part: str) -> None:
        self.faults.append(await self.strike(what, part))

    async def strike(self, what: str, part: str) -> Fault:
        """Strike one part, and wait until it is back."""
        pid = await asyncio.to_thread(self.stack.pid, part)
        at = time.monotonic()
        victims = (pid, *_backends(part, pid))
        if what == "freeze":
            for victim in victims:
                send_signal(victim, signal.SIGSTOP)
            await asyncio.sleep(FROZEN)
            for victim in victims:
                send_signal(victim, signal.SIGCONT)
            down = time.monotonic()
            return Fault(what, part, at, down, await self._ready(part, None))
        number = signal.SIGKILL if what == "kill" else signal.SIGTERM
        for victim in victims if what == "kill" else (pid,):
            send_signal(victim, number)
        await gone(pid, 30)
        down = time.monotonic()
        return Fault(what, part, at, down, await self._ready(part, pid))

    async def _ready(self, part: str, old: int | None) -> float | None:
        """Wait until the part is ready under another pid than `old`; None if it never is."""
        until = time.monotonic() + BACK_WITHIN
        while time.monotonic() < until:
            with contextlib.suppress(StackError):
                if await asyncio.to_thread(self.stack.is_ready, part, old):
                    return time.monotonic()
            await asyncio.sleep(0.1)
        return None


def _backends(part: str, pid: int) -> list[int]:
    """Return the backends of a PostgreSQL server, which outlive their postmaster for a moment."""
    if part != "postgres":
        return []
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
