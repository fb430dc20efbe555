"""The tap on real Kafka: it spares the groups of a process their fetches, and loses nothing.

Each test would pass without a tap, too, as far as it says what is handled; what it says of fetches
and of what is followed is the tap's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared import consumer as consumer_module
from shared import tap as tap_module
from shared.consumer import DurableConsumer
from shared.database import make_engine
from shared.ends import Ends
from shared.kafka import PARTITIONS, KafkaLogin, partition_of
from shared.tap import Tap, make_taps
from tests.support.cut import Cut
from tests.support.lab import Lab, Recorder, make_lab
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.platform import Embedded

CLOSINGS = frozenset({"case-closed"})
ALL = 12


def subject_in(partition: int) -> str:
    while True:
        subject = str(uuid4())
        if partition_of(subject.encode()) == partition:
            return subject


@asynccontextmanager
async def running(lab: Lab, tap: Tap | None = None) -> AsyncIterator[Tap]:
    """Run a tap of the lab's topic; ending it ends its reading, as a crash would."""
    tap = tap or Tap(KafkaLogin(lab.kafka), [lab.topic])
    task = asyncio.create_task(tap.run())
    try:
        yield tap
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def follows(consumer: DurableConsumer[Any], partitions: int = ALL) -> None:
    """Wait until so many partitions come from the tap."""
    await eventually(lambda: len(consumer._follower.next) == partitions, 20, "following the tap")


