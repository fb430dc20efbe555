"""Whatever somebody sends as HSDS 3, read and checked, purely: a package (zip) or JSON."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from services.referral.exchange.hsds.documents import read_json
from services.referral.exchange.hsds.graph import Graph, TooMany
from services.referral.exchange.hsds.packages import read_package
from services.referral.exchange.hsds.report import Report, Spot

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_JSON: Final = 100_000_000
"""Bytes of JSON; what is more comes as a package."""

_ZIP: Final = b"PK"

_WHOLE: Final = frozenset(
    ("heads", "encoding", "quoting", "file-missing", "same-file-twice", "not-a-zip", "too-large")
)
"""Problems of a whole file: until they are mended, what names its rows is no problem of its own."""


def read(file: IO[bytes], progress: Callable[[int], None] = lambda _: None) -> tuple[Graph, Report]:
    """Read a file that can be sought in; when the report has problems, nothing may be taken."""
    graph, report = Graph(), Report()
    file.seek(0)
    start = file.read(2)
    file.seek(0)
    try:
        if start == _ZIP:
            read_package(file, graph, report, progress)
        elif len(raw := file.read(MOST_JSON + 1)) > MOST_JSON:
            report.add(Spot(), "", "too-large")
        elif raw.strip():
            read_json(raw, graph, report, progress)
    except TooMany:
        report.add(Spot(), "", "too-large")
    if not len(graph) and not report.count:
        report.add(Spot(), "", "empty")
    if not any(problem.rule in _WHOLE for problem in report.problems):
        graph.check(report, nested=start != _ZIP)
    return graph, report
