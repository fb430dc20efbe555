"""Dashboards: as the code says, asking only for what is exported, as Prometheus takes it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from deploy.grafana.boards import BOARDS
from deploy.grafana.write import FOLDER, render
from shared.metrics import TABLE
from tests.support.promtool import RULES, promtool
from tests.support.queries import queries

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.grafana.panels import Board

ENDINGS = {"counter": ("_total",), "gauge": ("",), "info": ("_info",)}
HISTOGRAM = ("_bucket", "_count", "_sum")
TARGET = {"instance", "job", "service", "le"}


def exported() -> dict[str, set[str]]:
    """Return the labels of every series by its name."""
    return {
        f"{one.name}{ending}": {*one.labels, *TARGET}
        for one in TABLE.values()
        for ending in ENDINGS.get(one.kind, HISTOGRAM)
    }


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_what_is_written_is_what_the_code_says(board: Board) -> None:
    written = (FOLDER / f"{board.uid}.json").read_text("utf-8")
    assert written == render(board), "make dashboards"
    told = json.loads(written)
    ids = [panel["id"] for panel in told["panels"]]
    assert len(ids) == len(set(ids))


def test_nothing_is_written_that_the_code_does_not_say() -> None:
    assert {path.stem for path in FOLDER.glob("*")} == {board.uid for board in BOARDS}


@pytest.mark.parametrize(("where", "query"), queries().items(), ids=list(queries()))
def test_a_question_asks_for_what_is_exported(where: str, query: str) -> None:
    known = exported() | {"pashe_build_info": {"service", "version", "python", *TARGET}}
    names = re.findall(r"\bpashe_[a-z0-9_]+", query)
    recorded = re.findall(r"\bpashe:[a-z0-9_:]+", query)
    assert names or recorded
    rules = [yaml.safe_load(path.read_text("utf-8")) for path in RULES]
    made = {r.get("record") for file in rules for g in file["groups"] for r in g["rules"]}
    assert set(recorded) <= made
    labels = set(re.findall(r"(\w+)=~?\"", query))
    for group in re.findall(r"(?:by|on|ignoring|group_right) ?\(([\w, ]*)\)", query):
        labels |= {word.strip() for word in group.split(",") if word.strip()}
    for name in names:
        assert name in known, name
    if names:
        assert labels <= set().union(*(known[name] for name in names)), where


def test_prometheus_takes_every_question(tmp_path: Path) -> None:
    rules = [
        {"record": f"lab:question{n}", "expr": query} for n, query in enumerate(queries().values())
    ]
    file = tmp_path / "questions.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "lab", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
