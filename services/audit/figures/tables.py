"""The tables that are published of a quarter, and the only ones there are.

A release is a plain value: `{"quarter", "least", "tables": {name: {"groups", "columns", "rows"}},
"waits"}`. A cell is a whole number, or None where it is hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from services.audit.figures.counting import ALL, KNOWN, STEPS, Cell
from services.audit.figures.hiding import PUBLIC, hide
from services.audit.figures.periods import name_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date

    from services.audit.figures.counting import Counted

FUNNEL: Final = (
    *("cases", "planned", "assigned", "accepted", "contacted", "delivered", "declined", "failed"),
)
"""The steps of help for everybody together; the last two are no step on the way."""

GROUPED: Final = (*("division", "district", "concern", "age", "sex", "channel", "initiative"),)
"""Groupings that have a table of their own, each with `STEPS` as columns."""

OF_NEEDS: Final = ("planned", "accepted", "delivered", "unserved")

Table = Literal[
    "funnel",
    "division",
    "district",
    "concern",
    "age",
    "sex",
    "channel",
    "initiative",
    "need",
    "gaps",
]
"""The name of a published table."""

NAMES: Final[tuple[str, ...]] = get_args(Table)

_OPEN: Final = ("concern", "channel", "initiative", "need", "need-division")
"""Groupings that may get a group which nobody thought of."""

WAITS: Final = ((1, "under an hour"), (4, "1 to 4 hours"), (24, "4 hours to a day"),
                (72, "1 to 3 days"), (168, "3 to 7 days"))  # fmt: skip
"""Classes of the time until somebody said yes, by their end in hours."""

LONGEST: Final = "over a week"

ENOUGH: Final = 2 * PUBLIC
"""Persons of a district at least, before half of them says anything: a median is somebody's."""


def make_release(counted: Counted, quarter: date, least: int = PUBLIC) -> dict[str, Any]:
    """Make the tables of a quarter with every cell hidden that could show somebody."""
    hidden = hide(counted, least)

    def shown(cell: Cell) -> int | None:
        return None if cell in hidden else counted.cells.get(cell)

    def table(by: str, columns: Iterable[str]) -> dict[str, Any]:
        names = list(columns)
        always = dict.fromkeys(KNOWN.get(by, ()))
        groups = always | dict.fromkeys(sorted(c.group for c in counted.cells if c.by == by))
        rows = {g: [shown(Cell(what, by, g)) for what in names] for g in groups}
        if by in _OPEN:
            # A row with nothing in it would say that somebody is there.
            rows = {g: row for g, row in rows.items() if g in always or any(row)}
        return {"groups": list(rows), "columns": names, "rows": list(rows.values())}

    tables = {
        "funnel": {
            "groups": [ALL],
            "columns": list(FUNNEL),
            "rows": [[shown(Cell(what)) for what in FUNNEL]],
        },
        **{by: table(by, STEPS) for by in GROUPED},
        "need": table("need", OF_NEEDS),
        "gaps": table("need-division", ("unserved",)),
    }
    return {
        "quarter": name_of(quarter),
        "least": least,
        "tables": tables,
        "waits": _waits(counted, hidden, max(ENOUGH, 2 * least)),
    }


def _waits(counted: Counted, hidden: Collection[Cell], enough: int) -> dict[str, str]:
    """Return the class in which the median lies, of each district whose yeses are shown."""
    found = {}
    for district, hours in sorted(counted.waits.items()):
        if Cell("accepted", "district", district) in hidden:
            continue
        if counted.families[Cell("accepted", "district", district)] >= enough:
            found[district] = class_of(sorted(hours)[(len(hours) - 1) // 2])
    return found


def class_of(hours: float) -> str:
    """Return the class of a time in hours."""
    return next((name for end, name in WAITS if hours < end), LONGEST)
