"""A real Kafka and a real PostgreSQL for a session of tests; a pytest plugin.

In this order: the addresses in PASHE_TEST_KAFKA and PASHE_TEST_POSTGRES (a superuser's URL),
containers when a Docker engine answers and has the images, the embedded ones. They are never
skipped: what cannot be started fails. Each session has its own folder and ports, and ends what it
started, also when a test fails; a session that is killed takes them with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import secrets
import shutil
import tempfile
import time
import warnings
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.database import prepare_database, service_urls, with_database
from deploy.local.jars import cache_folder, fetch_jars
from deploy.local.kafka import EmbeddedKafka, reserve_brokers
from deploy.local.keys import ACCOUNTS, ROLES, SERVICES
from deploy.local.ports import Ports
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import tail_of
from deploy.local.topics import provision_topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PASSWORDS = dict.fromkeys(
    [ACCOUNTS, *(f"{service}_{role}" for service in SERVICES for role in ROLES)], "test"
)
"""Of every role in a test's database; roles belong to the server, so all tests share them."""

POSTGRES_IMAGE = os.environ.get("PASHE_TEST_POSTGRES_IMAGE", "postgres:18.1-bookworm")
KAFKA_IMAGE = os.environ.get("PASHE_TEST_KAFKA_IMAGE", "apache/kafka:4.3.1")


_RUNS_IN: dict[str, str] = {}
"""Where this session's servers run: an address that was given, an image, or embedded."""


@dataclass(slots=True)
class Embedded:
    """Embedded Kafka and PostgreSQL of one test session; each can be stopped and started again."""

    folder: Path
    brokers: int = 1
    ports: Ports = field(default_factory=Ports)
    kafka: EmbeddedKafka = field(init=False)
    postgres: EmbeddedPostgres = field(init=False)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    async def start(self) -> None:
        """Make and start both; the jars are fetched if the cache lacks them."""
        cache = cache_folder(self.folder / "cache")
        jars = await asyncio.to_thread(fetch_jars, cache, lambda _there, _total: None)
        place = self.folder / "kafka"
        self.kafka = EmbeddedKafka(place, jars, reserve_brokers(place, self.ports, self.brokers))
        self.postgres = EmbeddedPostgres(
            self.folder / "postgres", self.ports.reserve(), secrets.token_hex(8)
        )
        await asyncio.gather(self._start_kafka(), self._start_postgres())

    async def _start_kafka(self) -> None:
        await self.kafka.prepare()
        await self.kafka.start(self.log("kafka"))

    async def _start_postgres(self) -> None:
        await self.postgres.prepare(self.log("postgres"))
        await self.postgres.start(self.log("postgres"))

    async def stop(self) -> None:
        """End both, in whatever state they are."""
        for name in ("kafka", "postgres"):
            if hasattr(self, name):
                await getattr(self, name).stop()
        self.ports.close()


@contextmanager
def embedded(brokers: int = 1) -> Iterator[Embedded]:
    """Run an embedded platform in a temporary folder of its own; call it from the main thread."""
    folder = Path(tempfile.mkdtemp(prefix="pashe-test-"))
    platform = Embedded(folder, brokers)
    try:
        asyncio.run(platform.start())
        yield platform
    finally:
        asyncio.run(platform.stop())
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _embedded_session() -> Iterator[Embedded]:
    with embedded() as platform:
        yield platform


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest) -> Iterator[str]:
    """Kafka's addresses, `host:port[,…]`; the streams of `deploy/topics.toml` are not made yet."""
    if given := os.environ.get("PASHE_TEST_KAFKA"):
        _RUNS_IN["Kafka"] = "as given"
        yield given
    elif (container := _container(_kafka_container)) is not None:
        _RUNS_IN["Kafka"] = f"container of {KAFKA_IMAGE}"
        with container as address:
            yield address
    else:
        _RUNS_IN["Kafka"] = "embedded"
        yield request.getfixturevalue("_embedded_session").kafka.bootstrap


@pytest.fixture(scope="session")
def postgres_admin_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A superuser's URL of the database `postgres`; make an own one with `fresh_database`."""
    if given := os.environ.get("PASHE_TEST_POSTGRES"):
        _RUNS_IN["PostgreSQL"] = "as given"
        yield given
        asyncio.run(_drop_templates(given))  # this server stays
    elif (container := _container(_postgres_container)) is not None:
        _RUNS_IN["PostgreSQL"] = f"container of {POSTGRES_IMAGE}"
        with container as address:
            yield address
    else:
        _RUNS_IN["PostgreSQL"] = "embedded"
        yield request.getfixturevalue("_embedded_session").postgres.url()


