"""Alerts: each tried by promtool, each with a runbook, each on metrics that exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import yaml

from deploy.local.cli import app
from shared.metrics import LONG, TABLE
from tests.support.promtool import ROOT, RULES, TRIALS, promtool

if TYPE_CHECKING:
    from pathlib import Path

RUNBOOKS = (ROOT / "docs/runbooks.md").read_text("utf-8")
ENDINGS = ("", "_total", "_bucket", "_count", "_sum", "_info")


def alerts() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in RULES:
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            found |= {rule["alert"]: rule for rule in group["rules"] if "alert" in rule}
    return found


def test_promtool_takes_every_rule() -> None:
    assert "SUCCESS" in promtool("check", "rules", *RULES)


@pytest.mark.parametrize("path", TRIALS, ids=lambda path: path.stem)
def test_every_alert_fires_when_it_should_and_only_then(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", path)


def test_prometheus_beside_the_containers_finds_every_service() -> None:
    folder = ROOT / "deploy/prometheus"
    promtool("check", "config", folder / "prometheus.yml")
    told = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))
    (job,) = told["scrape_configs"]
    containers = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))["services"]
    ours = {
        name
        for name in containers
        if name.split("-")[0] in {"intake", "referral", "notification", "audit"}
    }
    asked = {
        target.partition(":")[0]: group["labels"]["service"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert asked == {name: name.split("-")[0] for name in ours}


def test_every_alert_is_tried_both_ways() -> None:
    tried = [
        (trial["alertname"], bool(trial["exp_alerts"]))
        for path in TRIALS
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for trial in test["alert_rule_test"]
    ]
    assert sorted(tried) == sorted((name, fires) for name in alerts() for fires in (False, True))


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
    assert re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE) == list(
        dict.fromkeys(re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE))
    )
    assert set(re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)) == set(alerts())


def sections() -> dict[str, str]:
    """Return what the runbooks say of each alert."""
    parts = re.split(r"^## (\w+)$", RUNBOOKS, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_runbook_says_what_it_means_for_people_what_to_type_and_what_then() -> None:
    for name, section in sections().items():
        meaning, typed, then = re.fullmatch(
            r"\s*(.+?)\n+```sh\n(.+?)\n```\n+(.+?)\s*", section, re.DOTALL
        ).groups()  # type: ignore[union-attr]  # None: the test fails here
        assert len(meaning.split()) >= 8, name
        assert all(line.startswith("pashe ") for line in typed.splitlines()), name
        assert len(then.split()) >= 3, name


TYPED = {"SERVICE": "intake", "ID": "1", "FILE": "backup.tar", "POD": "audit-0"}


def test_every_command_in_the_runbooks_can_be_typed_as_it_stands() -> None:
    blocks = "\n".join(re.findall(r"```sh\n(.+?)```", RUNBOOKS, re.DOTALL))
    told = {line for line in blocks.splitlines() if line}
    told |= set(re.findall(r"`(pashe [^`…]+)`", RUNBOOKS))
    assert len(told) > 15
    for line in sorted(told):
        words = [TYPED.get(word, word) for word in shlex.split(line)][1:]
        found: Any = typer.main.get_command(app)
        while hasattr(found, "commands"):
            assert words, line
            assert words[0] in found.commands, line
            found = found.commands[words.pop(0)]
        found.make_context("pashe", words)  # a word too many or too few is an error here


def test_rules_ask_only_for_metrics_that_are_declared() -> None:
    known = {f"{name}{ending}" for name in TABLE for ending in ENDINGS}
    for path in RULES:
        for name in re.findall(r"\bpashe_[a-z0-9_]+", path.read_text("utf-8")):
            assert name in known, name


def test_a_late_step_is_judged_by_bounds_that_are_exported_and_hold_what_the_clocks_allow() -> None:
    clocks = tomllib.loads((ROOT / "services/referral/rules/clocks.toml").read_text("utf-8"))
    period = clocks["period"][0]

    def days(urgency: str, name: str) -> float:
        told = period[urgency][name]
        return float(told[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[told[-1]]

    steps = {"AcceptedLate": "respond_within", "FirstContactLate": "first_contact_within"}
    for name, rule in alerts().items():
        for urgency, le in re.findall(r'urgency="(T\d)",\s+le=~"(\d+)', rule["expr"]):
            assert int(le) in LONG, name
            if name in steps:
                assert int(le) >= days(urgency, steps[name]), (name, urgency)
