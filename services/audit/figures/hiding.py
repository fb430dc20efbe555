"""Which cells are hidden, so that nobody can be found in those that are shown.

**Found** is whoever is in a set of persons of which it can be computed for certain, from everything
that is shown, that it has at least one and fewer than `least` persons, or families: five siblings
are one family, that everybody near knows. So a cell below `least` is
hidden (zero too: otherwise a hidden cell would say that somebody is there), and then more cells
until nothing small can be computed: not one cell, not what is left of a line, not from several
lines together, and not by what a count can be at least and at most.

All tables of a quarter are decided together: two tables are lines of one system, so subtracting one
from another is already tried here. Whoever hides one cell too many takes a figure from the public;
whoever hides one too few may cost a life: in doubt the cell is hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.audit.figures.bounding import find_bounded
from services.audit.figures.deriving import Exposed, find_exposed

if TYPE_CHECKING:
    from services.audit.figures.counting import Cell, Counted

PUBLIC = 5
"""The smallest count that the public may see (SAFETY 13)."""

DATASET = 11
"""The smallest count of an export for research."""


def hide(counted: Counted, least: int = PUBLIC) -> frozenset[Cell]:
    """Return the cells that are hidden; those that are on no table are always among them."""
    families = {cell: counted.families.get(cell, n) for cell, n in counted.cells.items()}
    hidden = {cell for cell, n in families.items() if n < least} | counted.unshown
    while True:
        exposed = find_exposed(counted.cells, counted.lines, hidden, least, families)
        if exposed is None:
            bounded = find_bounded(counted.cells, counted.lines, hidden, least)
            if bounded is None:
                break
            exposed = Exposed(bounded)
        hidden.add(_choose(counted, hidden, exposed))
    return frozenset(hidden)


def _choose(counted: Counted, hidden: set[Cell], exposed: Exposed) -> Cell:
    """Return the shown cell whose hiding costs least among those that exposed something."""
    near = {cell for cell in exposed.by if cell not in hidden}
    seen = set(exposed.by)
    while not near:
        # What exposed it follows from other lines: look one line further.
        wider = {
            cell
            for line in counted.lines
            if not seen.isdisjoint((line.total, *line.parts))
            for cell in (line.total, *line.parts)
        }
        if wider <= seen:
            return min(cell for cell in counted.cells if cell not in hidden)
        near, seen = {cell for cell in wider if cell not in hidden}, seen | wider
    return min(near, key=lambda cell: (counted.cells[cell], cell))