@pytest.fixture(scope="session")
def streams(kafka_bootstrap: str) -> str:
    """Kafka's addresses, with the streams of `deploy/topics.toml`."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415  (needed here only)

    provision_topics(AdminClient({"bootstrap.servers": kafka_bootstrap}), 1)
    return kafka_bootstrap


@pytest.fixture(scope="module")
def own_platform() -> Iterator[Embedded]:
    """A platform for tests that stop and kill it; always an embedded one."""
    with embedded() as platform:
        yield platform


@dataclass(frozen=True, slots=True)
class Database:
    """A database with the schemas and roles of every service, without tables."""

    admin: str

    def urls(self, service: str) -> dict[str, str]:
        """Return DATABASE_URL, DATABASE_WEB_URL and DATABASE_OWNER_URL of a service."""
        return service_urls(self.admin, service, PASSWORDS)


_templates: dict[tuple[str, tuple[str, ...]], str] = {}
"""By server and services: a database that nobody uses, migrated once and copied for each test."""


async def _run(admin_dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(with_database(admin_dsn, "postgres"))
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


async def _template(admin_dsn: str, services: tuple[str, ...]) -> str:
    from shared.migrate import upgrade  # noqa: PLC0415  (needed here only)

    name = _templates.get((admin_dsn, services))
    if name is None:
        name = f"template_{secrets.token_hex(6)}"
        made = Database(await prepare_database(admin_dsn, PASSWORDS, name, may_exist=False))
        for service in services:
            await upgrade(service, made.urls(service)["DATABASE_OWNER_URL"])
        _templates[admin_dsn, services] = name
    return name


async def make_database(admin_dsn: str, *services: str) -> Database:
    """Make a database with all roles and `services` migrated; whoever calls it drops it."""
    name, template = f"test_{secrets.token_hex(6)}", await _template(admin_dsn, services)
    await _run(admin_dsn, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    # again, for what is not copied: rights on the database itself, and the roles' settings in it
    return Database(await prepare_database(admin_dsn, PASSWORDS, name))


@asynccontextmanager
async def fresh_database(admin_dsn: str, *services: str) -> AsyncIterator[Database]:
    """Make a database as `make_database` does, dropped at the end."""
    database = await make_database(admin_dsn, *services)
    try:
        yield database
    finally:
        name = urlsplit(database.admin).path.removeprefix("/")
        await _run(admin_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _drop_templates(admin_dsn: str) -> None:
    for _, name in [kept for kept in _templates.items() if kept[0][0] == admin_dsn]:
        await _run(admin_dsn, f'DROP DATABASE "{name}"')


# Containers


def _container(make: Any) -> contextlib.AbstractContextManager[str] | None:
    """Start a container when a Docker engine answers; None (with a warning) when it cannot."""
    try:
        docker: Any = importlib.import_module("docker")  # comes with testcontainers
        docker.from_env(timeout=3).ping()
    except Exception:  # no engine is the usual case
        return None
    stack = contextlib.ExitStack()
    try:
        address = stack.enter_context(make())
    except Exception as error:  # an engine without the image: embedded it is
        stack.close()
        warnings.warn(f"no container, embedded instead: {error}", stacklevel=1)
        return None
    return _held(stack, address)


@contextmanager
def _held(stack: contextlib.ExitStack, address: str) -> Iterator[str]:
    with stack:
        yield address


@contextmanager
def _postgres_container() -> Iterator[str]:
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415

    with PostgresContainer(POSTGRES_IMAGE, username="postgres", driver=None) as running:
        yield with_database(running.get_connection_url(), "postgres")


@contextmanager
def _kafka_container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    held = Ports()
    port = held.reserve()
    held.close()
    settings = {
        "NODE_ID": "1",
        "PROCESS_ROLES": "broker,controller",
        "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    for key, value in settings.items():
        container = container.with_env(f"KAFKA_{key}", value)
    with container:
        _wait_for_kafka(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"


def _wait_for_kafka(bootstrap: str, within: float = 60.0) -> None:
    from confluent_kafka import KafkaException  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    end = time.monotonic() + within
    while True:
        try:
            admin.list_topics(timeout=2)
        except KafkaException:
            if time.monotonic() > end:
                raise
        else:
            return


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add the end of an own platform's logs to the report of a test that failed with it."""
    report = yield
    platform = getattr(item, "funcargs", {}).get("own_platform")
    if report.failed and isinstance(platform, Embedded):
        for name in ("kafka", "postgres"):
            report.sections.append((f"log of {name}", "\n".join(tail_of(platform.log(name)))))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where Kafka and PostgreSQL ran, when a test asked for them."""
    if _RUNS_IN:
        told = ", ".join(f"{name} {how}" for name, how in sorted(_RUNS_IN.items()))
        terminalreporter.write_line(f"servers of this run: {told}")
