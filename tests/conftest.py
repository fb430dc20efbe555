"""What tests share: the platform's fixtures, and a lab of the kernel on it."""

from __future__ import annotations

import asyncio
import secrets
import signal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from deploy.local.database import with_database
from tests.support.lab import Lab, make_lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytest_plugins = ["tests.support.platform", "tests.support.spread", "tests.support.whole_stack"]


def pytest_sessionstart() -> None:
    """Let a run that is told to end take down what it started."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end", returncode=143))


@pytest.fixture(scope="session")
def lab_database(postgres_admin_dsn: str) -> Iterator[str]:
    """A superuser's URL of a database of its own, for the labs of a session."""
    name = f"lab_{secrets.token_hex(4)}"

    async def run(statement: str) -> None:
        conn = await asyncpg.connect(postgres_admin_dsn)
        await conn.execute(statement)
        await conn.close()

    asyncio.run(run(f"CREATE DATABASE {name}"))
    yield with_database(postgres_admin_dsn, name)
    asyncio.run(run(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def lab(lab_database: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Lab]:
    """A service of its own for one test: a schema, a topic, and one small handler."""
    async with make_lab(lab_database, kafka_bootstrap, tmp_path) as made:
        yield made
