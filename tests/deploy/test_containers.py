"""Images built and run hardened, and all of Compose brought up: where a container engine answers.

No registry of images is asked: `PASHE_TEST_BASE` names an image to build on, and PostgreSQL, Kafka
and the gateway are the stand-ins of `python -m deploy.stand_in` (docs/deploy.md).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from deploy.local.keys import SERVICES
from deploy.prepare import prepare
from deploy.stand_in.__main__ import NAME as STAND_IN
from shared.access import make_token
from shared.access_rules import memberships_for
from shared.vocabulary import Role
from tests.support.callers import report
from tests.support.processes import ROOT
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(1800)

BASE: Final = os.environ.get("PASHE_TEST_BASE", "")
IMAGES: Final = "pashe-test"
PASHE: Final = str(Path(sys.executable).with_name("pashe"))
HARD: Final = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108  (the container's)
    *("--security-opt", "no-new-privileges", "--memory", "512m", "--pids-limit", "100"),
)
PROJECT: Final = "pashe-test"
OURS: Final = 10
"""Processes of the four services in Compose."""


def run(*words: str | Path, within: float = 120, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=within, check=False, **more
    )


@cache
def why_not() -> str:
    """Say why no container can be run here; empty: they can."""
    if shutil.which("docker") is None or run("docker", "info").returncode:
        return "no container engine answers"
    if not BASE or run("docker", "image", "inspect", BASE).returncode:
        return "PASHE_TEST_BASE names no image to build on"
    return ""


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """Build the four images; return their names by service. Layers are kept by the engine."""
    if missing := why_not():
        pytest.skip(missing)
    found = {service: f"{IMAGES}-{service}:0.1.0" for service in SERVICES}
    for service, name in found.items():
        build(service, name)
    return found


def build(service: str, name: str, *more: str) -> None:
    words = ("build", "-q", "--network", "host", "-f", ROOT / "deploy/Dockerfile", "-t", name)
    args = ("--build-arg", f"BASE={BASE}", "--build-arg", f"SERVICE={service}", *more)
    env = os.environ | {"DOCKER_BUILDKIT": "0"}
    built = run("docker", *words, *args, ROOT, within=1500, env=env)
    assert built.returncode == 0, built.stderr[-2000:]


@pytest.mark.long
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_with_nothing_to_write_to_and_as_nobody(
    images: dict[str, str], service: str
) -> None:
    name = images[service]
    code = f"""
import os, services.{service}.main
caps = [line.split()[1] for line in open('/proc/self/status') if line[:3] == 'Cap']
held = [name for name in os.listdir('services') if name[0] != '_']
print(os.getuid(), {{int(cap, 16) for cap in caps}}, held)
open('/app/x', 'w')
"""
    done = run("docker", "run", "--rm", *HARD, name, "python", "-c", code)
    assert done.stdout.strip() == f"10001 {{0}} ['{service}']", done.stderr
    assert "Read-only file system" in done.stderr
    refused = run("docker", "run", "--rm", *HARD, name)
    assert refused.stderr.strip() == "pashe: KEYS_DIR is not a folder"


def contents(name: str) -> list[str]:
    """Return the sum and name of every file that an image has beside its base."""
    look = "find /app -type f -exec sha256sum {} + | sort -k2"
    return run("docker", "run", "--rm", name, "sh", "-c", look).stdout.splitlines()


@pytest.mark.long
def test_an_image_that_is_built_again_holds_the_same_bytes(images: dict[str, str]) -> None:
    again = f"{IMAGES}-audit:again"
    try:
        build("audit", again, "--no-cache")
        held = contents(images["audit"])
        assert len(held) > 1000
        assert contents(again) == held
    finally:
        run("docker", "rmi", "--force", again)


@dataclass(slots=True)
class Composed:
    """Compose's project, as it runs."""

    folder: Path
    env: dict[str, str]
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pashe(self, *words: str, code: int = 0) -> str:
        """Run a command of `pashe` as docs/deploy.md has it."""
        env = self.env | {"COMPOSE_PROJECT_NAME": PROJECT, "PASHE": PASHE}
        done = run("sh", "deploy/compose/pashe.sh", *words, cwd=self.folder, env=env, within=900)
        assert done.returncode == code, done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def compose(self, *words: str, within: float = 600) -> str:
        program = shutil.which(
            "docker-compose", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        )
        if program is None:
            pytest.skip("docker-compose is not here: make test-deploy installs it")
        files = ("-p", PROJECT, "-f", "deploy/compose.yaml")
        done = run(program, *files, *words, cwd=self.folder, env=self.env, within=within)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def bearer(self, role: Role, org: str | None = None) -> dict[str, str]:
        seed = (self.folder / "secrets/keys/pashe/tokens.key").read_text().strip()
        token = make_token(bytes.fromhex(seed), role, org=org, memberships=memberships_for(role))
        return {"authorization": f"Bearer {token}"}

    def containers(self) -> list[dict[str, Any]]:
        told = self.compose("ps", "-a", "--format", "json")
        return [json.loads(line) for line in told.splitlines() if line.strip()]

    def ask(self, query: str) -> str:
        """Ask PostgreSQL as its superuser."""
        words = ("psql", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "pashe", "-Atc")
        return self.compose("exec", "-T", "postgres", *words, query).strip()


