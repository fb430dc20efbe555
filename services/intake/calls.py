"""Calls to a helpline, purely: which of them is a report, and which is kept apart and not lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_APART: Final = frozenset({"silent", "prank", "test", "hang_up", "wrong_number"})
"""Kinds of calls that say nothing: no case, no figure, and the submission stays."""

SILENT_TIMES: Final = 3
"""Silent calls of one number within a day that come before a person: it may be a child."""

ALONE: Final = ("in_danger", "child_alone")
"""States of a caller in which a call is a report, whatever else it was taken for."""


def call_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a coarse report knows of the call it came by; empty when it came otherwise."""
    found: Mapping[str, Any] = report.get("call") or {}
    return found


def says_something(body: Mapping[str, Any], kind: str, caller: str) -> bool:
    """Say whether a call is a report: of that kind, or with a person or a danger in it.

    `body` is the report as the interface takes it.
    """
    told = body["danger_now"] or body["persons"] or body["concerns"] or body["needs"]
    return kind not in KEPT_APART or caller in ALONE or bool(told)


def is_many_silent(report: Mapping[str, Any]) -> bool:
    """Say whether this is the third silent call of a number within a day (or the sixth …)."""
    call = call_of(report)
    times = call.get("times", 0)
    return call.get("kind") == "silent" and times > 0 and times % SILENT_TIMES == 0


def is_kept_apart(report: Mapping[str, Any]) -> bool:
    """Say whether a report came by a call that opens no case."""
    call = call_of(report)
    return bool(call) and not call.get("report", True) and not is_many_silent(report)


def is_pressing(report: Mapping[str, Any]) -> bool:
    """Say whether a person must see to a report within a day, whatever it says else."""
    alone = call_of(report).get("caller") == "child_alone"
    return alone or bool(report.get("pressing")) or is_many_silent(report)
