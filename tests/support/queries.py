"""The questions of the dashboards, with Grafana's own words filled in."""

from __future__ import annotations

import re

from deploy.grafana.boards import BOARDS

CHOSEN = {
    "$channel": "web",
    "$consumer": "audit",
    "$notifier": "sms",
    "$__rate_interval": "1m",
}


def queries() -> dict[str, str]:
    """Return PromQL by board and panel."""
    found = {}
    for board in BOARDS:
        for _, panels in board.rows:
            for panel in panels:
                for number, (query, _) in enumerate(panel.queries):
                    for word, value in CHOSEN.items():
                        query = query.replace(word, value)  # noqa: PLW2901
                    assert "$" not in query
                    found[f"{board.uid}: {panel.title} {number}"] = query
        for name, values in board.choices:
            found[f"{board.uid}: ${name}"] = re.sub(
                r"label_values\((.*), \w+\)", r"count(\1)", values
            )
    return found
