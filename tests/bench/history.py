"""The history against Tessera's POSIX log and pymerkle: appending, proving, verifying the whole.

Ours is the real writer (`Ledger.append`: envelope, producer's signature, once, sequence, row and
bytes, tree, one durable commit a batch) and the real reader. Tessera stores the same bytes with
fsync and knows of no event: it is measured as it is, and once more checking the same signatures.
Its callers wait for integration, not for the checkpoint, as ours do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from shared.runtime import settle_memory
from tests.bench import history_peers
from tests.bench.cpu import Meter, per_operation
from tests.bench.history_figures import (
    BATCH,
    FLIGHT,
    PLAIN,
    QUICK,
    SAME,
    SMOKE,
    Checked,
    Plan,
    Seen,
    Side,
    figures_of,
)
from tests.bench.history_log import make_events, our_log, write_events
from tests.bench.history_peers import PeerMissing

__all__ = ["QUICK", "SMOKE", "Plan", "run"]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from services.audit.domain import Arrival
    from tests.bench.figures import Figure
    from tests.bench.history_log import OurLog
    from tests.bench.history_peers import Peer
    from tests.bench.servers import Platform
    from tests.bench.telling import Told

LOOK: Final = 0.05
"""Seconds between looks at the memory of a verifier."""


@dataclass(slots=True)
class Bench:
    """The log and its peers while they are measured."""

    log: OurLog
    plan: Plan
    told: Told
    postgres: int | None
    events: Iterator[Arrival]
    folder: Path
    seen: Seen = field(default_factory=Seen)
    tessera: Peer | None = None
    pymerkle: Peer | None = None
    fsck: Path | None = None
    done: int = 0

    async def run(self) -> Seen:
        """Measure at the small size, then at the large one."""
        small, large = self.plan.small, self.plan.large
        self.step(f"a log of {small:,} entries")
        await self.log.load(small)
        if self.tessera is not None:
            self.tessera.ask(f"append {BATCH} {small} plain")
        await self.prove(small)
        await self.verify(small)
        for number in range(self.plan.rounds + 1):
            self.step(f"appending, round {number} of {self.plan.rounds}")
            await self.append(number)
        self.step(f"a log of {large:,} entries")
        await self.log.load(large)
        await self.prove(large)
        await self.verify(large)
        for number in range(self.plan.rounds):
            self.step(f"appending to {large:,} entries, round {number + 1}")
            await self.ours("ours at the large size", BATCH, keep=True)
        return self.seen

    def step(self, text: str) -> None:
        self.told.step(self.done, 2 * self.plan.rounds + 7, text)
        self.done += 1

    # --- Appending ---------------------------------------------------------------------------

    async def append(self, number: int) -> None:
        """Append once each way, in turns; the first round only warms up."""
        keep = number > 0
        for batch in (FLIGHT, BATCH):
            ways = ("ours", PLAIN, SAME)
            for who in ways[number % 3 :] + ways[: number % 3]:
                if who == "ours":
                    await self.ours(who, batch, keep=keep)
                else:
                    self.peer(who, batch, keep=keep)

    def size_of(self, batch: int) -> int:
        return self.plan.flight if batch == FLIGHT else self.plan.batch

    async def ours(self, who: str, batch: int, *, keep: bool) -> None:
        events = [next(self.events) for _ in range(self.size_of(batch))]
        pids = {"app": os.getpid()}
        if self.postgres is not None:
            pids["database"] = self.postgres
        meter, begun = Meter.start(pids), time.perf_counter()
        await self.log.append(events, batch)
        self.keep(who, batch, time.perf_counter() - begun, meter, keep=keep)

    def peer(self, who: str, batch: int, *, keep: bool) -> None:
        if self.tessera is None:
            return
        how = "verify" if who == SAME else "plain"
        meter = Meter.start({"app": self.tessera.process.pid})
        took = self.tessera.ask(f"append {batch} {self.size_of(batch)} {how}")["seconds"]
        self.keep(who, batch, took, meter, keep=keep)

    def keep(self, who: str, batch: int, seconds: float, meter: Meter, *, keep: bool) -> None:
        spent, count = meter.stop(), self.size_of(batch)
        if keep:
            side = self.seen.sides.setdefault((who, batch), Side())
            side.rates.append(count / seconds)
            side.cpu.append(per_operation(spent, count))

    # --- Proving and verifying ---------------------------------------------------------------

    async def prove(self, size: int) -> None:
        """Prove random entries, in turns with the peers while they have as many."""
        self.step(f"proofs at {size:,} entries")
        peers = [("tessera", self.tessera, "prove"), ("pymerkle", self.pymerkle, "file")]
        peers.append(("pymerkle in memory", self.pymerkle, "memory"))
        each = max(1, self.plan.proofs // self.plan.rounds)
        peers = peers if size == self.plan.small else []
        self.note("ours, cold", size, await self.proofs(size, each))
        for name, peer, word in peers:
            if peer is not None:
                self.note(f"{name}, cold", size, peer.ask(f"{word} {each}")["ms"])
        for _ in range(self.plan.rounds):
            self.note("ours", size, await self.proofs(size, each))
            for name, peer, word in peers:
                if peer is not None:
                    self.note(name, size, peer.ask(f"{word} {each}")["ms"])

    def note(self, who: str, size: int, took: list[float]) -> None:
        self.seen.proofs.setdefault((who, size), []).append(took)

    async def proofs(self, size: int, count: int) -> list[float]:
        took = []
        for _ in range(count):
            index = random.randrange(size)
            begun = time.perf_counter()
            await self.log.proofs.inclusion(index, size)
            took.append((time.perf_counter() - begun) * 1000)
        return took

    async def verify(self, size: int) -> None:
        """Verify the whole log over HTTP from another process, as anybody can."""
        self.step(f"the whole log of {size:,} entries verified")
        async with self.log.serve() as server:
            state = self.folder / f"verifier-{size}"
            words = ["--url", server.url, "--state", str(state)]
            command = [sys.executable, "-m", "services.audit.verify", *words]
            self.seen.checked["ours", size] = await asyncio.to_thread(_checked, command)
            if self.fsck is not None:
                key = self.folder / "log.vkey"
                key.write_text(f"{self.log.settings.signer.vkey}\n", "utf-8")
                words = [f"--storage_url={server.url}/audit/log/", f"--public_key={key}"]
                command = [str(self.fsck), *words, "--ui=false"]
                self.seen.checked["fsck", size] = await asyncio.to_thread(_checked, command)


def _checked(command: list[str]) -> Checked:
    """Run a verifier, and look at the most memory that it has had, as the kernel counts it.

    Raises:
        RuntimeError: it did not believe the log.

    """
    begun, most = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, _most_memory(process.pid))
            time.sleep(LOOK)
    if process.returncode:
        message = f"{command[0]} did not believe the log: {process.returncode}"
        raise RuntimeError(message)
    return Checked(time.perf_counter() - begun, most)


def _most_memory(pid: int) -> float:
    """Return MB; 0 of a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


