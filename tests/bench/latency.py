"""From a report's 201 to its provider hearing of it, over all three hops, at a steady rate.

Reporter and providers are one process and one clock. A report is a partner's with one need that its
rule releases; its provider follows the stream of server-sent events, or has a webhook.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop

from tests.bench.cpu import Meter, per_operation
from tests.bench.figures import Figure, percentile
from tests.bench.listening import Ear, hooked, latencies, send, streaming
from tests.bench.reports import NEED, OTHER, bodies, places
from tests.bench.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.bench.telling import Told
    from tests.support.stack import Stack

P50, P99 = (40.0, 20.0), (120.0, 60.0)
"""Floor and ambition in milliseconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Reports a second, for so many seconds after `warm`, over so many places."""

    rate: float = 50.0
    seconds: float = 30.0
    warm: float = 5.0
    places: int = 8
    need: str = NEED


QUICK = Plan(seconds=8.0, warm=3.0)
SMOKE = Plan(rate=20.0, seconds=1.0, warm=0.5, places=2, need=OTHER)


async def providers_of(site: Site, need: str, count: int) -> dict[str, str]:
    """Send a report of a need for each place and return, by place, the providers they went to."""
    return {
        place: await site.provider_of(bodies("released", number, 1, 1, need, at=place)[0])
        for number, place in enumerate(places(count))
    }


async def measure(stack: Stack, plan: Plan, told: Told) -> list[Figure]:
    """Measure both ways of hearing, one after the other."""
    site = Site.of(stack)
    total = 2 * (plan.warm + plan.seconds) + 1
    told.step(0, total, "finding the providers")
    providers = set((await providers_of(site, plan.need, plan.places)).values())
    ways: list[tuple[str, Callable[[], AbstractAsyncContextManager[Ear]]]] = [
        ("its provider's stream", lambda: streaming(site, providers)),
        ("its provider's webhook", lambda: hooked(site, providers)),
    ]
    found: list[Figure] = []
    for number, (name, listen) in enumerate(ways):
        told.step(1 + number * total / 2, total, name)
        async with listen() as ear:
            found += await _one(site, ear, plan, name)
    told.step(total, total, "done")
    return found


async def _one(site: Site, ear: Ear, plan: Plan, name: str) -> list[Figure]:
    made = bodies("released", time.time_ns() % 1_000_000, 200, plan.places, plan.need)
    warm = await send(site, made, plan.need, plan.rate, plan.warm)
    await latencies(warm, ear)
    meter = Meter.start(site.pids)
    sent = await send(site, made, plan.need, plan.rate, plan.seconds)
    taken = await latencies(sent, ear)
    cpu = per_operation(meter.stop(), len(taken))
    notes = [
        f"{plan.rate:g} a second for {plan.seconds:g} s past the proxy, {plan.places} places",
        f"{len(taken)} reports, the longest {taken[-1] * 1e3:.0f} ms",
    ]
    return [
        Figure(
            bench="latency",
            what=f"report accepted to {name}, {part}",
            unit="ms",
            ours=percentile(taken, share) * 1e3,
            cpu=cpu,
            floor=bounds[0],
            ambitious=bounds[1],
            least=False,
            notes=notes,
        )
        for part, share, bounds in (("p50", 0.5, P50), ("p99", 0.99, P99))
    ]


def run(stack: Stack, plan: Plan, told: Told) -> list[Figure]:
    """Measure on a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(stack, plan, told))
