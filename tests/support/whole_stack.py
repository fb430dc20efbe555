"""One whole embedded stack for the tests that need all of it, with a collector of its traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.clock import now, rfc3339
from tests.support.receiver import Receiver, in_thread
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

BEGAN = pytest.StashKey[str]()

LINES = 60
"""Of what the parts complained of, the last that a failure shows."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note when a test began."""
    item.stash[BEGAN] = rfc3339(now())
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show of a failed test what the parts of its stacks complained of while it ran."""
    report = yield
    if report.failed:
        used = getattr(item, "funcargs", {}).values()
        stacks = {id(s): s for one in used if isinstance(s := getattr(one, "stack", one), Stack)}
        for stack in stacks.values():
            said = "\n".join(stack.complaints(item.stash[BEGAN])[-LINES:])
            report.sections.append(("what the parts complained of", said or "nothing"))
    return report


@pytest.fixture(scope="session")
def collector() -> Iterator[Receiver]:
    with in_thread(Receiver()) as receiver:
        yield receiver


@pytest.fixture(scope="session")
def graph() -> Iterator[Receiver]:
    """WhatsApp's Graph API, as far as replies go."""
    with in_thread(Receiver()) as receiver:
        yield receiver


@pytest.fixture(scope="session")
def whole_stack(
    tmp_path_factory: pytest.TempPathFactory, collector: Receiver, graph: Receiver
) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("pashe")
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "TWILIO_AUTH_TOKEN": "a test token",
        "INFOBIP_SECRET": "invented",
        "TELERIVET_SECRET": "invented",
        "WHATSAPP_APP_SECRET": "appsecret",
        "WHATSAPP_VERIFY_TOKEN": "an agreed word",
        "WHATSAPP_TOKEN": "a bearer token",
        "WHATSAPP_PHONE_NUMBER_ID": "10",
        "WHATSAPP_GRAPH_URL": graph.url,
        "INTAKE_LEAVE_TO": f"{graph.url}/weather",
    }
    with Stack(home, env=env) as running:
        yield running