async def measure(platform: Platform, folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Measure with the peers that can be built here; return the figures."""
    folder = folder / "history"
    folder.mkdir()
    each = plan.flight + plan.batch
    async with our_log(platform.admin, folder) as log:
        producer = log.producer
        events = make_events(producer, (plan.rounds + 1) * each + plan.rounds * plan.batch)
        write_events(producer, events, folder / "events")
        settle_memory()  # as the service does: its collector does not walk all these events
        await log.begin()
        with ExitStack() as stack:
            bench = Bench(log, plan, told, platform.postgres, iter(events), folder)

            def start(peer: AbstractContextManager[Peer]) -> Peer | None:
                try:
                    return stack.enter_context(peer)
                except PeerMissing as error:
                    bench.seen.missing.append(str(error))
                    return None

            if plan.peers:
                told.step(0, 1, "building the peers")
                path = folder / "events"
                bench.tessera = start(history_peers.tessera(folder, path, producer.public))
                bench.pymerkle = start(history_peers.pymerkle(folder, plan.small))
                bench.fsck = None if bench.tessera is None else history_peers.build_fsck(folder)
            return figures_of(await bench.run(), plan)


def run(platform: Platform, folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Measure on a loop of its own, of the kind that the service has."""
    return uvloop.run(measure(platform, folder, plan, told))
