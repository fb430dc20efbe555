"""A whole stack: from nothing to ready, ready again, and the memory that it takes at rest."""

from __future__ import annotations

import shutil
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from deploy.local.home import Home, find_state
from tests.bench.figures import Figure
from tests.support.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.telling import Told

MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True)
class Plan:
    """So many stacks are started from nothing, and `rest` seconds pass before memory is read."""

    rounds: int = 3
    rest: float = 10.0


QUICK: Final = Plan(rounds=1)
SMOKE: Final = Plan(rounds=1, rest=0.0)


@dataclass(slots=True)
class Seen:
    """Of each round: seconds of the first start and of the second, megabytes by process."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    memory: list[dict[str, float]] = field(default_factory=list)


def memory_of(stack: Stack) -> dict[str, float]:
    """Return the megabytes of each process of a stack, shared pages by their share (PSS)."""
    state = find_state(Home(stack.home))
    if state is None:
        raise RuntimeError("the stack is not up")
    top = psutil.Process(state.supervisor.pid)
    names = {mark.pid: name for name, mark in state.parts.items()}
    found: dict[str, float] = {}
    for process in [top, *top.children(recursive=True)]:
        owner = next((p for p in [process, *process.parents()] if p.pid in names), None)
        name = names[owner.pid] if owner else "supervisor"
        size = process.memory_full_info().pss / MEGABYTE
        found[name] = found.get(name, 0.0) + size
    return found


def run(folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Start and end stacks in a folder, one after another; return three figures."""
    seen = Seen()
    for number in range(plan.rounds):
        told.step(number, plan.rounds, "from nothing to ready, and once more")
        stack = Stack(folder)
        began = time.monotonic()
        with stack:
            seen.first.append(time.monotonic() - began)
            time.sleep(plan.rest)
            seen.memory.append(memory_of(stack))
        began = time.monotonic()
        with stack:
            seen.again.append(time.monotonic() - began)
        shutil.rmtree(folder)
    each = max(seen.memory, key=lambda one: sum(one.values()))
    parts = sorted(each.items(), key=lambda part: -part[1])
    notes = [", ".join(f"{name} {size:.0f}" for name, size in parts)]
    whole = sum(each.values())
    return [
        _seconds("a whole stack, from nothing to ready", seen.first, 20.0, 10.0),
        _seconds("the same stack, started again", seen.again),
        Figure(
            bench="start",
            what=f"memory of a whole stack after {plan.rest:g} s at rest",
            unit="MB",
            ours=whole,
            floor=1200.0,
            ambitious=800.0,
            least=False,
            notes=notes,
        ),
    ]


def _seconds(
    what: str, seen: list[float], floor: float | None = None, ambitious: float | None = None
) -> Figure:
    return Figure(
        bench="start",
        what=what,
        unit="s",
        ours=statistics.median(seen),
        floor=floor,
        ambitious=ambitious,
        least=False,
        notes=[f"{min(seen):.1f} to {max(seen):.1f} s of {len(seen)}"],
    )
