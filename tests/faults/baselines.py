"""Baselines beside ours on the same small rig: a real Kafka, a real PostgreSQL, one topic.

Consumers are killed, shaken, and given one in ten events again and some odd headers; relays are
killed while twenty writers commit in an order that is not that of their ids.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg

from deploy.local.database import with_database
from shared.events import decode
from shared.kafka import PARTITIONS, partition_of
from shared.outbox import Stamp
from tests.faults.compared import RELAY, Came, compare
from tests.faults.rows import OURS, Row
from tests.support.lab import AT, Lab, make_lab
from tests.support.platform import Embedded
from tests.support.processes import Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.faults.compared import Rival

EVENTS = 1500
SUBJECTS = 60
KILLS = 3
WRITERS = 20

JOIN = 240.0
"""Seconds that a process may take to handle its first event; a busy machine starts it slowly."""

IDLE = 45.0
"""Seconds without any effect, or any record, that count as the end where something is missing."""


Done = Callable[[], Awaitable[int]]


async def baselines(home: Path, rivals: Sequence[Rival], seed: int) -> AsyncIterator[Row]:
    """Yield the row of each rival, each in a schema and a topic of its own on one platform."""
    if not rivals:
        return
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    platform = Embedded(home)
    try:
        await platform.start()
        conn = await asyncpg.connect(platform.postgres.url())
        await conn.execute("CREATE DATABASE lab")
        await conn.close()
        admin = with_database(platform.postgres.url(), "lab")
        for rival in rivals:
            folder = home / secrets.token_hex(4)
            await asyncio.to_thread(folder.mkdir)
            async with make_lab(admin, platform.kafka.bootstrap, folder) as lab:
                try:
                    yield await _judge(lab, rival, seed)
                except Exception as error:
                    said = f"{type(error).__name__}: {error}"[:200]
                    yield Row(fault=rival.what, subject=rival.subject, rig="lab", error=said)
    finally:
        await platform.stop()


async def _judge(lab: Lab, rival: Rival, seed: int) -> Row:
    started = time.monotonic()
    dice = random.Random(seed)
    if rival.what == RELAY:
        wanted, came, again_matters = *await _relayed(lab, rival, dice), False
    else:
        wanted, came, again_matters = *await _consumed(lab, rival, dice), True
    lost, again, inverted = compare(wanted, came)
    return Row(
        fault=rival.what,
        subject=rival.subject,
        rig="the smaller rig: one topic",
        reports=len(wanted),
        strikes=KILLS,
        lost=lost,
        doubled=again if again_matters else 0,
        absorbed=0 if again_matters else again,
        inverted=inverted,
        seconds=time.monotonic() - started,
        seed=seed,
    )


@asynccontextmanager
async def _killed(
    lab: Lab, rival: Rival, dice: random.Random, done: Done, module: str, *words: str, **env: str
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a rival's processes; the task that is given kills one of them at work, three times.

    `done` counts what was done: a process that did nothing yet is not struck.
    """
    log = lab.folder / "rival.log"
    with ExitStack() as running:

        def start(number: int) -> Child:
            own = lab.environment(REPLICA=str(number), **env)
            return running.enter_context(Child(module, own, log, *words))

        children = [start(number) for number in range(rival.replicas)]

        async def kill() -> None:
            for _ in range(KILLS):
                await _grows(done)
                await asyncio.sleep(dice.uniform(1.0, 3.0))
                number = dice.randrange(rival.replicas)
                children[number].send(signal.SIGKILL)
                await children[number].ended(10)
                children[number] = start(number)
            await _grows(done)

        killing = asyncio.create_task(kill())
        try:
            yield killing
        finally:
            killing.cancel()


async def _grows(done: Done) -> None:
    """Wait until more is done than now."""
    before, until = await done(), time.monotonic() + JOIN
    while await done() <= before:
        assert time.monotonic() < until, "it does nothing"
        await asyncio.sleep(0.2)