@pytest.fixture(scope="module")
def composed(
    images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composed]:
    with bring_up(images, tmp_path_factory.mktemp("compose")) as running:
        yield running


@contextmanager
def bring_up(images: dict[str, str], folder: Path) -> Iterator[Composed]:
    """Do what docs/deploy.md says, in a folder of its own; at the end nothing is left."""
    stand_ins = {name: f"{STAND_IN}{name}" for name in ("postgres", "kafka", "gateway")}
    for image in (*stand_ins.values(), *images.values()):
        if run("docker", "image", "inspect", image).returncode:
            pytest.skip(f"there is no image {image}: python -m deploy.stand_in")
    folder.chmod(0o755)
    shutil.copytree(
        ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("__pycache__")
    )
    prepare(folder / "secrets")
    told = (ROOT / "deploy/env.example").read_text("utf-8")
    (folder / "pashe.env").write_text(
        told.replace("PASHE_SCRIPT_TOKENS=off", "PASHE_SCRIPT_TOKENS="), "utf-8"
    )
    (folder / "issuers.toml").write_text("", "utf-8")
    port = free_port()
    env = os.environ | {
        "PASHE_IMAGES": IMAGES,
        "PASHE_BIND": f"127.0.0.1:{port}",
        "PASHE_BIND_TLS": f"127.0.0.1:{free_port()}",
        **{f"{name.upper()}_IMAGE": image for name, image in stand_ins.items()},
    }
    running = Composed(folder, env, port)
    try:
        running.compose("up", "-d", "--no-build", within=900)
        yield running
    finally:
        running.compose("down", "--volumes", "--timeout", "60", within=300)
    left = run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}")
    assert not left.stdout.strip()


async def all_healthy(composed: Composed) -> None:
    """Wait until each service, the database and the broker are well, and topics and rights made."""

    async def healthy() -> bool:
        states = await asyncio.to_thread(composed.containers)
        well = [one for one in states if one["Health"] == "healthy"]
        ended = {
            one["Service"] for one in states if one["State"] == "exited" and not one["ExitCode"]
        }
        return len(well) >= OURS + 2 and "topics" in ended

    await eventually(healthy, 600, "every service to be healthy", every=2.0)


async def sent(composed: Composed, client: httpx.AsyncClient, key: str) -> str:
    """Report through the gateway; return the case."""

    async def taken() -> httpx.Response:
        answer = await client.post(
            "/intake/v1/reports",
            json=report(needs=["education"]),
            headers=composed.bearer(Role.PARTNER, "partner-x") | {"idempotency-key": key},
        )
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return answer

    answer = await eventually(taken, 120, "a report to be taken", every=1.0)
    (case_id,) = answer.json()["case_ids"]
    return str(case_id)


async def referred_and_told(composed: Composed, client: httpx.AsyncClient, case_id: str) -> None:
    """Wait until a case's referral and its history are there."""

    async def referred() -> str | None:
        found = await client.get(
            "/referral/v1/referrals",
            params={"case_id": case_id},
            headers=composed.bearer(Role.COORDINATOR),
        )
        items = found.json()["items"] if found.is_success else []
        return str(items[0]["need"]) if items else None

    assert await eventually(referred, 120, "its referral", every=1.0) == "education"

    async def told() -> bool:
        found = await client.get(
            f"/audit/v1/cases/{case_id}/history", headers=composed.bearer(Role.AUDITOR)
        )
        types = {one["type"] for one in found.json()["items"]} if found.is_success else set()
        return {"report-submitted", "case-created", "referral-planned"} <= types

    await eventually(told, 120, "its history", every=1.0)


