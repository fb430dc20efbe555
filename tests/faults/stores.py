"""Faults of what stores: brokers among three, full disks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from tests.faults.processes import freeze, kill, term
from tests.faults.scene import Named, family_of, gone, signal_all

if TYPE_CHECKING:
    from tests.faults.scene import Scene

FULL = 10.0
"""Seconds that a disk stays full."""

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
THREE = "brokers killed, frozen, restarted (three)"


async def restart_each(scene: Scene) -> None:
    """Restart one broker after another, each when the one before serves again."""
    for part in BROKERS:
        await term(scene, [part])


async def kill_two(scene: Scene) -> None:
    """Kill two of three brokers at once: nothing is acknowledged until one is back."""
    pids = [await scene.pid(part) for part in BROKERS[:2]]
    at = time.monotonic()
    for pid in pids:
        signal_all(family_of(pid), signal.SIGKILL)
    for pid in pids:
        await gone(pid, 30)
    await scene.back("two brokers", at, *BROKERS)


async def fill(scene: Scene, part: str) -> None:
    """Fill the disk of a store to its last byte for a while."""
    ballast = scene.disks[part] / "ballast"
    try:
        await asyncio.to_thread(_fill, str(ballast))
        until = time.monotonic() + FULL
        while time.monotonic() < until:  # what its death gave back is taken again
            await asyncio.sleep(0.2)
            await asyncio.to_thread(_fill, str(ballast))
    finally:
        ballast.unlink(missing_ok=True)
    await scene.back(f"disk of {part} full", time.monotonic(), part)


def _fill(path: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    os.write(handle, bytes(size))
    finally:
        os.close(handle)


FAULTS = (
    Named("kill -9 one of three brokers", THREE, partial(kill, part="kafka-1", times=2), "three"),
    Named("freeze one of three brokers", THREE, partial(freeze, parts=["kafka-2"]), "three"),
    Named("restart three brokers in turn", THREE, restart_each, "three"),
    Named("kill -9 two of three brokers", THREE, kill_two, "three"),
    Named(
        "disk of PostgreSQL full",
        "disk full: PostgreSQL",
        partial(fill, part="postgres"),
        "disks",
        root=True,
    ),
    Named(
        "disk of Kafka full", "disk full: Kafka", partial(fill, part="kafka"), "disks", root=True
    ),
)
