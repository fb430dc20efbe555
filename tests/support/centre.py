"""Referral as a running process with a database of its own: its callers, stream, feed and rows."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer

from shared.access import make_token
from shared.clock import new_event_id
from shared.events import CASES, CaseFacts, ConsentState, Draft, encode, headers_of
from shared.kafka import partition_of
from shared.vocabulary import Role
from tests.support.processes import ROOT, Child
from tests.support.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.platform import Database

BASE = "/referral/v1"
KERANIGANJ, DHAKA = "BD30260038", "BD3026"


@dataclass(slots=True)
class Centre:
    """The running service with its database, its stream of cases, and callers of every role."""

    database: Database
    kafka: str
    keys: Path
    port: int
    log: Path
    sequences: dict[UUID, int] = field(default_factory=dict)
    child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        urls = self.database.urls("referral")
        del urls["DATABASE_OWNER_URL"]
        return {
            **urls,
            "KAFKA_BOOTSTRAP": self.kafka,
            "KEYS_DIR": str(self.keys / "referral"),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": "",
            **more,
        }

    def bearer(self, role: Role, org: str | None = None, subject: str = "test") -> dict[str, str]:
        seed = bytes.fromhex((self.keys / "pashe" / "tokens.key").read_text().strip())
        return {"authorization": f"Bearer {make_token(seed, role, subject=subject, org=org)}"}

    async def ready(self) -> None:
        async def look() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient(base_url=self.url) as http:
                    told = (await http.get("/ready")).json()
                    return bool(told["ready"] and told["kafka"])
            return False

        await eventually(look, 90, "the service")

    async def call(
        self,
        method: str,
        path: str,
        role: Role | None = Role.COORDINATOR,
        org: str | None = None,
        body: Any = None,
        **headers: str,
    ) -> httpx.Response:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            told |= self.bearer(role, org)
        async with httpx.AsyncClient(base_url=self.url, timeout=15) as http:
            return await http.request(method, f"{BASE}{path}", json=body, headers=told)

    async def get(self, path: str, role: Role = Role.COORDINATOR, org: str | None = None) -> Any:
        answer = await self.call("GET", path, role, org)
        assert answer.is_success, answer.text
        return answer.json()

    async def post(
        self, referral: dict[str, Any], verb: str, body: Any = None, **more: Any
    ) -> httpx.Response:
        """Act on a referral: as its provider, unless `role` says otherwise."""
        more.setdefault("role", Role.PROVIDER_SYSTEM)
        if more["role"] is Role.PROVIDER_SYSTEM:
            more.setdefault("org", referral["provider_id"])
        path = f"/referrals/{referral['referral_id']}/{verb}"
        return await self.call("POST", path, body={} if body is None else body, **more)

    async def tell(self, kind: str, case_id: UUID, told: CaseFacts) -> None:
        """Put an event of a case on the stream, as intake does."""
        sequence = self.sequences[case_id] = self.sequences.get(case_id, 0) + 1
        draft = Draft(CASES, kind, str(case_id), told, tuple(told.needs), new_event_id())
        _, value = encode(
            draft,
            source="/intake",
            sequence=sequence,
            at=datetime.now(UTC),
            actor="service:test",
            traceparent=None,
        )
        key = str(case_id).encode()
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka)
        await producer.start()
        try:
            await producer.send_and_wait(
                CASES,
                value,
                key=key,
                partition=partition_of(key),
                headers=headers_of(kind, sequence, draft.needs, None, b"unsigned"),
            )
        finally:
            await producer.stop()

    async def of(self, case_id: UUID, **query: str) -> list[dict[str, Any]]:
        """Return the referrals of a case, first attempt first."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        found = await self.get(f"/referrals?case_id={case_id}&limit=200{more}")
        return sorted(found["items"], key=lambda r: (r["need"], r["attempt"]))

    async def reaches(self, case_id: UUID, *states: str) -> list[dict[str, Any]]:
        """Wait until the referrals of a case are in exactly these states, by need and attempt."""

        async def look() -> list[dict[str, Any]] | None:
            found = await self.of(case_id)
            assert tuple(r["state"] for r in found) == states, [r["state"] for r in found]
            return found

        return list(await eventually(look, 15, f"states {states}"))

    async def rows(self, query: str, *values: Any) -> list[asyncpg.Record]:
        conn = await asyncpg.connect(self.database.admin)
        try:
            await conn.execute("SET search_path = referral")
            return list(await conn.fetch(query, *values))
        finally:
            await conn.close()

    async def events(self, case_id: UUID) -> list[dict[str, Any]]:
        """Return the events that the service appended for a case, in order."""
        rows = await self.rows(
            "SELECT value FROM outbox WHERE key = $1 ORDER BY sequence", str(case_id).encode()
        )
        return [json.loads(row["value"]) for row in rows]

    async def feed(self, provider: str) -> list[dict[str, Any]]:
        rows = await self.rows(
            "SELECT body FROM feed_entries WHERE provider_id = $1 ORDER BY seq", provider
        )
        return [json.loads(row["body"]) for row in rows]

    async def list_offer(self, provider: str, **fields: Any) -> str:
        """List an active offer of an invented provider; return its id."""
        names = {"kind": "ngo", "name_en": f"Example {provider}", "name_bn": "উদাহরণ"}
        answer = await self.call("PUT", f"/providers/{provider}", body=names)
        assert answer.is_success, answer.text
        offer_id = str(uuid4())
        offer = {
            "provider_id": provider,
            "needs": ["disability_support"],
            "area_level": "district",
            "enrolment": "active",
            "reach": "system",
            **fields,
        }
        answer = await self.call("PUT", f"/offers/{offer_id}", body=offer)
        assert answer.is_success, answer.text
        return offer_id


def facts(**fields: Any) -> CaseFacts:
    """Return a case that its rule may release: entitled, consented, a girl of 15."""
    known: dict[str, Any] = {
        "report_id": uuid4(),
        "channel": "partner",
        "age": 15,
        "sex": "female",
        "upazila": KERANIGANJ,
        "district": DHAKA,
        "concerns": ["child_labour"],
        "needs": ["education"],
        "entitled": True,
        "consent": ConsentState(given=True, basis="consent"),
    }
    return CaseFacts(**(known | fields))


def load_directory(centre: Centre, profile: str = "demonstration") -> str:
    """Load the directory by its command line; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "services.referral.directory", "load", "--profile", profile],
        env=os.environ | centre.environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
