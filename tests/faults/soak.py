"""Soaks a stack with named faults drawn from a seed, hour after hour: `make faults-long`.

Every fault is judged by itself as soon as it is over; the table of what was seen so far is written
after each, so that a soak that is stopped has told all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.faults.campaign import campaign
from tests.faults.listed import FAULTS
from tests.faults.rows import Row, markdown, plain, said, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faults.scene import Named

A_STACK = 40
"""Faults that one stack goes through before a new one; the history that is checked grows."""

SHARES = {"one": 6, "wire": 2, "three": 2}
"""How often each rig is drawn."""


def drawn(rng: random.Random) -> tuple[str, list[Named]]:
    """Draw a rig and a row of faults for it; the same seed draws the same."""
    rig = rng.choices(list(SHARES), list(SHARES.values()))[0]
    able = [f for f in FAULTS if f.rig == rig and not f.lacks]
    return rig, rng.choices(able, k=A_STACK)


def joined(rows: Iterable[Row]) -> list[Row]:
    """Join the rows of one fault into one, in the order of the table."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row.fault].append(row)
    return [_join(found) for found in by_name.values()]


def _join(rows: Sequence[Row]) -> Row:
    counted = {
        name: sum(getattr(row, name) for row in rows)
        for name in (
            "reports",
            "strikes",
            "lost",
            "doubled",
            "inverted",
            "other",
            "absorbed",
            "seconds",
        )
    }
    return msgspec.structs.replace(
        rows[0],
        **counted,
        recoveries=tuple(back for row in rows for back in row.recoveries),
        examples=tuple(example for row in rows for example in row.examples),
        first=_mean([row.first for row in rows if row.first is not None]),
        known=_mean([row.known for row in rows if row.known is not None]),
        error="; ".join(row.error for row in rows if row.error),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


async def soak(home: Path, seed: int, until: float, out: Path) -> list[Row]:
    """Strike until the time is up; what is under way is finished."""
    rng, rows, number = random.Random(seed), list[Row](), 0
    while time.monotonic() < until:
        number += 1
        rig, faults = drawn(rng)
        struck = campaign(rig, home / str(number), faults, seed + number)
        async with contextlib.aclosing(struck):  # what it started ends here, not with the process
            async for row in struck:
                rows.append(row)
                print(said(row), flush=True)
                save(out, rows)
                if time.monotonic() > until:
                    break
    return rows


def save(out: Path, rows: Sequence[Row]) -> None:
    (out / "soak.json").write_bytes(to_json(rows))
    (out / "soak.md").write_text(markdown(joined(rows)))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=float(os.environ.get("HOURS") or 1))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 0))
    parser.add_argument("--out", type=Path, default=Path("faults"), help="folder of the table")
    told = parser.parse_args(words)
    seed = told.seed or secrets.randbelow(2**31) + 1
    print(f"to repeat: SEED={seed}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended, too
    told.out.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="pashe-soak-"))
    until = time.monotonic() + told.hours * 3600
    rows = asyncio.run(soak(home, seed, until, told.out))
    print(f"\n{plain(joined(rows))}\n\nseed {seed}; {told.out / 'soak.md'}")
    return 0 if all(row.clean for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
