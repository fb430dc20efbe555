"""How the supervisor says what it does: to the command line that started it, and to its log."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Teller:
    """Tells the command line how the start goes: one JSON line an event, until it is closed."""

    def __init__(self, handle: int | None) -> None:
        """Take the file descriptor to write to, if any."""
        self._handle = handle

    def tell(self, event: str, **fields: object) -> None:
        """Write one event; a listener that is gone is no reason to stop."""
        if self._handle is not None:
            try:
                os.write(self._handle, json.dumps({"event": event, **fields}).encode() + b"\n")
            except OSError:
                self.close()

    def close(self) -> None:
        """Say nothing more."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with contextlib.suppress(OSError):  # closed already is closed
                os.close(handle)

    @contextmanager
    def step(self, name: str, text: str) -> Iterator[None]:
        """Tell that a step begins, and ends."""
        start = time.monotonic()
        self.tell("begin", step=name, text=text)
        yield
        self.tell("end", step=name, seconds=round(time.monotonic() - start, 2))


def log_event(event: str, fields: dict[str, Any]) -> None:
    """Write an event to the supervisor's own log, as JSON."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **fields}
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()
