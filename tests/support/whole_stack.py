"""One whole embedded stack for the tests that need all of it, with a collector of its traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.receiver import Receiver, in_thread
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


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
