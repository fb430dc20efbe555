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
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench import history_peers
from tests.bench.cpu import Meter, per_operation
from tests.bench.figures import Figure, mean_of, percentile, ratio_of
from tests.bench.history_log import PRODUCER, make_events, our_log, write_events
from tests.bench.history_peers import PeerMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from services.audit.domain import Arrival
    from tests.bench.history_log import OurLog
    from tests.bench.history_peers import Peer
    from tests.bench.servers import Platform
    from tests.bench.telling import Told

FLIGHT, BATCH = 24, 2000
"""Entries that wait for one commit together."""

LOOK: Final = 0.05
"""Seconds between looks at the memory of a verifier."""

PLAIN, SAME = "Tessera POSIX", "Tessera POSIX, checking signatures"


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the log, and what each of the rounds appends, proves and verifies."""

    small: int = 100_000
    large: int = 1_000_000
    rounds: int = 5
    flight: int = 1_200
    batch: int = 8_000
    proofs: int = 400
    peers: bool = True


QUICK: Final = Plan(rounds=2, flight=600, batch=4_000, proofs=200)
SMOKE: Final = Plan(
    small=1_000, large=3_000, rounds=1, flight=48, batch=2_000, proofs=20, peers=False
)


@dataclass(slots=True)
class Side:
    """What the rounds of one way to append gave: entries a second, CPU µs an entry."""

    rates: list[float] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Checked:
    """A verification of the whole log: seconds, and the most memory it had, in MB."""

    seconds: float
    megabytes: float


@dataclass(slots=True)
class Seen:
    """Everything that was measured; proofs in milliseconds by who and at which size."""

    sides: dict[tuple[str, int], Side] = field(default_factory=dict)
    proofs: dict[tuple[str, int], list[list[float]]] = field(default_factory=dict)
    checked: dict[tuple[str, int], Checked] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


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
        await self.proofs(size, each)
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
    events = make_events((plan.rounds + 1) * each + plan.rounds * plan.batch)
    write_events(events, folder / "events")
    async with our_log(platform.admin, folder) as log:
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
                bench.tessera = start(history_peers.tessera(folder, path, PRODUCER.public))
                bench.pymerkle = start(history_peers.pymerkle(folder, plan.small))
                bench.fsck = None if bench.tessera is None else history_peers.build_fsck(folder)
            return figures_of(await bench.run(), plan)


def figures_of(seen: Seen, plan: Plan) -> list[Figure]:
    """Return the rows of the table."""
    return [
        *(_appended(seen, batch, who) for who in (PLAIN, SAME) for batch in (FLIGHT, BATCH)),
        _grown(seen, plan),
        _proved_large(seen, plan),
        *(_proved_beside(seen, plan, who) for who in ("pymerkle", "tessera")),
        *_verified(seen, plan),
    ]


_FLOORS: Final = {(PLAIN, FLIGHT): (1.0, 1.5), (PLAIN, BATCH): (0.5, 1.0)}


def _appended(seen: Seen, batch: int, who: str) -> Figure:
    ours, peer = seen.sides["ours", batch], seen.sides.get((who, batch))
    floor, aim = _FLOORS.get((who, batch), (None, None))
    how = f"{batch} in flight" if batch == FLIGHT else f"batches of {batch:,}"
    return Figure(
        bench="history",
        what=f"history: signed events appended, {how}",
        unit="entries/s",
        ours=statistics.median(ours.rates),
        peer=None if peer is None else statistics.median(peer.rates),
        peer_is=who,
        ratio=None if peer is None else ratio_of(ours.rates, peer.rates),
        cpu=mean_of(ours.cpu),
        peer_cpu={} if peer is None else mean_of(peer.cpu),
        floor=floor if peer is not None else None,
        ambitious=aim if peer is not None else None,
        notes=[f"{len(ours.rates)} rounds, alternated", *seen.missing],
    )


def _grown(seen: Seen, plan: Plan) -> Figure:
    before, after = (seen.sides[who, BATCH].rates for who in ("ours", "ours at the large size"))
    then, now = statistics.median(before), statistics.median(after)
    return Figure(
        bench="history",
        what=f"the same in batches, at {plan.large:,} entries : {plan.small:,} (time an entry)",
        unit="entries/s",
        ours=now,
        peer=then,
        peer_is=f"at {plan.small:,}",
        ratio=(then / now, then / now, then / now),
        floor=1.3,
        ambitious=1.1,
        least=False,
        notes=["growth: minutes lie between the two, they are not alternated"],
    )


def _middle(seen: Seen, who: str, size: int, part: float = 0.5) -> float:
    return percentile([ms for took in seen.proofs[who, size] for ms in took], part)


def _proved_large(seen: Seen, plan: Plan) -> Figure:
    size = plan.large
    return Figure(
        bench="history",
        what=f"inclusion proof at {size:,} entries, p50",
        unit="ms",
        ours=_middle(seen, "ours", size),
        floor=1.0,
        ambitious=0.3,
        least=False,
        notes=[
            f"inclusion proof at {size:,}: p99 {_middle(seen, 'ours', size, 0.99):.2f} ms",
            f"inclusion proof at {plan.small:,}: p50 {_middle(seen, 'ours', plan.small):.2f} ms",
        ],
    )


def _proved_beside(seen: Seen, plan: Plan, who: str) -> Figure:
    ours = seen.proofs["ours", plan.small]
    peer = seen.proofs.get((who, plan.small))
    notes = []
    if peer is not None:
        notes.append(f"{who}: p99 {_middle(seen, who, plan.small, 0.99):.2f} ms")
    if who == "pymerkle" and peer is not None:
        memory = _middle(seen, "pymerkle in memory", plan.small)
        cold = _middle(seen, "pymerkle, cold", plan.small)
        notes.append("pymerkle's tree is a file (SQLite), with the cache in memory that it makes")
        notes.append(f"pymerkle before that cache is warm: p50 {cold:.2f} ms")
        notes.append(f"pymerkle's tree in memory alone: p50 {memory:.2f} ms")
    ratio = None
    if peer is not None:
        middles = [[statistics.median(took) for took in side] for side in (peer, ours)]
        ratio = ratio_of(*middles)
    known = who == "pymerkle" and peer is not None
    return Figure(
        bench="history",
        what=f"inclusion proof at {plan.small:,} entries, p50, times as fast as {who}",
        unit="ms",
        ours=_middle(seen, "ours", plan.small),
        peer=None if peer is None else _middle(seen, who, plan.small),
        peer_is=who,
        ratio=ratio,
        floor=10.0 if known else None,
        ambitious=25.0 if known else None,
        notes=notes,
    )


def _verified(seen: Seen, plan: Plan) -> list[Figure]:
    ours, before = seen.checked["ours", plan.large], seen.checked["ours", plan.small]
    peer = seen.checked.get(("fsck", plan.large))
    faster = None if peer is None else peer.seconds / ours.seconds
    less = ours.megabytes / before.megabytes
    return [
        Figure(
            bench="history",
            what=f"the whole log of {plan.large:,} entries verified over HTTP, times as fast",
            unit="s",
            ours=ours.seconds,
            peer=None if peer is None else peer.seconds,
            peer_is="Tessera's fsck",
            ratio=None if faster is None else (faster, faster, faster),
            notes=[
                f"the whole log of {plan.small:,} entries verified: {before.seconds:.1f} s",
                *([] if peer is None else [f"fsck had at most {peer.megabytes:.0f} MB"]),
            ],
        ),
        Figure(
            bench="history",
            what=f"most memory of that verifier, at {plan.large:,} entries : {plan.small:,}",
            unit="MB",
            ours=ours.megabytes,
            peer=before.megabytes,
            peer_is=f"at {plan.small:,}",
            ratio=(less, less, less),
            floor=1.1,
            least=False,
        ),
    ]


def run(platform: Platform, folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Measure on a loop of its own."""
    return asyncio.run(measure(platform, folder, plan, told))
