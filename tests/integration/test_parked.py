"""Parked records: the rest flows, a key waits in order, safety overtakes, a person decides."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from shared.kafka import partition_of
from shared.parked import Replayer, ask_replay, dismiss, list_parked
from tests.support.lab import Lab, Recorder
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.consumer import DurableConsumer


def subject_in(partition: int) -> str:
    while True:
        subject = str(uuid4())
        if partition_of(subject.encode()) == partition:
            return subject


def poison(lab: Lab, subject: str) -> dict[str, Any]:
    record = lab.record(subject, 1)
    record["value"] = b'{"secret": "of a person"'
    return record


@asynccontextmanager
async def replaying(lab: Lab, consumer: DurableConsumer[Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(Replayer(lab.engine, [consumer], lambda: None).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def flows(lab: Lab, wanted: dict[str, list[int]], within: float = 5.0) -> None:
    async def look() -> bool:
        assert await lab.sequences() == wanted
        return True

    await eventually(look, within, "the handled events")


async def waits(lab: Lab, wanted: list[tuple[str, str, str]]) -> None:
    """Wait until what is parked is `wanted`; in order by subject, not between subjects."""

    async def look() -> bool:
        assert sorted(await lab.parked(), key=by_subject) == sorted(wanted, key=by_subject)
        return True

    await eventually(look, 5, "the parked records")


def by_subject(parked: tuple[str, str, str]) -> str:
    return parked[0]


async def first_id(lab: Lab) -> int:
    async with lab.engine.connect() as conn:
        return (await list_parked(conn))[0].id


async def test_poison_in_a_batch_over_two_partitions_parks_once_and_the_rest_flows(
    lab: Lab,
) -> None:
    hit, beside, far = subject_in(1), subject_in(1), subject_in(8)
    async with lab.consuming(Recorder(f"{lab.schema}.one")) as consumer, replaying(lab, consumer):
        await lab.send(lab.record(far, 1))
        await flows(lab, {far: [1]})
        await lab.send(
            lab.record(hit, 1),
            poison(lab, hit),
            lab.record(hit, 2),
            lab.record(beside, 1),
            lab.record(far, 2),
        )
        await flows(lab, {hit: [1], beside: [1], far: [1, 2]}, within=1)
        await lab.send(lab.record(hit, 3), lab.record(beside, 2))
        behind = (hit, "behind", "waiting")
        await waits(lab, [(hit, "unreadable", "waiting"), behind, behind])
        await flows(lab, {hit: [1], beside: [1, 2], far: [1, 2]})
        async with lab.engine.begin() as conn:
            assert await dismiss(conn, await first_id(lab), "operations:abc")
        await flows(lab, {hit: [1, 2, 3], beside: [1, 2], far: [1, 2]})
        await waits(
            lab,
            [(hit, "unreadable", "dismissed"), (hit, "behind", "done"), (hit, "behind", "done")],
        )


async def test_a_replay_runs_the_key_in_order_and_what_comes_meanwhile_after_it(lab: Lab) -> None:
    subject = subject_in(4)
    handler = Recorder(f"{lab.schema}.one")
    async with lab.consuming(handler) as consumer, replaying(lab, consumer):
        await lab.send(lab.record(subject, 1, "raise"), lab.record(subject, 2))
        await lab.send(lab.record(subject, 3, "raise"))
        await waits(
            lab,
            [(subject, "bug", "waiting"), *2 * [(subject, "behind", "waiting")]],
        )
        async with lab.engine.begin() as conn:
            assert await ask_replay(conn, await first_id(lab)) == 3
        await eventually(lambda: handler.tries >= 2, what="a replay that fails")
        await waits(
            lab,
            [(subject, "bug", "waiting"), *2 * [(subject, "behind", "waiting")]],
        )
        assert await lab.effects() == []
        handler.mended = True
        async with lab.engine.begin() as conn:
            await ask_replay(conn, await first_id(lab))
        await lab.send(lab.record(subject, 4))
        await flows(lab, {subject: [1, 2, 3, 4]})
        assert {state for _, _, state in await lab.parked()} == {"done"}


async def test_a_failing_replay_is_tried_once_for_each_time_it_is_asked_for(lab: Lab) -> None:
    subject, other = subject_in(4), subject_in(9)
    handler = Recorder(f"{lab.schema}.one")
    async with lab.consuming(handler) as consumer:
        await lab.send(lab.record(subject, 1, "raise"), lab.record(other, 1, "raise"))
        await eventually(lambda: handler.tries == 2)
        await waits(lab, [(subject, "bug", "waiting"), (other, "bug", "waiting")])
        replayer = Replayer(lab.engine, [consumer], lambda: None)
        async with lab.engine.begin() as conn:
            await ask_replay(conn, await first_id(lab))
        for _ in range(3):
            assert await replayer.round() == 0
    assert handler.tries == 3


async def test_a_safety_event_overtakes_what_waits_and_voids_it(lab: Lab) -> None:
    subject = subject_in(2)
    handler = Recorder(f"{lab.schema}.one")
    async with lab.consuming(handler) as consumer, replaying(lab, consumer):
        await lab.send(lab.record(subject, 1, "raise"), lab.record(subject, 2))
        await waits(lab, [(subject, "bug", "waiting"), (subject, "behind", "waiting")])
        await lab.send(lab.record(subject, 3, type_="consent-withdrawn"), lab.record(subject, 4))
        await flows(lab, {subject: [3, 4]})
        await waits(lab, [(subject, "bug", "void"), (subject, "behind", "void")])


async def test_a_safety_event_voids_what_failed_earlier_in_its_own_batch(lab: Lab) -> None:
    subject = subject_in(2)
    await lab.send(
        lab.record(subject, 1),
        poison(lab, subject),
        lab.record(subject, 2, "raise"),
        lab.record(subject, 3, type_="case-closed"),
        lab.record(subject, 4),
        poison(lab, subject),
        lab.record(subject, 5),
    )
    handler = Recorder(f"{lab.schema}.one")
    async with lab.consuming(handler) as consumer, replaying(lab, consumer):
        await waits(
            lab,
            [
                (subject, "unreadable", "void"),
                (subject, "behind", "void"),
                (subject, "unreadable", "waiting"),
                (subject, "behind", "waiting"),
            ],
        )
        assert handler.batches[0] == 5, "they must have come in one batch"
        await flows(lab, {subject: [1, 3, 4]})


async def test_another_copy_of_what_was_voided_or_dismissed_is_no_news(lab: Lab) -> None:
    """The relay may send a batch twice: the copies come after the safety event, or beside it."""
    early, beside, ended = subject_in(2), subject_in(2), subject_in(2)
    copies = [lab.record(s, 1, "raise") for s in (early, beside, ended)]
    handler = Recorder(f"{lab.schema}.one")
    async with lab.consuming(handler) as consumer, replaying(lab, consumer):
        await lab.send(*copies)
        await waits(lab, [(s, "bug", "waiting") for s in (early, beside, ended)])
        async with lab.engine.begin() as conn:
            assert await dismiss(conn, (await list_parked(conn))[2].id, "operations:abc")
        handler.mended = True
        safety = {s: lab.record(s, 2, type_="consent-withdrawn") for s in (early, beside)}
        await lab.send(safety[early], safety[beside], copies[1], lab.record(ended, 2))
        await flows(lab, {early: [2], beside: [2], ended: [2]})
        await lab.send(*copies, *(lab.record(s, 3) for s in (early, beside, ended)))
        await flows(lab, {early: [2, 3], beside: [2, 3], ended: [2, 3]})
    states = [(early, "bug", "void"), (beside, "bug", "void"), (ended, "bug", "dismissed")]
    assert sorted(await lab.parked()) == sorted(states)


async def test_a_safety_event_that_fails_itself_still_voids_what_waits(lab: Lab) -> None:
    subject = subject_in(2)
    await lab.send(
        lab.record(subject, 1, "raise"),
        lab.record(subject, 2, "raise", type_="consent-withdrawn"),
    )
    async with lab.consuming(Recorder(f"{lab.schema}.one")):
        await waits(lab, [(subject, "bug", "void"), (subject, "bug", "waiting")])


async def test_a_record_without_a_key_is_parked_and_blocks_nobody(lab: Lab) -> None:
    subject = subject_in(0)
    producer = AIOKafkaProducer(bootstrap_servers=lab.kafka)
    await producer.start()
    await producer.send_and_wait(lab.topic, b"nobody's", partition=0)
    await producer.stop()
    await lab.send(lab.record(subject, 1))
    async with lab.consuming(Recorder(f"{lab.schema}.one")) as consumer, replaying(lab, consumer):
        await flows(lab, {subject: [1]})
        await waits(lab, [("", "unreadable", "waiting")])
        async with lab.engine.begin() as conn:
            assert await ask_replay(conn, await first_id(lab)) == 1
        await waits(lab, [("", "unreadable", "waiting")])


async def test_the_list_shows_where_and_why_but_never_what(lab: Lab) -> None:
    subject = subject_in(1)
    await lab.send(poison(lab, subject))
    async with lab.consuming(Recorder(f"{lab.schema}.one")):
        await waits(lab, [(subject, "unreadable", "waiting")])
    async with lab.engine.connect() as conn:
        (found,) = await list_parked(conn)
        assert await list_parked(conn, after=found.id) == []
    assert (found.subject, found.topic, found.partition) == (subject, lab.topic, 1)
    assert (found.reason, found.state) == ("unreadable", "waiting")
    assert "secret" not in repr(found)
