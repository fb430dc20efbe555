"""Channels in trouble: one under flood, and each killed alone while it works. Prints figures."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from deploy.local.ports import Ports
from services.intake.channels import CASES, NAMES
from tests.bench.figures import percentile
from tests.bench.servers import serving
from tests.bench.wire import Wire, WireError, ask, request
from tests.support.channels import FORM, SETTINGS, Reports, Seen, keep_saying
from tests.support.stack import Stack, send_signal
from tests.support.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.servers import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

MOST = 3.0
"""Seconds in which a genuine report is taken, 99 of 100, while its neighbour is under flood."""


# --- A flood --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Flood:
    """Texts of one sender at a steady rate, each of `lines` connections waiting for its answer."""

    url: str
    rate: float = 200.0
    lines: int = 100
    sent: int = 0
    taken: int = 0
    refused: int = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for line in range(self.lines):
                group.create_task(self._line(line))

    async def _line(self, line: int) -> None:
        """Send at this line's share of the rate; what is late is sent at once."""
        clock = asyncio.get_running_loop().time
        every = self.lines / self.rate
        due = clock() + every * line / self.lines
        wire = await Wire.open(self.url)
        while True:
            await asyncio.sleep(due - clock())
            due += every
            form = {"from": "01700000099", "text": "flood", "id": f"flood-{uuid4().hex}"}
            body = urlencode(form).encode()
            self.sent += 1
            try:
                said = await wire.send(request("POST", "/intake/channels/sms/external", FORM, body))
            except WireError:
                self.refused += 1
                wire = await Wire.open(self.url)
            else:
                self.taken += said.status == 200
                self.refused += said.status != 200


async def flooded(home: Path, seconds: float, every: float, least: float) -> None:
    """Flood the SMS channel, of the rate at least the part `least`, beside genuine reports."""
    with Stack(home, env={"PASHE_SERVICES": "intake", **SETTINGS}) as stack:
        url, seen = stack.url("intake"), defaultdict[str, Seen](Seen)
        process, flood = stack.pid("intake"), Flood(url)
        pouring = asyncio.create_task(flood.run())
        await asyncio.gather(
            *(
                keep_saying(url, make, f"{name}-{uuid4().hex}", every, seconds, seen[name])
                for name, make in Reports(stack).by.items()
            )
        )
        assert not pouring.done()
        pouring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pouring
        conn = await stack.connect("intake")
        waits = "SELECT count(*) FROM submissions WHERE state = 'received'"
        print(f"\n{await conn.fetchval(waits)} of the flood were still to be opened")

        async def opened() -> bool:
            return not int(await conn.fetchval(waits))

        await eventually(opened, 90, "all of the flood is opened")
        await conn.close()
        assert stack.pid("intake") == process, "it served all the while"
    print(f"\nsms under {flood.sent / seconds:.0f} texts a second of one sender for {seconds:g} s:")
    print(f"  the flood: {flood.taken} taken, {flood.refused} refused")
    for name, told in seen.items():
        print(f"  genuine {name:9} {told}")
    for name, told in seen.items():
        assert told.failed == 0, "a genuine report is always accepted"
        assert percentile(told.seconds, 0.99) < MOST, name
    assert flood.sent > least * flood.rate * seconds, "the flood was too slow to say anything"


@pytest.mark.slow
async def test_a_flood_of_one_sender_leaves_genuine_reports_their_latency(tmp_path: Path) -> None:
    await flooded(tmp_path / "pashe", seconds=10, every=2, least=0.1)


@pytest.mark.long
async def test_a_long_flood_leaves_genuine_reports_their_latency(tmp_path: Path) -> None:
    await flooded(tmp_path / "pashe", seconds=300, every=5, least=0.9)


# --- Kills ----------------------------------------------------------------------------------------


