"""What tests share: a lab of the kernel on real PostgreSQL and Kafka."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.support.lab import Lab, make_lab


@pytest.fixture(scope="session")
def lab_database() -> Iterator[str]:
    server = os.environ["PASHE_TEST_POSTGRES"]
    name = f"lab_{secrets.token_hex(4)}"

    async def run(statement: str) -> None:
        conn = await asyncpg.connect(server)
        await conn.execute(statement)
        await conn.close()

    asyncio.run(run(f"CREATE DATABASE {name}"))
    yield f"{server.rsplit('/', 1)[0]}/{name}"
    asyncio.run(run(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def lab(lab_database: str, tmp_path: Path) -> AsyncIterator[Lab]:
    async with make_lab(lab_database, os.environ["PASHE_TEST_KAFKA"], tmp_path) as made:
        yield made
