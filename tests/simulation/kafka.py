"""A Kafka in memory, as far as the product uses one, with the failures that one has.

Batches that are refused, written twice, written without an answer, or written after their sender's
death; groups whose members come and go while a batch is in hand; committed offsets that go back.
The clients have the methods of aiokafka's that the product calls, and FastStream's subscriber.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NotLeaderForPartitionError,
    RequestTimedOutError,
)

from shared.kafka import PARTITIONS
from tests.simulation.world import here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.simulation.world import Process, World

Record: TypeAlias = ConsumerRecord[Any, Any]

SESSION = 10.0
"""Seconds after which a member that is dead or frozen has left its group."""


@dataclass(eq=False)
class Broker:
    """The log and the groups."""

    world: World
    log: dict[TopicPartition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[str, Group] = field(default_factory=dict)
    down_until: float = 0.0
    network: set[asyncio.Task[None]] = field(default_factory=set)
    waiting: dict[asyncio.Future[None], None] = field(default_factory=dict)  # in their order

    def must_be_up(self) -> None:
        if asyncio.get_running_loop().time() < self.down_until:
            raise KafkaConnectionError("no broker")

    def write(self, place: TopicPartition, entries: Sequence[Mapping[str, Any]]) -> None:
        for entry in entries:
            made = ConsumerRecord(
                topic=place.topic,
                partition=place.partition,
                offset=len(self.log[place]),
                timestamp=0,
                timestamp_type=0,
                key=entry["key"],
                value=entry["value"],
                checksum=None,
                serialized_key_size=0,
                serialized_value_size=0,
                headers=tuple(entry["headers"]),
            )
            self.log[place].append(made)
        self.world.note("log", place.topic, place.partition, len(self.log[place]))
        for future in self.waiting:
            if not future.done():
                future.set_result(None)

    async def news(self, seconds: float) -> None:
        """Wait until something is written, at most so long."""
        future = asyncio.get_running_loop().create_future()
        self.waiting[future] = None
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            del self.waiting[future]


class Batch:
    """What a producer fills; how much it takes is the world's choice."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.entries: list[dict[str, Any]] = []

    def append(self, **entry: Any) -> object | None:
        if len(self.entries) >= self.room:
            return None
        self.entries.append(entry)
        return self


