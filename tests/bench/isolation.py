"""One rule or one receiver in trouble: what the others notice of it.

The rule of one need is a process of its own. It is frozen, then has everything that waited for it
at once, then raises at every case, while reports of another need go on at a steady rate; likewise a
webhook of one provider hangs, then is flooded, beside another's webhook and topic. Each trouble
alternates with a time in which all is well, at the same load; what is compared is the other's
latency.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import uvloop

from deploy.local.ports import Ports
from services.referral.rules import load_rules
from tests.bench.figures import Figure, percentile
from tests.bench.latency import providers_of
from tests.bench.listening import Ear, flooding, hooked, latencies, reading, send, streaming
from tests.bench.reports import NEED, OTHER, bodies, places
from tests.bench.servers import serving
from tests.bench.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.bench.telling import Told
    from tests.support.stack import Stack

WELL = "all well"
CAUGHT_UP = 120.0
"""Seconds in which the rule must have done what waited."""

MOST = 1.25
"""How many times its usual median the other's latency may be."""


FLOOD: Final = 10
"""Webhooks of one provider that are sent all of its feed at once, again and again."""

Taken = dict[str, list[float]]
"""Seconds by the state in which they were measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Rounds of so many seconds for each state, at `rate` reports a second of each need."""

    rounds: int = 3
    seconds: float = 10.0
    rate: float = 10.0
    backlog: int = 1000
    places: int = 4


QUICK = Plan(rounds=1, seconds=4.0, backlog=200)
SMOKE = Plan(rounds=1, seconds=0.6, rate=10.0, backlog=10, places=2)


def rules_beside() -> dict[str, str]:
    """Return the variables of a stack whose referral leaves one need to a process of its own."""
    return {"REFERRAL_RULES": ",".join(["cases", *sorted(load_rules().keys() - {NEED})])}


@dataclass(slots=True)
class Run:
    """A run: what was measured in each state, in seconds."""

    site: Site
    plan: Plan
    told: Told
    total: int
    done: int = 0
    taken: Taken = field(default_factory=dict)

    def tell(self, text: str) -> None:
        self.told.step(self.done, self.total, text)
        self.done += 1

    def made(self, need: str, count: int = 100) -> list[bytes]:
        return bodies("released", time.time_ns() % 1_000_000, count, self.plan.places, need)

    async def probe(self, state: str, ear: Ear) -> None:
        """Send reports of both needs and measure the other's."""
        self.tell(state)
        rate, seconds = self.plan.rate, self.plan.seconds
        both = await asyncio.gather(
            send(self.site, self.made(OTHER), OTHER, rate, seconds),
            send(self.site, self.made(NEED), NEED, rate, seconds),
        )
        self.taken.setdefault(state, []).extend(await latencies(both[0], ear))


@asynccontextmanager
async def _rule(run: Run, folder: Path, module: str) -> AsyncIterator[int]:
    """Run the rule of the one need as a process of its own; give its process id."""
    ports = Ports()
    env = run.site.stack.environment("referral") | {"REFERRAL_RULES": NEED, "REPLICA": "2"}
    try:
        async with serving(module, ports.reserve(), env, folder / "rule.log", "/ready") as server:
            try:
                yield server.pid
            finally:
                os.kill(server.pid, signal.SIGCONT)
    finally:
        ports.close()


