"""Faults of connections: black holes, slowness, cuts, lost replies; transactions that stay open.

Where a port itself is a black hole, iptables drops its packets, for which one must be root.
Elsewhere a small proxy of ours stands in between, and anyone may run it.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import asyncpg

from tests.faults.scene import SERVICES, Named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.scene import Scene
    from tests.support.cut import Cut

HELD = 12.0
"""Seconds of a black hole or a long transaction: longer than any time-out of a statement."""

TROUBLED = 8.0
"""Seconds of slowness, and of cuts and lost replies now and then."""

SLOW = 0.1
"""Seconds that each piece of a slow connection waits in each direction."""

CONNECTIONS = "connections slowed, cut, replies lost"


@asynccontextmanager
async def dropped(port: int) -> AsyncIterator[None]:
    """Drop every packet to and from a port of loopback; needs root."""
    rules = [
        ["INPUT", "-i", "lo", "-p", "tcp", side, str(port), "-j", "DROP"]
        for side in ("--dport", "--sport")
    ]
    added: list[list[str]] = []
    try:
        for rule in rules:
            await asyncio.to_thread(_iptables, "-I", rule)
            added.append(rule)
        yield
    finally:
        for rule in added:
            await asyncio.to_thread(_iptables, "-D", rule)


def _iptables(what: str, rule: list[str]) -> None:
    subprocess.run(["iptables", "-w", "10", what, *rule], check=True, capture_output=True)


async def hole_in(scene: Scene, part: str) -> None:
    """Make a port a black hole: no packet passes, and nobody is told."""
    port = int(scene.stack.part(part)["port"])
    async with dropped(port):
        await asyncio.sleep(HELD)
    await scene.back(f"{part} black-holed", time.monotonic(), part)


def _gate(scene: Scene, which: str) -> Cut:
    gate: Cut | None = getattr(scene, which)
    assert gate is not None, f"this rig has no {which}"
    return gate


async def hole(scene: Scene, which: str) -> None:
    """Let nothing through a proxy for a while, its connections open."""
    gate = _gate(scene, which)
    gate.hole()
    try:
        await asyncio.sleep(HELD)
    finally:
        await gate.open()
    await scene.back(f"{which} black-holed", time.monotonic())


async def slow(scene: Scene, which: str) -> None:
    """Let everything through late."""
    gate = _gate(scene, which)
    gate.delay = SLOW
    try:
        await asyncio.sleep(TROUBLED)
    finally:
        gate.delay = 0.0
    await scene.back(f"{which} slow", time.monotonic())


async def cut(scene: Scene, which: str) -> None:
    """Cut all connections at drawn times; new ones are taken."""
    gate = _gate(scene, which)
    until = time.monotonic() + TROUBLED
    while time.monotonic() < until:
        await asyncio.sleep(scene.rng.uniform(0.5, 1.5))
        gate.cut()
    await scene.back(f"{which} cut", time.monotonic())


async def lose_replies(scene: Scene, which: str, mark: bytes) -> None:
    """Lose the answers to requests that were carried out; each fourth second."""
    gate = _gate(scene, which)
    before, until = gate.swallowed, time.monotonic() + TROUBLED
    while time.monotonic() < until:
        gate.swallow_commits(3, mark)
        await asyncio.sleep(1)
    gate.swallow_commits(0, mark)
    assert gate.swallowed > before, "no reply was lost: nothing was tried"
    await scene.back(f"{which}: replies lost", time.monotonic())


async def stay_open(scene: Scene, *, idle: bool) -> None:
    """Keep a transaction open that wrote, idle or at work, in each schema at once."""

    async def one(service: str) -> None:
        conn = await scene.stack.connect(service)
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await conn.execute("BEGIN")
            await conn.fetchval("SELECT pg_current_xact_id()::text")
            if idle:
                await asyncio.sleep(HELD)
            else:
                await conn.execute(f"SELECT pg_sleep({HELD})")
            await conn.execute("ROLLBACK")
        conn.terminate()

    await asyncio.gather(*map(one, SERVICES))
    await scene.back("long transaction", time.monotonic())


FAULTS = (
    Named(
        "PostgreSQL's port a black hole (iptables)",
        "PostgreSQL black-holed",
        partial(hole_in, part="postgres"),
        root=True,
        tool="iptables",
    ),
    Named(
        "Kafka's port a black hole (iptables)",
        "brokers killed, frozen, restarted (one)",
        partial(hole_in, part="kafka"),
        root=True,
        tool="iptables",
    ),
    Named(
        "PostgreSQL black-holed (proxy)",
        "PostgreSQL black-holed",
        partial(hole, which="database"),
        rig="wire",
    ),
    *(
        Named(f"connections to {what} {how}", CONNECTIONS, partial(fault, which=which), rig)
        for which, what, rig in (
            ("database", "PostgreSQL", "wire"),
            ("front", "the origin", "one"),
        )
        for fault, how in ((slow, "slow"), (cut, "cut"))
    ),
    Named(
        "PostgreSQL's replies to COMMIT lost",
        CONNECTIONS,
        partial(lose_replies, which="database", mark=b"COMMIT"),
        "wire",
    ),
    Named(
        "PostgreSQL's replies to groups of reports lost",
        CONNECTIONS,
        partial(lose_replies, which="database", mark=b"report-submitted"),
        "wire",
    ),
    Named(
        "the origin's replies lost",
        CONNECTIONS,
        partial(lose_replies, which="front", mark=b"POST /"),
    ),
    Named("idle transactions of 12 s", "long transactions", partial(stay_open, idle=True)),
    Named("busy transactions of 12 s", "long transactions", partial(stay_open, idle=False)),
)
