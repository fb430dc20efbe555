"""A relay and a consumer that die at any place where they wait: nothing lost, nothing doubled.

The same device lets the notifier die (`test_sms_notices`) and the writer of the log
(`test_audit_crashes`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shared.events import decode

if TYPE_CHECKING:
    from tests.support.lab import Lab

EVERY = 5
"""Of the points, each how many-th the short form tries."""


async def die_everywhere(lab: Lab, part: str, every: int) -> list[dict[str, Any]]:
    """Let it die at its points; return what each turn said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.crashing_flow", part, str(every)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ | lab.environment(),
    )
    out, _ = await child.communicate()
    assert child.returncode == 0
    turns = [json.loads(line) for line in out.splitlines()]
    assert any(turn["deaths"][0] for turn in turns)
    return turns


async def relay_dies(lab: Lab, every: int) -> None:
    turns = await die_everywhere(lab, "relay", every)
    logged: dict[str, list[int]] = defaultdict(list)
    raw = 0
    for records in (await lab.log()).values():
        for record in records:
            event, raw = decode(record.value), raw + 1
            if event.sequence not in logged[event.subject]:  # as every inbox does
                logged[event.subject].append(event.sequence)
    assert logged == {turn["subject"]: [1, 2] for turn in turns}
    assert await lab.fetch("SELECT 1 FROM outbox WHERE sent_at IS NULL") == []
    told(turns, "relay", f"{raw - 2 * len(turns)} sent again, which every inbox drops")


async def consumer_dies(lab: Lab, every: int) -> None:
    turns = await die_everywhere(lab, "consumer", every)
    assert await lab.sequences() == {turn["subject"]: [1, 2] for turn in turns}
    assert await lab.parked() == []
    assert await lab.fetch("SELECT 1 FROM attempts") == []
    told(turns, "consumer", "each event handled once")


def told(turns: list[dict[str, Any]], part: str, more: str) -> None:
    points = {turn["at"] for turn in turns if turn["deaths"][0]}
    deaths = sum(sum(turn["deaths"]) for turn in turns)
    print(
        f"\n{part}: {len(points)} of {max(points)} points, {deaths} deaths by SIGKILL,"
        f" {2 * len(turns)} events, lost 0, doubled 0; {more}"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_relay_that_dies_at_some_points_loses_and_inverts_nothing(lab: Lab) -> None:
    await relay_dies(lab, EVERY)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_consumer_that_dies_at_some_points_loses_and_doubles_nothing(lab: Lab) -> None:
    await consumer_dies(lab, EVERY)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_nor_does_a_relay_that_dies_at_every_point(lab: Lab) -> None:
    await relay_dies(lab, 1)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_nor_does_a_consumer_that_dies_at_every_point(lab: Lab) -> None:
    await consumer_dies(lab, 1)
