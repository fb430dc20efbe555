"""Outbox and relay on real Kafka and PostgreSQL: nothing lost, order kept, the dead replaced."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from shared import relay as relaying
from shared import telemetry
from shared.events import decode
from shared.kafka import PARTITIONS, KafkaLogin, partition_of
from shared.outbox import Stamp
from shared.relay import Relay
from tests.support.lab import AT, Lab, Recorder
from tests.support.processes import Child
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WRITERS = 20


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def relay_of(lab: Lab) -> asyncio.Task[None]:
    return asyncio.create_task(
        Relay(lab.schema, lab.url(), KafkaLogin(lab.kafka), (lab.topic,)).run()
    )


async def all_sent(lab: Lab) -> bool:
    rows = await lab.fetch("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
    return bool(rows[0][0] == 0)


async def logged(lab: Lab) -> dict[str, list[int]]:
    """Return the sequences of each subject in the order of the log, as it is."""
    found: dict[str, list[int]] = defaultdict(list)
    for partition, records in (await lab.log()).items():
        for record in records:
            event = decode(record.value)
            assert partition_of(event.subject.encode()) == partition
            found[event.subject].append(event.sequence)
    return dict(found)


async def test_twenty_writers_with_random_commit_times_lose_and_invert_nothing(lab: Lab) -> None:
    subjects = [str(uuid4()) for _ in range(30)]
    order: list[tuple[str, Any]] = []
    dice = random.Random(4)
    relay = relay_of(lab)

    async def write(count: int) -> int:
        written = 0
        for _ in range(count):
            chosen = sorted(dice.sample(subjects, dice.choice((1, 1, 2, 3))))
            async with lab.engine.begin() as conn:
                appended = await lab.outbox.append(
                    conn, [(lab.draft(s), Stamp(AT, "service:lab")) for s in chosen]
                )
                ids = [event_id for event_id, _ in appended]
                await asyncio.sleep(dice.random() * 0.03)  # a transaction of some length
                if dice.random() < 0.1:
                    await conn.rollback()
                    continue
                order.extend(zip(chosen, ids, strict=True))
                await conn.commit()
            written += len(chosen)
        return written

    written = sum(await asyncio.gather(*(write(25) for _ in range(WRITERS))))
    await eventually(lambda: all_sent(lab), 20, "an empty outbox")
    await end(relay)
    found = await logged(lab)
    assert sum(map(len, found.values())) == written, "0 lost, 0 doubled"
    for subject, sequences in found.items():
        assert sequences == list(range(1, len(sequences) + 1)), f"gap or inversion in {subject}"
    by_subject: dict[str, list[Any]] = defaultdict(list)
    for subject, event_id in order:
        by_subject[subject].append(event_id)
    rows = await lab.fetch("SELECT key, event_id FROM outbox ORDER BY id")
    stored: dict[str, list[Any]] = defaultdict(list)
    for key, event_id in rows:
        stored[bytes(key).decode()].append(event_id)
    assert dict(stored) == dict(by_subject), "ids follow the order of commits"


async def test_a_refused_batch_is_not_overtaken_by_the_next(lab: Lab) -> None:
    subject = str(uuid4())
    failures = telemetry.RELAY_FAILURES._value.get
    before = failures()
    await lab.limit_messages(2000)
    relay = relay_of(lab)
    await lab.append(lab.draft(subject, reason="x" * 4000))
    await eventually(lambda: failures() > before, what="the refusal")
    await lab.append(lab.draft(subject, reason="A2"))
    seen = failures()
    await eventually(lambda: failures() > seen + 1, what="two more tries")
    assert await lab.log() == {}, "A2 must wait for A1"
    await lab.limit_messages(1_000_000)
    await eventually(lambda: all_sent(lab), what="an empty outbox")
    await end(relay)
    assert await logged(lab) == {subject: [1, 2]}


async def test_a_producer_that_is_never_told_anything_is_given_up(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AIOKafkaProducer] = []

    class Kept(AIOKafkaProducer):  # type: ignore[misc]
        def __init__(self, **words: Any) -> None:
            super().__init__(**words)
            made.append(self)

    monkeypatch.setattr(relaying, "AIOKafkaProducer", Kept)
    monkeypatch.setattr(relaying, "UNANSWERED", 1.0)
    subject = str(uuid4())
    relay = relay_of(lab)
    await lab.append(lab.draft(subject))
    await eventually(lambda: all_sent(lab), what="the first")
    (stuck,) = made
    # As if a request to each broker waited for ever: no batch is handed out any more.
    stuck._sender._in_flight |= {broker.nodeId for broker in stuck.client.cluster.brokers()}
    await lab.append(lab.draft(subject), lab.draft(subject))
    await eventually(lambda: all_sent(lab), 45, "the rest, by another producer")
    assert len(made) == 2
    await eventually(stuck._sender.sender_task.done, 10, "the end of the first")
    await end(relay)
    assert await logged(lab) == {subject: [1, 2, 3]}


@pytest.mark.parametrize("idempotence", [False, True])
async def test_the_client_alone_inverts_two_batches_when_the_first_is_refused(
    lab: Lab, *, idempotence: bool
) -> None:
    """Why the relay waits: two in flight give [A2, A1], with idempotence on and off."""
    producer = AIOKafkaProducer(
        bootstrap_servers=lab.kafka, acks="all", enable_idempotence=idempotence
    )
    await producer.start()
    await lab.limit_messages(2000)

    def batch(value: bytes) -> Any:
        made = producer.create_batch()
        made.append(key=None, value=value, timestamp=None)
        return made

    try:
        first = await producer.send_batch(batch(b"A1" * 2000), lab.topic, partition=0)
        second = await producer.send_batch(batch(b"A2"), lab.topic, partition=0)
        with pytest.raises(MessageSizeTooLargeError):
            async with asyncio.timeout(5):
                await first
        async with asyncio.timeout(5):
            await second
        await lab.limit_messages(1_000_000)
        await (await producer.send_batch(batch(b"A1" * 2000), lab.topic, partition=0))
    finally:
        await producer.stop()
    assert [record.value[:2] for record in (await lab.log())[0]] == [b"A2", b"A1"]


async def test_an_event_that_could_never_be_sent_is_refused_when_it_is_appended(lab: Lab) -> None:
    subject = str(uuid4())
    with pytest.raises(ValueError, match="more than"):
        await lab.append(lab.draft(subject, reason="x" * 300_000))
    async with lab.engine.begin() as conn:
        with pytest.raises(UnicodeEncodeError):
            await lab.outbox.append(
                conn, [(lab.draft(subject), Stamp(AT, "service:lab", "\u0985"))]
            )
        await conn.rollback()
    assert await lab.fetch("SELECT 1 FROM outbox") == []


async def test_rows_in_an_outage_larger_than_a_batch_go_out_in_order(lab: Lab) -> None:
    subject = str(uuid4())
    for _ in range(6):
        await lab.append(*(lab.draft(subject, reason="x" * 2000) for _ in range(150)))
    relay = relay_of(lab)
    await eventually(lambda: all_sent(lab), what="an empty outbox")
    await end(relay)
    assert await logged(lab) == {subject: list(range(1, 901))}


async def test_a_lost_session_is_made_again_and_the_flow_goes_on(lab: Lab) -> None:
    subject = str(uuid4())
    relay = relay_of(lab)
    await lab.append(lab.draft(subject))
    await eventually(lambda: all_sent(lab))
    admin = await asyncpg.connect(lab.admin)
    assert await admin.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1",
        f"{lab.schema} relay",
    )
    await admin.close()
    await lab.append(lab.draft(subject))
    await eventually(lambda: all_sent(lab), 5)
    await end(relay)
    assert set((await logged(lab))[subject]) == {1, 2}


class Load:
    """Appends one event for each of many subjects, again and again, until it is stopped."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.subjects = [str(uuid4()) for _ in range(24)]
        self.rounds = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._lab.append(*(self._lab.draft(s) for s in self.subjects))
            self.rounds += 1
            await asyncio.sleep(0.02)

    async def stop(self) -> dict[str, list[int]]:
        """Stop between two rounds; return what must have been handled."""
        await end(self._task)
        rows = await self._lab.fetch("SELECT max(sequence) FROM outbox_heads")
        return {s: list(range(1, rows[0][0] + 1)) for s in self.subjects}


