"""A service process of the kernel: how it starts, ends, and what its deaths leave behind."""

from __future__ import annotations

import asyncio
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from shared.kafka import partition_of
from tests.support.cut import Cut
from tests.support.processes import Child
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.lab import Lab

START = 45.0
"""Seconds that a child may take to start on a busy machine."""

GRACE = 15.0
"""Seconds within which a service ends after SIGTERM."""


def child_of(lab: Lab, log: Path, port: int = 0, **more: str) -> Child:
    env = {"LAB_CONSUMER": f"{lab.schema}.one", "HTTP_PORT": str(port or free_port())}
    return Child("tests.support.lab", lab.environment(**(env | more)), log)


async def ready(port: int) -> dict[str, Any]:
    """Return what `/ready` says with 200, else an empty answer."""
    try:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port}/ready", timeout=10)
    except httpx.HTTPError:
        return {}
    return answer.json() if answer.status_code == 200 else {}


@pytest.mark.slow
async def test_sigterm_under_load_loses_and_doubles_nothing_and_ends_within_the_grace(
    lab: Lab, tmp_path: Path
) -> None:
    subjects = [str(uuid4()) for _ in range(30)]
    rounds = 0

    async def load() -> None:
        nonlocal rounds
        while True:
            await lab.append(*(lab.draft(s) for s in subjects))
            rounds += 1
            await asyncio.sleep(0.01)

    writer = asyncio.create_task(load())
    seen = 0
    for n in range(2):
        with child_of(lab, tmp_path / f"{n}.log", LAB_RELAY="1") as child:
            await eventually(partial(_more, lab, seen + 300), START, "effects under load")
            child.send(signal.SIGTERM)
            sent = time.monotonic()
            assert await child.ended(GRACE) in {0, -signal.SIGTERM}, child.said()
            assert time.monotonic() - sent < GRACE
            assert '"service-stopped"' in child.said()
            seen = len(await lab.effects())
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    with child_of(lab, tmp_path / "last.log", LAB_RELAY="1"):
        rows = await lab.fetch("SELECT sum(sequence) FROM outbox_heads")
        await eventually(lambda: _more(lab, int(rows[0][0])), START, "the rest")
    last = max(n for found in (await lab.sequences()).values() for n in found)
    assert await lab.sequences() == {s: list(range(1, last + 1)) for s in subjects}
    assert last >= rounds
    assert await lab.parked() == []
    assert await lab.fetch("SELECT 1 FROM attempts") == []


async def _more(lab: Lab, least: int) -> bool:
    return len(await lab.effects()) >= least


async def test_a_process_that_starts_while_kafka_is_down_serves_at_once_and_joins_later(
    lab: Lab, tmp_path: Path
) -> None:
    port = free_port()
    subject = str(uuid4())
    async with Cut(*lab.broker()) as cut:
        await cut.refuse()
        kafka = f"127.0.0.1:{cut.port}"
        log = tmp_path / "log"
        with child_of(lab, log, port, LAB_RELAY="1", KAFKA_BOOTSTRAP=kafka) as child:
            answer = await eventually(lambda: ready(port), START, "an answer without Kafka")
            assert answer["kafka"] is False
            await lab.append(lab.draft(subject))
            await eventually(lambda: "kafka-not-there" in child.said(), 10)
            assert (await ready(port))["ready"] is True
            assert await lab.effects() == []
            await cut.open()
            await eventually(lambda: _more(lab, 1), 15, "the flow after Kafka came")
            await eventually(lambda: _kafka_is_up(port), 5)
            child.send(signal.SIGTERM)
            assert await child.ended(GRACE) in {0, -signal.SIGTERM}


async def _kafka_is_up(port: int) -> bool:
    return (await ready(port)).get("kafka") is True


async def test_a_process_ends_within_the_grace_while_kafka_is_down(
    lab: Lab, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "log"
    with child_of(lab, log, port, LAB_RELAY="1", KAFKA_BOOTSTRAP="127.0.0.1:1") as child:
        await eventually(lambda: ready(port), START)
        child.send(signal.SIGTERM)
        assert await child.ended(GRACE) in {0, -signal.SIGTERM}


@pytest.mark.slow
async def test_a_missing_topic_is_waited_for_and_then_read(lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    subject = str(uuid4())
    await lab.drop_topic()
    with child_of(lab, tmp_path / "log", port) as child:
        assert (await eventually(lambda: ready(port), START))["kafka"] is False
        await eventually(lambda: "kafka-not-there" in child.said(), 15, "the complaint")
        assert child.running()
        await lab.make_topic()
        await lab.send(lab.record(subject, 1))
        await eventually(lambda: _more(lab, 1), 15, "the flow after the topic came")


async def test_a_consumer_that_cannot_join_holds_no_other(lab: Lab, tmp_path: Path) -> None:
    port, elsewhere = free_port(), f"{lab.topic}-elsewhere"
    with child_of(lab, tmp_path / "log", port, LAB_ELSEWHERE=elsewhere) as child:
        await eventually(lambda: ready(port), START)
        await lab.send(lab.record(str(uuid4()), 1))
        await eventually(lambda: _more(lab, 1), 15, "the flow of the other")
        await eventually(lambda: _held(port), START, "what its alert is made of")
        assert await _held(port) == [f"{lab.schema}.elsewhere"]
        assert not await _kafka_is_up(port), "one has not joined"
        assert "kafka-joined" not in child.said()
        await lab.make_topic(elsewhere)
        await eventually(lambda: _kafka_is_up(port), 15, "its own joining")
        assert await _held(port) == []


async def _held(port: int) -> list[str]:
    held: list[str] = (await ready(port)).get("held", [])
    return held


@pytest.mark.slow
async def test_a_record_that_kills_three_processes_is_parked_and_its_neighbours_live(
    lab: Lab, tmp_path: Path
) -> None:
    deadly = str(uuid4())
    partition = partition_of(deadly.encode())
    near = next(s for s in iter(lambda: str(uuid4()), "") if partition_of(s.encode()) == partition)
    await lab.send(
        lab.record(near, 1),
        lab.record(deadly, 1, "die"),
        lab.record(deadly, 2),
        lab.record(near, 2),
    )
    deaths = 0
    while True:
        with child_of(lab, tmp_path / "log") as child:
            await eventually(lambda: _dead_or_parked(lab, child), START, "a death or the parking")
            if child.running():
                await eventually(lambda: _more(lab, 2), 5, "the neighbours")
                child.send(signal.SIGTERM)
                await child.ended(GRACE)
                break
            assert await child.ended(GRACE) == -signal.SIGKILL
            deaths += 1
            assert deaths <= 3
    assert deaths == 3
    assert await lab.sequences() == {near: [1, 2]}
    assert await lab.parked() == [
        (deadly, "process-death", "waiting"),
        (deadly, "behind", "waiting"),
    ]
    assert await lab.fetch("SELECT 1 FROM attempts") == []


async def _dead_or_parked(lab: Lab, child: Child) -> bool:
    return not child.running() or bool(await lab.parked())
