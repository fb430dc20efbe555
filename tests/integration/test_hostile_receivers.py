"""Whatever a receiver does with a webhook: one short word for it, in time, and little is read."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from services.notification.outbound import DRAIN_SECONDS, Outbound
from services.notification.verdicts import Verdict, judge
from tests.support.hostile import TRICKS, Hostile, own_certificate

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 29, tzinfo=UTC)
TIMEOUT = timedelta(seconds=2)
ROOM = 15.0
"""Seconds of room for a busy machine."""

SCHEDULE = (timedelta(0), timedelta(seconds=5), timedelta(minutes=5))


def make_outbound() -> Outbound:
    return Outbound(timeout=TIMEOUT, connections=64, allow_loopback=True)


async def test_each_trick_is_one_word_in_time_and_what_is_sent_back_is_cut() -> None:
    outbound = make_outbound()
    async with Hostile() as receiver:
        began = time.monotonic()
        answers = await asyncio.gather(
            *(outbound.post(receiver.url(trick), {}, b"{}", AT) for trick in TRICKS)
        )
        took = time.monotonic() - began
        sent = receiver.sent
        again = await asyncio.gather(
            *(outbound.post(receiver.url(trick), {}, b"{}", AT) for trick in TRICKS)
        )
    await outbound.close()
    words = {trick: answer.word for trick, answer in zip(TRICKS, answers, strict=True)}
    assert words == {trick: word for trick, (word, _) in TRICKS.items()}
    assert took < TIMEOUT.total_seconds() + DRAIN_SECONDS + ROOM
    assert sent < 60_000_000  # of one that would be endless, in buffers of both sides
    assert {answer.status for answer in again} == {204}


@pytest.mark.parametrize(
    ("trick", "verdict", "pause"),
    [
        ("silence", Verdict.RETRY, 5),
        ("500", Verdict.RETRY, 5),
        ("429", Verdict.RETRY, 5),  # it asks for less than the schedule would wait
        ("redirect", Verdict.RETRY, 5),
        ("ten-megabytes", Verdict.DELIVERED, None),
    ],
)
async def test_what_it_means_is_in_the_schedule(
    trick: str, verdict: Verdict, pause: int | None
) -> None:
    outbound = make_outbound()
    async with Hostile() as receiver:
        answer = await outbound.post(receiver.url(trick), {}, b"{}", AT)
    await outbound.close()
    outcome = judge(answer, 0, SCHEDULE, AT)
    assert outcome.verdict is verdict
    assert outcome.retry_at == (None if pause is None else AT + timedelta(seconds=pause))


async def test_a_certificate_that_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    outbound = make_outbound()
    async with Hostile(own_certificate(tmp_path)) as receiver:
        answer = await outbound.post(receiver.url("500"), {}, b"{}", AT)
        plain = receiver.url("500").replace("https://", "http://")
        spoken = await outbound.post(plain, {}, b"{}", AT)
    await outbound.close()
    assert (answer.word, spoken.status) == ("tls", None)
    assert receiver.got == {}
