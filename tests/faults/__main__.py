"""Runs every fault and prints one table: `python -m tests.faults` (`make faults`).

`--list` names them; `--only WORD` (again and again) chooses those whose name holds a word.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.baselines import baselines
from tests.faults.campaign import campaign
from tests.faults.compared import RIVALS
from tests.faults.listed import FAULTS, PROVED
from tests.faults.proving import prove
from tests.faults.rigs import RIGS
from tests.faults.rows import Row, markdown, plain, said, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container, Sequence

    from tests.faults.scene import Named


def chosen(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names that hold one of the words; all when there are none."""
    return [n for n in names if not words or any(word.lower() in n.lower() for word in words)]


async def strike(home: Path, faults: Sequence[Named], seed: int) -> list[Row]:
    """Run named faults, a stack for each rig."""
    rows: list[Row] = []
    for rig in RIGS:
        ours = [fault for fault in faults if fault.rig == rig]
        may = [fault for fault in ours if not fault.lacks]
        rows += await show(campaign(rig, home, may, seed))
        for fault in ours:
            if fault not in may:
                why = f"not tried: {fault.lacks}"
                rows.append(Row(fault=fault.name, rig=RIGS[rig], error=why))
                print(said(rows[-1]), flush=True)
    return rows


async def show(rows: AsyncIterator[Row]) -> list[Row]:
    """Say each row as it comes; return all."""
    kept = []
    async for row in rows:
        kept.append(row)
        print(said(row), flush=True)
    return kept


async def run_all(home: Path, names: Container[str], seed: int) -> list[Row]:
    """Strike what is named; then the baselines beside ours, and meanwhile the tests."""
    rows = await strike(home, [fault for fault in FAULTS if fault.name in names], seed)
    rivals = [rival for rival in RIVALS if rival.name in names]
    proved = [one for one in PROVED if one.name in names]
    async with asyncio.TaskGroup() as lanes:
        compared = lanes.create_task(show(baselines(home / "lab", rivals, seed)))
        others = lanes.create_task(show(prove(proved)))
    return rows + compared.result() + others.result()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 0))
    parser.add_argument("--out", type=Path, default=Path("faults"), help="folder of the table")
    told = parser.parse_args(words)
    seed = told.seed or secrets.randbelow(2**31) + 1
    everything = [o.name for o in FAULTS] + [o.name for o in PROVED] + [o.name for o in RIVALS]
    names = set(chosen(told.only, everything))
    if told.list:
        print("\n".join(name for name in everything if name in names))
        return 0
    print(f"to repeat: SEED={seed}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended, too
    started = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="pashe-faults-"))
    rows = asyncio.run(run_all(home, names, seed))
    told.out.mkdir(parents=True, exist_ok=True)
    (told.out / "faults.json").write_bytes(to_json(rows))
    head = f"Seed {seed}, {time.monotonic() - started:.0f} s.\n\n"
    (told.out / "faults.md").write_text(head + markdown(rows))
    print(f"\n{plain(rows)}\n\n{head}{told.out / 'faults.md'}, {told.out / 'faults.json'}")
    if all(row.clean for row in rows):
        shutil.rmtree(home, ignore_errors=True)
        return 0
    print(f"what was tried and logged is left in {home}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