async def measure(stack: Stack, folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Make each trouble in turn; the stack was started with `rules_beside`."""
    site = Site.of(stack)
    run = Run(site, plan, told, total=9 * plan.rounds + 2)
    run.tell("finding the providers")
    providers = await providers_of(site, OTHER, plan.places)
    async with streaming(site, set(providers.values())) as ear:
        async with _rule(run, folder, "services.referral.main") as pid:
            await site.settled(CAUGHT_UP)
            for _ in range(plan.rounds):
                await run.probe(WELL, ear)
                os.kill(pid, signal.SIGSTOP)
                await run.probe("its neighbour is frozen", ear)
                await _backlog(run)
                os.kill(pid, signal.SIGCONT)
                await run.probe("its neighbour has a backlog", ear)
                await site.settled(CAUGHT_UP)
        async with _rule(run, folder, "tests.bench.raising"):
            await site.settled(CAUGHT_UP)
            for _ in range(plan.rounds):
                await run.probe("its neighbour raises", ear)
    found = _figures(run, "another rule's referral", run.taken)
    by_webhook, by_topic = await _webhooks(run, providers)
    run.tell("done")
    found += _figures(run, "another provider's webhook", by_webhook)
    return found + _figures(run, "another provider's topic", by_topic)


async def _backlog(run: Run) -> None:
    """Let reports of the frozen rule's need pile up."""
    run.tell("a backlog grows")
    count = run.plan.backlog
    made = run.made(NEED)
    rate = min(200.0, float(count))
    await send(run.site, made, NEED, rate, count / rate)
    await run.site.settled(CAUGHT_UP)


async def _webhooks(run: Run, providers: dict[str, str]) -> tuple[Taken, Taken]:
    """Let the webhook of one provider hang or be flooded; measure the others', and their topics."""
    troubled, *others = providers.values()
    async with hooked(run.site, others) as ear, reading(run.site, others) as topics:
        ears: list[tuple[Ear, Taken]] = [(ear, {}), (topics, {})]
        for _ in range(run.plan.rounds):
            async with hooked(run.site, [troubled]) as same:
                await _hooks(run, WELL, ears, same)
            async with _hanging() as url:
                made = await run.site.subscribe(troubled, url, ["referral-assigned"])
                await _hooks(run, "a webhook hangs", ears, None)
                await run.site.unsubscribe(troubled, made)
            async with flooding(run.site, troubled, FLOOD):
                await _hooks(run, "a webhook is flooded", ears, None)
            await run.site.settled(CAUGHT_UP)
    return ears[0][1], ears[1][1]


async def _hooks(run: Run, state: str, ears: list[tuple[Ear, Taken]], same: Ear | None) -> None:
    run.tell(state)
    rate, seconds, where = run.plan.rate, run.plan.seconds, places(run.plan.places)
    seed = time.time_ns() % 1_000_000
    parts = [bodies("released", seed, 50, 1, OTHER, at=place) for place in where]
    mixed = [body for group in zip(*parts[1:], strict=True) for body in group]
    both = await asyncio.gather(
        send(run.site, mixed, OTHER, rate, seconds),
        send(run.site, parts[0], OTHER, rate, seconds),
    )
    for ear, taken in ears:
        taken.setdefault(state, []).extend(await latencies(both[0], ear))
    if same is not None:
        await latencies(both[1], same)


@asynccontextmanager
async def _hanging() -> AsyncIterator[str]:
    """Listen, take what comes, and never answer."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65_536):
                pass
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}/hook"
    finally:
        server.close()


def _figures(run: Run, whose: str, by_state: Taken) -> list[Figure]:
    usual = by_state[WELL]
    found = []
    for state, taken in by_state.items():
        if state == WELL:
            continue
        for part, share, bound in (("p50", 0.5, MOST), ("p99", 0.99, None)):
            mine, peer = percentile(taken, share) * 1e3, percentile(usual, share) * 1e3
            found.append(
                Figure(
                    bench="isolation",
                    what=f"{whose} while {state}, {part}",
                    unit="ms",
                    ours=mine,
                    peer=peer,
                    peer_is=WELL,
                    ratio=(mine / peer, mine / peer, mine / peer),
                    floor=bound if "backlog" not in state else None,
                    least=False,
                    notes=[f"{len(taken)} reports, {run.plan.rate:g} a second of each need"],
                )
            )
    return found


def run(stack: Stack, folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Measure on a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(stack, folder, plan, told))