def count_fetches(consumer: DurableConsumer[Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep what the group's own client asks Kafka for from now on."""
    fetcher = consumer._subscriber.consumer._fetcher
    asked: list[Any] = []
    real = fetcher._proc_fetch_request

    async def counted(assignment: Any, node: Any, request: Any) -> Any:
        asked.append(request)
        return await real(assignment, node, request)

    monkeypatch.setattr(fetcher, "_proc_fetch_request", counted)
    return asked


async def committed(lab: Lab, name: str) -> int:
    """Return up to where a group has committed, over all partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.kafka)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(name)
        return sum(max(0, meta.offset) for meta in found.values())
    finally:
        await admin.close()


async def has(lab: Lab, name: str, wanted: dict[str, list[int]]) -> bool:
    return await lab.sequences(name) == wanted


async def test_what_a_group_does_not_want_costs_it_no_fetch_and_leaves_no_lag(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = [subject_in(n) for n in range(ALL)]
    name = f"{lab.schema}.closings"
    handler = Recorder(name, only=CLOSINGS)
    async with running(lab) as tap, lab.consuming(handler, guards=False, tap=tap) as consumer:
        await follows(consumer)
        asked = count_fetches(consumer, monkeypatch)
        await lab.send(*(lab.record(s, n) for n in (1, 2) for s in subjects))

        async def at_the_end() -> bool:
            return await committed(lab, name) == 2 * ALL

        await eventually(at_the_end, what="the offsets of what was skipped")
        done = await consumer.progress()
        assert done == {TopicPartition(lab.topic, p): 2 for p in range(PARTITIONS)}
        assert handler.batches == []
        await lab.send(lab.record(subjects[3], 3, type_="case-closed"))
        await eventually(lambda: has(lab, name, {subjects[3]: [3]}), what="what it wants")
        await eventually(lambda: _all_committed(lab, name, 2 * ALL + 1))
        assert asked == [], "its own client fetched"
        assert len(consumer._follower.next) == ALL


async def _all_committed(lab: Lab, name: str, wanted: int) -> bool:
    return await committed(lab, name) == wanted


async def test_headers_that_tell_nothing_reach_every_group(lab: Lab) -> None:
    subject = subject_in(1)
    records = [lab.record(subject, n) for n in range(1, 5)]
    records[0]["headers"] = [("type", None), ("needs", None)]
    records[1]["headers"] = [("type", b"\xff\xfe"), ("needs", b"\x80")]
    records[2]["headers"] = []
    broken = {"key": subject.encode(), "value": b"\xff\x00", "headers": [("type", None)]}
    one, two = Recorder(f"{lab.schema}.one"), Recorder(f"{lab.schema}.two", only=CLOSINGS)
    async with (
        running(lab) as tap,
        lab.consuming(one, guards=True, tap=tap) as guard,
        lab.consuming(two, guards=False, tap=tap) as other,
    ):
        await follows(guard)
        await follows(other)
        await lab.send(*records, broken)
        await eventually(lambda: has(lab, one.consumer, {subject: [1, 2, 3, 4]}), 5)
        await eventually(lab.parked, what="the parked record")
        await eventually(lambda: _all_committed(lab, two.consumer, 5))
    assert len(await lab.parked()) == 1
    assert two.batches == []


async def test_a_tap_that_ends_and_comes_back_loses_and_doubles_nothing(lab: Lab) -> None:
    subject = subject_in(2)
    handler = Recorder(f"{lab.schema}.one")
    tap = Tap(KafkaLogin(lab.kafka), [lab.topic])
    async with lab.consuming(handler, tap=tap) as consumer:
        for n in (1, 2, 3):
            await lab.send(lab.record(subject, 3 * n - 2))
            async with running(lab, tap):
                await lab.send(lab.record(subject, 3 * n - 1))
                await follows(consumer)
                await lab.send(lab.record(subject, 3 * n))
                wanted = list(range(1, 3 * n + 1))
                await eventually(lambda: has(lab, handler.consumer, {subject: wanted}))  # noqa: B023
            await eventually(lambda: not consumer._follower.next, what="reading by itself")
    assert await lab.parked() == []


async def test_a_tap_that_stands_still_starts_again(lab: Lab) -> None:
    handler = Recorder(f"{lab.schema}.one")
    async with running(lab) as tap, lab.consuming(handler, tap=tap) as consumer:
        await follows(consumer)
        held = tap._stretches
        ends = {place: stretch.end for place, stretch in held.items()}
        tap.check(ends)
        tap.check(ends)
        assert not tap._stuck, "nothing waits"
        more = {place: end + 1 for place, end in ends.items()}
        tap.check(more)
        assert not tap._stuck, "once may be a moment"
        tap.check(more)
        await eventually(lambda: tap._stretches and tap._stretches is not held, 10)
        await follows(consumer)


async def test_a_backlog_is_read_by_the_group_itself_and_then_the_tap_is_followed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = [subject_in(n) for n in range(ALL)]
    await lab.send(*(lab.record(s, n) for n in range(1, 41) for s in subjects))
    handler = Recorder(f"{lab.schema}.one")
    async with running(lab) as tap:
        await eventually(lambda: tap.stretch(TopicPartition(lab.topic, 0)), what="the tap")
        async with lab.consuming(handler, tap=tap) as consumer:
            await lab.send(*(lab.record(s, n) for n in range(41, 46) for s in subjects))
            wanted = {s: list(range(1, 46)) for s in subjects}
            await eventually(lambda: has(lab, handler.consumer, wanted), 20)
            await follows(consumer)
            asked = count_fetches(consumer, monkeypatch)
            await lab.send(*(lab.record(s, 46) for s in subjects))
            wanted = {s: list(range(1, 47)) for s in subjects}
            await eventually(lambda: has(lab, handler.consumer, wanted))
            assert asked == []
    assert await lab.parked() == []


async def test_a_group_that_falls_behind_what_the_tap_keeps_loses_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_module, "KEPT_RECORDS", 3)
    subject = subject_in(4)
    handler = Recorder(f"{lab.schema}.one", gate=asyncio.Event())
    async with running(lab) as tap, lab.consuming(handler, tap=tap) as consumer:
        await follows(consumer)
        await lab.send(lab.record(subject, 1))
        await eventually(lambda: handler.batches, what="a batch in hand")
        for n in range(2, 20):
            await lab.send(lab.record(subject, n))
        stretch = tap.stretch(TopicPartition(lab.topic, 4))
        await eventually(lambda: stretch is not None and stretch.end == 19, what="the tap")
        assert stretch is not None
        assert stretch.start == 16
        assert handler.gate is not None
        handler.gate.set()
        wanted = {subject: list(range(1, 20))}
        await eventually(lambda: has(lab, handler.consumer, wanted))
        await follows(consumer)
    assert await lab.parked() == []


@pytest.mark.parametrize("kept", [500, 3], ids=["from the tap", "by its own fetch"])
async def test_a_flood_in_one_partition_starves_no_other(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(tap_module, "KEPT_RECORDS", kept)
    flood, *others = (subject_in(n) for n in range(ALL))
    handler = Recorder(f"{lab.schema}.one", gate=asyncio.Event())
    async with running(lab) as tap, lab.consuming(handler, tap=tap) as consumer:
        await follows(consumer)
        await lab.send(lab.record(flood, 1))
        await eventually(lambda: handler.batches, what="a batch in hand")
        for first in range(2, 452, 25):
            await lab.send(*(lab.record(flood, n) for n in range(first, first + 25)))
        await lab.send(*(lab.record(subject, 1) for subject in others))
        stretches = [tap.stretch(TopicPartition(lab.topic, n)) for n in range(ALL)]
        ends = [451, *([1] * len(others))]
        await eventually(lambda: [each and each.end for each in stretches] == ends, what="the tap")
        assert handler.gate is not None
        handler.gate.set()
        wanted = {flood: list(range(1, 452))} | {subject: [1] for subject in others}
        await eventually(lambda: has(lab, handler.consumer, wanted))
    ranks = {effect.subject: n for n, effect in enumerate(await lab.effects(handler.consumer))}
    assert max(ranks[subject] for subject in others) <= 401, "the first or the second full batch"


async def test_who_is_in_no_hurry_leaves_what_is_young_to_the_others(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace, subject = 0.3, subject_in(8)
    handler = Recorder(f"{lab.schema}.one")
    ages: list[float] = []
    async with running(lab) as tap, lab.consuming(handler, tap=tap, pace=pace) as consumer:
        await follows(consumer)
        read = consumer._delivery.read

        def noted(records: Any) -> Any:
            ages.extend(time.time() - record.timestamp / 1e3 for record in records)
            return read(records)

        monkeypatch.setattr(consumer._delivery, "read", noted)
        for n in range(1, 41):
            await lab.send(lab.record(subject, n))
        wanted = {subject: list(range(1, 41))}
        await eventually(lambda: has(lab, handler.consumer, wanted))
    assert len(ages) == 40
    assert min(ages) >= pace - 0.01
    assert len(handler.batches) < 20


async def test_consumers_follow_the_tap_that_is_as_fast_as_they_are(lab: Lab) -> None:
    def consumer(name: str, *topics: str, pace: float = 0.0) -> DurableConsumer[Any]:
        engine = make_engine(lab.url(), size=1, name=name)
        return DurableConsumer(name, topics, Recorder(name), engine, pace=pace)

    login = KafkaLogin(lab.kafka)
    awaited, beside = consumer("awaited", "a"), consumer("beside", "a", pace=0.5)
    other, both = consumer("other", "b", pace=0.5), consumer("both", "a", "b", pace=0.25)
    at_once, filled = make_taps(login, [awaited, beside, other, both])
    assert {place.topic for place in at_once._places} == {"a"}
    assert {place.topic for place in filled._places} == {"a", "b"}
    assert (at_once.every, filled.every) == (0, 0.25)
    assert [one._fill for one in (awaited, beside, other, both)] == [0, 0.5, 0.25, 0]
    assert make_taps(login, [awaited]) == []
    assert [tap.every for tap in make_taps(login, [other, both])] == [0.25]


async def test_what_the_database_refused_for_long_is_given_again_in_order(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "HOLD_SLICE", 0.3)
    monkeypatch.setattr(consumer_module, "LONGEST_PAUSE", 0.1)
    subject = subject_in(5)
    handler = Recorder(f"{lab.schema}.one")
    async with (
        Cut(*lab.database()) as cut,
        running(lab) as tap,
        lab.consuming(handler, port=cut.port, tap=tap) as consumer,
    ):
        await follows(consumer)
        await lab.send(lab.record(subject, 1))
        await eventually(lambda: has(lab, handler.consumer, {subject: [1]}))
        await cut.refuse()
        given: list[int] = []
        real = consumer._follower.go_back

        def go_back(client: Any, place: TopicPartition, offset: int) -> None:
            given.append(offset)
            real(client, place, offset)

        monkeypatch.setattr(consumer._follower, "go_back", go_back)
        await lab.send(lab.record(subject, 2), lab.record(subject, 3))
        await eventually(lambda: len(given) > 1, 20, "a batch that was given back")
        await cut.open()
        await eventually(lambda: has(lab, handler.consumer, {subject: [1, 2, 3]}), 20)
    assert await lab.parked() == []


async def test_a_newer_version_holds_its_partition_and_the_tap_goes_on(lab: Lab) -> None:
    held, free = subject_in(6), subject_in(7)
    newer = lab.record(held, 2)
    newer["value"] = newer["value"].replace(b'case-updated:1"', b'case-updated:2"')
    handler = Recorder(f"{lab.schema}.one")
    async with running(lab) as tap, lab.consuming(handler, tap=tap) as consumer:
        await follows(consumer)
        await lab.send(lab.record(held, 1), newer, lab.record(held, 3), lab.record(free, 1))
        await eventually(lambda: has(lab, handler.consumer, {held: [1], free: [1]}))
        await eventually(lambda: consumer.paused() == {TopicPartition(lab.topic, 6)})
        await lab.send(lab.record(free, 2), lab.record(held, 4))
        await eventually(lambda: has(lab, handler.consumer, {held: [1], free: [1, 2]}))
        assert len(consumer._follower.next) == ALL - 1
        await eventually(lambda: _all_committed(lab, handler.consumer, 3))
    assert await lab.parked() == []


@pytest.mark.slow
async def test_partitions_that_go_to_another_process_and_back_lose_and_double_nothing(
    lab: Lab,
) -> None:
    subjects = [subject_in(n) for n in range(ALL)]
    first = Recorder(f"{lab.schema}.one", "first")
    second = Recorder(f"{lab.schema}.one", "second")
    sent = 0

    async def send_more() -> None:
        nonlocal sent
        for _ in range(3):
            sent += 1
            await lab.send(*(lab.record(s, sent) for s in subjects))

    async def all_there() -> None:
        wanted = {s: list(range(1, sent + 1)) for s in subjects}
        await eventually(lambda: has(lab, first.consumer, wanted), 30)

    async with running(lab) as tap, lab.consuming(first, replica="1", tap=tap) as one:
        await follows(one)
        await send_more()
        async with (
            running(lab) as other_tap,
            lab.consuming(second, replica="2", tap=other_tap) as two,
        ):
            joining = asyncio.create_task(follows(two, ALL // 2))
            while not joining.done():
                await send_more()
            await joining
            await follows(one, ALL // 2)
            await send_more()
            await all_there()
        leaving = asyncio.create_task(follows(one))
        while not leaving.done():
            await send_more()
        await leaving
        await all_there()
    assert {e.process for e in await lab.effects()} == {"first", "second"}
    assert await lab.parked() == []


@pytest.mark.timeout(180)
async def test_a_broker_that_starts_again_loses_and_doubles_nothing(
    own_platform: Embedded, tmp_path: Path
) -> None:
    subject = subject_in(8)
    kafka, admin = own_platform.kafka, own_platform.postgres.url()
    async with make_lab(admin, kafka.bootstrap, tmp_path) as lab:
        wants_all = Recorder(f"{lab.schema}.one")
        wants_few = Recorder(f"{lab.schema}.two", only=CLOSINGS)
        async with (
            running(lab) as tap,
            lab.consuming(wants_all, tap=tap) as one,
            lab.consuming(wants_few, guards=False, tap=tap) as two,
        ):
            await follows(one)
            await follows(two)
            await lab.send(lab.record(subject, 1))
            await eventually(lambda: has(lab, wants_all.consumer, {subject: [1]}))
            asked = Ends(KafkaLogin(kafka.bootstrap))
            places = [TopicPartition(lab.topic, p) for p in range(PARTITIONS)]
            ends = await asked.find(places)
            assert ends is not None
            assert ends[TopicPartition(lab.topic, 8)] == 1
            before = connections(kafka.bootstrap)
            assert await asked.find(places) == ends
            assert connections(kafka.bootstrap) == before, "a look makes no connection of its own"
            await kafka.stop()
            assert await asked.find(places) is None
            await kafka.start(own_platform.log("kafka"))
            await eventually(lambda: asked.find(places), 60, "the broker's answer")
            await asked.close()
            await eventually(lambda: _sent(lab, lab.record(subject, 2)), 60, "the broker")
            closing = lab.record(subject, 3, type_="case-closed")
            await lab.send(closing)
            wanted = {subject: [1, 2, 3]}
            await eventually(lambda: has(lab, wants_all.consumer, wanted), 60)
            await eventually(lambda: has(lab, wants_few.consumer, {subject: [3]}), 60)
            await follows(one)
            await follows(two)
        assert await lab.parked() == []


def connections(address: str) -> set[Any]:
    """Return the connections of this process to a server."""
    port = int(address.rpartition(":")[2])
    held = psutil.Process().net_connections("tcp")
    return {one.laddr for one in held if one.raddr and one.raddr.port == port}


async def _sent(lab: Lab, record: dict[str, Any]) -> bool:
    with contextlib.suppress(Exception):  # not back yet
        await lab.send(record)
        return True
    return False
