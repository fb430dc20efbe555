"""How the tests are spread between workers (pytest-xdist): whole files, what starts most first.

A file is one worker's, for its tests may build on one another's ground. The files that use
`whole_stack` are one worker's together, those of a folder: a run starts a stack for the pages and
one for the rest, or one for both where one worker has both.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

SHARED: Final = "whole_stack"
OWN: Final = ("Embedded", "with Stack(")
"""What stands in a file that starts servers or a stack of its own."""

LONGEST: Final = 500
"""Characters of a failure that are told at once."""


@cache
def rank(path: Path) -> int:
    """Return 0 for a file that uses the shared stack, 1 if it starts servers itself, else 2."""
    text = path.read_text("utf-8")
    if SHARED in text:
        return 0
    return 1 if any(word in text for word in OWN) else 2


class Spread(LoadFileScheduling):  # type: ignore[misc]  # xdist's types do not reach mypy
    """Gives each worker whole files, and a folder's files of the shared stack to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        path = self.config.rootpath / file
        return f"{path.parent.name} on {SHARED}" if rank(path) == 0 else file


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once where a long run of several workers failed; its whole story comes at the end."""
    if report.failed and hasattr(report, "node"):
        crash = getattr(report.longrepr, "reprcrash", None)
        said = crash.message if crash is not None else report.longreprtext
        sys.stderr.write(f"\n{report.nodeid} ({report.when}): {said[:LONGEST]}\n")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    """Spread whole files as above where `--dist loadfile` asks for whole files."""
    return Spread(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that start most first, so that no worker has them left at the end."""
    items.sort(key=lambda item: rank(item.path))
