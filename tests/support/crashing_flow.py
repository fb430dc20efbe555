"""Kills a relay, or a consumer, with SIGKILL at every place where it waits, one after the other.

Run as a process of its own in the environment of a lab (`Lab.environment`), with `relay` or
`consumer` and every how many points one is to be tried. Each turn has new events, a life that dies
at its n-th wait, and one that lives, as after a restart; of a consumer also a second death at the
same point, in the life that tries what the dead one left. `CRASH_AT` names one point alone. Prints
for each turn whether it died, as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.consumer import DurableConsumer
from shared.database import make_engine
from shared.events import CaseFacts, Draft
from shared.kafka import PARTITIONS, KafkaLogin
from shared.outbox import Outbox, Stamp
from shared.relay import Relay
from shared.signing import Signer
from tests.support.dying import life
from tests.support.lab import AT, Recorder
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

URL, KAFKA = os.environ["DATABASE_URL"], os.environ["KAFKA_BOOTSTRAP"]
SCHEMA, TOPIC = os.environ["LAB_SCHEMA"], os.environ["LAB_TOPIC"]
GROUP = f"{SCHEMA}.one"
RELAY = ("shared/relay.py",)
CONSUMER = ("tests/support/crashing_flow.py",)


async def append(subject: str) -> None:
    """Append two events of a case."""
    engine = make_engine(URL, size=1, name="crash")
    facts = CaseFacts(report_id=uuid4(), channel="web")
    outbox = Outbox(SCHEMA, Signer(b"s" * 32))
    async with engine.begin() as conn:
        drafts = [Draft(TOPIC, "case-updated", subject, facts) for _ in range(2)]
        await outbox.append(conn, [(draft, Stamp(AT, "service:lab")) for draft in drafts])
    await engine.dispose()


async def relay() -> None:
    """Relay until nothing is unsent."""
    task = asyncio.create_task(Relay(SCHEMA, URL, KafkaLogin(KAFKA), (TOPIC,)).run())
    conn = await asyncpg.connect(URL)
    unsent = "SELECT count(*) = 0 FROM outbox WHERE sent_at IS NULL"
    await eventually(lambda: conn.fetchval(unsent), what="an empty outbox", every=0.01)
    await conn.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def send(subject: str) -> None:
    """Write what the outbox has of a subject to the log, as the relay does."""
    conn = await asyncpg.connect(URL)
    rows = await conn.fetch("SELECT * FROM outbox WHERE key = $1 ORDER BY id", subject.encode())
    await conn.close()
    producer = AIOKafkaProducer(bootstrap_servers=KAFKA)
    await producer.start()
    for row in rows:
        headers = [("type", row["type"].encode()), ("needs", b"")]
        place = {"partition": row["partition"], "key": row["key"], "value": row["value"]}
        await producer.send_and_wait(TOPIC, headers=headers, **place)
    await producer.stop()


async def consume() -> None:
    """Handle what the group has not yet, and commit; the consumer is assigned, without a group's
    members, so that a death costs no wait for them."""
    engine = make_engine(URL, size=2, name="crash")
    durable: DurableConsumer[Any] = DurableConsumer(
        GROUP, (TOPIC,), Recorder(GROUP, process=str(os.getpid())), engine, guards=True
    )
    reader = AIOKafkaConsumer(
        bootstrap_servers=KAFKA,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await reader.start()
    places = [TopicPartition(TOPIC, p) for p in range(PARTITIONS)]
    reader.assign(places)
    ends = await reader.end_offsets(places)
    durable._subscriber = SimpleNamespace(consumer=reader)
    await asyncio.create_task(handle_all(durable, reader, ends))
    await reader.stop()
    await engine.dispose()


async def handle_all(durable: DurableConsumer[Any], reader: Any, ends: dict[Any, int]) -> None:
    """Poll, handle and commit as the client does, until the ends are reached: what dies."""
    at = {place: await reader.position(place) for place in ends}
    while any(at[place] < end for place, end in ends.items()):
        if records := await durable._poll(reader):
            await durable.handle(records)
        at = {place: await reader.position(place) for place in ends}
    await durable.commit()


Work = tuple[
    "Callable[[str], Coroutine[Any, Any, None]]", "Callable[[], Coroutine[Any, Any, None]]"
]


def main() -> None:
    """Go on until a life reaches its end three times: it has no point so far along."""
    part, every = sys.argv[1], int(sys.argv[2])
    only = int(os.environ.get("CRASH_AT", "0"))
    files, work = (RELAY, relay) if part == "relay" else (CONSUMER, consume)
    at, lived = only or 1, 0
    while lived < 3:
        subject = str(uuid4())
        asyncio.run(append(subject))
        if part == "consumer":
            asyncio.run(send(subject))
        deaths = [life(at, files, work)]
        if part == "consumer" and deaths[0]:
            deaths.append(life(at, files, work))  # in what the dead one left
        life(0, files, work)
        print(json.dumps({"at": at, "deaths": deaths, "subject": subject}), flush=True)
        lived = 0 if deaths[0] else lived + 1
        if only:
            break
        at += every if deaths[0] else 1


if __name__ == "__main__":
    main()
