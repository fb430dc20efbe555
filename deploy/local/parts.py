"""The parts of a stack: how each process is run, probed and ended."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from deploy.local.home import HOST, ROOT
from deploy.local.keys import ACCOUNTS
from deploy.local.part import Part, http_probe
from deploy.local.services import service_command

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from deploy.local.broker_settings import Broker
    from deploy.local.home import Home
    from deploy.local.kafka import EmbeddedKafka
    from deploy.local.postgres import EmbeddedPostgres

PLATFORM: Final = 0
SERVICE: Final = 1
EDGE: Final = 2
"""Layers: the highest is ended first, each whole before the next."""


def broker_part(home: Home, kafka: EmbeddedKafka, broker: Broker) -> Part:
    """Return a Kafka broker as a part."""

    async def probe() -> bool | None:
        nodes = await kafka.probe()
        return None if nodes is None else broker.node in nodes

    return Part(
        name=broker.name,
        layer=PLATFORM,
        command=partial(kafka.command, broker),
        log=home.log(broker.name),
        port=broker.port,
        probe=probe,
        env=kafka.env(),
        stop_within=10,
    )


def postgres_part(home: Home, server: EmbeddedPostgres) -> Part:
    """Return PostgreSQL as a part; SIGINT is its fast and orderly end."""
    return Part(
        name="postgres",
        layer=PLATFORM,
        command=server.command,
        log=home.log("postgres"),
        port=server.port,
        probe=server.probe,
        user=server.user,
        cwd=server.data,
        before=server.clear_stale_pid,
        polite=signal.SIGINT,
        death=signal.SIGINT,
    )


def service_part(home: Home, name: str, port: int, env: Mapping[str, str]) -> Part:
    """Return one of the services as a part."""
    return Part(
        name=name,
        layer=SERVICE,
        command=partial(service_command, name),
        log=home.log(name),
        port=port,
        probe=http_probe(HOST, port, "/ready"),
        env=env,
        cwd=ROOT,
    )


def accounts_part(home: Home, port: int, env: Mapping[str, str]) -> Part:
    """Return the small issuer as a part."""
    return Part(
        name=ACCOUNTS,
        layer=SERVICE,
        command=lambda: [sys.executable, "-m", "deploy.local.issuer.main"],
        log=home.log(ACCOUNTS),
        port=port,
        probe=http_probe(HOST, port, "/ready"),
        env=env,
        cwd=ROOT,
    )


def proxy_part(home: Home, listener: socket.socket, ports: Mapping[str, int]) -> Part:
    """Return the origin as a part; it serves on a socket that outlives it."""
    handle = listener.fileno()
    port = listener.getsockname()[1]
    urls = {f"{name.upper()}_URL": f"http://{HOST}:{number}" for name, number in ports.items()}
    return Part(
        name="proxy",
        layer=EDGE,
        command=lambda: [sys.executable, "-m", "deploy.local.proxy", str(handle)],
        log=home.log("proxy"),
        port=port,
        probe=http_probe(HOST, port, "/live"),
        env={**os.environ, **urls},
        cwd=ROOT,
        pass_fds=(handle,),
        stop_within=8,
    )
