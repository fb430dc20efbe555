"""The files of a deployment say what the code says: settings, processes, paths, connections."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from deploy import chart_files
from deploy.local.keys import SERVICES
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


ABSENT: Final = {
    "INTAKE_AGE_IDENTITY": "a cluster keeps keys in Secrets (INTAKE_KEYS=environment)",
    "NOTIFICATION_ALLOW_LOOPBACK": "for trials on one machine only",
    "PASHE_VERSION": "the image says it by itself",
    "SMS_OUTBOX_DIR": "holds numbers in clear: for trials on one machine only",
}
"""Settings that the chart does without, and why."""

SECRET: Final = re.compile(r"SECRET|TOKEN$|_KEY$|PASSWORD|AUTHORIZATION")


def settings_by_service() -> dict[str, set[str]]:
    """Return what the chart's values name of settings: of all, of each service, of `gateways`."""
    found: dict[str, set[str]] = {}
    text = read("helm/pashe/values.yaml")
    for key in ("settings", *(f"{service}Settings" for service in SERVICES)):
        block = re.search(rf"^{key}:.*\n((?:  .*\n)*)", text, re.MULTILINE)
        assert block, key
        found[key] = set(re.findall(r"^  (?:# )?([A-Z_]+): ", block[1], re.MULTILINE))
    block = re.search(r"((?:  # .*\n)+)  gateways:", text)
    assert block
    found["gateways"] = set(VARIABLE.findall(block[1]))
    return found


def test_every_setting_has_its_place_in_the_chart_or_a_reason_why_it_has_none() -> None:
    known = set(re.findall(r"^(?:# )?([A-Z_]+)=", read("env.example"), re.MULTILINE))
    templates = "".join(file.read_text("utf-8") for file in (CHART / "templates").glob("*"))
    set_by_chart = {name for name in known if re.search(rf"\b{name}\b", templates)}
    by_image = set(re.findall(r"^    ([A-Z_]+)=", read("Dockerfile"), re.MULTILINE))
    by_secret = {"INTAKE_KEK", "INTAKE_SEAL"}
    told = settings_by_service()
    named = set().union(*told.values())
    assert named <= known, named - known
    assert known - named - set_by_chart - by_image - by_secret - set(ABSENT) == set()
    assert not ABSENT.keys() & (named | set_by_chart), "it is there after all"


def test_a_setting_stands_with_the_services_that_read_it_and_a_secret_in_no_values() -> None:
    told = settings_by_service()
    shared = variables_of(ROOT / "shared") | MADE
    for service in SERVICES:
        own = variables_of(ROOT / "services" / service)
        wrong = told[f"{service}Settings"] - own - shared
        assert not wrong, service
        readers = [one for one in SERVICES if one != service]
        alone = own - shared - set().union(*(variables_of(ROOT / "services" / o) for o in readers))
        for other in readers:
            assert not told[f"{other}Settings"] & alone, other
    for key, names in told.items():
        if key == "gateways":
            assert all(SECRET.search(name) for name in names)
        else:
            assert not {n for n in names if SECRET.search(n)} - {"PASHE_SCRIPT_TOKENS"}, key


def test_every_setting_that_contributing_names_is_one() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    part = text.split("## Settings of a process")[1].split("\n## ")[0]
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", part))
    assert len(named) > 15
    known = set(re.findall(r"^(?:# )?([A-Z_]+)=", read("env.example"), re.MULTILINE))
    assert named <= known, named - known


def test_a_file_or_folder_that_a_setting_names_can_be_given_in_compose_and_chart() -> None:
    mounted = {
        name: {re.split(r":(?!-)", word)[1] for word in one.get("volumes", [])}
        for name, one in composed().items()
    }
    ours = {n for n in mounted if n.split("-")[0] in {"intake", "referral", "audit"}}
    assert {name for name in ours if "/files" not in mounted[name]} == set()
    assert "/packets" in mounted["intake-cases"]
    units = read("helm/pashe/templates/units.yaml")
    assert "{name: INTAKE_NRM_DROP, value: /packets}" in units
    assert "{name: VOICE_PROMPTS, value: /prompts}" in units
    assert "range $name, $text := .Values.files" in read("helm/pashe/templates/settings.yaml")


@pytest.mark.parametrize("path", chart_files.files(), ids=lambda path: path.name)
def test_what_the_chart_is_told_of_our_files_is_what_they_say(path: Path) -> None:
    told = path.read_text("utf-8")
    assert told == chart_files.files()[path], "write it anew: python -m deploy.chart_files"


def test_the_chart_has_no_alert_or_dashboard_that_is_gone() -> None:
    assert chart_files.left_over() == [], "python -m deploy.chart_files"


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
    serving: dict[str, set[str]] = {}
    for unit, paths in routes.items():
        for path in paths:
            serving.setdefault(path, set()).add(unit)
    wrong = [
        f"{path}: {unit_of(path)}, not {units}"
        for path, units in serving.items()
        if unit_of(path) not in units
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
    assert told.pop("shared_buffers")
    assert told == SETTINGS
    chart = read("helm/pashe/templates/postgres.yaml")
    for name, value in SETTINGS.items():
        if name != "max_connections":
            assert re.search(rf'^ +{name}: "?{value}"?$', chart, re.MULTILINE), name
