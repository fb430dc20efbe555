"""Who hears of referrals, and when: providers' streams and webhooks, in this process's own time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from aiokafka import AIOKafkaConsumer

from shared.vocabulary import Role
from tests.bench.site import referral_of
from tests.bench.wire import Wire, events, post
from tests.support.receiver import Receiver
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from tests.bench.site import Site
    from tests.support.receiver import Received

HEARD = "referral-assigned"


class _Referral(msgspec.Struct):
    referral_id: str


class _Told(msgspec.Struct):
    type: str
    referral: _Referral


class _Posted(msgspec.Struct):
    type: str
    data: _Referral


_streamed = msgspec.json.Decoder(_Told)
_posted = msgspec.json.Decoder(_Posted)


@dataclass(slots=True)
class Ear:
    """When each referral was first heard of (seconds of `time.perf_counter`)."""

    at: dict[str, float] = field(default_factory=dict)

    def hear(self, referral_id: str) -> None:
        self.at.setdefault(referral_id, time.perf_counter())

    def take(self, request: Received) -> int:
        """Answer a webhook."""
        told = _posted.decode(request.body)
        if told.type == HEARD:
            self.hear(told.data.referral_id)
        return 200


@asynccontextmanager
async def streaming(
    site: Site, providers: Iterable[str], after: Mapping[str, int] | None = None
) -> AsyncIterator[Ear]:
    """Follow the feeds of providers, from their beginning or `after`, so that nothing is missed.

    Raises:
        OSError, WireError: a feed could not be followed to the end, whatever came of it.

    """
    ear, since = Ear(), after or {}
    tasks = [asyncio.create_task(_follow(site, p, ear, since.get(p, 0))) for p in providers]
    try:
        yield ear
    finally:
        lost = [error for task in tasks if task.done() and (error := task.exception())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if lost:
            raise lost[0]


async def _follow(site: Site, provider: str, ear: Ear, after: int) -> None:
    """Hear a feed; when the server ends the stream, as a busy one does, go on where it was."""
    headers = site.bearer(Role.PROVIDER_SYSTEM, provider)
    while True:
        path = f"/referral/v1/referrals/stream?after={after}"
        async for number, data in events(site.urls["referral"], path, headers):
            told = _streamed.decode(data)
            if told.type == HEARD:
                ear.hear(told.referral.referral_id)
            after = number


@asynccontextmanager
async def hooked(site: Site, providers: Iterable[str]) -> AsyncIterator[Ear]:
    """Take webhooks for providers."""
    ear = Ear()
    async with Receiver(ear.take) as receiver:
        made = [
            (provider, await site.subscribe(provider, f"{receiver.url}/{provider}", [HEARD]))
            for provider in providers
        ]
        try:
            yield ear
        finally:
            for provider, subscription in made:
                with contextlib.suppress(OSError):
                    await site.unsubscribe(provider, subscription)


@asynccontextmanager
async def reading(site: Site, providers: Sequence[str]) -> AsyncIterator[Ear]:
    """Read the topics of providers, each filled for its own subscription."""
    ear, made = Ear(), []
    for provider in providers:
        await asyncio.to_thread(site.stack.pashe, "kafka", "grant", "provider", provider)
        made.append((provider, await site.subscribe(provider, None, [HEARD])))
    consumer = AIOKafkaConsumer(
        *(f"provider.{provider}" for provider in providers), **site.stack.kafka_login().client()
    )
    await consumer.start()
    task = asyncio.create_task(_read(consumer, ear))
    try:
        yield ear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()
        for provider, subscription in made:
            with contextlib.suppress(OSError):
                await site.unsubscribe(provider, subscription)


async def _read(consumer: AIOKafkaConsumer, ear: Ear) -> None:
    async for record in consumer:
        ear.hear(_posted.decode(record.value).data.referral_id)


@asynccontextmanager
async def flooding(site: Site, provider: str, lanes: int) -> AsyncIterator[list[int]]:
    """Have all of a provider's feed sent again and again, to so many webhooks of it.

    Give a list whose one item is how many came.
    """
    came = [0]

    def take(_: Received) -> int:
        came[0] += 1
        return 200

    async with Receiver(take) as receiver:
        made = [await site.subscribe(provider, receiver.url, [HEARD]) for _ in range(lanes)]

        async def flood() -> None:
            while True:
                await asyncio.gather(*(site.replay(provider, one) for one in made))
                await asyncio.sleep(0.2)

        task = asyncio.create_task(flood())
        try:
            yield came
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for one in made:
                await site.unsubscribe(provider, one)


@dataclass(slots=True)
class Sent:
    """When each referral's report was accepted, and how long each answer took."""

    at: dict[str, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    refused: int = 0


async def send(
    site: Site, bodies: Sequence[bytes], need: str, rate: float, seconds: float, wires: int = 8
) -> Sent:
    """Send reports of one need at an even rate, whatever the answers do; note each acceptance."""
    sent = Sent()
    headers = site.partner
    free: asyncio.Queue[Wire] = asyncio.Queue()
    opened = [await Wire.open(site.urls["intake"]) for _ in range(wires)]
    for wire in opened:
        free.put_nowait(wire)
    rendered = itertools.cycle([post("/intake/v1/reports", headers, body) for body in bodies])
    begun = time.perf_counter()

    async def one(wire: Wire) -> None:
        started = time.perf_counter()
        answer = await wire.send(next(rendered))
        accepted = time.perf_counter()
        sent.took.append(accepted - started)
        free.put_nowait(wire)
        if answer.status == 201:
            case_id = msgspec.json.decode(answer.body)["case_ids"][0]
            sent.at[referral_of(case_id, need)] = accepted
        else:
            sent.refused += 1

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                group.create_task(one(await free.get()))
    finally:
        for wire in opened:
            wire.close()
    return sent


async def latencies(sent: Sent, ear: Ear, within: float = 20.0) -> list[float]:
    """Return the seconds from acceptance to hearing of all that was sent, sorted.

    Raises:
        AssertionError: something was not heard of in time.
        RuntimeError: something was refused.

    """
    await eventually(lambda: sent.at.keys() <= ear.at.keys(), within, "hearing of every report")
    if sent.refused:
        message = f"{sent.refused} reports were refused"
        raise RuntimeError(message)
    return sorted(max(0.0, ear.at[key] - at) for key, at in sent.at.items())