async def _consumed(lab: Lab, rival: Rival, dice: random.Random) -> tuple[list[str], list[Came]]:
    """Send events while the consumer is struck; return the events, and the effects in order."""
    subjects = [str(uuid4()) for _ in range(SUBJECTS)]
    counts: dict[str, int] = defaultdict(int)
    wanted: list[str] = []
    module = "tests.faults.rivals"

    async def done() -> int:
        return len(await lab.effects("rival"))

    own = {"LAB_CONSUMER": "rival"}
    async with _killed(lab, rival, dice, done, module, rival.kind, **own) as killing:
        await _joined(lab, subjects[0], counts, wanted)
        while not killing.done() or len(wanted) < EVENTS:
            records = [_made(lab, dice.choice(subjects), counts) for _ in range(20)]
            if dice.random() < 0.1:
                records[0]["headers"] = [*records[0]["headers"], ("odd", None), ("odder", b"\xff")]
            wanted += [str(record["id"]) for record in records]
            await lab.send(*records, *(r for r in records if dice.random() < 0.1))
            await asyncio.sleep(0.15 if len(wanted) < EVENTS else 1)
        await killing
        last = [lab.record(_subject_in(n), 1) for n in range(PARTITIONS)]
        await lab.send(*last)
        await _through(lab, [str(record["key"], "ascii") for record in last])
    effects = await lab.effects("rival")
    known = set(subjects)
    return wanted, [
        Came(e.subject, e.sequence, str(e.event_id)) for e in effects if e.subject in known
    ]


def _made(lab: Lab, subject: str, counts: dict[str, int]) -> dict[str, Any]:
    counts[subject] += 1
    return lab.record(subject, counts[subject])


async def _joined(lab: Lab, subject: str, counts: dict[str, int], wanted: list[str]) -> None:
    """Send single events until the first has an effect: who starts at the end must be there.

    Those before it are no part of the count.
    """
    until = time.monotonic() + JOIN
    while not await lab.effects("rival"):
        assert time.monotonic() < until, "the consumer never joined"
        await lab.send(_made(lab, subject, counts))
        await asyncio.sleep(0.5)
    wanted.clear()


def _subject_in(partition: int) -> str:
    while partition_of((subject := str(uuid4())).encode()) != partition:
        pass
    return subject


async def _through(lab: Lab, last: Sequence[str]) -> None:
    """Wait until the last event of each partition is handled, or nothing happens any more.

    What was before those is then handled, or never will be.
    """
    before, since = -1, time.monotonic()
    while time.monotonic() - since < IDLE:
        rows = await lab.fetch("SELECT count(*) FROM effects")
        if rows[0][0] != before:
            before, since = rows[0][0], time.monotonic()
        if set(last) <= (await lab.sequences("rival")).keys():
            return
        await asyncio.sleep(0.3)


async def _relayed(lab: Lab, rival: Rival, dice: random.Random) -> tuple[list[str], list[Came]]:
    """Commit from many writers while the relay is struck; return the events, and the log."""
    subjects = [str(uuid4()) for _ in range(SUBJECTS)]
    wanted: list[str] = []
    env = {"LAB_RELAY": "1", "RIVAL_CURSOR": str(lab.folder / "cursor")}
    module = "tests.support.lab" if rival.subject == OURS else "tests.faults.rivals"
    words = [] if rival.subject == OURS else [rival.kind]

    async def done() -> int:
        return sum(map(len, (await lab.log()).values()))

    async with _killed(lab, rival, dice, done, module, *words, **env) as killing:

        async def write() -> None:
            while not killing.done() or len(wanted) < EVENTS:
                chosen = sorted(dice.sample(subjects, dice.choice((1, 1, 2, 3))))
                async with lab.engine.begin() as conn:
                    drafts = [(lab.draft(s), Stamp(AT, "service:lab")) for s in chosen]
                    appended = await lab.outbox.append(conn, drafts)
                    await asyncio.sleep(dice.random() * 0.1)
                wanted.extend(str(event_id) for event_id, _ in appended)
                await asyncio.sleep(dice.random() * (0.2 if len(wanted) < EVENTS else 4))

        await asyncio.gather(*(write() for _ in range(WRITERS)))
        await killing
        await _all_relayed(lab, len(wanted))
    came = []
    for records in (await lab.log()).values():
        for record in records:
            event = decode(record.value)
            came.append(Came(event.subject, event.sequence, str(event.id)))
    return wanted, came


async def _all_relayed(lab: Lab, count: int) -> None:
    """Wait until every event is in the log, or the log has long not grown."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < IDLE:
        log = await lab.log()
        size = sum(map(len, log.values()))
        if size != before:
            before, since = size, time.monotonic()
        if len({decode(r.value).id for records in log.values() for r in records}) >= count:
            return
        await asyncio.sleep(0.5)
