"""Lets a running service be ill-treated from outside: `SIGUSR2` makes it read its order.

A folder on PYTHONPATH, so that every Python process of a stack has it. The order is a line in the
file `FAULT_ORDERS/PID`: `block 5` stands still in the main thread for five seconds, as a long
computation would; `clock 3600` sets the clock that is injected into the code an hour ahead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import tzinfo


def _block(seconds: float) -> None:
    time.sleep(seconds)


def _shift(seconds: float) -> None:
    """Replace the class from which `shared.clock` takes the time; its readers notice nothing."""
    module = sys.modules.get("shared.clock")
    if module is None:
        return

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + timedelta(seconds=seconds)

        @classmethod
        def fromtimestamp(cls, timestamp: float, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(timestamp, tz)

    vars(module)["datetime"] = Shifted if seconds else datetime


_ORDERS = {"block": _block, "clock": _shift}


def _obey(_number: int, _frame: object) -> None:
    order = Path(os.environ["FAULT_ORDERS"]) / str(os.getpid())
    with contextlib.suppress(OSError, ValueError, KeyError):
        word, value = order.read_text().split()
        order.unlink()
        _ORDERS[word](float(value))


if os.environ.get("FAULT_ORDERS"):
    signal.signal(signal.SIGUSR2, _obey)
