"""A writer that is killed at any step of appending and signing leaves no fork, gap or double."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from services.audit import merkle
from services.audit.checkpoint import NoteSigner, open_checkpoint
from tests.integration.test_audit import ORIGIN, Log, ground, log

__all__ = ["ground", "log"]


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_kill_at_every_step_makes_no_fork_no_gap_and_each_leaf_once(log: Log) -> None:
    words = {"url": log.urls["DATABASE_URL"], "seed": log.seed.hex(), "state": str(log.state)}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.crashing",
        json.dumps(words),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    out, _ = await child.communicate()
    assert child.returncode == 0
    turns = [json.loads(line) for line in out.splitlines()]
    steps = len(turns)
    assert [turn["died"] for turn in turns] == [True] * (steps - 1) + [False]
    assert steps > 30  # the code that writes is really stepped through

    rows = await log.fetch("SELECT subject, sequence, commitment FROM entries ORDER BY idx")
    seen = [(row.subject, row.sequence) for row in rows]
    assert sorted(seen) == sorted((f"case {s}", n) for s in range(1, steps + 1) for n in (1, 2, 3))
    assert set(map(tuple, await log.flags())) == {()}
    assert await log.fetch("SELECT * FROM gaps") == []

    key = NoteSigner(ORIGIN, log.seed).vkey
    leaves = [merkle.leaf_hash(row.commitment) for row in rows]
    sizes: list[list[int]] = [[], []]
    for turn in turns:
        published, outside = (
            None if note is None else open_checkpoint(note.encode(), key) for note in turn["notes"]
        )
        for n, told in enumerate((published, outside)):
            if told is not None:
                root = merkle.extend(merkle.Range(), leaves[: told.size])[0].root
                assert told.root == root, (turn["step"], "a fork")
                sizes[n].append(told.size)
        assert published is None or (outside is not None and outside.size >= published.size)
    assert sizes[0] == sorted(sizes[0])
    assert sizes[1] == sorted(sizes[1])
    print(f"\nkilled at {steps - 1} steps; {len(rows)} entries, each once; no fork")
