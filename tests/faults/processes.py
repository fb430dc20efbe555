"""Faults of processes: killed, ended, frozen, blocked, starved of memory, descriptors and CPU."""

from __future__ import annotations

import asyncio
import resource
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import psutil

from tests.faults.scene import SERVICES, Named, family_of, gone, signal_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.scene import Scene

PARTS = (*SERVICES, "proxy", "accounts", "kafka", "postgres")
"""Every process of a stack but its supervisor."""

EDGE = ("proxy", "accounts")
"""Parts that keep nothing."""

ENDS = {"postgres": signal.SIGINT}
"""What ends a part in order, where it is not SIGTERM: at that PostgreSQL waits for its clients."""

FROZEN = 6.0
"""Seconds that a frozen process stands still: twice as long as a relay's holder may be silent."""

PRESSED = 5.0
"""Seconds that a shortage lasts."""

SHARE = 0.1
"""Share of a core that is left to a starved process."""

SLICE = 0.1


async def kill(scene: Scene, part: str, times: int) -> None:
    """Kill a part with everything below it."""
    for _ in range(times):
        pid = await scene.pid(part)
        at = time.monotonic()
        signal_all(family_of(pid), signal.SIGKILL)
        await gone(pid, 30)
        await scene.back(f"kill {part}", at, part, old=pid)


async def term(scene: Scene, parts: Sequence[str]) -> None:
    """Ask parts to end, one after another; what each has in hand must be ended or given back."""
    for part in parts:
        pid = await scene.pid(part)
        at = time.monotonic()
        signal_all([pid], ENDS.get(part, signal.SIGTERM))
        await gone(pid, 60)
        await scene.back(f"term {part}", at, part, old=pid)


async def freeze(scene: Scene, parts: Sequence[str], seconds: float = FROZEN) -> None:
    """Stop parts where they stand, one after another, and let each go on later."""
    for part in parts:
        victims = await scene.family(part)
        try:
            signal_all(victims, signal.SIGSTOP)
            await asyncio.sleep(seconds)
        finally:
            signal_all(victims, signal.SIGCONT)
        await scene.back(f"freeze {part}", time.monotonic(), part)


async def freeze_holder(scene: Scene) -> None:
    """Freeze the process that holds a service's relay while a standby runs: it must take over."""
    async with scene.replica("intake", 2):
        holder = await scene.pid("intake")
        at = time.monotonic()
        try:
            signal_all([holder], signal.SIGSTOP)
            await asyncio.sleep(FROZEN + 2)
        finally:
            signal_all([holder], signal.SIGCONT)
        await scene.back("relay's holder frozen", at + FROZEN + 2, "intake")


async def block(scene: Scene) -> None:
    """Let every service stand still in its event loop for five seconds, one after another."""
    for service in SERVICES:
        at = time.monotonic() + 5
        await scene.order(service, "block 5")
        await asyncio.sleep(5)
        await scene.back("event loop blocked", at, service)


async def press(scene: Scene, kind: int, spare: int) -> None:
    """Leave each service little more than it has of a resource; take the limit back later."""
    for service in SERVICES:
        pid = await scene.pid(service)
        process = psutil.Process(pid)
        used = process.memory_info().vms if kind == resource.RLIMIT_AS else process.num_fds()
        before = process.rlimit(kind)
        assert isinstance(before, tuple)
        process.rlimit(kind, (used + spare, before[1]))
        try:
            await asyncio.sleep(PRESSED)
        finally:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                process.rlimit(kind, before)
        await scene.back("shortage", time.monotonic(), service)


async def starve(scene: Scene) -> None:
    """Leave all services a tenth of the CPU: they run a hundredth of a second in a tenth."""
    pids = [await scene.pid(service) for service in SERVICES]
    until = time.monotonic() + PRESSED
    try:
        while time.monotonic() < until:
            signal_all(pids, signal.SIGSTOP)
            await asyncio.sleep(SLICE * (1 - SHARE))
            signal_all(pids, signal.SIGCONT)
            await asyncio.sleep(SLICE * SHARE)
    finally:
        signal_all(pids, signal.SIGCONT)
    await scene.back("CPU shortage", time.monotonic(), *SERVICES)


_COVERS = {"kafka": "brokers killed, frozen, restarted (one)", "postgres": "PostgreSQL killed"}
_EVERY = "kill -9 of every process"

FAULTS = (
    *(
        Named(
            f"kill -9 {p}",
            _COVERS.get(p, _EVERY),
            partial(kill, part=p, times=1 if p in EDGE else 2),
        )
        for p in PARTS
    ),
    Named("SIGTERM each part", "SIGTERM of every process", partial(term, parts=PARTS)),
    Named("freeze each service", "SIGTERM of every process", partial(freeze, parts=SERVICES)),
    Named(
        "freeze kafka", "brokers killed, frozen, restarted (one)", partial(freeze, parts=["kafka"])
    ),
    Named("freeze postgres", "PostgreSQL frozen", partial(freeze, parts=["postgres"])),
    Named(
        "relay's lock holder frozen beside a standby", "a relay's lock holder frozen", freeze_holder
    ),
    Named("event loop blocked for 5 s", "event loop blocked", block),
    Named(
        "16 MB of memory left",
        "memory, descriptor and CPU pressure",
        partial(press, kind=resource.RLIMIT_AS, spare=16 << 20),
    ),
    Named(
        "two descriptors left",
        "memory, descriptor and CPU pressure",
        partial(press, kind=resource.RLIMIT_NOFILE, spare=2),
    ),
    Named("a tenth of the CPU left", "memory, descriptor and CPU pressure", starve),
)
