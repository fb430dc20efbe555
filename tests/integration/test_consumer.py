"""The durable consumer on real Kafka and PostgreSQL: nothing lost, doubled, inverted or wedged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared import consumer as consumer_module
from shared import events, telemetry
from shared.kafka import KafkaLogin, partition_of
from shared.relay import Relay
from shared.timers import TimerKind, TimerLoop
from tests.support.cut import Cut
from tests.support.headers import RawName
from tests.support.lab import Lab, Recorder
from tests.support.wait import eventually


def group(lab: Lab) -> str:
    return f"{lab.schema}.one"


def subject_in(partition: int) -> str:
    """Return a new subject whose key lies in the partition."""
    while True:
        subject = str(uuid4())
        if partition_of(subject.encode()) == partition:
            return subject


async def committed(lab: Lab, name: str) -> dict[int, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.kafka)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(name)
        return {place.partition: meta.offset for place, meta in found.items() if meta.offset >= 0}
    finally:
        await admin.close()


def counted(name: str, outcome: str) -> float:
    labels = {"consumer": name, "outcome": outcome}
    return telemetry.REGISTRY.get_sample_value("pashe_consumer_records_total", labels) or 0.0


async def test_null_and_undecodable_headers_lose_nothing_of_the_batch(lab: Lab) -> None:
    subject = str(uuid4())
    records = [lab.record(subject, n) for n in range(1, 6)]
    records[1]["headers"] = [("type", None), ("needs", None), ("sequence", None)]
    records[2]["headers"] = [("type", b"\xff\xfe"), ("needs", b"\x80"), ("\u0985", b"\xc3\x28")]
    records[3]["headers"] = [("content-type", b"\x80"), ("correlation_id", None)]
    await lab.send(*records)
    handler = Recorder(group(lab))
    async with lab.consuming(handler):
        await eventually(lambda: handler.batches, what="the batch")
        await eventually(lambda: _has(lab, subject, [1, 2, 3, 4, 5]), 3)
    assert handler.batches[0] == 5, "they must have come in one batch"
    assert await lab.parked() == []


async def test_a_header_name_that_is_no_utf_8_loses_nothing_of_the_batch(lab: Lab) -> None:
    subject = str(uuid4())
    records = [lab.record(subject, n) for n in range(1, 5)]
    records[1]["headers"] = [*records[1]["headers"], (RawName("bad"), b"x")]
    await lab.send(*records)
    handler = Recorder(group(lab))
    async with lab.consuming(handler):
        await eventually(lambda: _has(lab, subject, [1, 2, 3, 4]), 5)
    assert handler.batches[0] == 4, "they must have come in one batch"
    assert await lab.parked() == []


async def _has(lab: Lab, subject: str, wanted: list[int]) -> bool:
    return (await lab.sequences()).get(subject) == wanted


async def test_what_a_reply_address_asks_for_is_never_published(lab: Lab) -> None:
    record = lab.record(str(uuid4()), 1)
    record["headers"] = [*record["headers"], ("reply_to", lab.topic.encode())]
    await lab.send(record)
    async with lab.consuming(Recorder(group(lab))):
        await eventually(lab.effects, what="the effect")
    assert sum(map(len, (await lab.log()).values())) == 1


async def test_a_decision_that_raises_parks_its_event_alone_within_the_batch(lab: Lab) -> None:
    bad, good = subject_in(3), subject_in(3)
    await lab.send(
        lab.record(good, 1), lab.record(bad, 1, "raise"), lab.record(bad, 2), lab.record(good, 2)
    )
    handler = Recorder(group(lab))
    async with lab.consuming(handler):
        await eventually(lab.parked, what="the parked record")
        assert await lab.sequences() == {good: [1, 2]}
        assert await lab.parked() == [(bad, "bug", "waiting"), (bad, "behind", "waiting")]
        await eventually(lambda: _committed_is(lab, {3: 4}))
    assert handler.batches == [4], "one batch, one transaction"


async def _committed_is(lab: Lab, wanted: dict[int, int]) -> bool:
    return await committed(lab, group(lab)) == wanted


async def test_an_event_that_is_invalid_for_the_service_is_parked_at_once(lab: Lab) -> None:
    subject = str(uuid4())
    await lab.send(lab.record(subject, 1, "invalid"))
    handler = Recorder(group(lab))
    async with lab.consuming(handler):
        await eventually(lab.parked, what="the parked record")
    assert await lab.parked() == [(subject, "lab-invalid", "waiting")]
    assert handler.tries == 1


async def test_a_record_that_the_database_refuses_fails_none_of_its_neighbours(lab: Lab) -> None:
    subjects = [subject_in(n % 2) for n in range(8)]
    bad = subjects[3]
    await lab.send(*(lab.record(s, 1, "refuse" if s == bad else None) for s in subjects))
    async with lab.consuming(Recorder(group(lab))):
        await eventually(lab.parked, what="the parked record")
        await eventually(lambda: _count(lab, 7))
    assert await lab.parked() == [(bad, "refused-by-database", "waiting")]
    assert await lab.sequences() == {s: [1] for s in subjects if s != bad}
    assert await lab.fetch("SELECT 1 FROM attempts") == []


async def _count(lab: Lab, wanted: int) -> bool:
    return len(await lab.effects()) == wanted


async def test_a_world_error_of_one_record_only_is_parked_after_five(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LONGEST_PAUSE", 0.1)
    bad, good = subject_in(5), subject_in(5)
    await lab.send(lab.record(bad, 1, "world"), lab.record(good, 1))
    async with lab.consuming(Recorder(group(lab))) as consumer:
        await eventually(lambda: consumer.held, what="the hold")
        await eventually(lab.parked, what="the parked record")
        await eventually(lambda: _count(lab, 1))
    assert await lab.parked() == [(bad, "only-this-record", "waiting")]
    assert await lab.fetch("SELECT 1 FROM attempts") == []


async def test_a_lost_right_is_the_worlds_fault_and_parks_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a record at which a process has died before: a process counts its own tries once."""
    monkeypatch.setattr(consumer_module, "LONGEST_PAUSE", 0.05)
    handler = Recorder(group(lab))
    suspect = subject_in(6)
    await _as_owner(lab, f"REVOKE INSERT ON effects FROM {lab.schema}_flow")
    async with lab.engine.begin() as conn:
        await conn.exec_driver_sql(
            "INSERT INTO attempts VALUES ($1, $2, 6, 0, 1)", (group(lab), lab.topic)
        )
    await lab.send(lab.record(suspect, 1), lab.record(str(uuid4()), 1))
    async with lab.consuming(handler) as consumer:
        await eventually(lambda: handler.tries > 30, what="many tries")
        assert consumer.held
        assert await lab.parked() == []
        await _as_owner(lab, f"GRANT INSERT ON effects TO {lab.schema}_flow")
        await eventually(lambda: _count(lab, 2))
    assert await lab.fetch("SELECT 1 FROM attempts") == []


