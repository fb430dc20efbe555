"""CPU seconds of processes, their children included, between two moments."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping


def spent(pid: int) -> float:
    """Return the CPU seconds of a process and of all its children, ended ones included; 0 if gone.

    A child that ended is counted once its parent has waited for it, as PostgreSQL's does at once.
    """
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
    return total


@dataclass(slots=True)
class Meter:
    """Measures named processes from now on."""

    pids: Mapping[str, int]
    before: dict[str, float]

    @classmethod
    def start(cls, pids: Mapping[str, int]) -> Meter:
        return cls(pids, {name: spent(pid) for name, pid in pids.items()})

    def stop(self) -> dict[str, float]:
        """Return the CPU seconds of each since the start."""
        return {name: spent(pid) - self.before[name] for name, pid in self.pids.items()}


def per_operation(seconds: Mapping[str, float], operations: int) -> dict[str, float]:
    """Return CPU microseconds an operation."""
    return {name: value / max(1, operations) * 1e6 for name, value in seconds.items()}
