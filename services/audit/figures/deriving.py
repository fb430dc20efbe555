"""What can be computed about hidden cells from those that are shown: the attacker's side, in short.

Each way builds on what the ones before made known: a line of which one cell is hidden; what is
left of a count when known parts of it are taken away, and parts of parts; several lines together
(elimination, exact, modulo a large prime); and what each count can be at least and at most, since
no count is negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from services.audit.figures.counting import Cell, Line

_PRIME: Final = 2_305_843_009_213_693_951
_MANY: Final = 2**40
_ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class Exposed:
    """Somebody can be found: the cells of the lines by which."""

    by: tuple[Cell, ...]


def find_exposed(
    counts: Mapping[Cell, int],
    lines: Sequence[Line],
    hidden: Collection[Cell],
    least: int,
    families: Mapping[Cell, int] | None = None,
) -> Exposed | None:
    """Return by what a set of 1 to `least - 1` persons can be computed; None: by nothing.

    With `families` it is so many families.
    """
    cells = counts if families is None else families
    known = set(cells).difference(hidden)
    source: dict[Cell, Line] = {}
    moved = True
    while moved:
        moved = False
        for line in lines:
            members = (line.total, *line.parts)
            unknown = [cell for cell in members if cell not in known]
            if not unknown:
                continue
            if line.total in known:
                rest = sum(cells[cell] for cell in unknown)
                if 0 < rest < least:
                    return Exposed(_behind(members, source))
                if rest and len(unknown) > 1:
                    continue
            elif len(unknown) > 1:
                continue
            elif 0 < cells[line.total] < least:
                return Exposed(_behind(members, source))
            known.update(unknown)
            source.update(dict.fromkeys(unknown, line))
            moved = True
    return (
        _left(cells, lines, known, least)
        or _together(cells, lines, known, least)
        or _bounded(counts, lines, known, least)
    )


def _behind(members: Sequence[Cell], source: Mapping[Cell, Line]) -> tuple[Cell, ...]:
    """Return these cells with those of the lines from which they were computed themselves."""
    found, waiting = dict.fromkeys(members), list(members)
    while waiting:
        line = source.get(waiting.pop())
        for cell in () if line is None else (line.total, *line.parts):
            if cell not in found:
                found[cell] = None
                waiting.append(cell)
    return tuple(found)


def _left(
    cells: Mapping[Cell, int], lines: Sequence[Line], known: Collection[Cell], least: int
) -> Exposed | None:
    """Take known parts, and parts of hidden parts, from a known count: what is left is a set."""
    leaving = _Leaving(cells, lines, known, least)
    small = (1 << least) - 2
    for line in lines:
        if line.total in known and leaving.of_line(line) & small:
            return Exposed(leaving.under(line))
    return None


class _Leaving:
    """How many may be left of a cell, which depends on the known parts that are taken.

    So there are several answers: bit n of an integer stands for n persons, bit `least` for that
    many or more.
    """

    def __init__(
        self,
        cells: Mapping[Cell, int],
        lines: Sequence[Line],
        known: Collection[Cell],
        least: int,
    ) -> None:
        self._cells, self._known, self._least = cells, known, least
        self._below: dict[Cell, list[Line]] = {}
        for line in lines:
            self._below.setdefault(line.total, []).append(line)
        self._answers: dict[Cell, int] = {}

    def of_line(self, line: Line) -> int:
        """Return what may be left of a line's total by taking parts of its parts."""
        found = 1
        for part in line.parts:
            found = _sums(found, self._of(part), self._least)
        return found

    def _of(self, cell: Cell) -> int:
        if cell in self._known:
            return 1
        if cell not in self._answers:
            found = 1 << min(self._cells[cell], self._least)
            for line in self._below.get(cell, ()):
                found |= self.of_line(line)
            self._answers[cell] = found
        return self._answers[cell]

    def under(self, line: Line) -> tuple[Cell, ...]:
        """Return the cells of a line, and of the lines under its hidden parts."""
        members, waiting = dict.fromkeys((line.total, *line.parts)), list(line.parts)
        while waiting:
            cell = waiting.pop()
            for under in () if cell in self._known else self._below.get(cell, ()):
                waiting += [part for part in under.parts if part not in members]
                members |= dict.fromkeys(under.parts)
        return tuple(members)


def _sums(one: int, other: int, least: int) -> int:
    """Return what two sets of answers add up to."""
    found = 0
    for n in range(least + 1):
        if one >> n & 1:
            for m in range(least + 1):
                if other >> m & 1:
                    found |= 1 << min(n + m, least)
    return found


def _together(
    cells: Mapping[Cell, int], lines: Sequence[Line], known: Collection[Cell], least: int
) -> Exposed | None:
    """Eliminate: a row with one unknown, or unknowns of one sign, says how many they are."""
    rows: dict[Cell, dict[Cell, int]] = {}
    for line in lines:
        row = {cell: 1 for cell in line.parts if cell not in known}
        if line.total not in known:
            row[line.total] = _PRIME - 1
        _reduce(row, rows)
        if not row:
            continue
        pivot = next(iter(row))
        inverse = pow(row[pivot], -1, _PRIME)
        row = {cell: n * inverse % _PRIME for cell, n in row.items()}
        for other in rows.values():
            if pivot in other:
                _subtract(other, row, other[pivot])
        rows[pivot] = row
    for row in rows.values():
        signed = [n if n < _PRIME // 2 else n - _PRIME for n in row.values()]
        if min(signed) < 0 or max(signed) > 1:
            continue
        if 0 < sum(cells[cell] for cell in row) < least:
            touched = [x for x in lines if not set(row).isdisjoint((x.total, *x.parts))]
            return Exposed(tuple({c: None for x in touched for c in (x.total, *x.parts)}))
    return None


def _reduce(row: dict[Cell, int], rows: Mapping[Cell, dict[Cell, int]]) -> None:
    for pivot in [cell for cell in row if cell in rows]:
        _subtract(row, rows[pivot], row[pivot])


def _subtract(row: dict[Cell, int], other: Mapping[Cell, int], times: int) -> None:
    for cell, n in other.items():
        left = (row.get(cell, 0) - times * n) % _PRIME
        if left:
            row[cell] = left
        else:
            row.pop(cell, None)


def _bounded(
    cells: Mapping[Cell, int], lines: Sequence[Line], known: Collection[Cell], least: int
) -> Exposed | None:
    """Narrow what each count can be; a hidden one that must be 1 to `least - 1` is found."""
    low = {cell: n if cell in known else 0 for cell, n in cells.items()}
    high = {cell: n if cell in known else _MANY for cell, n in cells.items()}
    for _ in range(_ROUNDS):
        moved = False
        for line in lines:
            least_of, most_of = (sum(side[c] for c in line.parts) for side in (low, high))
            moved |= _narrow(low, high, line.total, least_of, most_of)
            for part in line.parts:
                below = low[line.total] - (most_of - high[part])
                above = high[line.total] - (least_of - low[part])
                moved |= _narrow(low, high, part, below, above)
                least_of, most_of = (sum(side[c] for c in line.parts) for side in (low, high))
        if not moved:
            break
    for cell in cells:
        if cell not in known and low[cell] >= 1 and high[cell] < least:
            touched = [x for x in lines if cell in (x.total, *x.parts)]
            return Exposed(tuple({c: None for x in touched for c in (x.total, *x.parts)}))
    return None


def _narrow(
    low: dict[Cell, int], high: dict[Cell, int], cell: Cell, below: int, above: int
) -> bool:
    moved = below > low[cell] or above < high[cell]
    low[cell], high[cell] = max(low[cell], below), min(high[cell], above)
    return moved
