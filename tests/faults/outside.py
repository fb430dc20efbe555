"""Faults of what Pashe does not own: collectors, receivers, clocks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.faults.scene import SERVICES, Named

if TYPE_CHECKING:
    from tests.faults.scene import Scene
    from tests.support.cut import Cut

TROUBLED = 8.0
"""Seconds of each trouble."""

JUMPS = (45.0, 3600.0, -3600.0)
"""Seconds by which a clock is wrong: within what two machines may differ, and an hour."""


async def _trouble(scene: Scene, gate: Cut, name: str) -> None:
    """Refuse, then hang, then cut what is under way."""
    await gate.refuse()
    await asyncio.sleep(TROUBLED / 2)
    await gate.open()
    gate.hole()
    await asyncio.sleep(TROUBLED)
    await gate.open()
    until = time.monotonic() + TROUBLED / 2
    while time.monotonic() < until:
        await asyncio.sleep(0.3)
        gate.cut()
    await scene.back(name, time.monotonic())


async def collector(scene: Scene) -> None:
    """Let the collector of traces be gone, hang, and break off."""
    await _trouble(scene, scene.collector, "collector")


async def receiver(scene: Scene) -> None:
    """Let the receiver of webhooks be gone, hang, and break off; each is told once in the end."""
    assert scene.cast.gate is not None
    await _trouble(scene, scene.cast.gate, "receiver")


async def jump(scene: Scene) -> None:
    """Let each service's clock jump ahead by less than a minute, ahead by an hour, back by one."""
    for seconds in JUMPS:
        for service in SERVICES:
            await scene.order(service, f"clock {seconds}")
            await asyncio.sleep(2.5)
            await scene.order(service, "clock 0")
        await scene.back("clock jump", time.monotonic())


FAULTS = (
    Named("the collector of traces down, hanging, breaking off", "collector down", collector),
    Named("a receiver of webhooks down, hanging, breaking off", "gateways misbehaving", receiver),
    Named("each service's clock off by 45 s, an hour, minus an hour", "clock jumps", jump),
)