class Producer:
    """aiokafka's producer, without idempotence: each batch goes its own way."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self) -> None:
        await self._broker.world.step("producer starts")
        self._broker.must_be_up()

    async def stop(self) -> None:
        """Stop; what is under way still arrives."""

    def create_batch(self) -> Batch:
        return Batch(self._broker.world.dice.choice((1, 2, 3, 100)))

    async def send_batch(
        self, batch: Batch, topic: str, *, partition: int
    ) -> asyncio.Future[Record]:
        await self._broker.world.step(f"send {topic} {partition}")
        self._broker.must_be_up()
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda f: f.cancelled() or f.exception())  # nobody may ask
        place = TopicPartition(topic, partition)
        task = asyncio.create_task(self._deliver(place, batch, future))
        self._broker.network.add(task)
        task.add_done_callback(self._broker.network.discard)
        return future

    async def _deliver(
        self, place: TopicPartition, batch: Batch, future: asyncio.Future[Record]
    ) -> None:
        world = self._broker.world
        await asyncio.sleep(world.dice.random() * world.dice.choice((0.002, 0.02, 0.3)))
        if asyncio.get_running_loop().time() < self._broker.down_until:
            error: KafkaError | None = KafkaConnectionError("no broker")
        elif world.happens("send_refused"):
            error = NotLeaderForPartitionError()
        else:
            error = None
            for _ in range(2 if world.happens("doubled") else 1):
                self._broker.write(place, batch.entries)
            if world.happens("ack_lost"):
                await asyncio.sleep(world.dice.choice((5.0, 20.0)))
                error = RequestTimedOutError()
        await asyncio.sleep(world.dice.random() * 0.01)
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(self._broker.log[place][-1])


@dataclass(eq=False)
class Group:
    """A consumer group: who is in it, who reads what, how far they are."""

    broker: Broker
    topics: tuple[str, ...]
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    members: dict[str, Consumer] = field(default_factory=dict)
    shares: dict[str, set[TopicPartition]] = field(default_factory=dict)
    generation: int = 0

    def rebalance(self) -> None:
        """Share everything out anew; a member learns of it when it asks again."""
        self.generation += 1
        names = sorted(self.members)
        self.shares = {name: set() for name in names}
        places = [TopicPartition(t, p) for t in self.topics for p in range(PARTITIONS)]
        for n, place in enumerate(places):
            self.shares[names[n % len(names)]].add(place)
        self.broker.world.note("rebalance", *names)

    def look(self) -> None:
        """Let go of members that are dead or frozen for long."""
        now = asyncio.get_running_loop().time()
        gone = [name for name, member in self.members.items() if now > member.heard() + SESSION]
        for name in gone:
            del self.members[name]
        if gone or self.broker.world.happens("rebalance"):
            self.rebalance()


class Consumer:
    """aiokafka's consumer; without a group it reads what it is assigned."""

    def __init__(self, broker: Broker, group: Group | None = None, instance: str = "") -> None:
        self._broker = broker
        self._group = group
        self._instance = instance
        self._process: Process = here()
        self._generation = -1
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._heard = 0.0
        self.on_change: Any = None
        if group is not None:
            group.members[instance] = self
            self._heard = asyncio.get_running_loop().time()
            group.rebalance()

    def heard(self) -> float:
        """When the group heard of it last: its heart beats while its process runs."""
        now = asyncio.get_running_loop().time()
        if not self._process.dead and self._process.frozen_until <= now:
            self._heard = now
        return self._heard

    async def start(self) -> None:
        await self._broker.world.step("reader starts")
        self._broker.must_be_up()

    async def stop(self) -> None:
        """Nothing is left of it."""

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def assign(self, places: Iterable[TopicPartition]) -> None:
        self._positions = dict.fromkeys(places, 0)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *places: TopicPartition) -> None:
        self._paused |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        self._paused -= set(places)

    def seek(self, place: TopicPartition, offset: int) -> None:
        if place not in self._positions:
            raise IllegalStateError(place)
        self._positions[place] = offset

    async def position(self, place: TopicPartition) -> int:
        if place not in self._positions:
            raise IllegalStateError(place)
        return self._positions[place]

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self._broker.world.step("ends")
        self._broker.must_be_up()
        return {place: len(self._broker.log[place]) for place in places}

    async def getmany(
        self, *, timeout_ms: int = 0, max_records: int = 1000
    ) -> dict[TopicPartition, list[Record]]:
        await self._broker.world.step("poll")
        await self._join()
        found = self._take(max_records)
        if not found and timeout_ms:
            await self._broker.news(timeout_ms / 1000)
            await self._broker.world.step("polled")
            await self._join()
            found = self._take(max_records)
        return found

    def _take(self, room: int) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        if asyncio.get_running_loop().time() < self._broker.down_until:
            return found
        for place, at in self._positions.items():
            log = self._broker.log[place]
            if place in self._paused or at >= len(log) or not room:
                continue
            found[place] = log[at : at + min(room, self._broker.world.dice.choice((1, 3, 200)))]
            room -= len(found[place])
            self._positions[place] = at + len(found[place])
        return found

    async def _join(self) -> None:
        """Learn of a rebalance, as a member does between two polls."""
        group = self._group
        if group is None:
            return
        if group.members.get(self._instance) is not self:
            group.members[self._instance] = self
            group.rebalance()
        group.look()
        if self._generation == group.generation:
            return
        if self.on_change is not None and self._positions:
            await self.on_change.on_partitions_revoked(self.assignment())
        self._generation = group.generation
        self._paused.clear()
        self._positions = {}
        for place in sorted(group.shares.get(self._instance, ())):
            at = group.committed.get(place, 0)
            if at and self._broker.world.happens("rewound"):
                at = self._broker.world.dice.randrange(at)
            self._positions[place] = at
        if self.on_change is not None:
            await self.on_change.on_partitions_assigned(self.assignment())

    async def commit(self, ends: Mapping[TopicPartition, int]) -> None:
        await self._broker.world.step("commit offsets")
        self._broker.must_be_up()
        assert self._group is not None
        if self._generation != self._group.generation:
            raise CommitFailedError("the group has rebalanced")
        self._group.committed.update(ends)


class Subscriber:
    """What FastStream makes of a subscriber: asks for a batch, gives it to the handler, again."""

    def __init__(self, broker: Broker, topics: Sequence[str], told: Mapping[str, Any]) -> None:
        name = told["group_id"]
        group = broker.groups.setdefault(name, Group(broker, tuple(topics)))
        self.consumer = Consumer(broker, group, told["group_instance_id"])
        self.consumer.on_change = told["listener"]
        self._handler: Any = None
        self.get_msg: Any = None

    def __call__(self, handler: Callable[..., Any]) -> None:
        self._handler = handler

    async def run(self) -> None:
        while True:
            try:
                records = await self.get_msg(self.consumer)
            except KafkaError:
                await asyncio.sleep(1)
                continue
            if records:
                await self._handler(records)


class Subscribing:
    """What FastStream's broker is to the product: it makes subscribers."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.made: list[Subscriber] = []

    def subscriber(self, *topics: str, **told: Any) -> Subscriber:
        self.made.append(Subscriber(self._broker, topics, told))
        return self.made[-1]
