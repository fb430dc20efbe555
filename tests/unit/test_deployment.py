"""The files of a deployment say what the code says: settings, processes, paths, connections."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from deploy import chart_files
from deploy.local.postgres import SETTINGS
from deploy.local.topics_file import load_topics
from deploy.local.topics_shell import write_script
from services.intake.channels import NAMES as CHANNELS
from services.notification.notifiers import NAMES as NOTIFIERS
from services.referral.rules import load_rules
from tests.support.processes import ROOT
from tests.support.unit_routes import find_routes

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY: Final = ROOT / "deploy"
CHART: Final = DEPLOY / "helm" / "pashe"
VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+|REPLICA")

NO_VARIABLES: Final = {"MAX_LENGTH", "CONTENT_TYPE"}
"""Words of the code that look like a variable: ends of names that begin with SMS_EXTERNAL_."""

MADE: Final = {f"{name}_URL" for name in ("INTAKE", "REFERRAL", "NOTIFICATION", "AUDIT")} | {
    f"SMS_EXTERNAL_{end}"
    for end in ("METHOD", "BODY", "CONTENT_TYPE", "MAX_LENGTH", "SUCCESS", "CHECK", "SENDER")
} | {"SMS_EXTERNAL_AUTHORIZATION", "INTAKE_KEK", "INTAKE_SEAL"}  # fmt: skip
"""Names that the code puts together."""


def read(path: str) -> str:
    return (DEPLOY / path).read_text("utf-8")


@cache
def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("helm/pashe/values.yaml"))
    return found


@cache
def composed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("compose.yaml"))["services"]
    return found


def variables_of(folder: Path) -> set[str]:
    """Return the words in a folder's code that are names of environment variables."""
    files = [file for file in folder.rglob("*.py") if "migrations" not in file.parts]
    return {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and VARIABLE.fullmatch(node.value)
    }


def test_every_variable_that_a_service_reads_is_in_env_example_and_no_other() -> None:
    read_by_code = variables_of(ROOT / "shared") | variables_of(ROOT / "services")
    told = set(re.findall(r"^(?:# )?([A-Z_]+)=", read("env.example"), re.MULTILINE))
    assert told == (read_by_code - NO_VARIABLES) | MADE


def test_what_env_example_leaves_to_compose_and_chart_is_set_by_both() -> None:
    part = read("env.example").split("# --- Set by compose.yaml")[1].split("# ---")[0]
    names = set(re.findall(r"^# ([A-Z_]+)=", part, re.MULTILINE))
    chart = "".join(file.read_text() for file in (CHART / "templates").glob("*.yaml"))
    chart += (CHART / "templates" / "_helpers.tpl").read_text()
    compose = read("compose.yaml") + read("prepare.py") + read("Dockerfile")
    compose += read("local/database.py")
    fixed = {"HTTP_HOST", "HTTP_PORT", "KEYS_DIR"}  # the image sets them, for both
    assert fixed <= set(re.findall(r"^    ([A-Z_]+)=", read("Dockerfile"), re.MULTILINE))
    assert {name for name in names - fixed if name not in chart} == set()
    tls = {"KAFKA_SECURITY", "KAFKA_CA_FILE"}  # inside one machine there is none
    assert {name for name in names - tls if name not in compose} == set()


@pytest.mark.parametrize("path", chart_files.files(), ids=lambda path: path.name)
def test_what_the_chart_is_told_of_our_files_is_what_they_say(path: Path) -> None:
    told = path.read_text("utf-8")
    assert told == chart_files.files()[path], "write it anew: python -m deploy.chart_files"


def test_the_topics_of_compose_are_those_of_the_file() -> None:
    told = read("compose/topics.sh")
    assert told == write_script(load_topics()), "python -m deploy.local.topics_shell > …"


def test_the_chart_has_a_deployment_for_each_channel_rule_and_notifier() -> None:
    found = values()
    assert [one["name"] for one in found["intake"]["channels"]] == [*CHANNELS]
    assert [one["name"] for one in found["referral"]["rules"]] == sorted(load_rules())
    assert [one["name"] for one in found["notification"]["notifiers"]] == [*NOTIFIERS]


