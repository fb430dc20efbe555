"""Where planted words are looked for: every place in which a stack leaves something."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events import STREAMS
from shared.kafka import PARTITIONS
from shared.vocabulary import Role
from tests.support.canary import Searcher, Sink, phones
from tests.support.canary_words import BANGLA, FORGED, NAME, NUMBER_BEGINS, PLACE
from tests.support.stack import SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from tests.support.canary_world import World
    from tests.support.receiver import Received

WORDS: Final = (NAME, BANGLA, *PLACE)
TOLD: Final = (*WORDS, *phones(NUMBER_BEGINS))
EVERYTHING: Final = Searcher(TOLD)
ALL_AND_FORGED: Final = Searcher((*TOLD, FORGED))
WORDS_ONLY: Final = Searcher(WORDS)
ROLES: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.AUDITOR, Role.OPERATIONS)
LISTS: Final = (
    *("/intake/v1/submissions", "/intake/v1/cases", "/intake/v1/tasks", "/intake/v1/duty"),
    *("/referral/v1/referrals", "/notification/v1/notices", "/notification/v1/subscriptions"),
)
HISTORY: Final = ("/audit/v1/entries", "/audit/v1/log")
LOGS: Final = "logs: services, supervisor, proxy, Kafka, DB"

FOLDERS: Final = {
    LOGS: ("logs", ALL_AND_FORGED),
    "Kafka's folders": ("kafka", EVERYTHING),
    "PostgreSQL's files": ("postgres/base", EVERYTHING),
    "PostgreSQL's write-ahead log": ("postgres/pg_wal", EVERYTHING),
    "SMS outbox: words only, numbers may be there": ("sms", WORDS_ONLY),
}
"""Which folder, and what must not be in it."""


@dataclass(slots=True)
class Places:
    """Everything that a world leaves behind."""

    world: World

    async def search(self) -> list[Sink]:
        """Search every place, and return what was looked at."""
        home = self.world.stack.home
        conn = await self.world.superuser()
        try:
            found = [await self.columns(conn, service) for service in SERVICES]
            await conn.execute("CHECKPOINT")
        finally:
            await conn.close()
        found += await self.folders(*FOLDERS)
        rest = Sink("the rest of the state folder")
        inner = ("logs", "kafka", "postgres", "sms", "cache")
        others = [
            p for p in home.rglob("*") if p.is_file() and p.relative_to(home).parts[0] not in inner
        ]
        rest.add_files(ALL_AND_FORGED, others)
        return [*found, rest, *await self.said(), *self.shown()]

    async def folders(self, *names: str) -> list[Sink]:
        """Search every file of these folders; Kafka's indexes hold numbers of records alone."""
        found = []
        for name in names:
            folder, searcher = FOLDERS[name]
            inside = (self.world.stack.home / folder).rglob("*")
            paths = [p for p in inside if p.is_file() and not p.name.endswith("index")]
            sink = Sink(name)
            await asyncio.to_thread(sink.add_files, searcher, paths)
            found.append(sink)
        return found

    async def columns(self, conn: asyncpg.Connection[Any], service: str) -> Sink:
        """Search every column of every table of a schema, as text."""
        sink = Sink(f"columns of {service}")
        tables = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace"
            " AND relkind = 'r' ORDER BY 1",
            service,
        )
        for (name,) in tables:
            parts: list[bytes] = []

            async def keep(part: bytes, into: list[bytes] = parts) -> None:
                into.append(part)

            await conn.copy_from_query(f'SELECT * FROM {service}."{name}"', output=keep)
            sink.add(EVERYTHING, b"".join(parts), name)
        return sink

    async def said(self) -> list[Sink]:
        """Search what the stack said to others: metrics, traces, webhooks, streams, answers."""
        metrics, traces, hooks = Sink("metrics"), Sink("traces"), Sink("webhooks")
        for service in SERVICES:
            answer = self.world.teller.http.get(f"{self.world.stack.url(service)}/metrics")
            metrics.add(ALL_AND_FORGED, answer.content, service)
        for sink, requests in (
            (traces, self.world.collector.received),
            (hooks, self.world.hook.received),
        ):
            for request in requests:
                sink.add(ALL_AND_FORGED, _whole(request), request.path)
        streams, errors = Sink("event streams"), Sink("error bodies and headers")
        streams.add(ALL_AND_FORGED, b"".join(self.world.streamed), self.world.provider)
        for refused in self.world.teller.refused:
            told = b"".join(b"%s: %s\n" % pair for pair in refused.headers.raw)
            where = f"{refused.request.method} {refused.status_code}"
            errors.add(ALL_AND_FORGED, told + refused.content, where)
        copies = Sink("copies of pictures, as they are shown")
        for copy in self.world.copies:
            copies.add(EVERYTHING, copy, "a copy")
        records = Sink("Kafka's records, decoded")
        async for record in self.records():
            headers = b"".join(name.encode() + (v or b"") for name, v in record.headers)
            content = (record.key or b"") + (record.value or b"") + headers
            records.add(EVERYTHING, content, f"{record.topic} {record.offset}")
        return [metrics, traces, hooks, streams, errors, copies, records]

    def shown(self) -> list[Sink]:
        """Search what staff and operators see in lists, and what processes are called."""
        lists, history = Sink("lists that staff see"), Sink("the history, as its readers see it")
        for role in ROLES:
            for sink, searcher, paths in (
                (lists, ALL_AND_FORGED, LISTS),
                (history, EVERYTHING, HISTORY),
            ):
                for path in paths:
                    for content in self.pages(path, self.world.desk(role)):
                        sink.add(searcher, content, f"{path} as {role}")
        commands, processes = Sink("the command line"), Sink("processes")
        for words in (("status", "--json"), ("parked", "list", "--all"), ("logs", "intake")):
            commands.add(ALL_AND_FORGED, self.world.stack.pashe(*words).encode(), " ".join(words))
        for part in self.world.stack.status()["parts"]:
            process = psutil.Process(part["pid"])
            words_of = "\n".join((*process.cmdline(), *process.environ().values()))
            processes.add(ALL_AND_FORGED, words_of.encode(), part["name"])
        return [lists, history, commands, processes]

    def pages(self, path: str, headers: dict[str, str]) -> list[bytes]:
        found, after = [], None
        for _ in range(30):
            query = {"limit": 200} | ({"after": after} if after else {})
            answer = self.world.teller.http.get(path, params=query, headers=headers)
            assert answer.status_code in (200, 403), (path, answer.text)
            found.append(answer.content)
            after = answer.json().get("next") if answer.is_success else None
            if not after:
                break
        return found

    async def records(self) -> AsyncIterator[Any]:
        places = [TopicPartition(topic, p) for topic in STREAMS for p in range(PARTITIONS)]
        login = self.world.stack.kafka_login().client()
        consumer = AIOKafkaConsumer(**login, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(p) < ends[p] for p in places if ends[p]]):
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    for record in batch:
                        yield record
        finally:
            await consumer.stop()


def _whole(request: Received) -> bytes:
    headers = "".join(f"{name}: {value}\n" for name, value in request.headers.items())
    return f"{request.path}\n{headers}".encode() + request.body
