"""A collector that is gone or hangs costs a process no more CPU than one that answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from shared import tracing
from tests.support.processes import ROOT
from tests.support.receiver import Receiver, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

ROUNDS = 4
MOST = 1.05

WORK = """
import hashlib, sys, time
from types import SimpleNamespace
from shared import tracing

tracing.setup(SimpleNamespace(service="trial", trace_ratio=1.0, otlp_endpoint=sys.argv[1]))
began = time.process_time()
for number in range(2500):
    with tracing.span("trial POST"):
        for step in range(3):
            with tracing.span("trial step", index=step):
                for _ in range(180):
                    hashlib.sha256(bytes(600)).digest()
spent = time.process_time() - began
at = time.monotonic()
tracing.flush_spans()
print(spent, time.monotonic() - at)
"""


@contextmanager
def hanging() -> Iterator[str]:
    """Listen, and answer nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def gone() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def run(endpoint: str) -> tuple[float, float]:
    """Return the seconds of CPU for the work, and the seconds until the rest was given up."""
    done = subprocess.run(
        [sys.executable, "-c", WORK, endpoint],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    spent, waited = map(float, done.stdout.split())
    return spent, waited


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_collector_that_is_gone_or_hangs_costs_under_five_percent() -> None:
    spent: dict[str, list[float]] = {"well": [], "gone": [], "hangs": []}
    waited = []
    with in_thread(Receiver()) as well, hanging() as hangs:
        for _ in range(ROUNDS):
            for name, endpoint in (("well", well.url), ("gone", gone()), ("hangs", hangs)):
                cost, rest = run(endpoint)
                spent[name].append(cost)
                waited.append(rest)
        assert well.received
    best = {name: min(costs) for name, costs in spent.items()}
    assert best["gone"] / best["well"] < MOST, spent
    assert best["hangs"] / best["well"] < MOST, spent
    assert max(waited) < 3, waited


class Hanging(SpanExporter):
    """Exports nothing until it is let go."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        self.released.wait(30)
        return SpanExportResult.FAILURE


def test_the_last_spans_are_waited_for_a_second_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = Hanging()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    provider.get_tracer("trial").start_span("trial").end()
    began = time.monotonic()
    tracing.flush_spans()
    took = time.monotonic() - began
    exporter.released.set()
    assert 0.9 < took < 5
