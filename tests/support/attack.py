"""An attacker on published figures, who knows every table and how it was made, and has time.

It uses nothing of the code that hides. For every set of persons that figures are about it asks a
solver (HiGHS) what their number can be at least and at most, given all that is shown and that no
number is negative; and it subtracts: what is left of every line, of every count without every
other that is a part of it, and of some thousands of sums of lines at random. Somebody is found when
a number is certainly 1 to `least - 1`.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import highspy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from services.audit.figures.counting import Cell, Counted

_EPSILON: Final = 1e-5
_TRIES: Final = 4000
"""Sums of lines that are tried at random."""


class Attacker:
    """Knows how cells hang together and what is shown of them."""

    def __init__(self, counted: Counted, hidden: Collection[Cell]) -> None:
        self._cells: Sequence[Cell] = list(counted.cells)
        self._place: Mapping[Cell, int] = {cell: n for n, cell in enumerate(self._cells)}
        self._counted = counted.cells
        self._lines = counted.lines
        self._hidden = set(hidden)
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.silent()
        for cell in self._cells:
            shown = None if cell in self._hidden else float(counted.cells[cell])
            solver.addVar(shown or 0.0, highspy.kHighsInf if shown is None else shown)
        for line in counted.lines:
            members = [self._place[cell] for cell in (line.total, *line.parts)]
            signs = [-1.0] + [1.0] * len(line.parts)
            solver.addRow(0.0, 0.0, len(members), members, signs)
        self._solver = solver

    def bounds(self, cells: Sequence[Cell]) -> tuple[float, float]:
        """Return how many persons can be in these cells together, at least and at most."""
        found = []
        for sense in (highspy.ObjSense.kMinimize, highspy.ObjSense.kMaximize):
            for cell in cells:
                self._solver.changeColCost(self._place[cell], 1.0)
            self._solver.changeObjectiveSense(sense)
            self._solver.run()
            status = self._solver.getModelStatus()
            endless = status in (
                highspy.HighsModelStatus.kUnbounded,
                highspy.HighsModelStatus.kUnboundedOrInfeasible,
            )
            assert endless or status == highspy.HighsModelStatus.kOptimal, status
            found.append(float("inf") if endless else self._solver.getObjectiveValue())
            for cell in cells:
                self._solver.changeColCost(self._place[cell], 0.0)
        return found[0], found[1]

    def finds(self, least: int) -> Iterator[tuple[Cell, ...]]:
        """Yield each set of persons that is certainly there and certainly smaller than `least`."""
        yield from self.subtracts(least)
        for cells in self._sets():
            low, high = self.bounds(cells)
            if low >= 1 - _EPSILON and high <= least - 1 + _EPSILON:
                yield cells

    def subtracts(self, least: int) -> Iterator[tuple[Cell, ...]]:
        """Yield each set whose number, 1 to `least - 1`, is what some shown numbers leave."""
        for whole, parts in self._below().items():
            for part in parts - self._hidden if whole not in self._hidden else ():
                if 0 < self._counted[whole] - self._counted[part] < least:
                    yield (whole, part)
        chance = random.Random(1)
        of: dict[Cell, list[int]] = {}
        for n, line in enumerate(self._lines):
            for cell in (line.total, *line.parts):
                of.setdefault(cell, []).append(n)
        for _ in range(_TRIES):
            sum_: Counter[Cell] = Counter()
            wanted = chance.choice(self._lines)
            for _ in range(chance.choice((2, 3, 4, 6))):
                sign = 1 if sum_[wanted.total] <= 0 else -1
                sum_.update(dict.fromkeys(wanted.parts, sign))
                sum_[wanted.total] -= sign
                near = [c for c, n in sum_.items() if n and c in self._hidden] or [wanted.total]
                wanted = self._lines[chance.choice(of[chance.choice(near)])]
            left = {cell: n for cell, n in sum_.items() if n and cell in self._hidden}
            count = sum(self._counted[cell] for cell in left)
            if set(left.values()) in ({1}, {-1}) and 0 < count < least:
                yield tuple(sorted(left))

    def _below(self) -> dict[Cell, set[Cell]]:
        """Return all parts, and parts of parts, of each cell."""
        parts: dict[Cell, set[Cell]] = {}
        for line in self._lines:
            parts.setdefault(line.total, set()).update(line.parts)
        moved = True
        while moved:
            moved = False
            for inside in parts.values():
                before = len(inside)
                inside.update({low for cell in inside for low in parts.get(cell, ())})
                moved |= len(inside) > before
        return parts

    def _sets(self) -> Iterator[tuple[Cell, ...]]:
        """Yield what may be small: each hidden cell, and all that is hidden of each line."""
        seen: set[tuple[Cell, ...]] = set()
        for cell in self._hidden:
            seen.add((cell,))
            yield (cell,)
        for line in self._lines:
            rest = tuple(sorted(cell for cell in line.parts if cell in self._hidden))
            if rest and rest not in seen:
                seen.add(rest)
                yield rest
