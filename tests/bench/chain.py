"""The whole chain, as fast as it goes on and on: reports a second that are fully audited.

Each report is a partner's, about one person who agreed, with one need whose rule releases it by
itself; it is fully audited when its five events (submitted, case created, referral planned,
released, assigned) are entries of the log. The load is closed over the whole chain: only so many
reports may be on their way, so that intake never runs ahead of the rest. What is counted is what
audit lists over HTTP afterwards, by the time each entry was recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import uvloop

from tests.bench.cpu import Meter, per_operation
from tests.bench.figures import Figure
from tests.bench.load import Job, Outcome, apart
from tests.bench.reports import NEED, OTHER, bodies
from tests.bench.site import Site

if TYPE_CHECKING:
    from tests.bench.telling import Told
    from tests.support.stack import Stack

FLOOR, AMBITIOUS = 800.0, 1500.0

EVENTS = frozenset(
    {
        "report-submitted",
        "case-created",
        "referral-planned",
        "referral-released",
        "referral-assigned",
    }
)
"""What the log must hold of a report."""

SOME = 8
"""Reports that show what one leads to."""

SETTLE_WITHIN = 120.0
STEP = 0.5
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds that count, after `warm` that do not; `window` reports may be on their way."""

    seconds: float = 60.0
    warm: float = 5.0
    window: int = 1500
    connections: int = 32
    places: int = 32
    need: str = NEED


QUICK = Plan(seconds=10.0, warm=3.0)
SMOKE = Plan(seconds=1.5, warm=0.3, window=100, connections=4, places=4, need=OTHER)


async def measure(stack: Stack, plan: Plan, told: Told) -> list[Figure]:
    """Load the chain and count what was audited."""
    site = Site.of(stack)
    each = await _entries_each(site, plan)
    base = await site.settled(30)
    job = Job(
        url=site.urls["intake"],
        kind="released",
        seconds=plan.warm + plan.seconds,
        connections=plan.connections,
        seed=time.time_ns() % 1_000_000,
        places=plan.places,
        need=plan.need,
        headers=site.partner,
        window=plan.window,
        audit=site.urls["audit"],
        entries=each,
    )
    loading = asyncio.create_task(apart(job))
    try:
        await _tell(told, plan, 0.0, plan.warm, "warming up")
        began, meter = datetime.now(UTC), Meter.start(site.pids)
        await _tell(told, plan, plan.warm, plan.seconds, "measuring")
        spent, ended = meter.stop(), datetime.now(UTC)
        outcome = await loading
    finally:
        loading.cancel()
    told.step(plan.warm + plan.seconds, plan.warm + plan.seconds, "counting what was audited")
    until = await site.settled(SETTLE_WITHIN)
    counted = await _count(site, base, until, began, ended)
    return [_figure(plan, outcome, counted, spent, ended - began)]


async def _entries_each(site: Site, plan: Plan) -> int:
    """Send a few reports and return how many entries of the log each leads to."""
    before = await site.settled(30)
    some = bodies("released", 1, SOME, plan.places, plan.need)
    for body in some:
        await site.report(body)
    after = await site.settled(30)
    types = Counter([line.type async for line in site.lines(before, after)])
    if any(types[kind] != len(some) for kind in EVENTS):
        message = f"{len(some)} reports led to {dict(types)}: not every one is released by its rule"
        raise RuntimeError(message)
    return sum(types.values()) // len(some)


async def _tell(told: Told, plan: Plan, start: float, seconds: float, text: str) -> None:
    """Tell of the passing time."""
    total = plan.warm + plan.seconds
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        told.step(start + seconds - left, total, text)
        await asyncio.sleep(min(STEP, left))


@dataclass(frozen=True, slots=True)
class Counted:
    """Reports: all of which audit knows, those with every event, and those done in the time."""

    known: int
    whole: int
    inside: int
    others: Counter[str]


async def _count(site: Site, base: int, until: int, began: datetime, ended: datetime) -> Counted:
    """Read the history and see when the last event of each report was recorded."""
    found: dict[str, set[str]] = {}
    last: dict[str, str] = {}
    others: Counter[str] = Counter()
    async for line in site.lines(base, until):
        if line.type not in EVENTS or line.subject is None:
            others[line.type] += 1
            continue
        found.setdefault(line.subject, set()).add(line.type)
        last[line.subject] = max(last.get(line.subject, ""), line.recorded_at)
    whole = [subject for subject, types in found.items() if types >= EVENTS]
    inside = sum(began <= datetime.fromisoformat(last[subject]) < ended for subject in whole)
    return Counted(len(found), len(whole), inside, others)


def _figure(
    plan: Plan, outcome: Outcome, counted: Counted, spent: dict[str, float], took: timedelta
) -> Figure:
    cpu = per_operation(spent, counted.inside)
    cpu["client"] = outcome.cpu / max(1, outcome.ok) * 1e6
    notes = [
        f"{plan.seconds:g} s after {plan.warm:g} s, at most {plan.window} reports on their way",
        f"{plan.connections} connections past the proxy, {plan.places} places, need {plan.need}",
        f"accepted {outcome.ok}, refused {outcome.failed}",
        f"known to audit {counted.known}, with all their events {counted.whole}",
        f"answer p50 {outcome.p50 * 1e3:.1f} ms, p99 {outcome.p99 * 1e3:.1f} ms",
    ]
    if counted.others:
        notes.append(f"other events meanwhile: {dict(counted.others)}")
    return Figure(
        bench="chain",
        what="whole chain, one need a report, fully audited",
        unit="reports/s",
        ours=counted.inside / took.total_seconds(),
        cpu=cpu,
        floor=FLOOR,
        ambitious=AMBITIOUS,
        notes=notes,
    )


def run(stack: Stack, plan: Plan, told: Told) -> list[Figure]:
    """Measure on a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(stack, plan, told))
