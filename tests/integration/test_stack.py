"""The embedded stack: up, twice, restarted, reaped, refused with one clear line, and gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.support.stack import PASHE, Stack, StackError, free_port
from tests.support.wait import eventually_now

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
PLATFORM_ONLY = {"PASHE_SERVICES": "none"}


def running(home: Path) -> list[str]:
    """Return the processes that name the state folder or work for it."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "environ", "cwd", "status"]):
        info = process.info
        if info["status"] == psutil.STATUS_ZOMBIE or info["pid"] == os.getpid():
            continue
        words = [*(info["cmdline"] or []), info["cwd"] or ""]
        words += [(info["environ"] or {}).get("PASHE_HOME", "")]
        if any(str(home) in word for word in words):
            found.append(f"{info['pid']} {' '.join(info['cmdline'] or [])[:80]}")
    return found


def none_left(home: Path) -> None:
    eventually_now(lambda: not running(home), 10, f"the end of {running(home)}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack") / "home"
    with Stack(home, env=PLATFORM_ONLY) as up:
        yield up
    none_left(home)


def ready(stack: Stack) -> dict[str, Any] | None:
    parts = {part["name"]: part for part in stack.status()["parts"]}
    return parts if all(part["ready"] for part in parts.values()) else None


def test_status_tells_each_part_and_the_three_figures(stack: Stack) -> None:
    found = json.loads(stack.pashe("status", "--json"))
    assert found["origin"] == stack.origin
    assert {part["name"] for part in found["parts"]} == {"kafka", "postgres", "proxy"}
    for part in found["parts"]:
        assert psutil.pid_exists(part["pid"])
        assert part["ready"] is True
        with socket.create_connection(("127.0.0.1", part["port"]), timeout=2):
            pass
    assert found["lag"] == {}
    assert set(found["outbox"]) == set(found["parked"])
    ports = [part["port"] for part in found["parts"] if part["name"] != "proxy"]
    assert all(port < 32768 for port in ports)


@pytest.mark.slow
def test_a_second_up_says_it_is_up_and_changes_nothing(stack: Stack) -> None:
    before = {part["name"]: part["pid"] for part in stack.status()["parts"]}
    assert f"Already up at {stack.origin}" in stack.pashe("up", "--detach")
    assert f"Already up at {stack.origin}" in stack.pashe("up")
    assert {part["name"]: part["pid"] for part in stack.status()["parts"]} == before


@pytest.mark.parametrize("name", ["proxy", "postgres", "kafka"])
def test_a_killed_part_is_started_again_on_its_port_and_the_others_live_on(
    stack: Stack, name: str
) -> None:
    before = eventually_now(lambda: ready(stack), 30, "all parts ready")
    os.kill(before[name]["pid"], signal.SIGKILL)
    eventually_now(lambda: stack.part(name)["pid"] not in {None, before[name]["pid"]}, 10)
    after = eventually_now(lambda: ready(stack), 30, f"{name} ready again")
    for other, part in after.items():
        assert part["port"] == before[other]["port"]
        assert (part["pid"] == before[other]["pid"]) == (other != name)


def test_a_part_that_hangs_is_unknown_within_little_more_than_a_second(stack: Stack) -> None:
    eventually_now(lambda: ready(stack), 30, "all parts ready")
    pid = stack.pid("postgres")
    os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        found = stack.status()
        took = time.monotonic() - start
        postgres = next(part for part in found["parts"] if part["name"] == "postgres")
        assert postgres["ready"] is None
        assert found["outbox"] is None
        assert found["lag"] is not None
        assert took < 8
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_a_killed_supervisor_leaves_dies_or_is_reaped(stack: Stack) -> None:
    eventually_now(lambda: ready(stack), 30, "all parts ready")
    found = stack.status()
    os.kill(found["supervisor"], signal.SIGKILL)
    pids = [part["pid"] for part in found["parts"]]
    eventually_now(lambda: not any(alive(pid) for pid in pids), 10, "the end of the children")
    assert "Pashe is up" in stack.pashe("up", "--detach")
    assert stack.status()["supervisor"] != found["supervisor"]
    eventually_now(lambda: ready(stack), 30, "all parts ready")


@pytest.mark.slow
def test_a_leftover_that_ignores_its_end_is_reaped_by_its_pid_and_start_time(
    stack: Stack,
) -> None:
    eventually_now(lambda: ready(stack), 30, "all parts ready")
    found = stack.status()
    # A process whose pid stands in the state file, but which was started later, is not ours.
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        os.kill(stack.pid("postgres"), signal.SIGSTOP)  # takes no orderly end now
        os.kill(found["supervisor"], signal.SIGKILL)
        eventually_now(lambda: not alive(found["supervisor"]), 5)
        file = stack.home / "state.json"
        state = json.loads(file.read_text())
        state["parts"]["proxy"]["pid"] = bystander.pid
        file.write_text(json.dumps(state))
        assert "postgres" in stack.pashe("up", "--detach")
        assert bystander.poll() is None
        assert not alive(next(p["pid"] for p in found["parts"] if p["name"] == "postgres"))
    finally:
        bystander.kill()
        bystander.wait()