async def _as_owner(lab: Lab, statement: str) -> None:
    conn = await asyncpg.connect(lab.url("owner"))
    await conn.execute(statement)
    await conn.close()


async def test_an_unknown_type_is_parked_once_and_the_rest_flows(lab: Lab) -> None:
    bad, good = subject_in(7), subject_in(7)
    unknown = lab.record(bad, 1)
    unknown["value"] = unknown["value"].replace(b"case-updated", b"case-sung-to")
    unknown["headers"] = [("type", b"case-sung-to"), ("needs", b"")]
    await lab.send(lab.record(good, 1), unknown, lab.record(good, 2))
    async with lab.consuming(Recorder(group(lab))):
        await eventually(lambda: _has(lab, good, [1, 2]), what="the neighbours")
        other = Recorder(f"{lab.schema}.two")
        async with lab.consuming(other, guards=False):
            await eventually(lambda: _count(lab, 4), what="the second group")
    assert await lab.parked() == [(bad, "unknown-type", "waiting")]


async def test_whatever_bytes_a_record_holds_it_is_parked_and_never_held(lab: Lab) -> None:
    good = subject_in(2)
    values = [
        None,
        b"",
        b"\xff\x00",
        b"[" * 5000,
        b'{"specversion":"1.0"}',
        lab.record(good, 1)["value"].replace(b':1"', ':²"'.encode()),
        lab.record(good, 1)["value"].replace(b'"age":null', b'"age":"x"'),
        lab.record(good, 1)["value"].replace(b"00000000000000000001", b"9" * 30),
        lab.record(good, 1)["value"].replace(good.encode(), b"\\u0000"),
    ]
    bad = [
        {"key": f"k{n}".encode(), "value": value, "headers": [("a\x00", b"\x00\\u0000\xff")]}
        for n, value in enumerate(values)
    ]
    far = lab.record(good, 3, event_id=_uuid7_of_the_year_10889())
    await lab.send(*bad, lab.record(good, 2), far)
    handler = Recorder(group(lab))
    async with lab.consuming(handler) as consumer:
        await eventually(lambda: _has(lab, good, [2, 3]), what="the good ones")
        await eventually(lambda: _parked_count(lab, len(bad)))
        assert not consumer.held


