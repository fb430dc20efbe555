"""The notification service as a process under test, and a provider's receiver on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer

from deploy.local.keys import make_keys
from shared.access import make_token
from shared.clock import new_event_id
from shared.events import REFERRALS, Draft, ReferralFacts, encode, headers_of
from shared.kafka import partition_of
from shared.vocabulary import Role
from tests.support.platform import fresh_database
from tests.support.processes import Child
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.support.platform import Database

BASE = "/notification/v1"


@dataclass(frozen=True, slots=True)
class Ground:
    """Addresses and keys for the service's processes."""

    database: Database
    kafka: str
    keys: Path
    port: int

    @property
    def admin(self) -> str:
        return self.database.admin

    @property
    def seed(self) -> bytes:
        return bytes.fromhex((self.keys / "pashe" / "tokens.key").read_text().strip())

    def environment(self) -> dict[str, str]:
        urls = self.database.urls("notification")
        del urls["DATABASE_OWNER_URL"]
        return {
            **urls,
            "KAFKA_BOOTSTRAP": self.kafka,
            "KEYS_DIR": str(self.keys / "notification"),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.port),
            "PASHE_PUBLIC_URL": "https://centre.org",
        }


@dataclass(frozen=True, slots=True)
class Got:
    """One webhook as it came."""

    id: str
    cursor: int
    headers: dict[str, str]
    body: bytes
    at: float


Reply = tuple[int, dict[str, str]]


@dataclass(slots=True)
class Hook:
    """An HTTP server that keeps what it gets and answers as `answer` says."""

    answer: Callable[[Got], Awaitable[Reply]] | None = None
    got: list[Got] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set[Any] = field(default_factory=set)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"

    @property
    def cursors(self) -> list[int]:
        return [one.cursor for one in self.got]

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.got]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {}
                for line in head[1:]:
                    name, _, value = line.partition(":")
                    headers[name.strip().lower()] = value.strip()
                body = await reader.readexactly(int(headers["content-length"]))
                cursor = json.loads(body)["data"]["cursor"]
                got = Got(headers["webhook-id"], cursor, headers, body, time.monotonic())
                self.got.append(got)
                status, more = await self.answer(got) if self.answer else (204, {})
                lines = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(f"HTTP/1.1 {status} x\r\n{lines}content-length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()


@dataclass(slots=True)
class Centre:
    """The notification service as a process, and the rest of the centre as this test plays it."""

    ground: Ground
    env: dict[str, str]
    log: Path
    child: Child | None = None

    def start(self) -> None:
        self.child = Child("services.notification.main", self.env, self.log)

    def kill(self) -> None:
        assert self.child is not None
        self.child.send(signal.SIGKILL)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.env['HTTP_PORT']}"

    async def ready(self) -> None:
        """Wait until it serves and its consumer has its partitions."""

        async def look() -> bool:
            assert self.child is not None
            assert self.child.running(), self.child.said()
            async with httpx.AsyncClient(timeout=10) as client:
                with contextlib.suppress(httpx.HTTPError):
                    report = (await client.get(f"{self.url}/ready")).json()
                    return bool(report["ready"] and report["kafka"])
            return False

        await eventually(look, 90, "the service's readiness")

    def system(self, provider: str) -> httpx.AsyncClient:
        """Return a client that speaks as a provider's system."""
        return self.client(Role.PROVIDER_SYSTEM, provider)

    def client(self, role: Role, org: str | None = None) -> httpx.AsyncClient:
        token = make_token(self.ground.seed, role, org=org)
        return httpx.AsyncClient(
            base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=20
        )

    async def subscribe(self, provider: str, url: str, *types: str) -> dict[str, Any]:
        async with self.system(provider) as client:
            body = {"url": url, "types": list(types)} if types else {"url": url}
            made = await client.post(f"{BASE}/subscriptions", json=body)
        assert made.status_code == 201, made.text
        answer: dict[str, Any] = made.json()
        return answer

    async def show(self, provider: str, subscription: str) -> dict[str, Any]:
        async with self.system(provider) as client:
            found: dict[str, Any] = (
                await client.get(f"{BASE}/subscriptions/{subscription}")
            ).json()
        return found

    async def notices(self, provider: str, **query: str) -> list[dict[str, Any]]:
        async with self.system(provider) as client:
            answer = await client.get(f"{BASE}/notices", params={"limit": "200", **query})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def metric(self, start: str) -> float:
        """Return the sum of the values of this process's metrics that begin like this."""
        async with httpx.AsyncClient() as client:
            lines = (await client.get(f"{self.url}/metrics")).text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(start))

    async def told(self, subscription: str) -> list[tuple[str, str | None]]:
        """Return type and reason of this subscription's events in the outbox, in order."""
        conn = await asyncpg.connect(self.env["DATABASE_URL"])
        rows = await conn.fetch("SELECT value FROM outbox WHERE topic = 'notices' ORDER BY id")
        await conn.close()
        events = [json.loads(row["value"]) for row in rows]
        return [
            (event["type"], event["data"]["reason"])
            for event in events
            if event["data"].get("subscription_id") == subscription
        ]

    async def owner_told(self, subscription: str) -> str:
        """Return whose a subscription was that ended, as its event says."""
        conn = await asyncpg.connect(self.env["DATABASE_URL"])
        value = await conn.fetchval(
            "SELECT value FROM outbox WHERE type = 'subscription-disabled' AND key = $1",
            subscription.encode(),
        )
        await conn.close()
        found: str = json.loads(value)["data"]["provider_id"]
        return found


