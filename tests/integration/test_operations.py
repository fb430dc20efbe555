"""The command line over a running stack: what waits, what is sent again, what fails."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.part import LONGEST_PAUSE, Part
from tests.support.stack import Stack, StackError
from tests.support.wait import eventually, eventually_now

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

INTAKE_ONLY = {"PASHE_SERVICES": "intake"}


def query(stack: Stack, statement: str, *values: object) -> Any:
    async def run() -> Any:
        conn = await asyncpg.connect(stack.environment("intake")["DATABASE_URL"], timeout=5)
        try:
            return await conn.fetchval(statement, *values)
        finally:
            await conn.close()

    return asyncio.run(run())


def park(stack: Stack, offset: int) -> int:
    """Park an unreadable record of a consumer that runs nowhere, so that nobody replays it."""
    statement = (
        'INSERT INTO parked (consumer, topic, partition, "offset", key, value, reason, detail)'
        " VALUES ('intake.trial', 'cases', 3, $1, int8send($1), 'secret words', 'unreadable', '')"
        " RETURNING id"
    )
    return int(query(stack, statement, offset))


def state_of(stack: Stack, record: int) -> Any:
    return query(stack, "SELECT state FROM parked WHERE id = $1", record)


def test_a_serving_process_does_not_know_the_owner(whole_stack: Stack) -> None:
    environment = whole_stack.environment("intake")
    assert "DATABASE_OWNER_URL" not in environment
    ours = {name for name in environment if name.startswith("PASHE_")}
    assert ours <= {"PASHE_PUBLIC_URL", "PASHE_ISSUERS", "PASHE_SCRIPT_TOKENS"}


def test_a_token_from_the_command_line_opens_what_its_role_may_see(whole_stack: Stack) -> None:
    with whole_stack.client(timeout=10) as client:
        assert client.get("/intake/v1/cases").status_code == 401
        token = whole_stack.pashe("token", "coordinator", "--hours", "1").strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/intake/v1/cases", headers=headers).status_code == 200


@pytest.mark.slow
def test_parked_records_are_listed_shown_replayed_and_dismissed(whole_stack: Stack) -> None:
    stack = whole_stack
    before = stack.status()["parked"]["intake"]
    first, second = park(stack, 41), park(stack, 42)
    assert eventually_now(lambda: stack.status()["parked"]["intake"] == before + 2)
    listed = stack.pashe("parked", "list", "intake")
    assert "unreadable" in listed
    assert "secret" not in listed
    assert "12 bytes" in stack.pashe("parked", "show", "intake", str(first))
    assert "secret words" in stack.pashe("parked", "show", "intake", str(first), "--value")
    assert "1 records" in stack.pashe("parked", "replay", "intake", str(first))
    assert state_of(stack, first) == "replay"
    stack.pashe("parked", "dismiss", "intake", str(second), "--by", "a coordinator")
    assert state_of(stack, second) == "dismissed"
    assert query(stack, "SELECT dismissed_by FROM parked WHERE id = $1", second) == "a coordinator"
    with pytest.raises(StackError, match="no waiting record"):
        stack.pashe("parked", "dismiss", "intake", str(second))
    with pytest.raises(StackError, match="no service"):
        stack.pashe("parked", "list", "cases; DROP TABLE")
    query(stack, "DELETE FROM parked WHERE id = $1", first)  # nobody replays it, nor needs to


def test_replay_sends_events_of_the_outbox_once_more(whole_stack: Stack) -> None:
    since = datetime.now(UTC)
    body = {"channel": "web", "language": "en", "narrative": "A girl is kept in a house."}
    with whole_stack.client(timeout=10) as client:
        key = {"Idempotency-Key": str(uuid4())}
        assert client.post("/intake/v1/reports", json=body, headers=key).status_code == 201
    sent = "SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL AND created_at >= $1"
    count = eventually_now(lambda: query(whole_stack, sent, since), 20, "an event was sent")
    before = query(whole_stack, "SELECT max(sent_at) FROM outbox")
    said = whole_stack.pashe("replay", "intake", "--since", since.strftime("%Y-%m-%dT%H:%M:%S"))
    assert int(re.findall(r"\d+", said)[0]) >= count
    again = "SELECT bool_and(sent_at > $1) FROM outbox WHERE created_at >= $2"
    assert eventually_now(
        lambda: query(whole_stack, again, before, since), 20, "all were sent again"
    )


def test_logs_are_listed_and_shown(whole_stack: Stack) -> None:
    listed = whole_stack.pashe("logs")
    assert all(name in listed for name in ("kafka", "postgres", "intake", "proxy", "supervisor"))
    assert "service-started" in whole_stack.pashe("logs", "intake")


@pytest.mark.slow
def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    env = {**INTAKE_ONLY, "INTAKE_CHANNELS": "pigeon"}
    stack = Stack(tmp_path / "home", env=env)
    with pytest.raises(StackError) as failed, stack:
        pass
    assert "INTAKE_CHANNELS names a channel that does not exist: pigeon" in str(failed.value)
    assert "pashe: intake did not start (exit code 1)" in str(failed.value)


async def test_a_part_that_ends_at_once_is_started_again_at_most_every_two_seconds(
    tmp_path: Path,
) -> None:
    async def probe() -> bool:
        return False

    pauses: list[float] = []

    def changed(event: str, fields: dict[str, Any]) -> None:
        if event == "ended":
            pauses.append(fields["pause"])

    part = Part("ends", 0, lambda: ["/bin/false"], tmp_path / "log", 0, probe)
    part.spawn()
    start = time.monotonic()
    keeper = asyncio.create_task(part.keep(changed))
    await eventually(lambda: len(pauses) == 7, 20, "seven ends")
    keeper.cancel()
    await part.stop()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, LONGEST_PAUSE, LONGEST_PAUSE]
    assert time.monotonic() - start > sum(pauses[:-1])


async def test_a_part_that_ignores_its_end_is_killed(tmp_path: Path) -> None:
    async def probe() -> bool:
        return True

    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " print('deaf', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    part = Part("deaf", 0, lambda: ["/usr/bin/env", "python3", "-c", code], log, 0, probe)
    part.stop_within = 0.5
    part.spawn()
    await eventually(lambda: "deaf" in log.read_text(), 10)
    await part.stop()
    assert part.process is not None
    assert part.process.returncode == -signal.SIGKILL
