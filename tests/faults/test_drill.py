"""The drill: a backup under load, the machine lost, a restore elsewhere.

The point up to which nothing may be lost is the moment at which `pashe backup` began: what was told
2xx before it is there afterwards, opened, and in the history.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.faults import reading
from tests.faults.attempts import SUBMITS, Log, Outcome
from tests.faults.caller import Caller
from tests.faults.load import Load
from tests.support.stack import SERVICES, Stack
from tests.support.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.attempts import Attempt
    from tests.faults.truth import Submission

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.timeout(1800)]

BEFORE, AFTER = 15.0, 5.0
"""Seconds of load before the backup and after it."""


async def load_and_back_up(stack: Stack, seed: int, file: Path) -> tuple[Log, float]:
    """Back up in the middle of a load; return what was tried, and when the backup began."""
    log = Log()
    async with httpx.AsyncClient(base_url=stack.origin) as client:
        load = Load(Caller(client, stack.seed, log), random.Random(seed), rate=10, limit=5_000)
        working = asyncio.create_task(load.run())
        await asyncio.sleep(BEFORE)
        began = time.monotonic()
        await asyncio.to_thread(stack.pashe, "backup", str(file))
        await asyncio.sleep(AFTER)
        load.stopping.set()
        await working
    return log, began


async def test_a_backup_under_load_is_restored_on_a_machine_that_lost_everything_else(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**31) + 1)
    print(f"\nto repeat: SEED={seed}", flush=True)
    home, file = tmp_path / "pashe", tmp_path / "backup.dump"
    with Stack(home) as stack:
        log, began = await load_and_back_up(stack, seed, file)
    for name in ("postgres", "kafka"):  # keys, erasures and the outside checkpoint are elsewhere
        shutil.rmtree(home / name)
    begun = time.monotonic()
    said = Stack(home).pashe("restore", str(file), timeout=600)
    print(said)
    with Stack(home) as stack:
        print(f"served again after {time.monotonic() - begun:.0f} s")
        since = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
        for service in SERVICES:  # Kafka is new: it gets again what it had
            stack.pashe("replay", service, "--since", since)

        async def quiet() -> bool:
            return (await reading.movement(stack))[0] == 0

        await eventually(quiet, 240, "everything in the history")
        safe = [a for a in log.attempts if a.outcome is Outcome.OK and a.ended < began]
        later = [a for a in log.attempts if a.outcome is Outcome.OK and a.ended >= began]
        stored = {one.mark: one for one in await reading.read_submissions(stack, log.attempts)}
        missing = [a.mark for a in safe if a.kind in SUBMITS and a.mark not in stored]
        unopened = [a.mark for a in safe if a.kind in SUBMITS and _waits(a, stored)]
        lost_later = [a.mark for a in later if a.kind in SUBMITS and a.mark not in stored]
        async with httpx.AsyncClient(base_url=stack.origin) as client:
            entries = await reading.read_history(stack, client)
        submitted = {e.submission_id for e in entries if e.type == "report-submitted"}
        unseen = {one.submission_id for one in stored.values()} - submitted
        verified = await reading.verifies(stack)
    print(f"{len(safe)} acknowledged before the backup, {len(missing)} of them missing;")
    print(
        f"{len(later)} after it began, {len(lost_later)} of them not in it; {len(entries)} entries"
    )
    assert len(safe) > 50
    assert missing == []
    assert unopened == []
    assert unseen == set()
    assert verified


def _waits(attempt: Attempt, stored: dict[str, Submission]) -> bool:
    found = stored.get(attempt.mark)
    return found is not None and found.state == "received"
