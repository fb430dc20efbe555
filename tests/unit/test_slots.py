"""Places by rank: the least served first, and none is lost whoever gives up."""

from __future__ import annotations

import asyncio

import pytest

from services.notification.slots import Slots


async def test_the_lowest_rank_is_next_then_the_oldest() -> None:
    slots, came = Slots(1), list[str]()

    async def go(name: str, rank: int) -> None:
        async with slots.take(rank):
            came.append(name)
            await asyncio.sleep(0)

    async with slots.take(0):
        asked = (("long", 90), ("longer", 91), ("first", 1), ("second", 1), ("new", 0))
        waiting = [asyncio.create_task(go(name, rank)) for name, rank in asked]
        await asyncio.sleep(0)
        assert came == []
    await asyncio.gather(*waiting)
    assert came == ["new", "first", "second", "long", "longer"]


@pytest.mark.parametrize("given", [False, True])
async def test_who_gives_up_takes_no_place_with_it(*, given: bool) -> None:
    slots = Slots(2)
    inside, most = 0, 0

    async def go() -> None:
        nonlocal inside, most
        async with slots.take(0):
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(0)
            finally:
                inside -= 1

    for _ in range(3):
        waiting = [asyncio.create_task(go()) for _ in range(20)]
        await asyncio.sleep(0)
        if given:
            await asyncio.sleep(0)  # by now some were given their place and have not run
        for task in waiting[::2]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(5):
        async with slots.take(0), slots.take(0):
            pass
    assert most == 2
