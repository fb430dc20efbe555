"""`python -m tests.fuzz.run [SECONDS [SEED [NAME …]]]`: each reader as long, at most `MOST`.

As many readers at once as there are cores.

Prints how many inputs each read and refused. The first that a reader neither reads nor refuses, or
takes over `SLOW` seconds of processor time for, ends with the seed that gives it again.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from tests.fuzz.readers import READERS, Reader

MOST = 1_000_000
"""Inputs of a reader at most."""

SLOW = 2.0
"""Seconds of processor time that one input may take."""

HANGS, WAITS = 60, 600
"""Seconds of processor time, and on the clock, after which one input is taken to hang."""


@dataclass
class Tally:
    """What became of the inputs of one reader; `wrong` is what it stumbled over."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    wrong: str = ""

    @property
    def inputs(self) -> int:
        return self.read + self.refused


def one(reader: Reader, seed: str) -> bool:
    """Give one odd input to a reader; say whether it was read rather than refused."""
    made = reader.make(random.Random(seed))
    try:
        reader.read(made)
    except reader.refuses:
        return False
    return True


def fuzz(name: str, seed: int, inputs: int = MOST, seconds: float = 1e9) -> Tally:
    """Give a reader odd inputs, the n-th from seed, name and n."""
    reader, tally, until = READERS[name], Tally(), time.monotonic() + seconds
    before = [(number, signal.signal(number, _hang)) for number in (signal.SIGPROF, signal.SIGALRM)]
    try:
        for n in range(inputs):
            if n % 64 == 0:
                signal.setitimer(signal.ITIMER_PROF, HANGS)
                signal.alarm(WAITS)
                if time.monotonic() > until:
                    break
            began = time.process_time()
            if one(reader, f"{seed}/{name}/{n}"):
                tally.read += 1
            else:
                tally.refused += 1
            took = time.process_time() - began
            tally.slowest = max(tally.slowest, took)
            if took > SLOW:
                tally.wrong = f"{seed}/{name}/{n}: {took:.1f} s of processor time"
                break
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
        tally.wrong = f"{seed}/{name}/{tally.inputs}: {error!r:.200} at {where}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before:
            signal.signal(number, handler)
    return tally


def _hang(*_: Any) -> None:
    raise TimeoutError("an input hangs")


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    failed = 0
    logging.disable()  # what a reader tells of odd inputs; those of the pool inherit it
    with ProcessPoolExecutor(os.cpu_count()) as cores:
        names = {
            cores.submit(fuzz, name, seed, MOST, seconds): name for name in sys.argv[3:] or READERS
        }
        for done in as_completed(names):
            name, tally = names[done], done.result()
            failed += bool(tally.wrong)
            print(
                f"{name:13} {tally.inputs:9,} inputs, {tally.read:9,} read,"
                f" {tally.refused:9,} refused, slowest {tally.slowest * 1000:6.1f} ms "
                f" {tally.wrong or 'no crash, no hang'}",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
