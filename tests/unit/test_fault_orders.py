"""What a running service can be ordered from outside: its clock jumps, its main thread stands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = """
import sys
from datetime import UTC, datetime
import msgspec
from shared.clock import new_event_id, now, time_of
for _ in sys.stdin:
    ahead = (now() - datetime.now(UTC)).total_seconds()
    msgspec.json.encode([now(), time_of(new_event_id())])
    print(round(ahead), flush=True)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    env = os.environ | {
        "FAULT_ORDERS": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/support/orders"), str(ROOT)]),
    }
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def ask(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def test_a_clock_jumps_and_comes_back(service: subprocess.Popen[str], tmp_path: Path) -> None:
    assert ask(service) == 0
    for seconds in (3600, -3600, 0):
        (tmp_path / str(service.pid)).write_text(f"clock {seconds}")
        service.send_signal(signal.SIGUSR2)
        assert ask(service) == seconds


def test_an_order_that_is_none_harms_nothing(
    service: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert ask(service) == 0
    (tmp_path / str(service.pid)).write_text("dance")
    service.send_signal(signal.SIGUSR2)
    assert ask(service) == 0
    service.send_signal(signal.SIGUSR2)
    assert ask(service) == 0
