"""The stream of what came: a count when it is another one, else silence; an end in time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.intake.pages.desk.news import follow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def counting(*found: int | Exception) -> Callable[[], Awaitable[int]]:
    left = list(found)

    async def look() -> int:
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    return look


async def told(look: Callable[[], Awaitable[int]], lasts: timedelta) -> list[bytes]:
    return [line async for line in follow(look, every=0, lasts=lasts)]


async def test_a_count_is_told_once_and_without_a_database_the_stream_ends() -> None:
    lines = await told(counting(0, 2, 2, 3, OSError("away")), timedelta(minutes=1))
    assert [line for line in lines if line.startswith(b"data")] == [
        b'data: {"new":2}\n\n',
        b'data: {"new":3}\n\n',
    ]
    assert lines[0].startswith(b"retry: ")
    assert lines.count(b":\n\n") == 2  # a dead line is noticed


async def test_a_stream_ends_in_time_and_a_mistake_of_ours_is_not_hidden() -> None:
    assert len(await told(counting(), timedelta())) == 1
    with pytest.raises(ZeroDivisionError):
        await told(counting(ZeroDivisionError()), timedelta(minutes=1))
