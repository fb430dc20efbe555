"""What the tools say of images, Compose files, the chart and the gateway: `make test-deploy`.

A tool that is missing is said, and its tests are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
import yaml

from deploy.prepare import prepare
from tests.support.processes import ROOT
from tests.support.promtool import RULES
from tests.support.receiver import Receiver
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEPLOY: Final = ROOT / "deploy"
CHART: Final = DEPLOY / "helm" / "pashe"
CADDYFILE: Final = (CHART / "files" / "Caddyfile").read_text("utf-8")
SERVED: Final = {
    "/": "intake-web",
    "/intake/v1/reports": "intake-web",
    "/intake/channels/sms/external": "intake-sms",
    "/desk": "intake-cases",
    "/referral/v1/referrals": "referral-cases",
    "/notification/v1/subscriptions": "notification-webhook",
    "/audit/log/checkpoint": "audit",
}
"""Some paths and the process that serves each; all of them: tests/unit/test_deployment.py."""

KUBERNETES: Final = "1.30.0"
CORE: Final = ("v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1")


def tool(name: str) -> str:
    """Return where a tool is; the test is left out without it."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not here: make test-deploy installs what it can")
    return found


def run(*words: str | Path, within: float = 120, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=within, check=False, **more
    )


@cache
def rendered(*more: str) -> str:
    done = run(
        tool("helm"), "template", "pashe", CHART, "--kube-version", KUBERNETES, "-n", "pashe", *more
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(*more: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(rendered(*more)) if one]


def pods(*more: str) -> dict[str, dict[str, Any]]:
    """Return the pod of each workload, by its name."""
    kinds = {"Deployment", "StatefulSet", "Job"}
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in documents(*more)
        if one["kind"] in kinds
    }


# --- Image and Compose ----------------------------------------------------------------------------


def test_hadolint_finds_nothing_in_any_dockerfile() -> None:
    done = run(tool("hadolint"), DEPLOY / "Dockerfile", *DEPLOY.glob("stand_in/Dockerfile.*"))
    assert done.returncode == 0, done.stdout


