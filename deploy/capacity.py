"""A capacity model: `python -m deploy.capacity [REPORTS_A_YEAR …]` prints what saturates first.

Costs are measured (`deploy/capacity.toml`, by `python -m tests.bench.cost`); what a year looks like
is assumed in the same file. A day is simulated minute by minute: reports come by a daily curve,
with one hour of a campaign in it, and go through the parts, each of which takes so many a second as
its cores allow. docs/capacity.md says what follows.
"""

from __future__ import annotations

import math
import sys
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE: Final = Path(__file__).with_name("capacity.toml")
YEAR: Final = 365 * 86_400
MINUTES: Final = 24 * 60
TERABYTE: Final = 1e12

PARTS: Final = ("intake", "postgres", "kafka", "referral", "notification", "audit")
"""In the order in which a report reaches them; PostgreSQL and Kafka serve all along the way."""

ONE_PROCESS: Final = ("audit",)
"""Parts that are one process, however many machines there are: one core each (one sequencer)."""


@dataclass(frozen=True, slots=True)
class Point:
    """The cost of a report, measured at a rate: CPU milliseconds by part; bytes; log entries."""

    rate: float
    cpu: Mapping[str, float]
    database: float
    wal: float
    kafka: float
    entries: float


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a year looks like."""

    peak_hour: float
    """How many times the mean comes in the busiest hour of a usual day."""
    campaign: float
    """How many times the mean comes in the one hour after a campaign."""
    updates: float
    """How much later work on a case costs, as a part of what its report costs."""
    years: float
    """How long cases stay."""
    copies: int
    """Of PostgreSQL and of Kafka's topics."""
    kafka_days: float
    """How long Kafka keeps what a report leads to."""


@dataclass(frozen=True, slots=True)
class Model:
    """Costs between measured points, and beyond them those of the last one."""

    points: tuple[Point, ...]
    assumed: Assumed

    def cpu(self, part: str, rate: float) -> float:
        """Return CPU milliseconds that a part takes for a report at a rate.

        More reports share a commit the more come: between two points the cost falls along the
        logarithm of the rate.
        """
        points = self.points
        if rate <= points[0].rate:
            return points[0].cpu[part]
        for low, high in pairwise(points):
            if rate <= high.rate:
                share = math.log(rate / low.rate) / math.log(high.rate / low.rate)
                return low.cpu[part] + share * (high.cpu[part] - low.cpu[part])
        return points[-1].cpu[part]

    def cores(self, rate: float) -> dict[str, float]:
        """Return the cores that each part is busy with at a rate, later work included."""
        work = 1 + self.assumed.updates
        return {part: rate * work * self.cpu(part, rate * work) / 1e3 for part in PARTS}

    def most(self, part: str, cores: float) -> float:
        """Return the most reports a second that a part takes with so many cores."""
        return cores * 1e3 / self.points[-1].cpu[part] / (1 + self.assumed.updates)

    def disk(self, a_year: float) -> dict[str, float]:
        """Return bytes held at the end: of PostgreSQL after all years, of Kafka at any time."""
        last, assumed = self.points[-1], self.assumed
        work = 1 + assumed.updates
        held = a_year * assumed.years * last.database * work
        kept = a_year / 365 * assumed.kafka_days * last.kafka * work
        return {"postgres": held * assumed.copies, "kafka": kept * assumed.copies}


@dataclass(frozen=True, slots=True)
class Day:
    """A simulated day: the busiest second's rate, the part that was busiest, how late it got."""

    peak: float
    busiest: str
    busy: float
    late: float
    """Minutes that the last report of the worst minute waited."""


def load_model(path: Path = FILE) -> Model:
    """Read costs and assumptions.

    Raises:
        KeyError, TypeError: the file lacks something.

    """
    found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    points = tuple(sorted((Point(**one) for one in found["measured"]), key=lambda p: p.rate))
    return Model(points, Assumed(**found["assumed"]))


def arrivals(a_year: float, assumed: Assumed) -> list[float]:
    """Return reports a second of each minute of a day with a campaign from 19:00 to 20:00."""
    mean = a_year / YEAR
    swing = assumed.peak_hour - 1
    curve = [1 + swing * math.cos(2 * math.pi * (m / 60 - 15) / 24) for m in range(MINUTES)]
    usual = [mean * max(0.05, one) for one in curve]
    return [
        mean * assumed.campaign if 19 * 60 <= m < 20 * 60 else one for m, one in enumerate(usual)
    ]


def simulate(model: Model, a_year: float, cores: Mapping[str, float]) -> Day:
    """Let a day pass through the parts, each with its cores; what is not done waits."""
    coming = arrivals(a_year, model.assumed)
    most = {part: model.most(part, cores[part]) for part in PARTS}
    waiting = dict.fromkeys(PARTS, 0.0)
    late = 0.0
    for rate in coming:
        flow = rate
        for part in PARTS:
            there = waiting[part] + flow * 60
            done = min(there, most[part] * 60)
            waiting[part] = there - done
            flow = done / 60
        late = max(late, sum(waiting[part] / most[part] / 60 for part in PARTS))
    peak = max(coming)
    busy = {part: used / cores[part] for part, used in model.cores(peak).items()}
    busiest = max(busy, key=lambda part: busy[part])
    return Day(peak, busiest, busy[busiest], late)


def partitions_needed(model: Model, peak: float) -> int:
    """Return how many partitions keep every consumer of a stream below half of a core each."""
    worst = max(model.cores(peak)["referral"], model.cores(peak)["notification"])
    return max(1, math.ceil(worst / 0.5))


def report(model: Model, a_year: float, cores: Mapping[str, float]) -> list[str]:
    """Return one row of the table."""
    day = simulate(model, a_year, cores)
    used, disk = model.cores(day.peak), model.disk(a_year)
    return [
        f"{a_year / 1e6:g} million",
        f"{a_year / YEAR:.2f} / {day.peak:.1f}",
        f"{sum(used.values()):.2f}",
        f"{day.busiest} {day.busy:.0%}",
        f"{day.late:.1f}",
        f"{partitions_needed(model, day.peak)}",
        f"{disk['postgres'] / TERABYTE:.2f}",
        f"{disk['kafka'] / TERABYTE:.3f}",
    ]


HEAD: Final = (
    "reports a year",
    "mean / peak a second",
    "cores at the peak",
    "busiest part",
    "late, min",
    "partitions",
    "PostgreSQL, TB",
    "Kafka, TB",
)

SMALL: Final = {"intake": 0.5, "postgres": 0.6, "kafka": 0.3, "referral": 0.3} | {
    "notification": 0.1,
    "audit": 0.2,
}
"""The cores of one machine of two, as its processes share them at full load."""

LARGE: Final = {"intake": 4.0, "postgres": 8.0, "kafka": 3.0, "referral": 4.0} | {
    "notification": 2.0,
    "audit": 1.0,
}
"""Cores of a small cluster."""


def table(model: Model, years: Sequence[float], cores: Mapping[str, float]) -> str:
    """Return rows of Markdown."""
    rows = [HEAD, ["---"] * len(HEAD), *(report(model, one, cores) for one in years)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Print the table for one machine and for a small cluster."""
    model = load_model()
    years = [float(word) for word in sys.argv[1:]] or [1e6, 1e7, 1e8]
    for name, cores in (("One machine of two cores", SMALL), ("A small cluster", LARGE)):
        sys.stdout.write(f"{name}\n\n{table(model, years, cores)}\n\n")


if __name__ == "__main__":
    main()
