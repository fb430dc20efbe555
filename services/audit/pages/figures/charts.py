"""Where the parts of a chart lie. Purely; a template draws them, in units of its own view box.

What is hidden has no length and no colour: no chart shows more than its table.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.audit.figures.tables import LONGEST, WAITS

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE: Final = 320
"""Width of every view box: a small phone's, so that texts have their size there."""

BAR: Final = 40
"""Height of one bar of the funnel with its text."""

TILE: Final = 40
ROW: Final = 44
CELL: Final = 34

SHADES: Final = 5
"""Shades of the gaps, from few persons to many."""

STAGES: Final = ("cases", "planned", "assigned", "accepted", "contacted", "delivered")
"""The bars of the funnel; who said no, and what failed, stands in its table."""

CLASSES: Final = (*(name for _, name in WAITS), LONGEST)


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of the funnel; `count` None: hidden."""

    step: str
    count: int | None
    y: int
    length: int


@dataclass(frozen=True, slots=True)
class Tile:
    """One district on the map; `wait` is its class, `shade` that class's number from 1, or 0."""

    pcode: str
    x: int
    y: int
    wait: str | None
    shade: int


@dataclass(frozen=True, slots=True)
class Square:
    """How many persons in a division nobody serves; `count` None: hidden."""

    division: str
    count: int | None
    x: int
    shade: int


@dataclass(frozen=True, slots=True)
class Band:
    """One kind of help over the divisions."""

    need: str
    y: int
    total: int | None
    squares: tuple[Square, ...]


def funnel(release: dict[str, Any]) -> list[Bar]:
    """Return the bars of the funnel, the first as long as the chart where it is shown."""
    table = release["tables"]["funnel"]
    counts = dict(zip(table["columns"], table["rows"][0], strict=True))
    most = max((n for n in counts.values() if n is not None), default=0)
    return [
        Bar(step, counts[step], place * BAR, round(WIDE * (counts[step] or 0) / max(most, 1)))
        for place, step in enumerate(STAGES)
    ]


@cache
def _places() -> dict[str, tuple[int, int]]:
    """Return column and row of each district: tiles laid by us near where districts lie."""
    with Path(__file__).with_name("tiles.csv").open(encoding="utf-8", newline="") as file:
        return {row["pcode"]: (int(row["column"]), int(row["row"])) for row in csv.DictReader(file)}


def tiles(release: dict[str, Any]) -> list[Tile]:
    """Return every district as a tile."""
    waits: dict[str, str] = release["waits"]
    return [
        Tile(pcode, x * TILE, y * TILE, wait, CLASSES.index(wait) + 1 if wait else 0)
        for pcode, (x, y) in _places().items()
        for wait in (waits.get(pcode),)
    ]


def gaps(release: dict[str, Any]) -> tuple[list[str], list[Band]]:
    """Return the divisions, and a band for each need of which something is shown."""
    found = release["tables"]["gaps"]
    counts: dict[str, dict[str, int | None]] = {}
    for group, row in zip(found["groups"], found["rows"], strict=True):
        need, division = group.split(" ")
        counts.setdefault(need, {})[division] = row[0]
    unserved = _unserved(release)
    divisions: list[str] = release["tables"]["division"]["groups"]
    most = max((n for row in counts.values() for n in row.values() if n), default=1)
    shown = [n for n, row in counts.items() if unserved.get(n) or any(row.values())]
    order = sorted(shown, key=lambda need: (-(unserved.get(need) or 0), need))
    return divisions, [
        Band(
            need,
            place * ROW,
            unserved.get(need),
            tuple(_squares(counts[need], divisions, most)),
        )
        for place, need in enumerate(order)
    ]


def _squares(counts: dict[str, int | None], divisions: Sequence[str], most: int) -> list[Square]:
    return [
        Square(division, n, place * CELL, 1 + (n - 1) * SHADES // most if n else 0)
        for place, division in enumerate(divisions)
        for n in (counts.get(division),)
    ]


def _unserved(release: dict[str, Any]) -> dict[str, int | None]:
    table = release["tables"]["need"]
    at = table["columns"].index("unserved")
    return {g: row[at] for g, row in zip(table["groups"], table["rows"], strict=True)}
