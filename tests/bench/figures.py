"""A measured figure, and the arithmetic of alternated rounds."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Figure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One row of the table.

    `ours` and `peer` are medians in `unit`; `ratio` is ours to peer (median, least, most of the
    rounds). `floor` and `ambitious` are compared with `value`: the ratio where there is a peer,
    else ours; `least` says that more is better. `cpu` is microseconds an operation, by process.
    """

    bench: str
    what: str
    unit: str
    ours: float
    peer: float | None = None
    peer_is: str = ""
    ratio: tuple[float, float, float] | None = None
    cpu: dict[str, float] = {}
    peer_cpu: dict[str, float] = {}
    floor: float | None = None
    ambitious: float | None = None
    least: bool = True
    notes: list[str] = []

    @property
    def value(self) -> float:
        """What floor and ambition are compared with."""
        return self.ratio[0] if self.ratio is not None else self.ours

    def reaches(self, bound: float | None) -> bool | None:
        """Say whether the value is on the right side of a bound; None without one."""
        if bound is None:
            return None
        return self.value >= bound if self.least else self.value <= bound


def ratio_of(ours: Sequence[float], peer: Sequence[float]) -> tuple[float, float, float]:
    """Return median, least and most of the ratios of rounds that were run side by side."""
    ratios = [mine / other for mine, other in zip(ours, peer, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which `part` (0 to 1) of the values are; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def mean_of(many: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each name over rounds."""
    names = {name: None for one in many for name in one}
    return {name: statistics.fmean(one.get(name, 0.0) for one in many) for name in names}
