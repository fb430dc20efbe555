"""What one report costs: CPU of each part, bytes in PostgreSQL, in its log (WAL), and in Kafka.

    python -m tests.bench.cost RATE [RATE …]

starts a stack of its own, sends a partner's reports at each rate (one need, released by its rule,
fully audited), and prints what `deploy/capacity.toml` holds. CPU that the stack takes while nobody
reports is measured first and taken off; without a rate it is all that is measured, for a minute.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.cpu import Meter
from tests.bench.reports import NEED, bodies
from tests.bench.site import Site
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECONDS: Final = 20.0
IDLE: Final = 10.0
PLACES: Final = 32
PARTS: Final = ("intake", "referral", "notification", "audit", "kafka", "postgres")

_SIZES: Final = (
    "SELECT pg_database_size(current_database()) AS held, pg_current_wal_lsn() - '0/0' AS wal"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one report at a rate: CPU milliseconds by part, and bytes."""

    rate: float
    reports: int
    cpu: Mapping[str, float]
    database: float
    wal: float
    kafka: float
    entries: float

    @property
    def total(self) -> float:
        """CPU milliseconds of all parts."""
        return sum(self.cpu.values())


def kafka_bytes(home: Path) -> int:
    """Return the bytes of every topic's log on disk, without its indexes."""
    return sum(file.stat().st_size for file in (home / "kafka").rglob("*.log") if file.is_file())


async def _sizes(stack: Stack) -> tuple[int, int]:
    conn = await stack.connect("intake")
    try:
        row = await conn.fetchrow(_SIZES)
    finally:
        await conn.close()
    return int(row["held"]), int(row["wal"])


async def _send(site: Site, rendered: Sequence[bytes], rate: float) -> None:
    """Send each report at its time, whether earlier ones were answered or not."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for n, body in enumerate(rendered):
            await asyncio.sleep(began + n / rate - time.monotonic())
            group.create_task(site.report(body))


async def _rest(pids: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Return the share of a core that each part takes while nobody reports."""
    idle, began = Meter.start(pids), time.monotonic()
    await asyncio.sleep(seconds)
    return {name: one / (time.monotonic() - began) for name, one in idle.stop().items()}


async def rest(stack: Stack, seconds: float = 60.0) -> dict[str, float]:
    """Return the share of a core that each part of an idle stack takes."""
    site = Site.of(stack)
    await site.settled(60)
    await asyncio.sleep(IDLE)
    return await _rest({name: pid for name, pid in site.pids.items() if name in PARTS}, seconds)


async def measure(stack: Stack, rates: Sequence[float], seconds: float = SECONDS) -> list[Cost]:
    """Return the cost of a report at each rate."""
    site = Site.of(stack)
    pids = {name: pid for name, pid in site.pids.items() if name in PARTS}
    await _send(site, bodies("released", 1, 8, PLACES, NEED), 2)
    await site.settled(60)
    resting = await _rest(pids, IDLE)
    found = []
    for number, rate in enumerate(rates):
        rendered = bodies("released", 2 + number, max(8, int(rate * seconds)), PLACES, NEED)
        size, (held, wal), kept = (
            await site.settled(60),
            await _sizes(stack),
            kafka_bytes(stack.home),
        )
        meter, began = Meter.start(pids), time.monotonic()
        await _send(site, rendered, rate)
        entries = await site.settled(120) - size
        took = time.monotonic() - began
        spent = {n: max(0.0, one - resting[n] * took) for n, one in meter.stop().items()}
        after, count = await _sizes(stack), len(rendered)
        found.append(
            Cost(
                rate=rate,
                reports=count,
                cpu={name: one / count * 1e3 for name, one in spent.items()},
                database=(after[0] - held) / count,
                wal=(after[1] - wal) / count,
                kafka=(kafka_bytes(stack.home) - kept) / count,
                entries=entries / count,
            )
        )
    return found


def render(costs: Sequence[Cost]) -> str:
    """Return costs as TOML."""
    lines = []
    for one in costs:
        cpu = ", ".join(f"{name} = {value:.2f}" for name, value in one.cpu.items())
        lines += [
            "[[measured]]",
            f"rate = {one.rate:g} # reports a second, {one.reports} in all",
            f"cpu = {{{cpu}}} # ms a report",
            f"database = {one.database:.0f} # bytes a report",
            f"wal = {one.wal:.0f}",
            f"kafka = {one.kafka:.0f}",
            f"entries = {one.entries:.1f}",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder) / "pashe", env={"OTEL_TRACES_SAMPLER_ARG": "0.01"}) as running,
    ):
        if told := [*map(float, sys.argv[1:])]:
            print(render(asyncio.run(measure(running, told))))
        else:
            for part, share in asyncio.run(rest(running)).items():
                print(f"{part}: {share:.1%} of a core at rest")
