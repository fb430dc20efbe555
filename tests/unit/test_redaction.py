"""Nothing that a person said gets into a log line or a span, whoever writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Status, StatusCode

from shared.redaction import REDACTED, Redacting
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

CANARY = "Canaryrina of 01799123456"

SPEAKING = """
import asyncio, gc, logging, threading, warnings, sys
from shared.logs import Log, guard_process, setup_logs

CANARY = "Canaryrina of 01799123456"
setup_logs("trial", "INFO")
guard_process()


class Odd:
    def __repr__(self):
        return CANARY


class Falls:
    def __del__(self):
        raise ValueError(CANARY)


def fail():
    raise ValueError(CANARY)


async def forgotten():
    task = asyncio.create_task(later())
    await asyncio.wait([task])
    asyncio.get_running_loop().call_soon(fail)
    asyncio.get_running_loop().call_exception_handler({"message": f"x {CANARY}", "odd": Odd()})
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def later():
    raise LookupError(CANARY)


library = logging.getLogger("some.library")
library.error("could not send %s to %r", CANARY, Odd())
library.error("could not send: " + CANARY)
library.error(f"could not send '{CANARY}'")
library.error("could not send\\n" + CANARY)
library.error("too few %s %s", CANARY)
library.error(Odd())
try:
    fail()
except ValueError as error:
    library.exception("request %s failed", CANARY)
    Log("own").error("own-failed", error, count=3, odd=Odd())
warnings.warn(CANARY)
asyncio.run(forgotten())
thread = threading.Thread(target=fail, name=CANARY)
thread.start()
thread.join()
Falls()
gc.collect()
raise RuntimeError(CANARY) from ValueError(CANARY)
"""


def test_no_library_warning_or_uncaught_error_writes_what_it_was_about() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "anaryrina" not in done.stdout + done.stderr
    assert "01799123456" not in done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    events = [line["event"] for line in lines]
    assert events.count("could not send … to …") == 1
    assert events.count("message") >= 4
    assert {"ended-by-error", "thread-ended-by-error", "error-in-nowhere"} <= {*events}
    own = next(line for line in lines if line["event"] == "own-failed")
    assert own["error"] == "ValueError"
    assert own["count"] == 3
    assert own["odd"] == "Odd"
    library = next(line for line in lines if line["logger"] == "some.library")
    assert library["at"].startswith("<string>:")
    assert "asyncio" in {line["logger"] for line in lines}


@pytest.fixture
def sent() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(sent: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Redacting(sent)))
    return provider.get_tracer("test")


def test_a_span_leaves_with_names_and_counts_only(
    tracer: Tracer, sent: InMemorySpanExporter
) -> None:
    with tracer.start_as_current_span("intake POST") as first:
        pass
    link = Link(first.get_span_context(), {"name": CANARY})
    with tracer.start_as_current_span("audit case-created", links=[link]) as span:
        span.set_attributes({"index": 7, "url.query": CANARY, "size": 3})
        span.add_event("exception", {"exception.message": CANARY})
        span.record_exception(ValueError(CANARY))
        span.set_status(Status(StatusCode.ERROR, "DataError(22P02)"))
    with tracer.start_as_current_span(f"audit {CANARY}") as strange:
        strange.set_attribute("index", CANARY)
        strange.set_status(Status(StatusCode.ERROR, f"ValueError: {CANARY}"))
    plain, cut, unnamed = sent.get_finished_spans()
    assert plain.name == "intake POST"
    assert (cut.name, dict(cut.attributes or {})) == ("audit case-created", {"index": 7})
    assert cut.status.description == "DataError(22P02)"
    assert [(link.context, dict(link.attributes or {})) for link in cut.links] == [
        (first.get_span_context(), {})
    ]
    assert (unnamed.name, unnamed.status.description) == (REDACTED, None)
    assert "anaryrina" not in "".join(map(_shown, sent.get_finished_spans()))


def _shown(span: ReadableSpan) -> str:
    return str(span.to_json())
