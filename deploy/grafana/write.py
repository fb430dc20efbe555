"""Write the dashboards as JSON: `python -m deploy.grafana.write`, after a change of a board."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

from deploy.grafana.boards import BOARDS

if TYPE_CHECKING:
    from deploy.grafana.panels import Board, Panel

FOLDER: Final = Path(__file__).with_name("dashboards")
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="pashe-prometheus")


def render(board: Board) -> str:
    """Return a dashboard as Grafana's JSON."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .tags(["pashe"])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("Asia/Dhaka")
    )
    for name, values in board.choices:
        made = made.with_variable(
            dashboard.QueryVariable(name)
            .datasource(SOURCE)
            .query({"query": values, "refId": name})
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    ids = itertools.count(1)
    for title, panels in board.rows:
        made = made.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels:
            made = made.with_panel(_panel(panel, next(ids)))
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _panel(panel: Panel, number: int) -> Any:  # noqa: ANN401  (each kind of panel has a builder of its own)
    made: Any = timeseries.Panel()
    if panel.kind == "stat":
        made = stat.Panel().graph_mode(BigValueGraphMode.NONE)
    made = (
        made.id(number)
        .title(panel.title)
        .unit(panel.unit)
        .datasource(SOURCE)
        .description(panel.says)
    )
    made = made.height(5 if panel.kind == "stat" else 8).span(6 if panel.kind == "stat" else 12)
    if panel.alarm is not None:
        steps = [Threshold(None, "green"), Threshold(panel.alarm, "red")]
        made = made.thresholds(
            dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
        )
    for letter, (query, legend) in zip("ABCDEF", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query).ref_id(letter)
        made = made.with_target(target.legend_format(legend) if legend else target)
    return made


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.uid}.json").write_text(render(board), "utf-8")


if __name__ == "__main__":
    main()
