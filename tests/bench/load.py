"""A load in a process of its own: `python -m tests.bench.load`, its job as JSON on stdin.

Closed: each of `connections` sends its next request when the last was answered. The result on
stdout says how many were answered 2xx, how many not, the latencies and the client's own CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import uvloop

from tests.bench.figures import percentile
from tests.bench.reports import NEED, PATH, bodies, requests
from tests.bench.wire import Answer, Wire, WireError, request

if TYPE_CHECKING:
    from collections.abc import Iterator

DIFFERENT = 500
"""Different bodies of a load."""

LOOK = 0.1
"""Seconds between looks at how far audit is."""

_GAUGE = re.compile(rb"^pashe_audit_entries (\S+)", re.MULTILINE)


class Job(msgspec.Struct, kw_only=True):
    """What to send where, and for how long (seconds).

    With `window`, at most so many reports are on their way: sent, and not yet in audit's log,
    where each makes so many `entries`; `audit` is that service's address.
    """

    url: str
    kind: str
    seconds: float
    connections: int = 32
    seed: int = 1
    places: int = 32
    need: str = NEED
    headers: dict[str, str] = {}
    keys: bool = False
    path: str = PATH
    window: int = 0
    audit: str = ""
    entries: int = 1


class Outcome(msgspec.Struct, kw_only=True):
    """What came of it; times in seconds, `cpu` is the client's own."""

    ok: int
    failed: int
    seconds: float
    cpu: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests a second that were answered 2xx."""
        return self.ok / self.seconds if self.seconds else 0.0


async def closed(job: Job) -> Outcome:
    """Run a closed load in this process."""
    seed = job.seed if job.keys else None
    source = requests(
        bodies(job.kind, job.seed, DIFFERENT, job.places, job.need),
        job.headers,
        job.path,
        keys=seed,
    )
    wires = [await Wire.open(job.url) for _ in range(job.connections)]
    state = State(source, allowed=job.window or None)
    before, started = time.process_time(), time.perf_counter()
    until = started + job.seconds
    pacing = [asyncio.create_task(_pace(job, state))] if job.window else []
    try:
        await asyncio.gather(*(_work(wire, state, until) for wire in wires))
    finally:
        for task in pacing:
            task.cancel()
        for wire in wires:
            wire.close()
    times = state.times
    return Outcome(
        ok=len(times),
        failed=state.failed,
        seconds=time.perf_counter() - started,
        cpu=time.process_time() - before,
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
    )


@dataclass(slots=True)
class State:
    """What the connections of a load share; `allowed` None is without a bound."""

    source: Iterator[bytes]
    times: list[float] = field(default_factory=list)
    failed: int = 0
    sent: int = 0
    allowed: int | None = None
    more: asyncio.Event = field(default_factory=asyncio.Event)


async def _work(wire: Wire, state: State, until: float) -> None:
    while time.perf_counter() < until:
        if state.allowed is not None and state.sent >= state.allowed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - time.perf_counter())):
                    await state.more.wait()
            continue
        state.sent += 1
        begun = time.perf_counter()
        answer = await wire.send(next(state.source))
        if 200 <= answer.status < 300:
            state.times.append(time.perf_counter() - begun)
        else:
            state.failed += 1


async def _pace(job: Job, state: State) -> None:
    """Let as many be sent as audit has taken in, and the window; it is asked by its metrics."""
    wire = await Wire.open(job.audit)
    look = request("GET", "/metrics", {})
    try:
        base = _entries(await wire.send(look))
        while True:
            taken = _entries(await wire.send(look)) - base
            state.allowed = taken // job.entries + job.window
            if state.sent < state.allowed:
                state.more.set()  # who waits now goes on; the next wait is for the next look
                state.more.clear()
            await asyncio.sleep(LOOK)
    finally:
        wire.close()


def _entries(answer: Answer) -> int:
    found = _GAUGE.search(answer.body)
    if found is None:
        message = f"audit does not tell its size: {answer.status}"
        raise WireError(message)
    return int(float(found[1]))


async def apart(job: Job) -> Outcome:
    """Run a closed load in a process of its own.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.

    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        async with asyncio.timeout(job.seconds + 60):
            out, said = await process.communicate(msgspec.json.encode(job))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(said.decode("utf-8", "replace")[-2000:])
    return msgspec.json.decode(out, type=Outcome)


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(closed(job))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
