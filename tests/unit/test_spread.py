"""Which worker gets which files of tests, and in what order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.spread import Spread, rank

ROOT = Path(__file__).parents[2]
INTEGRATION = "tests/integration"


def scope_of(nodeid: str) -> Any:
    spread = object.__new__(Spread)
    spread.config = SimpleNamespace(rootpath=ROOT)
    return spread._split_scope(nodeid)


def test_files_of_the_shared_stack_go_together_and_others_alone() -> None:
    together = {scope_of(f"{INTEGRATION}/test_{n}.py::test_x[1::2]") for n in ("desk", "outages")}
    alone = {scope_of(f"{INTEGRATION}/test_{n}.py::test_x") for n in ("relay", "audit", "stack")}
    assert len(together) == 1
    assert len(alone) == 3
    assert not together & alone


def test_what_starts_servers_of_its_own_comes_before_what_shares_them() -> None:
    ranks = [rank(ROOT / INTEGRATION / f"test_{n}.py") for n in ("desk", "audit", "stack", "relay")]
    assert ranks == [0, 1, 1, 2]
