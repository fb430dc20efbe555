"""The watchdog: a consumer that stands still before waiting records is ended, with good reasons."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from shared import runtime, telemetry
from shared.runtime import _stands_still

if TYPE_CHECKING:
    import pytest

PLACE = TopicPartition("lab", 3)


@dataclass
class Reader:
    """What the watchdog sees of a consumer."""

    name: str = "lab.watch"
    topics: tuple[str, ...] = ("lab",)
    held: bool = False
    waits: set[TopicPartition] = field(default_factory=set)

    def paused(self) -> set[TopicPartition]:
        return self.waits


async def stalls(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, positions: list[int | None], end: int = 9
) -> bool:
    """Say whether any look finds a stall, when each look comes later than `STALL`."""
    monkeypatch.setattr(runtime, "STALL", 0.0)
    still: dict[Any, Any] = {}
    looks = [
        _stands_still(reader, {PLACE: position}, {PLACE: end}, still)  # type: ignore[arg-type]
        for position in positions
    ]
    return any(looks)


async def test_no_move_before_waiting_records_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await stalls(monkeypatch, Reader(), [5, 5])


async def test_a_position_that_never_becomes_known_is_a_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await stalls(monkeypatch, Reader(), [None, None])
    assert not await stalls(monkeypatch, Reader(), [None, None], end=0)


async def test_moving_on_and_having_nothing_to_read_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not await stalls(monkeypatch, Reader(), [5, 6, 7])
    assert not await stalls(monkeypatch, Reader(), [9, 9, 9])


async def test_a_hold_and_a_wait_for_a_newer_version_are_no_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not await stalls(monkeypatch, Reader(held=True), [5, 5, 5])
    assert not await stalls(monkeypatch, Reader(waits={PLACE}), [5, 5, 5])


async def test_a_partition_that_left_and_came_back_starts_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "STALL", 0.0)
    reader: Any = Reader()
    still: dict[Any, Any] = {}
    assert not _stands_still(reader, {PLACE: 5}, {PLACE: 9}, still)
    assert not _stands_still(reader, {}, {PLACE: 9}, still)
    assert not _stands_still(reader, {PLACE: 5}, {PLACE: 9}, still)


async def test_a_partition_that_waits_while_another_moves_has_ten_times_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = TopicPartition("lab", 4)
    clock = asyncio.get_running_loop()
    reader: Any = Reader()
    still: dict[Any, Any] = {}

    def look(at: float, first: int, second: int) -> bool:
        monkeypatch.setattr(clock, "time", lambda: at)
        found = _stands_still(
            reader, {PLACE: first, other: second}, {PLACE: 9, other: 10**9}, still
        )
        monkeypatch.undo()
        return found

    assert not look(0, 5, 1)
    assert not look(31, 5, 2)
    assert not look(299, 5, 3)
    assert look(301, 5, 4)
    assert not look(302, 6, 5)
    assert look(340, 6, 5)


async def test_the_lag_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    await stalls(monkeypatch, Reader(), [5])
    assert telemetry.CONSUMER_LAG.labels("lab.watch", "lab", 3)._value.get() == 4