def test_compose_reads_its_files_together_with_what_prepare_makes(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    prepare(tmp_path / "secrets")
    shutil.copy(DEPLOY / "env.example", tmp_path / "pashe.env")
    files = ("-f", "deploy/compose.yaml", "-f", "deploy/compose.observability.yaml")
    env = os.environ | {"GRAFANA_PASSWORD": "of a test"}
    done = run(tool("docker-compose"), *files, "config", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    ours = {name: one for name, one in services.items() if "pashe-" in one["image"]}
    assert len(ours) == 14
    for name, one in ours.items():
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["environment"], name
    published = {name for name, one in services.items() if one.get("ports")}
    assert published == {"gateway", "grafana", "jaeger"}
    for name in ("kafka", "postgres"):
        assert set(services[name]["networks"]) == {"inside"}


def test_what_prepare_made_is_kept_and_closed(tmp_path: Path) -> None:
    prepare(tmp_path / "secrets")
    files = [file for file in (tmp_path / "secrets").rglob("*") if file.is_file()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    before = {file: file.read_bytes() for file in files}
    prepare(tmp_path / "secrets")
    assert {file: file.read_bytes() for file in before} == before


# --- The chart ------------------------------------------------------------------------------------


def test_helm_finds_nothing_to_warn_of() -> None:
    done = run(tool("helm"), "lint", "--strict", CHART, "--kube-version", KUBERNETES)
    assert done.returncode == 0, done.stdout


def test_every_pod_is_closed_and_is_told_secrets_by_reference_only() -> None:
    found = pods()
    assert len(found) == 55
    for name, pod in found.items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["automountServiceAccountToken"], name
        for container in pod["containers"]:
            closed = container["securityContext"]
            assert closed["readOnlyRootFilesystem"], name
            assert not closed["allowPrivilegeEscalation"], name
            assert closed["capabilities"] == {"drop": ["ALL"]}, name
            for variable in container.get("env", ()):
                if re.search("PASSWORD|SECRET|TOKEN$|KEY$", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], (name, variable["name"])


def test_each_process_runs_one_thing_is_probed_spread_and_scaled_below_the_partitions() -> None:
    found = documents()
    named = {(one["kind"], one["metadata"]["name"]) for one in found}
    run_by: dict[str, list[str]] = {}
    for name, pod in pods().items():
        (container,) = pod["containers"]
        for variable in container.get("env", ()):
            if variable["name"] in {"INTAKE_CHANNELS", "REFERRAL_RULES", "NOTIFICATION_NOTIFIERS"}:
                assert "," not in variable["value"]
                run_by.setdefault(variable["name"], []).append(variable["value"])
                assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
                assert container["livenessProbe"]["httpGet"]["path"] == "/live"
                assert len(pod["topologySpreadConstraints"]) == 2
                assert {("Service", name), ("PodDisruptionBudget", name)} <= named
                assert ("ScaledObject", name) in named
    assert {name: len(values) for name, values in run_by.items()} == {
        "INTAKE_CHANNELS": 10,
        "REFERRAL_RULES": 29,
        "NOTIFICATION_NOTIFIERS": 10,
    }
    most = [one["spec"]["maxReplicaCount"] for one in found if one["kind"] == "ScaledObject"]
    assert max(most) <= 12


def test_the_chart_fails_when_its_replicas_want_more_connections_than_there_are() -> None:
    words = ("--kube-version", KUBERNETES, "--set", "postgres.maxConnections=200")
    done = run(tool("helm"), "template", "pashe", CHART, *words)
    assert done.returncode != 0
    assert "postgres.maxConnections is 200" in done.stderr


def test_an_upgrade_migrates_before_anything_else_and_an_install_waits_for_no_hook() -> None:
    jobs = [one for one in documents("--is-upgrade") if one["kind"] == "Job"]
    assert len(jobs) == 4
    for one in jobs:
        assert one["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    installed = [one for one in documents() if one["kind"] == "Job"]
    assert len(installed) == 4
    assert not [one for one in installed if "annotations" in one["metadata"]]


def test_every_alert_of_the_rules_is_a_prometheus_rule_of_the_chart() -> None:
    found = [one["spec"] for one in documents() if one["kind"] == "PrometheusRule"]
    written = [yaml.safe_load(file.read_text("utf-8")) for file in RULES]
    assert sorted(found, key=str) == sorted(written, key=str)
    off = documents("--set", "monitoring.prometheusRule=false,monitoring.dashboards=false")
    assert not [one for one in off if one["kind"] == "PrometheusRule"]
    labelled = documents("--set", "monitoring.labels.release=example")
    kinds = {"PrometheusRule", "ServiceMonitor"}
    told = [one["metadata"]["labels"].get("release") for one in labelled if one["kind"] in kinds]
    assert told == ["example"] * (len(RULES) + 1)


def test_every_dashboard_is_given_to_grafana_whole() -> None:
    (one,) = [
        one["data"]
        for one in documents()
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "pashe-dashboards"
    ]
    assert {name: json.loads(text) for name, text in one.items()} == {
        file.name: json.loads(file.read_text("utf-8"))
        for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")
    }


def test_files_and_folders_that_settings_name_are_where_the_settings_say() -> None:
    more = (
        *("--set", "intake.packets.existingClaim=to-nrm"),
        *("--set", "intake.prompts.existingClaim=spoken"),
        *("--set-string", r"files.clocks\.toml=invented"),
        *("--set", "referralSettings.REFERRAL_CLOCKS=/etc/pashe/clocks.toml"),
    )
    found = pods(*more)

    def told(name: str) -> dict[str, str]:
        (container,) = found[name]["containers"]
        return {one["name"]: one.get("value", "") for one in container["env"]}

    def mounts(name: str) -> dict[str, Any]:
        (container,) = found[name]["containers"]
        return {one["mountPath"]: one for one in container["volumeMounts"]}

    having = {name for name in found if "INTAKE_NRM_DROP" in told(name)}
    assert having == {"intake-cases"}
    assert mounts("intake-cases")["/packets"] == {"name": "packets", "mountPath": "/packets"}
    assert {name for name in found if "VOICE_PROMPTS" in told(name)} == {"intake-voice"}
    assert mounts("intake-voice")["/prompts"]["readOnly"]
    (settings,) = [
        one["data"]
        for one in documents(*more)
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "pashe-settings"
    ]
    assert settings["clocks.toml"] == "invented"
    assert told("referral-rescue")["REFERRAL_CLOCKS"] == "/etc/pashe/clocks.toml"


def test_kubernetes_would_take_every_manifest_of_its_own_kinds(tmp_path: Path) -> None:
    validate = tool("kubectl-validate")
    kinds = Counter[str]()
    for one in documents():
        kinds[one["kind"]] += 1
        few = one["kind"] == "NetworkPolicy" or kinds[one["kind"]] <= 3  # the rest is like them
        if one["apiVersion"] in CORE and few:
            (tmp_path / f"{one['kind']}-{kinds[one['kind']]}.yaml").write_text(yaml.safe_dump(one))
    done = run(validate, "--version", KUBERNETES.rsplit(".", 1)[0], tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


# --- The gateway ----------------------------------------------------------------------------------


@asynccontextmanager
async def gateway(folder: Path, text: str, **env: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the gateway with a configuration; yield a client of it."""
    caddy, port = tool("caddy"), free_port()
    file = folder / "Caddyfile"
    file.write_text(text, "utf-8")
    around = os.environ | {
        "PASHE_SITE": f"http://127.0.0.1:{port}",
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }
    words = [caddy, "run", "--config", str(file), "--adapter", "caddyfile"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220  (as of any server)
            words, env=around | env, stdout=log, stderr=log
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:

            async def live() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return (await client.get("/live")).status_code == 200
                return False

            await eventually(live, 20, "the gateway")
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


async def test_the_gateway_keeps_metrics_inside_and_says_so_of_a_service_that_is_away(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, CADDYFILE) as client:
        for path in ("/metrics", "/intake/v1/metrics", "/audit/v1/ready", "/referral/metrics/"):
            assert (await client.get(path)).status_code == 404, path
        assert (await client.get("/audit/v1/log")).status_code == 502


async def test_what_comes_to_the_gateway_reaches_the_service_and_no_claim_of_where_it_came_from(
    tmp_path: Path,
) -> None:
    async with Receiver() as behind:
        host, port = behind.place
        told = CADDYFILE.replace(
            "reverse_proxy {$UPSTREAM_PREFIX}{args.0}:8080 {",
            f"reverse_proxy {host}:{port} {{\n\t\theader_up Served-By {{args.0}}",
        )
        assert told != CADDYFILE
        async with gateway(tmp_path, told, TRUSTED_PROXIES="10.0.0.0/8") as client:
            for path, unit in SERVED.items():
                answer = await client.post(path, headers={"x-forwarded-for": "203.0.113.9"})
                assert answer.status_code == 200, path
                got = behind.received[-1]
                assert got.path == path
                assert got.headers["served-by"] == unit
                assert got.headers["x-forwarded-for"] == "127.0.0.1"
