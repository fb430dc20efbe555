"""What the dashboards show: a title, a question in PromQL, a unit; nothing of one person.

Who may see them is said in `docs/operations.md`: operations alone, for small numbers tell much.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries` are pairs of PromQL and legend; `kind` is `time` or `stat`."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "time"
    says: str = ""
    alarm: float | None = None
    """From this value on it is red; only for `stat`."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: rows of panels. `choices` are variables: name and PromQL of its values."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    choices: tuple[tuple[str, str], ...] = ()


def one(title: str, query: str, unit: str = "short", alarm: float | None = None) -> Panel:
    """Return a panel with one figure; red from `alarm` on."""
    return Panel(title, ((query, ""),), unit, "stat", alarm=alarm)


def by(title: str, query: str, label: str, unit: str = "short", says: str = "") -> Panel:
    """Return a panel with a line for each value of a label."""
    return Panel(title, ((query, f"{{{{{label}}}}}"),), unit, says=says)


def quantiles(title: str, metric: str, chosen: str = "", unit: str = "s") -> Panel:
    """Return a panel with the median, p95 and p99 of a histogram."""
    return Panel(
        title,
        tuple(
            (
                (
                    f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{{chosen}}}"
                    "[$__rate_interval])))"
                ),
                f"p{round(q * 100)}",
            )
            for q in (0.5, 0.95, 0.99)
        ),
        unit,
    )


def reached(stage: str, title: str) -> Panel:
    """Return a panel that says how soon after the report nine of ten came so far."""
    return Panel(
        title,
        (
            (
                (
                    "histogram_quantile(0.9, sum by (urgency, le)"
                    f' (increase(pashe_report_stage_seconds_bucket{{stage="{stage}"}}[1d])))'
                ),
                "{{urgency}}",
            ),
        ),
        "s",
        says="Nine of ten were faster, over a day",
    )