async def all_sent(composed: Composed) -> None:
    """Wait until Kafka has all of every outbox; nothing of it waits for a person."""
    query = " UNION ALL ".join(
        f"SELECT count(*) FROM {name}.{table} WHERE {what}"
        for name in SERVICES
        for table, what in (("outbox", "sent_at IS NULL"), ("parked", "state <> 'done'"))
    )

    async def sent() -> bool:
        return {*(await asyncio.to_thread(composed.ask, query)).split()} == {"0"}

    await eventually(sent, 120, "all of the outboxes in Kafka", every=1.0)


@pytest.mark.long
async def test_a_report_through_the_gateway_is_referred_and_stands_in_the_history(
    composed: Composed,
) -> None:
    async with httpx.AsyncClient(base_url=composed.origin, timeout=20) as client:
        await all_healthy(composed)
        await referred_and_told(composed, client, await sent(composed, client, "one"))
        for path in ("/metrics", "/ready", "/intake/v1/metrics"):
            assert (await client.get(path)).status_code == 404, path
    assert composed.ask("SELECT count(*) FROM intake.cases") == "1"


@pytest.mark.long
def test_every_container_of_ours_runs_closed(composed: Composed) -> None:
    ids = composed.compose("ps", "-q").split()
    found = json.loads(run("docker", "inspect", *ids).stdout)
    ours = [one for one in found if one["Config"]["Image"].startswith(f"{IMAGES}-")]
    assert len(ours) == OURS
    for one in ours:
        assert one["HostConfig"]["ReadonlyRootfs"], one["Name"]
        assert one["HostConfig"]["CapDrop"] == ["ALL"], one["Name"]
        assert one["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"], one["Name"]
        assert one["Config"]["User"] == "10001:10001", one["Name"]
        assert one["RestartCount"] == 0, one["Name"]
        assert not one["HostConfig"]["PortBindings"], one["Name"]


@pytest.mark.long
def test_packets_can_be_laid_where_the_other_side_fetches_them(composed: Composed) -> None:
    code = "open('/packets/trial', 'w').close()"
    composed.compose("exec", "-T", "intake-cases", "python", "-c", code)
    assert (composed.folder / "secrets/packets/trial").is_file()


@pytest.mark.long
async def test_a_backup_is_restored_after_database_and_broker_were_lost(
    composed: Composed, tmp_path: Path
) -> None:
    file, since = tmp_path / "pashe.dump", (datetime.now(UTC) - timedelta(days=1)).isoformat()[:19]
    async with httpx.AsyncClient(base_url=composed.origin, timeout=20) as client:
        await all_healthy(composed)
        before = await sent(composed, client, "kept")
        await referred_and_told(composed, client, before)
        composed.compose("stop", "audit")
        unheard = await sent(composed, client, "unheard")  # in the backup audit does not know it
        composed.pashe("backup", str(file))
        assert "the stack is up" in composed.pashe("restore", str(file), code=1)
        composed.compose("start", "audit")
        lost = await sent(composed, client, "lost")
        await referred_and_told(composed, client, lost)
        composed.compose("down", "--timeout", "60", within=300)
        for name in ("postgres", "kafka"):
            assert not run("docker", "volume", "rm", f"{PROJECT}_{name}").returncode
        composed.compose("up", "-d", "--no-build", "--wait", "postgres", within=300)
        assert "Restored" in composed.pashe("restore", str(file))
        composed.compose("up", "-d", "--no-build", within=900)
        await all_healthy(composed)
        for service in SERVICES:
            composed.pashe("replay", service, "--since", since)
        for case_id in (before, unheard, await sent(composed, client, "new")):
            await referred_and_told(composed, client, case_id)
        await all_sent(composed)
    assert "The history holds" in composed.pashe("audit", "verify", "--url", composed.origin)
    held = composed.ask("SELECT string_agg(case_id || ' ' || status, ', ') FROM intake.cases")
    assert f"{before} open" in held
    assert f"{unheard} open" in held
    assert lost not in held