def referral(provider: str, seq: int, **changes: Any) -> dict[str, Any]:
    """Make an event of `referrals` as the referral service's relay would send it."""
    case_id = changes.pop("case_id", None) or uuid4()
    happened = changes.pop("at", None) or datetime.now(UTC)
    kind = changes.pop("type", "referral-assigned")
    sequence = changes.pop("sequence", 1)
    facts = ReferralFacts(
        **{
            "referral_id": uuid4(),
            "need": "shelter",
            "urgency": "T1",
            "state": "assigned",
            "provider_id": provider,
            "feed_seq": seq,
            **changes,
        }
    )
    event_id, value = encode(
        Draft(REFERRALS, kind, str(case_id), facts, id=new_event_id()),
        source="/referral",
        sequence=sequence,
        at=happened,
        actor="service:referral",
        traceparent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
    )
    return {
        "id": str(event_id),
        "key": str(case_id).encode(),
        "value": value,
        "headers": headers_of(kind, sequence, (), None, b"signature"),
    }


@contextlib.asynccontextmanager
async def sender(centre: Centre) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[None]]]:
    """Give a function that sends one record to its partition and waits for the broker's word."""
    producer = AIOKafkaProducer(bootstrap_servers=centre.env["KAFKA_BOOTSTRAP"], acks="all")
    await producer.start()

    async def send(record: dict[str, Any]) -> None:
        await producer.send_and_wait(
            REFERRALS,
            record["value"],
            key=record["key"],
            headers=record["headers"],
            partition=partition_of(record["key"]),
        )

    try:
        yield send
    finally:
        await producer.stop()


async def publish(centre: Centre, *records: dict[str, Any]) -> None:
    """Send records to their partitions, in the given order."""
    async with sender(centre) as send:
        for record in records:
            await send(record)


def provider_name() -> str:
    return f"ngo-{secrets.token_hex(4)}"


@contextlib.contextmanager
def new_ground(streams: str, admin: str, folder: Path) -> Iterator[Ground]:
    """Make a database and keys for notification; `admin` is a superuser's URL."""
    make_keys(folder, beside_data=False)
    with asyncio.Runner() as runner:
        making = fresh_database(admin, "notification")
        database = runner.run(making.__aenter__())
        try:
            yield Ground(database, streams, folder, free_port())
        finally:
            runner.run(making.__aexit__(None, None, None))


def environment(ground: Ground, replica: str, **more: str) -> dict[str, str]:
    return {
        **ground.environment(),
        "REPLICA": replica,
        "NOTIFICATION_ALLOW_LOOPBACK": "1",
        "NOTIFICATION_SCHEDULE": "0,0.2,0.4,0.4",
        "NOTIFICATION_TIMEOUT": "6",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
        **more,
    }