async def all_stored(stack: Stack, sent: dict[str, int]) -> dict[str, int]:
    """Wait for what was taken (a session may be stored when it is quiet); return how many are."""
    stored: dict[str, int] = {}
    conn = await stack.connect("intake")

    async def look() -> bool:
        rows = await conn.fetch("SELECT channel, count(*) AS n FROM submissions GROUP BY 1")
        stored.update({row["channel"]: row["n"] for row in rows})
        return all(stored.get(name, 0) >= count for name, count in sent.items())

    try:
        with contextlib.suppress(AssertionError):
            await eventually(look, 200, "every report stored")
    finally:
        await conn.close()
    return stored


async def killed(home: Path, folder: Path, seconds: float, every: float) -> None:
    """Kill each channel's process in turn, under load; each is started again after `seconds`."""
    names, ports = tuple(NAMES), Ports()
    env = {"PASHE_SERVICES": "intake", "INTAKE_CHANNELS": CASES, **SETTINGS}
    with Stack(home, env=env) as stack:
        reports = Reports(stack).by
        places = {name: ports.reserve() for name in names}
        urls = {name: f"http://127.0.0.1:{places[name]}" for name in names}
        told: dict[str, dict[str, Seen]] = {}
        sent = dict.fromkeys(names, 0)
        async with AsyncExitStack() as running:

            async def start(name: str) -> Server:
                own = stack.environment("intake") | {"INTAKE_CHANNELS": name, "REPLICA": name}
                log = folder / f"{name}.log"
                made = serving("services.intake.main", places[name], own, log, "/ready")
                return await running.enter_async_context(made)

            servers = dict(zip(names, await asyncio.gather(*map(start, names)), strict=True))
            for url in urls.values():
                paths = ("/live", "/ready", "/metrics", "/intake/v1/cases")
                said = [(await ask(url, request("GET", path, {}))).status for path in paths]
                assert said == [200, 200, 200, 404], "a channel serves itself alone"
            for dead in ("", *names):
                seen = told[dead] = {name: Seen() for name in names}
                mark = uuid4().hex
                load = [
                    asyncio.create_task(
                        keep_saying(
                            urls[name], reports[name], f"{mark}-{name}", every, seconds, seen[name]
                        )
                    )
                    for name in names
                ]
                if dead:
                    await eventually(partial(getattr, seen[dead], "seconds"), 30, "the load")
                    assert send_signal(servers[dead].pid, signal.SIGKILL)
                    others = [t for name, t in zip(names, load, strict=True) if name != dead]
                    await asyncio.gather(*others)
                    servers[dead] = await start(dead)
                for name, count in zip(names, await asyncio.gather(*load), strict=True):
                    sent[name] += count
            stored = await all_stored(stack, sent)
    judge(told, sent, stored)


def judge(told: dict[str, dict[str, Seen]], sent: dict[str, int], stored: dict[str, int]) -> None:
    """Print what was seen while each channel was dead, and hold it against what must be."""
    print()
    for dead, seen in told.items():
        for name, one in seen.items():
            print(f"  {dead or 'nobody':>10} dead: {name:10} {one}")
    for name in NAMES:
        print(f"  {name:10} {sent[name]} sent until taken, {stored.get(name)} stored")
    for dead, seen in told.items():
        for name, one in seen.items():
            if name != dead:
                assert one.failed == 0, f"{name} noticed that {dead} died"
                assert percentile(one.seconds, 0.99) < MOST, (name, dead)
        assert not dead or seen[dead].failed > 0, f"{dead} was dead and nobody noticed"
    assert {name: stored.get(name) for name in sent} == sent, "each once: none lost, none doubled"


@pytest.mark.slow
async def test_each_channel_killed_alone_leaves_the_others_and_loses_nothing(
    tmp_path: Path,
) -> None:
    await killed(tmp_path / "pashe", tmp_path, seconds=4, every=0.25)


@pytest.mark.long
async def test_each_channel_killed_alone_under_a_longer_load(tmp_path: Path) -> None:
    await killed(tmp_path / "pashe", tmp_path, seconds=30, every=0.1)
