"""A process ends although a library loses a cancel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shared import runtime

if TYPE_CHECKING:
    import pytest


async def test_a_task_that_loses_a_cancel_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "CANCEL_AGAIN", 0.05)
    lost = 0

    async def loses_one() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost:
                    raise
                lost += 1

    task = asyncio.create_task(loses_one())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await runtime._end([task])
    assert (task.cancelled(), lost) == (True, 1)


async def test_what_a_task_raised_at_its_end_is_taken() -> None:
    async def fails() -> None:
        message = "at the end"
        raise RuntimeError(message)

    await runtime._end([asyncio.create_task(fails())])
