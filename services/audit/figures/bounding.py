"""What a hidden count can be at least and at most, exactly: by HiGHS, a solver of linear programs.

Every shown cell is a number, every line an equation, no count is negative; nothing else is known.
The quick ways of `deriving` come first: this one is asked for what they leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from services.audit.figures.counting import Cell, Line

_NEARLY: Final = 1e-5
"""How far a solver may be from a whole number."""


class SolverFailed(Exception):  # noqa: N818  (nothing is published then)
    """The solver gave no answer: nothing may be shown."""


def find_bounded(
    cells: Mapping[Cell, int], lines: Sequence[Line], hidden: Collection[Cell], least: int
) -> tuple[Cell, ...] | None:
    """Return hidden cells that together are certainly 1 to `least - 1`; None: there are none.

    Each hidden cell, and all hidden ones of each line. Only what truly is so small can be found:
    the others are not asked for.

    Raises:
        SolverFailed: it cannot be said.

    """
    sets: list[tuple[Cell, ...]] = [(cell,) for cell in cells if cell in hidden]
    sets += [tuple(cell for cell in line.parts if cell in hidden) for line in lines]
    small = [each for each in dict.fromkeys(sets) if 0 < sum(cells[c] for c in each) < least]
    if not small:
        return None
    system = _System(cells, lines, hidden)
    for each in small:
        if system.most(each) < least - _NEARLY and system.least(each) > _NEARLY:
            return each
    return None


class _System:
    """The equations, in the solver."""

    def __init__(
        self, cells: Mapping[Cell, int], lines: Sequence[Line], hidden: Collection[Cell]
    ) -> None:
        import highspy  # noqa: PLC0415  (large, and needed once a quarter)

        self._minimise = highspy.ObjSense.kMinimize
        self._maximise = highspy.ObjSense.kMaximize
        status = highspy.HighsModelStatus
        self._best = status.kOptimal
        self._endless = (status.kUnbounded, status.kUnboundedOrInfeasible)
        self._place = {cell: place for place, cell in enumerate(cells)}
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.silent()
        for cell, n in cells.items():
            if cell in hidden:
                solver.addVar(0.0, highspy.kHighsInf)
            else:
                solver.addVar(float(n), float(n))
        for line in lines:
            members = [self._place[cell] for cell in (line.total, *line.parts)]
            signs = [-1.0] + [1.0] * len(line.parts)
            solver.addRow(0.0, 0.0, len(members), members, signs)
        self._solver = solver

    def least(self, cells: Sequence[Cell]) -> float:
        """Return what cells are together at least."""
        return self._extreme(cells, self._minimise)

    def most(self, cells: Sequence[Cell]) -> float:
        """Return what cells are together at most; without an end, infinity."""
        return self._extreme(cells, self._maximise)

    def _extreme(self, cells: Sequence[Cell], sense: Any) -> float:  # noqa: ANN401  (the solver's)
        for cell in cells:
            self._solver.changeColCost(self._place[cell], 1.0)
        self._solver.changeObjectiveSense(sense)
        self._solver.run()
        status = self._solver.getModelStatus()
        value = float(self._solver.getObjectiveValue())  # a cost that is changed takes it away
        for cell in cells:
            self._solver.changeColCost(self._place[cell], 0.0)
        if status == self._best:
            return value
        if sense == self._maximise and status in self._endless:
            return float("inf")
        raise SolverFailed
