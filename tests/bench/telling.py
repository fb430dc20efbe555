"""What a bench tells while it runs: JSON lines for `pashe bench`, or nothing."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.figures import Figure


def _silent(_: dict[str, Any]) -> None:
    return


def lines(event: dict[str, Any]) -> None:
    """Write an event as a line of JSON to stdout."""
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


@dataclass(frozen=True, slots=True)
class Told:
    """Tells of one bench."""

    bench: str
    say: Callable[[dict[str, Any]], None] = _silent

    def step(self, done: float, total: float, text: str) -> None:
        """Tell how far it is."""
        self.say({"event": "step", "bench": self.bench, "done": done, "total": total, "text": text})

    def figure(self, figure: Figure) -> None:
        """Tell a figure."""
        told = msgspec.to_builtins(figure)
        told |= {
            "value": figure.value,
            "floor_met": figure.reaches(figure.floor),
            "ambitious_met": figure.reaches(figure.ambitious),
        }
        self.say({"event": "figure", "bench": self.bench, "figure": told})
