"""Guesses are counted in the database: a restart forgets none, and nobody else waits for them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.intake.reporters.guessing import (
    FROM_ALL,
    FROM_ONE,
    WINDOW,
    Guesses,
    TooManyGuesses,
)
from shared.errors import NotFound
from tests.support.room import Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


def process(room: Room) -> Guesses:
    """Return the counter as another process, or the same one after a restart, has it."""
    return Guesses(room.secrets.pepper, room.clock)


async def wrong(room: Room, who: str) -> None:
    """Ask with a receipt that does not exist, in a transaction that is rolled back."""

    async def ask() -> None:
        async with process(room).guard(room.engine, who), room.engine.begin() as conn:
            await conn.exec_driver_sql("SELECT 1")
            raise NotFound

    with pytest.raises(NotFound):
        await ask()


async def right(room: Room, who: str) -> None:
    async with process(room).guard(room.engine, who):
        pass


async def test_whoever_guesses_waits_in_every_process_and_is_let_in_again(room: Room) -> None:
    await asyncio.gather(*(wrong(room, "192.0.2.9") for _ in range(FROM_ONE)))
    with pytest.raises(TooManyGuesses):
        await right(room, "192.0.2.9")
    await right(room, "192.0.2.10")
    rows = await room.rows("SELECT who FROM limits")
    assert not any(b"192.0.2" in bytes(row.who) for row in rows)
    room.now += WINDOW + timedelta(seconds=11)
    await right(room, "192.0.2.9")
    await wrong(room, "192.0.2.9")
    (row,) = await room.rows("SELECT count(*) AS n FROM limits")
    assert row.n == 1, "what is too old is forgotten"


async def test_when_all_together_guess_only_those_who_made_no_mistake_are_served(
    room: Room,
) -> None:
    guesses = process(room)
    async with room.engine.begin() as conn:
        for number in range(FROM_ALL):
            await guesses.count(conn, f"198.51.100.{number % 100}")
    with pytest.raises(TooManyGuesses):
        await right(room, "198.51.100.7")
    await right(room, "192.0.2.9")
    await wrong(room, "192.0.2.9")
    with pytest.raises(TooManyGuesses):
        await right(room, "192.0.2.9")
