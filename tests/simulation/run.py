"""`python -m tests.simulation.run [SEED [COUNT [small]]]`: schedules from a seed on."""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.simulation.centre import run_schedule


def main() -> int:
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began, steps, deaths, events, failed = time.monotonic(), 0, 0, 0, 0
    worked = time.process_time()
    faults = Counter[str]()
    for seed in range(first, first + count):
        outcome = run_schedule(seed, small="small" in sys.argv)
        steps, deaths = steps + outcome.steps, deaths + outcome.deaths
        events, faults = events + outcome.events, faults + Counter(outcome.faults)
        if outcome.wrong or count == 1:
            print(f"seed {seed} trace {outcome.trace}", *outcome.wrong[:10], sep="\n  ", flush=True)
        failed += bool(outcome.wrong)
    took = time.monotonic() - began
    print(
        f"{count} schedules in {took:.0f} s ({count * 60 / took:.0f} a minute; of processor time"
        f" {count * 60 / (time.process_time() - worked):.0f} a minute), {steps} steps,"
        f" {deaths} deaths, {events} events, faults {dict(faults)}: {failed} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
