"""Run benches and tell what comes of them as JSON lines: `python -m tests.bench [NAME…]`.

`--folder` is where everything is kept while they run (default: a temporary one, removed at the
end); `--quick` measures a shorter time. `pashe bench` shows the same as a table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import machine
from tests.bench.suite import NAMES, run_all
from tests.bench.telling import lines

if TYPE_CHECKING:
    from types import FrameType


_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _end(_number: int, _frame: FrameType | None) -> None:
    for number in _ENDS:  # once: what ends the stacks must not be interrupted itself
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run what the command line names; 0 when all ran, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if wrong := sorted(set(given.names) - set(NAMES)):
        parser.error(f"there is no bench {', '.join(wrong)}: {', '.join(NAMES)}")
    for number in _ENDS:
        signal.signal(number, _end)
    lines({"event": "machine", "machine": machine.describe()})
    folder = given.folder or Path(tempfile.mkdtemp(prefix="pashe-bench-"))
    folder.mkdir(exist_ok=True)
    try:
        run_all(tuple(given.names) or NAMES, folder, lines, quick=given.quick)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        lines({"event": "failed", "text": f"{type(error).__name__}: {error}"[:2000]})
        if os.environ.get("PASHE_BENCH_TRACE"):
            raise
        return 1
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
