"""Everything is killed under load, again and again; nothing is lost, doubled or out of order."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.faults.run import LONG, SHORT, run
from tests.support.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.nemesis import Plan

pytestmark = pytest.mark.faults


async def strike(home: Path, plan: Plan, rate: float, limit: int) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**31) + 1)
    print(f"\nto repeat: SEED={seed}", flush=True)
    with Stack(home) as stack:
        result = await run(stack, seed, plan, rate, limit)
    print(result)
    assert not result.verdict.fatal, f"\n{result}"
    assert len(result.faults) == len(plan)
    assert not [fault for fault in result.faults if fault.ready_at is None]


@pytest.mark.timeout(600)
async def test_each_service_killed_five_times_and_broker_and_database_restarted(
    tmp_path: Path,
) -> None:
    await strike(tmp_path / "pashe", SHORT, rate=8, limit=5_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_everything_killed_twenty_times_stopped_and_frozen(tmp_path: Path) -> None:
    await strike(tmp_path / "pashe", LONG, rate=20, limit=50_000)
