"""The two-minute selection: each service killed five times under load, broker and database once."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.faults.run import SHORT, run
from tests.support.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_nothing_is_lost_doubled_or_inverted_while_everything_is_killed(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**31) + 1)
    print(f"\nseed {seed}: SEED={seed} make faults")
    with Stack(tmp_path / "pashe") as stack:
        result = await run(stack, seed, SHORT, rate=20.0, limit=5_000)
    print(result)
    assert not result.verdict.fatal, f"\n{result}"
    assert sum(fault.ready_at is not None for fault in result.faults) == 22
    assert len(result.attempts) > 300
