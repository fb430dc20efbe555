"""Fetches within sessions on a real Kafka: cheaper, and everything is read once and in order."""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.fetching import Sessions, keep_sessions
from shared.kafka import PARTITIONS
from tests.integration.test_tap import subject_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.lab import Lab


@asynccontextmanager
async def reading(lab: Lab) -> AsyncIterator[AIOKafkaConsumer[Any, Any]]:
    """Read the lab's topic from its end, within sessions."""
    places = [TopicPartition(lab.topic, p) for p in range(PARTITIONS)]
    reader: AIOKafkaConsumer[Any, Any] = AIOKafkaConsumer(
        bootstrap_servers=lab.kafka, enable_auto_commit=False, fetch_max_wait_ms=200
    )
    await reader.start()
    try:
        keep_sessions(reader)
        reader.assign(places)
        await reader.seek_to_end(*places)
        yield reader
    finally:
        await reader.stop()


def spied(reader: AIOKafkaConsumer[Any, Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep each request as it goes to the broker, with its answer."""
    seen: list[Any] = []
    client = reader._fetcher._client._client
    real = client.send

    async def send(node: int, request: Any, **more: Any) -> Any:
        answer = await real(node, request, **more)
        seen.append((request, answer))
        return answer

    monkeypatch.setattr(client, "send", send)
    return seen


async def test_a_record_costs_a_fetch_of_its_partition_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading(lab) as reader:
        seen = spied(reader, monkeypatch)
        for n in range(1, 6):
            await lab.send(lab.record(subject_in(n), 1))
            found: dict[Any, Any] = {}
            while not found:
                found = await reader.getmany(timeout_ms=1000)
            assert [place.partition for place in found] == [n]
    fetches = [(q, a) for q, a in seen if type(q).__name__ == "Incremental"]
    whole = [q for q, _ in fetches if sum(len(parts) for _, parts in q._topics) == PARTITIONS]
    assert len(whole) <= 1
    assert len(fetches) >= 4  # one is under way at the end, the first was before the spy
    for _, answer in fetches[1:]:
        assert not answer.error_code
        assert sum(len(parts) for _, parts in answer.topics) <= 1


@dataclass
class Reading:
    """A reader, and the offsets that it got of each partition, counted from where it began."""

    reader: AIOKafkaConsumer[Any, Any]
    begin: dict[TopicPartition, int]
    got: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def poll(self, wait: int) -> bool:
        found = await self.reader.getmany(timeout_ms=wait)
        for place, records in found.items():
            self.got[place.partition] += [r.offset - self.begin[place] for r in records]
        return bool(found)

    async def go_back(self, place: TopicPartition) -> None:
        """Read again what was read last: it is taken out of what was got."""
        back = max(self.begin[place], await self.reader.position(place) - 2)
        del self.got[place.partition][back - self.begin[place] :]
        self.reader.seek(place, back)

    async def disturb(self, turn: int, place: TopicPartition) -> None:
        match turn % 4:
            case 0:
                self.reader.pause(place)
            case 1:
                self.reader.resume(*self.reader.paused())
            case 2:
                await self.go_back(place)

    async def rest(self) -> None:
        self.reader.resume(*self.reader.paused())
        quiet = 0
        while quiet < 4:
            quiet = 0 if await self.poll(300) else quiet + 1


@pytest.mark.parametrize("forgets", [False, True])
async def test_everything_is_read_once_and_in_order(lab: Lab, *, forgets: bool) -> None:
    """With pauses, a place that is gone back to, and a broker that knows the session no more."""
    dice = random.Random(3)
    subjects = [subject_in(p) for p in range(PARTITIONS)]
    sent: dict[str, int] = defaultdict(int)
    async with reading(lab) as reader:
        sessions = reader._fetcher._client
        assert isinstance(sessions, Sessions)
        places = sorted(reader.assignment())
        run = Reading(reader, {place: await reader.position(place) for place in places})
        for turn in range(40):
            for subject in dice.sample(subjects, dice.randrange(1, 5)):
                sent[subject] += 1
                await lab.send(lab.record(subject, sent[subject]))
            await run.disturb(turn, dice.choice(places))
            for held in sessions._held.values():
                held.id += 1000 * (forgets and turn % 5 == 0)
            await run.poll(50)
        await run.rest()
    assert sum(sent.values()) > 60
    assert {n: run.got[n] for n in range(PARTITIONS)} == {
        n: list(range(sent[subject])) for n, subject in enumerate(subjects)
    }
