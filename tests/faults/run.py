"""One run against a running stack: load, nemesis, settling, check."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import httpx

from shared.vocabulary import Role
from tests.faults import reading
from tests.faults.attempts import Attempt, Log
from tests.faults.caller import Caller
from tests.faults.checker import Verdict, check
from tests.faults.figures import Fault, table
from tests.faults.load import NEEDS, PLACES, Load
from tests.faults.nemesis import Nemesis, Plan
from tests.faults.providers import Provider, Webhook
from tests.support.cut import Cut
from tests.support.receiver import Receiver
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.faults.truth import Truth
    from tests.support.stack import Stack

SETTLE = 180.0
"""Seconds that a run may take to settle after the last fault."""

QUIET = 2.0
"""Seconds without a new event, delivery or attempt that count as settled."""

SHORT = Plan()
LONG = Plan(kills=20, terms=20, freezes=5, brokers=20, databases=20, between=(1.5, 4.5))


@dataclass(slots=True)
class Result:
    seed: int
    seconds: float
    attempts: list[Attempt]
    faults: list[Fault]
    truth: Truth
    verdict: Verdict

    def __str__(self) -> str:
        return table(
            self.seed,
            self.seconds,
            self.attempts,
            self.faults,
            self.verdict,
            len(self.truth.entries),
        )


@dataclass(slots=True)
class Cast:
    """Who listens during a run."""

    providers: list[Provider] = field(default_factory=list)
    hook: Webhook | None = None
    gate: Cut | None = None
    """What stands before the webhook."""

    def hearings(self) -> int:
        return sum(len(p.heard) for p in self.providers) + (
            len(self.hook.heard) if self.hook else 0
        )


async def scout(load: Load) -> list[str]:
    """Report once for every place and need; return the providers that were chosen."""
    done = await asyncio.gather(*(load.report(p, [need]) for p in PLACES for need in NEEDS))
    cases = [case_id for attempt in done for case_id in attempt.case_ids]
    looks = (eventually(partial(_referral_of, load.caller, case_id), 30) for case_id in cases)
    return sorted({str(provider) for provider in await asyncio.gather(*looks)})


async def _referral_of(caller: Caller, case_id: str) -> str | None:
    headers = caller.token(Role.COORDINATOR, "scout", None)
    answer = await caller.client.get(
        "/referral/v1/referrals", params={"case_id": case_id}, headers=headers
    )
    answer.raise_for_status()
    items = answer.json()["items"]
    return next((item["provider_id"] for item in items), None)


@asynccontextmanager
async def listening(caller: Caller, providers: list[str], seed: int) -> AsyncIterator[Cast]:
    """Let every provider follow its feed, and the first one a webhook as well."""
    cast = Cast([Provider(p, caller, random.Random(f"{seed} {p}")) for p in providers])
    cast.hook = Webhook(f"webhook {providers[0]}", random.Random(seed))
    async with Receiver(cast.hook.answer) as receiver, Cut(*receiver.place) as cast.gate:
        url = f"http://127.0.0.1:{cast.gate.port}/hook"
        answer = await caller.client.post(
            "/notification/v1/subscriptions",
            json={"url": url, "types": ["referral-assigned"]},
            headers=caller.token(Role.PROVIDER_SYSTEM, "subscriber", providers[0]),
        )
        answer.raise_for_status()
        tasks = [asyncio.create_task(p.run()) for p in cast.providers]
        try:
            yield cast
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def settle(
    stack: Stack, log: Log, cast: Cast, *, planted: int = 0, quiet: float = QUIET
) -> bool:
    """Wait until nothing moves any more and nothing waits; False when the bound came first.

    `planted` records are in the history beside the events of the outboxes.
    """
    until = time.monotonic() + SETTLE
    last: object = None
    since = time.monotonic()
    while time.monotonic() < until:
        await asyncio.sleep(0.5)
        waiting, moved = await reading.movement(stack, planted)
        now = (moved, cast.hearings(), len(log.attempts))
        if now != last or waiting:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > quiet and not await reading.lag(stack):
            return True
    return False


async def run(stack: Stack, seed: int, plan: Plan, rate: float, limit: int) -> Result:
    """Run load and nemesis against a running stack, and judge what is left."""
    rng = random.Random(seed)
    nemesis = Nemesis(stack, plan.rounds(rng), rng, plan.between)

    async def strike() -> list[Fault]:
        await nemesis.run()
        return nemesis.faults

    return await under_load(stack, seed, strike, rate, limit)


async def under_load(
    stack: Stack, seed: int, trouble: Callable[[], Awaitable[list[Fault]]], rate: float, limit: int
) -> Result:
    """Run load against a running stack until the trouble has passed, and judge what is left."""
    log = Log()
    limits = httpx.Limits(max_connections=200)
    started = time.monotonic()
    async with httpx.AsyncClient(base_url=stack.origin, limits=limits) as client:
        caller = Caller(client, stack.seed, log)
        load = Load(caller, random.Random(seed), rate, limit)
        providers = await scout(load)
        async with listening(caller, providers, seed) as cast:
            working = asyncio.create_task(load.run())
            faults = await trouble()
            load.stopping.set()
            await working
            settled = await settle(stack, log, cast)
            heard = [h for p in cast.providers for h in p.heard]
            heard += cast.hook.heard if cast.hook else []
        truth = await reading.read_truth(stack, client, log.attempts, heard)
        if not settled:
            truth = reading.unsettled(truth)
    seconds = time.monotonic() - started
    log.save(stack.home / "attempts.jsonl")
    return Result(seed, seconds, log.attempts, faults, truth, check(log.attempts, truth))