def test_compose_runs_each_channel_rule_and_notifier_once() -> None:
    wanted = {
        "INTAKE_CHANNELS": [*CHANNELS, "cases"],
        "REFERRAL_RULES": [*load_rules(), "cases"],
        "NOTIFICATION_NOTIFIERS": [*NOTIFIERS],
    }
    for variable, names in wanted.items():
        told = [one.get("environment", {}).get(variable, "") for one in composed().values()]
        run = [name.strip() for word in told if word for name in word.split(",")]
        assert sorted(run) == sorted(names), variable


# --- Paths ----------------------------------------------------------------------------------------


def gateway() -> list[tuple[str, str]]:
    """Return the paths of the gateway and who serves them, in the order in which they are tried."""
    text = (CHART / "files" / "Caddyfile").read_text("utf-8")
    found = re.findall(r"handle (/\S*) \{\s+import to (\S+)\n", text)
    rest = re.findall(r"handle \{\s+import to (\S+)\n", text)
    assert len(rest) == 1
    return [*found, ("*", rest[0])]


def unit_of(path: str) -> str:
    """Return which process the gateway sends a path to."""
    for pattern, unit in gateway():
        begin = pattern.removesuffix("*")
        if path.startswith(begin) if pattern.endswith("*") else path == pattern:
            return unit
    raise AssertionError(path)


def test_the_gateway_sends_every_path_to_the_process_that_serves_it() -> None:
    routes = find_routes()
    assert sum(len(paths) for paths in routes.values()) > 100
    wrong = [
        f"{path}: {unit_of(path)}, not {unit}"
        for unit, paths in routes.items()
        for path in paths
        if unit_of(path) != unit
    ]
    assert wrong == []


def test_every_process_that_the_gateway_names_exists_in_compose() -> None:
    there = set()
    for name, service in composed().items():
        networks = service.get("networks", {})
        inside = networks.get("inside", {}) if isinstance(networks, dict) else {}
        there |= {name, *inside.get("aliases", [])}
    assert {unit for _, unit in gateway()} - there == set()


# --- Connections (DECISIONS 21) -------------------------------------------------------------------


def test_all_replicas_of_the_chart_together_fit_the_database() -> None:
    found = values()
    each, replicas = found["connections"], found["replicas"]
    kinds = {
        "channel": found["intake"]["channels"],
        "rule": found["referral"]["rules"],
        "notifier": found["notification"]["notifiers"],
        "cases": [{}, {}],
        "audit": [{"max": 1}],
    }
    total = each["reserved"]
    for kind, units in kinds.items():
        own = each[kind]["pool"] + each[kind]["webPool"] + each[kind]["beside"]
        surge = kind == "channel"
        total += sum(
            own * (unit.get("max") or replicas[kind]["max"]) + own * surge for unit in units
        )
    assert total <= found["postgres"]["maxConnections"]


def test_all_processes_of_compose_together_fit_the_database() -> None:
    usual = {"referral": 16}  # flow_size of its main
    total = 20  # migrations, the superuser, `pashe`
    for name, service in composed().items():
        if "REPLICA" not in service.get("environment", {}):
            continue
        told = service["environment"]
        pool = int(told.get("DATABASE_POOL", usual.get(name.partition("-")[0], 8)))
        total += pool + int(told.get("DATABASE_WEB_POOL", 8)) + 2
    assert total <= int(SETTINGS["max_connections"])


def test_a_log_of_postgres_holds_no_rows_wherever_it_runs() -> None:
    command = composed()["postgres"]["command"]
    told = dict(word.split("=", 1) for word in command if "=" in word)
    assert told == SETTINGS
    chart = read("helm/pashe/templates/postgres.yaml")
    for name, value in SETTINGS.items():
        if name != "max_connections":
            assert re.search(rf'^ +{name}: "?{value}"?$', chart, re.MULTILINE), name
