"""What a metric is here: declared once, owned by one service, with labels whose values are bounded.

`shared.telemetry` holds the table. A process shows what its service owns and what every process
has, and nothing else: a nought of a figure that a process never reads would look like good news.
A figure that is read from PostgreSQL or Kafka on a timer keeps its last value when they are down,
and `pashe_reading_age_seconds` says how old it is; a scrape itself asks nobody.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.openmetrics.exposition import generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics import MetricWrapperBase
    from prometheus_client.metrics_core import Metric

disable_created_metrics()  # type: ignore[no-untyped-call]  # it doubles the series, nobody reads it

EVERY: Final = "every"
"""Owner of what each process of each service has."""

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Bounds for what machines do."""

LONG: Final = (60, 300, 900, 3600, 10_800, 86_400, 259_200, 604_800, 1_209_600, 2_592_000)
"""Bounds for what people do: a minute, 5 and 15; 1 and 3 hours; 1, 3, 7, 14 and 30 days."""

Values: TypeAlias = "tuple[str, ...] | str"
"""The values of a label, or in words what bounds them."""

REGISTRY: Final = CollectorRegistry()
"""The one registry of a process."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric of the table. `reading` names the timer that reads it, if one does."""

    name: str
    kind: str
    unit: str
    owner: str
    labels: Mapping[str, Values]
    text: str
    reading: str | None = None


TABLE: Final[dict[str, Declared]] = {}
"""Every metric by its name, without the endings that a kind adds (`_total`, `_bucket` …)."""


class Reading:
    """Figures that a timer reads; they are shown once they were read, and their age with them."""

    def __init__(self, name: str) -> None:
        """Name it; its age counts from `expect` on."""
        self.name = name
        self.begun = self.done_at = 0.0

    def expect(self) -> None:
        """Say that this process takes the reading, from now on."""
        self.begun = self.begun or time.monotonic()
        AGE.labels(self.name).set_function(self.age)

    def done(self) -> None:
        """Note that all its figures are of this moment."""
        self.done_at = time.monotonic()
        if not self.begun:
            self.expect()

    def age(self) -> float:
        """Return the seconds since the last reading, or since the first should have come."""
        return time.monotonic() - (self.done_at or self.begun)


_readings: Final[dict[str, Reading]] = {}
_made: Final[dict[str, MetricWrapperBase]] = {}


def reading(name: str) -> Reading:
    """Declare figures that are read on a timer."""
    return _readings.setdefault(name, Reading(name))


def counter(owner: str, name: str, text: str, **labels: Values) -> Counter:
    """Declare a counter; its samples end with `_total`."""
    made = Counter(name, text, tuple(labels), registry=REGISTRY, unit=_unit(name))
    _declare(Declared(name, "counter", _unit(name), owner, labels, text), made)
    return made


def gauge(
    owner: str, name: str, text: str, *, read: Reading | None = None, **labels: Values
) -> Gauge:
    """Declare a gauge; `read` is the reading it belongs to."""
    made = Gauge(name, text, tuple(labels), registry=REGISTRY, unit=_unit(name))
    by = read.name if read is not None else None
    _declare(Declared(name, "gauge", _unit(name), owner, labels, text, by), made)
    return made


def histogram(
    owner: str, name: str, text: str, bounds: Sequence[float], **labels: Values
) -> Histogram:
    """Declare a histogram with these bounds."""
    made = Histogram(name, text, tuple(labels), registry=REGISTRY, buckets=bounds, unit=_unit(name))
    _declare(Declared(name, "histogram", _unit(name), owner, labels, text), made)
    return made


def info(owner: str, name: str, text: str) -> Info:
    """Declare facts about a process; its sample ends with `_info`."""
    made = Info(name, text, registry=REGISTRY)
    _declare(Declared(name, "info", "", owner, {}, text), made)
    return made


_UNITS: Final = ("seconds", "bytes", "records", "rows", "entries", "events")


def _unit(name: str) -> str:
    last = name.rsplit("_", 1)[-1]
    return last if last in _UNITS else ""


def _declare(declared: Declared, made: MetricWrapperBase) -> None:
    TABLE[declared.name] = declared
    _made[declared.name] = made


AGE: Final = gauge(
    EVERY,
    "pashe_reading_age_seconds",
    "How old the figures are that are read on a timer; high while PostgreSQL or Kafka is down",
    reading="the readings of this table",
)


def own(service: str) -> Iterator[Declared]:
    """Return the metrics that a process of a service shows."""
    return (one for one in TABLE.values() if one.owner in (service, EVERY))


def begin(service: str) -> None:
    """Make every series whose labels are closed, so that nought is nought from the start."""
    for declared in own(service):
        values = list(declared.labels.values())
        if values and all(isinstance(one, tuple) for one in values):
            for labels in itertools.product(*values):
                _made[declared.name].labels(*labels)


def set_known(found: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Set a gauge to these values, and each other series it has to nought; none ever goes away."""
    known: Iterable[tuple[str, ...]] = [tuple(one) for one in list(found._metrics)]  # noqa: SLF001  (no public list)
    for labels in {*known, *values}:
        found.labels(*labels).set(values.get(labels, 0))


def total(name: str, **labels: str) -> float | None:
    """Return the sum of this process's samples of a name with these labels, None if it has none."""
    found = [
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None


class _Shown:
    """The registry as a process of one service shows it."""

    def __init__(self, service: str) -> None:
        self._names = {one.name: one for one in own(service)}

    def collect(self) -> Iterator[Metric]:
        for metric in REGISTRY.collect():
            declared = self._names.get(metric.name)
            if declared is None:
                continue
            if declared.reading is not None and not _readings[declared.reading].done_at:
                metric.samples = []
            yield metric


def render(service: str) -> bytes:
    """Render a process's metrics as OpenMetrics 1.0 text; touches neither database nor broker."""
    return generate_latest(_Shown(service))  # type: ignore[no-untyped-call,no-any-return]