async def _parked_count(lab: Lab, wanted: int) -> bool:
    return len(await lab.parked()) == wanted


def _uuid7_of_the_year_10889() -> Any:
    return UUID(int=(2**48 - 1) << 80 | 7 << 76 | 2 << 62 | 5)


async def test_duplicates_are_absorbed_and_an_inversion_is_parked(lab: Lab) -> None:
    subject = str(uuid4())
    one, two = lab.record(subject, 1), lab.record(subject, 2)
    late = lab.record(subject, 1)
    await lab.send(one, two, two, one)
    async with lab.consuming(Recorder(group(lab))):
        await eventually(lambda: _has(lab, subject, [1, 2]))
        await lab.send(two, late, lab.record(subject, 3))
        await eventually(lab.parked, what="the inversion")
    assert await lab.sequences() == {subject: [1, 2]}
    assert await lab.parked() == [
        (subject, "inversion", "waiting"),
        (subject, "behind", "waiting"),
    ]


async def test_a_newer_version_holds_its_partition_until_the_upgrade(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, free = subject_in(4), subject_in(6)
    newer = lab.record(held, 2)
    newer["value"] = newer["value"].replace(b'case-updated:1"', b'case-updated:2"')
    await lab.send(lab.record(held, 1), newer, lab.record(held, 3), lab.record(free, 1))
    async with lab.consuming(Recorder(group(lab))) as old:
        await eventually(lambda: _count(lab, 2))
        await eventually(lambda: _committed_is(lab, {4: 1, 6: 1}))
        await lab.send(lab.record(free, 2))
        await eventually(lambda: _has(lab, free, [1, 2]), what="the other partition")
        assert old.paused() == {TopicPartition(lab.topic, 4)}
        assert telemetry.CONSUMER_HELD.labels(group(lab))._value.get() == 1
    assert await lab.parked() == []
    monkeypatch.setattr(events, "VERSION", 2)
    async with lab.consuming(Recorder(group(lab))):
        await eventually(lambda: _has(lab, held, [1, 2, 3]))
    assert await lab.sequences() == {held: [1, 2, 3], free: [1, 2]}


async def test_a_lost_reply_to_commit_doubles_nothing(lab: Lab) -> None:
    subject = str(uuid4())
    handler = Recorder(group(lab))
    async with Cut(*lab.database()) as cut, lab.consuming(handler, port=cut.port) as consumer:
        await lab.send(lab.record(subject, 1))
        await eventually(lambda: _has(lab, subject, [1]))
        cut.swallow_commits(2)
        await lab.send(lab.record(subject, 2), lab.record(subject, 3))
        await eventually(lambda: cut.swallowed == 2, what="two lost replies")
        await lab.send(lab.record(subject, 4))
        await eventually(lambda: _has(lab, subject, [1, 2, 3, 4]))
        await eventually(lambda: not consumer.held)
    assert counted(group(lab), "duplicate") >= 2
    assert await lab.parked() == []


async def test_a_second_member_that_joins_in_mid_batch_doubles_and_inverts_nothing(
    lab: Lab,
) -> None:
    subjects = [subject_in(n) for n in range(12)]
    await lab.send(*(lab.record(s, n) for n in range(1, 6) for s in subjects))
    first = Recorder(group(lab), "first", gate=asyncio.Event())
    second = Recorder(group(lab), "second", pause=0.01)
    async with lab.consuming(first, replica="1"):
        await eventually(lambda: first.batches, what="a batch in hand")
        async with lab.consuming(second, replica="2"):
            await eventually(lambda: second.batches, 15, "the second member to read the same")
            assert first.gate is not None
            first.gate.set()
            await lab.send(*(lab.record(s, n) for n in range(6, 9) for s in subjects))
            await eventually(lambda: _count(lab, 96), 15)
    assert await lab.sequences() == {s: list(range(1, 9)) for s in subjects}
    assert set(Counter(e.process for e in await lab.effects())) == {"first", "second"}
    assert counted(group(lab), "duplicate") > 0, "the rebalance must have read something twice"
    assert await lab.parked() == []


async def test_a_handler_slower_than_the_poll_interval_loses_doubles_and_inverts_nothing(
    lab: Lab,
) -> None:
    subjects = [subject_in(n) for n in range(12)]
    await lab.send(*(lab.record(s, n) for n in range(1, 4) for s in subjects))
    first = Recorder(group(lab), "first", pause=2.5)
    second = Recorder(group(lab), "second", pause=2.5)
    async with (
        lab.consuming(first, replica="1", polls=1000),
        lab.consuming(second, replica="2", polls=1000),
    ):
        await eventually(lambda: first.batches or second.batches, what="a batch in hand")
        await lab.send(*(lab.record(s, n) for n in range(4, 7) for s in subjects))
        await eventually(lambda: _count(lab, 72), 40)
    assert await lab.sequences() == {s: list(range(1, 7)) for s in subjects}
    assert await lab.parked() == []


def count_calls(
    monkeypatch: pytest.MonkeyPatch, thing: Any, method: str, calls: Counter[str]
) -> None:
    real = getattr(thing, method)

    async def counted(*arguments: Any) -> Any:
        calls[type(thing).__name__] += 1
        return await real(*arguments)

    monkeypatch.setattr(thing, method, counted)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_database_gone_for_thirty_seconds_parks_nothing_and_runs_nothing_hot(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = [str(uuid4()) for _ in range(20)]
    handler = Recorder(group(lab))
    fired: list[str] = []

    async def fire(_: Any, timer: Any) -> None:
        fired.append(timer.subject)

    async with Cut(*lab.database()) as cut, lab.consuming(handler, port=cut.port) as consumer:
        relay = Relay(lab.schema, lab.url(port=cut.port), KafkaLogin(lab.kafka), (lab.topic,))
        timers = TimerLoop(consumer._delivery._engine, [TimerKind("lab", fire)])
        tries = Counter[str]()
        count_calls(monkeypatch, consumer._delivery, "take", tries)
        count_calls(monkeypatch, relay, "_session", tries)
        count_calls(monkeypatch, timers, "round", tries)
        tasks = [asyncio.create_task(relay.run()), asyncio.create_task(timers.run())]
        await lab.append(*(lab.draft(s) for s in subjects))
        await eventually(lambda: _count(lab, 20), what="the first round")
        await cut.refuse()
        gone, busy, handled = time.monotonic(), time.process_time(), handler.tries
        tries.clear()
        await lab.send(*(lab.record(s, 2) for s in subjects))
        await lab.append(*(lab.draft(s) for s in subjects))  # sequence 2 again: another event
        await eventually(lambda: time.monotonic() - gone > 30, 32)
        assert handler.tries == handled, "nothing reaches the handler"
        assert consumer.held
        assert time.process_time() - busy < 4.5, "seconds of processor in 30 s"
        assert min(tries.values()) > 5, "each goes on trying"
        assert max(tries.values()) < 40, f"none of them hot: {tries}"
        await cut.open()
        back = time.monotonic()
        await eventually(lambda: _count(lab, 60), what="the flow after the outage")
        assert time.monotonic() - back < 20, "its pauses have a bound"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert await lab.parked() == []
    assert await lab.sequences() == {s: [1, 2, 2] for s in subjects}


async def test_a_consumer_that_nobody_waits_for_takes_what_comes_close_together_in_one_batch(
    lab: Lab,
) -> None:
    pace, subject = 1.0, str(uuid4())
    handler = Recorder(group(lab))
    async with lab.consuming(handler, pace=pace):
        began = time.monotonic()
        for sequence in range(1, 13):
            await lab.send(lab.record(subject, sequence))
        await eventually(lambda: _has(lab, subject, list(range(1, 13))), 10)
        took = time.monotonic() - began
    assert max(handler.batches) > 1, "none waited for others"
    # A fetch that waits already may end just behind the first.
    assert len(handler.batches) <= took / pace + 2, "a batch came before its time"
    assert sum(handler.batches) == 12