def test_the_origin_keeps_metrics_and_readiness_inside_and_says_when_a_service_is_away(
    stack: Stack,
) -> None:
    eventually_now(lambda: ready(stack), 30, "all parts ready")
    with httpx.Client(base_url=stack.origin, timeout=10) as client:
        for path in (
            "/metrics",
            "/ready",
            "/intake/ready",
            "/intake/v1/metrics",
            "/intake/v1/ready/",
            "/intake/v1/%72eady",
            "/intake//v1/READY",
            "/intake/v1/x/%2e%2e/ready",
            "/nothing/v1/cases",
        ):
            assert client.get(path).status_code == 404, path
        away = client.get("/intake/v1/cases")
    assert away.status_code == 502
    assert away.headers["content-type"] == "application/problem+json"
    assert int(away.headers["retry-after"]) > 0


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_down_ends_everything_up_finds_it_again_and_what_is_broken_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    stack = Stack(home, env=PLATFORM_ONLY)
    with stack:
        first = (home / "keys" / "pashe" / "tokens.key").read_text()
    none_left(home)
    assert not (home / "state.json").exists()
    assert "not up" in stack.pashe("down")
    with pytest.raises(StackError):
        stack.pashe("status", "--json")
    with stack:
        assert (home / "keys" / "pashe" / "tokens.key").read_text() == first
    control = home / "postgres" / "global" / "pg_control"
    control.unlink()
    with pytest.raises(StackError) as failed:
        stack.pashe("up", "--detach")
    said = str(failed.value)
    assert said.index("pg_control") < said.index("pashe: postgres did not start")
    none_left(home)
    (home / "keys" / "intake" / "kek.key").unlink()
    with pytest.raises(StackError, match=r"keys are missing \(intake/kek.key"):
        stack.pashe("up", "--detach")
    none_left(home)
    stack.pashe("up", "--detach", "--fresh")
    try:
        assert (home / "keys" / "pashe" / "tokens.key").read_text() != first
    finally:
        stack.pashe("down", "--erase")
    none_left(home)
    assert not (home / "postgres").exists()


@pytest.mark.slow
def test_an_older_kafka_and_other_passwords_are_one_clear_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    formatted = home / "kafka" / "1" / "data" / "meta.properties"
    formatted.parent.mkdir(parents=True)
    formatted.write_text("version=1\n")
    port = free_port()
    done = pashe(home, port, "up", "--detach")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "earlier version" in done.stderr
    assert "`pashe up --fresh`" in done.stderr
    none_left(home)
    assert pashe(home, port, "up", "--detach", "--fresh").returncode == 0
    assert pashe(home, port, "down").returncode == 0
    passwords = home / "kafka-passwords.json"
    known = json.loads(passwords.read_text())
    passwords.write_text(json.dumps(known | {"admin": "another"}))
    done = pashe(home, port, "up", "--detach")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "pashe: Kafka refuses the password in kafka-passwords.json: put back the file"
    )
    assert "another" not in done.stderr
    none_left(home)


def test_a_taken_port_is_one_clear_line_and_nothing_runs(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = pashe(tmp_path / "home", port, "up", "--detach")
    assert done.returncode == 1
    assert done.stderr == (
        f"pashe: port {port} on 127.0.0.1 cannot be used (Address already in use): "
        "end what uses it, or choose another with PASHE_PORT\n"
    )
    none_left(tmp_path / "home")


@pytest.mark.slow
def test_ctrl_c_ends_a_stack_in_front_of_the_user(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {**os.environ, **PLATFORM_ONLY, "PASHE_HOME": str(home), "PASHE_PORT": str(free_port())}
    with subprocess.Popen(
        [*PASHE, "up"], env=env, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        shown = [line for line in iter(process.stdout.readline, "Ctrl-C ends it.\n") if line]
        assert any("Pashe is up" in line for line in shown)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    none_left(home)


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {**os.environ, **PLATFORM_ONLY, "PASHE_HOME": str(home), "PASHE_PORT": str(free_port())}
    with subprocess.Popen(
        [*PASHE, "up", "--detach"], env=env, stdout=subprocess.DEVNULL, cwd=ROOT
    ) as process:
        eventually_now((home / "kafka").exists, 60, "the beginning of Kafka")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    none_left(home)


def test_a_stack_ends_with_the_process_that_it_is_bound_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen(["sleep", "600"]) as other:
        bound = {**PLATFORM_ONLY, "PASHE_ENDS_WITH": str(other.pid)}
        env = {**os.environ, **bound, "PASHE_HOME": str(home), "PASHE_PORT": str(free_port())}
        subprocess.run([*PASHE, "up", "--detach"], env=env, cwd=ROOT, check=True, timeout=200)
        assert running(home)
        other.kill()
    none_left(home)


@pytest.mark.long
def test_a_long_state_folder_works_and_two_stacks_run_side_by_side(
    stack: Stack, tmp_path: Path
) -> None:
    home = tmp_path / ("long" * 20) / "home"
    with Stack(home, env=PLATFORM_ONLY) as second:
        assert ready(second)
        assert ready(stack)
        assert second.status()["supervisor"] != stack.status()["supervisor"]
    none_left(home)


def pashe(home: Path, port: int, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **PLATFORM_ONLY, "PASHE_HOME": str(home), "PASHE_PORT": str(port)}
    return subprocess.run(
        [*PASHE, *words], env=env, capture_output=True, text=True, timeout=200, check=False
    )
