"""Who waits for new rows is told at once: in this process without a NOTIFY, elsewhere by one."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from services.referral import stream
from shared.database import make_engine
from shared.outbox import Waker, is_from_here
from tests.support.platform import fresh_database
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from tests.support.platform import Database

CHANNEL, PROVIDER, WITHIN = "outbox_referral", "example-shelter", 5.0


@pytest.fixture
async def database(postgres_admin_dsn: str) -> AsyncIterator[Database]:
    async with fresh_database(postgres_admin_dsn, "referral") as made:
        yield made


@pytest.fixture
async def other(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A session of another process."""
    conn = await asyncpg.connect(database.urls("referral")["DATABASE_URL"])
    yield conn
    await conn.close()


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def grow(conn: asyncpg.Connection[Any]) -> None:
    await conn.execute(
        "INSERT INTO feeds AS f (provider_id, seq) VALUES ($1, 1)"
        " ON CONFLICT (provider_id) DO UPDATE SET seq = f.seq + 1",
        PROVIDER,
    )


async def test_readers_of_a_feed_hear_of_what_this_process_stored_and_of_what_others_did(
    database: Database, other: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "POLL", 600.0)
    bell = stream.Bell(database.urls("referral")["DATABASE_URL"], CHANNEL)
    with bell.reading(PROVIDER) as grown:
        async with running(bell.run()):
            for tell in (bell.ring, None, bell.ring, None):
                grown.clear()
                await grow(other)

                async def told(tell: Any = tell) -> bool:
                    if tell is not None:
                        tell()
                    else:
                        await other.execute(f"NOTIFY {CHANNEL}")
                    return grown.is_set()

                await eventually(told, WITHIN, "the ring of a bell")


async def test_a_bell_goes_on_after_its_session_was_ended(
    database: Database, other: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "POLL", 0.1)
    bell = stream.Bell(database.urls("referral")["DATABASE_URL"], CHANNEL)
    with bell.reading(PROVIDER) as grown:
        async with running(bell.run()):
            await grow(other)
            await eventually(grown.is_set, WITHIN, "a ring")
            admin = await asyncpg.connect(database.admin)
            ended = await admin.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query ~ '^(LISTEN|SELECT provider_id)'"
            )
            await admin.close()
            assert ended == 1
            grown.clear()
            await grow(other)
            await eventually(grown.is_set, WITHIN, "a ring")


@pytest.mark.parametrize(
    ("alone", "heard", "told"),
    [(False, False, 1), (False, True, 1), (True, True, 1), (True, False, 0)],
)
async def test_others_are_told_unless_all_who_wait_are_here(
    database: Database, other: asyncpg.Connection[Any], *, alone: bool, heard: bool, told: int
) -> None:
    came: list[str] = []
    await other.add_listener(CHANNEL, lambda *args: came.append(args[3]))
    engine = make_engine(database.urls("referral")["DATABASE_URL"], size=1, name="waker")
    waker, rung = Waker(engine, "referral"), asyncio.Event()
    waker.near = lambda: alone
    if heard:
        waker.hear = rung.set
    try:
        async with running(waker.run()):
            for _ in range(20):
                waker.wake()
            if heard:
                await eventually(rung.is_set, WITHIN, "a ring")
            if told:
                await eventually(lambda: bool(came), WITHIN, "a NOTIFY")
            waker.wake()
            await other.execute(f"NOTIFY {CHANNEL}, 'another'")
            await eventually(lambda: "another" in came, WITHIN, "the other's NOTIFY")
    finally:
        await engine.dispose()
    assert (len([one for one in came if is_from_here(one)]) >= 1) is bool(told)