async def holder(lab: Lab) -> set[int]:
    """Return the database sessions that hold all shards, if they do."""
    rows = await lab.fetch(
        "SELECT pid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND pid IN (SELECT pid FROM pg_stat_activity WHERE application_name = $1) GROUP BY 1",
        f"{lab.schema} relay",
    )
    return {row[0] for row in rows if row[1] == PARTITIONS}


async def moved(lab: Lab, old: set[int]) -> bool:
    now = await holder(lab)
    return bool(now) and not now & old


async def catches_up(lab: Lab, load: Load) -> None:
    goal = load.rounds + 5

    async def look() -> bool:
        rows = await lab.fetch("SELECT min(sequence) FROM inbox_heads")
        return bool((rows[0][0] or 0) >= goal)

    await eventually(look, 20, "the flow after the failover")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_standby_takes_over_from_a_killed_and_from_a_frozen_holder(
    lab: Lab, tmp_path: Path
) -> None:
    def child(name: str) -> Child:
        env = lab.environment(LAB_RELAY="1", REPLICA=name)
        return Child("tests.support.lab", env, tmp_path / f"{name}.log")

    handler = Recorder(f"{lab.schema}.one")
    async with lab.consuming(handler):
        with child("a") as first:
            await eventually(lambda: holder(lab), 45, "the first holder")
            load = Load(lab)
            await catches_up(lab, load)
            with child("b") as second, child("c") as third:
                await eventually(lambda: _relays(lab, 3), 45, "the standbys")
                await _fails_over(lab, lambda: first.send(signal.SIGKILL), within=10)
                await catches_up(lab, load)
                frozen = await _child_of_holder(lab, (second, third))
                async with _marks_wait(lab):  # what it sent is not marked yet: it is sent again
                    await eventually(lambda: _handled_unmarked(lab), 5, "sent and not marked")
                    await _fails_over(lab, lambda: frozen.send(signal.SIGSTOP), within=20)
                frozen.send(signal.SIGCONT)
                await eventually(lambda: _relays(lab, 2), 20, "the thawed one as standby")
                await catches_up(lab, load)
                wanted = await load.stop()
                await eventually(lambda: all_sent(lab), 10)
                await eventually(lambda: _handled(lab, wanted), 10)
    assert await lab.sequences() == wanted
    assert await lab.parked() == []
    raw = sum(map(len, (await logged(lab)).values()))
    assert raw > sum(map(len, wanted.values())), "the failover must have sent something twice"


