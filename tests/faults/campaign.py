"""Runs named faults one after another on one stack, each under load, and judges each by itself."""

from __future__ import annotations

import asyncio
import os
import random
import time
import traceback
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tests.faults import reading
from tests.faults.attempts import SUBMITS, Log, Outcome
from tests.faults.caller import Caller
from tests.faults.checker import FATAL, SHOWN, Verdict, check, since
from tests.faults.figures import availability
from tests.faults.load import Load
from tests.faults.rigs import RIGS, standing
from tests.faults.rows import Row
from tests.faults.run import listening, scout, settle
from tests.faults.scene import Named, Scene
from tests.support.cut import Cut
from tests.support.processes import ROOT
from tests.support.receiver import Received, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from tests.faults.run import Cast

RATE = 8.0
"""Attempts a second."""

LEAD, TAIL = 1.0, 1.0
"""Seconds of load before the first strike and after the last."""

PATIENCE = 900.0
"""Seconds after which a fault is given up."""

QUIET = 1.5
"""Seconds without anything new that count as settled; what is waited for is counted as well."""

SETTINGS = {
    # A receiver in trouble for some seconds is asked again within seconds, not minutes.
    "NOTIFICATION_SCHEDULE": ",".join(["0", "1", "2", "4", *["5"] * 30]),
    "OTEL_TRACES_SAMPLER_ARG": "1",
}


@dataclass(slots=True)
class Campaign:
    """One stack and what it has gone through; each fault is judged by what it added."""

    scene: Scene
    caller: Caller
    seed: int
    cast: Cast
    history: reading.History = field(default_factory=reading.History)
    before: Verdict = field(default_factory=Verdict)

    async def judge(self, fault: Named) -> Row:
        """Strike under load, let all settle, and return what the fault did."""
        scene, log = self.scene, self.caller.log
        scene.faults.clear()
        first, started = len(log.attempts), time.monotonic()
        load = scene.load
        load.stopping.clear()
        working = asyncio.create_task(load.run())
        try:
            await asyncio.sleep(LEAD)
            async with asyncio.timeout(PATIENCE):
                await fault.strike(scene)
            await asyncio.sleep(TAIL)
        finally:
            load.stopping.set()
            await working
        planted = len(scene.planted)
        settled = await settle(scene.stack, log, self.cast, planted=planted, quiet=QUIET)
        new = await self._new(settled=settled)
        attempts = log.attempts[first:]
        told = sum(a.kind in SUBMITS and a.outcome is Outcome.OK for a in attempts)
        at_once, known = availability(attempts)
        words = ("lost", "duplicate effect", "inversion")
        return Row(
            fault=fault.name,
            rig=RIGS[fault.rig],
            reports=told,
            strikes=len(scene.faults),
            lost=new.count("lost"),
            doubled=new.count("duplicate effect"),
            inverted=new.count("inversion"),
            other=sum(new.count(word) for word in FATAL if word not in words),
            absorbed=new.absorbed,
            recoveries=tuple(
                float("inf") if f.ready_at is None else f.ready_at - f.at for f in scene.faults
            ),
            first=at_once,
            known=known,
            seconds=time.monotonic() - started,
            seed=self.seed,
            error="" if all(f.ready_at for f in scene.faults) else "it never came back",
            examples=tuple(f"{w}: {e}" for w, rows in new.fatal.items() for e in rows)[:SHOWN],
        )

    async def _new(self, *, settled: bool) -> Verdict:
        """Return the anomalies that were not there before."""
        log, scene = self.caller.log, self.scene
        heard = [h for p in self.cast.providers for h in p.heard]
        heard += self.cast.hook.heard if self.cast.hook else []
        truth = await reading.read_truth(
            scene.stack,
            self.caller.client,
            log.attempts,
            heard,
            history=self.history,
            planted=scene.planted,
        )
        verdict = check(log.attempts, truth)
        new, self.before = since(self.before, verdict), verdict
        if not settled:
            new.blame("unsettled", "something still waits or moves")
        return new


async def campaign(rig: str, home: Path, faults: Sequence[Named], seed: int) -> AsyncGenerator[Row]:
    """Yield the row of each fault as it is judged; a stack that broke is replaced by a new one."""
    waiting, number = list(faults), 0
    while waiting:
        number += 1
        place = home / f"{rig}-{number}"
        try:
            async with begun(rig, place, seed) as running:
                while waiting:
                    fault = waiting.pop(0)
                    row = await judged(running, fault, seed)
                    yield row
                    if not row.clean:
                        break
        except Exception as error:
            traceback.print_exc()
            if not waiting:
                return
            fault = waiting.pop(0)
            yield failed(fault, seed, error)


async def judged(running: Campaign, fault: Named, seed: int) -> Row:
    try:
        return await running.judge(fault)
    except Exception as error:
        traceback.print_exc()
        return failed(fault, seed, error)


def failed(fault: Named, seed: int, error: Exception) -> Row:
    said = f"{type(error).__name__}: {error}"
    return Row(fault=fault.name, rig=RIGS[fault.rig], seed=seed, error=said[:200])


@asynccontextmanager
async def begun(rig: str, home: Path, seed: int) -> AsyncIterator[Campaign]:
    """Run a stack of a rig with its load, its listeners and the proxies before everything."""
    orders = home / "orders"
    await asyncio.to_thread(orders.mkdir, parents=True)
    async with AsyncExitStack() as open_:
        spans = await open_.enter_async_context(Receiver(_forget))
        collector = await open_.enter_async_context(Cut(*spans.place))
        env = SETTINGS | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "FAULT_ORDERS": str(orders),
            "PYTHONPATH": os.pathsep.join(_orders()),
        }
        stood = await open_.enter_async_context(standing(rig, home / "pashe", env))
        front = await open_.enter_async_context(Cut("127.0.0.1", stood.stack.port))
        client = await open_.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{front.port}",
                limits=httpx.Limits(max_connections=200),
            )
        )
        caller = Caller(client, stood.stack.seed, Log())
        load = Load(caller, random.Random(seed), RATE, 100_000)
        chosen = await scout(load)
        cast = await open_.enter_async_context(listening(caller, chosen, seed))
        scene = Scene(
            stack=stood.stack,
            rng=random.Random(f"{seed} nemesis"),
            load=load,
            cast=cast,
            front=front,
            collector=collector,
            orders=orders,
            database=stood.database,
            disks=stood.disks,
        )
        open_.callback(scene.ports.close)
        try:
            yield Campaign(scene, caller, seed, cast)
        finally:
            caller.log.save(home / "attempts.jsonl")


def _forget(_: Received) -> int:
    return 200


def _orders() -> list[str]:
    found = [str(ROOT / "tests" / "support" / "orders"), os.environ.get("PYTHONPATH", "")]
    return [word for word in found if word]