@asynccontextmanager
async def _marks_wait(lab: Lab) -> AsyncIterator[None]:
    """Let every UPDATE of the outbox wait while the block runs."""
    owner = await asyncpg.connect(lab.url("owner"))
    await owner.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(424242); RETURN NEW; END $$;"
        "CREATE TRIGGER wait BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION wait();"
        "SELECT pg_advisory_lock(424242)"
    )
    try:
        yield
    finally:
        await owner.close()


async def _handled_unmarked(lab: Lab) -> bool:
    return bool(
        await lab.fetch("SELECT 1 FROM outbox JOIN effects USING (event_id) WHERE sent_at IS NULL")
    )


async def _fails_over(lab: Lab, strike: Callable[[], None], within: float) -> None:
    old = await holder(lab)
    strike()
    struck = time.monotonic()
    await eventually(lambda: moved(lab, old), what="another holder")
    took = time.monotonic() - struck
    print(f"failover in {took:.1f} s")
    assert took < within


async def _relays(lab: Lab, wanted: int) -> bool:
    rows = await lab.fetch(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", f"{lab.schema} relay"
    )
    return bool(rows[0][0] == wanted)


async def _child_of_holder(lab: Lab, children: tuple[Child, ...]) -> Child:
    (pid,) = await holder(lab)
    rows = await lab.fetch("SELECT client_port FROM pg_stat_activity WHERE pid = $1", pid)
    for child in children:
        for link in psutil.Process(child.pid).net_connections("tcp"):
            if link.laddr.port == rows[0][0]:
                return child
    message = "no child holds the shards"
    raise AssertionError(message)


async def _handled(lab: Lab, wanted: dict[str, list[int]]) -> bool:
    return len(await lab.effects()) >= sum(map(len, wanted.values()))
