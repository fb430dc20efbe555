"""A whole stack to which planted words are said: by providers, at the desk, and in outages."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer

from deploy.local.home import Home, find_state, load_passwords
from shared.vocabulary import Role
from tests.support import canary_ways
from tests.support.canary_files import attach, send_files
from tests.support.canary_words import (
    FORGED,
    NAME,
    NUMBERS,
    ON_DUTY,
    PERSON,
    TEXTER,
    TOLD,
    WORKER,
    Teller,
    report,
)
from tests.support.phones import _Server, said
from tests.support.pictures import picture
from tests.support.stack import send_signal
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.phones import Request
    from tests.support.receiver import Receiver
    from tests.support.stack import Stack

LONG: Final = 60.0
"""Seconds without a byte of a stream; it pings sooner."""


@dataclass(slots=True)
class Parrot(_Server):
    """A webhook's receiver that refuses with planted words wherever it can put them."""

    asked: int = 0

    async def reply(self, request: Request) -> bytes:
        self.asked += bool(request.body)
        words = f"{NAME} {PERSON}"
        headers = (f"retry-after: {NAME}", f"location: http://{NAME}/", f"x-{NAME}: {PERSON}")
        return said(400, *headers, body=words).replace(b" x\r\n", f" {words}\r\n".encode(), 1)


class World:
    """A stack, what talks to it, and what it says to others."""

    def __init__(
        self, stack: Stack, http: httpx.Client, collector: Receiver, hook: Receiver, parrot: Parrot
    ) -> None:
        self.stack, self.collector, self.hook, self.parrot = stack, collector, hook, parrot
        self.teller = Teller(stack, http)
        self.streamed: list[bytes] = []
        self.allowed: list[str] = []
        self.copies: list[bytes] = []
        self.case = self.provider = ""

    async def say_everything(self) -> None:
        """Say planted words in every way there is."""
        self.teller.channels()
        self.teller.receipts()
        send_files(self.teller)
        self.teller.mistakes()
        ways = canary_ways
        for say in (ways.browse, ways.talk, ways.fill, ways.capture, ways.files):
            say(self.teller)
        await canary_ways.partner(self)
        await self.casework()
        await canary_ways.providers(self)
        for part in ("kafka", "postgres", "intake"):
            await self.outage(part)
        await self.forge()

    def desk(self, role: Role = Role.COORDINATOR) -> dict[str, str]:
        return self.stack.bearer(role, subject=f"{role}-canary")

    async def refer(self, **more: Any) -> dict[str, Any]:
        """Report as a partner and return the first referral, with its provider."""
        headers = self.stack.bearer(Role.PARTNER, "example-partner")
        body = report(**{"exclude": {}, **more})
        made = self.teller.must("POST", "/intake/v1/reports", json=body, headers=headers)
        self.case = made["case_ids"][0]
        assert attach(self.teller, made["receipt"], picture(said=TOLD)).status_code == 201

        def look() -> dict[str, Any] | None:
            found: list[dict[str, Any]] = self.teller.must(
                "GET", "/referral/v1/referrals", params={"case_id": self.case}, headers=self.desk()
            )["items"]
            return next((one for one in found if one["state"] == "assigned"), None)

        found: dict[str, Any] = await eventually(look, 30, "a referral with a provider")
        return found

    async def casework(self) -> None:
        """Let a provider and the desk say planted words about a case, and read what is theirs."""
        say, must = self.teller.say, self.teller.must
        first = await self.refer()
        self.provider = first["provider_id"]
        worker = self.stack.bearer(Role.PROVIDER_SYSTEM, self.provider)
        for url in (f"{self.hook.url}/hook", f"{self.parrot.url}/hook"):
            must("POST", "/notification/v1/subscriptions", json={"url": url}, headers=worker)
        self.teller.fails(
            "POST", "/notification/v1/subscriptions", 422, json={"url": TOLD}, headers=worker
        )
        listening = asyncio.create_task(self.listen(worker))
        second = await self.refer()
        base = f"/referral/v1/referrals/{second['referral_id']}"
        own = self.stack.bearer(Role.PROVIDER_SYSTEM, second["provider_id"])
        no = {"reason": "other", "text": TOLD}
        self.teller.fails("POST", f"{base}/decline", 422, json=no | {NAME: 1}, headers=own)
        self.teller.fails("POST", f"{base}/decline", 422, json={"reason": NAME}, headers=own)
        must("POST", f"{base}/decline", json=no, headers=own)
        third = await self.refer()
        base = f"/referral/v1/referrals/{third['referral_id']}"
        own = self.stack.bearer(Role.PROVIDER_SYSTEM, third["provider_id"])
        must("POST", f"{base}/accept", json={"text": TOLD}, headers=own)
        told = f"/intake/v1/disclosures/{third['referral_id']}"

        def disclosed() -> str | None:
            answer = say("GET", told, headers=own)
            return answer.text if answer.is_success else None

        self.allowed.append(await eventually(disclosed, 20, "the disclosure"))
        must("POST", f"{base}/start", json={"text": TOLD}, headers=own)
        must("POST", f"{base}/deliver", json={"how_much": "all", "text": TOLD}, headers=own)
        path = f"/intake/v1/cases/{self.case}"
        query = {"reason": "safety", "also": ["reporter", "alleged"]}
        answer = say("GET", f"{path}/persons", params=query, headers=self.desk())
        self.allowed.append(answer.text)
        self.teller.fails(
            "GET", f"{path}/persons", 422, params={"reason": NAME}, headers=self.desk()
        )
        self.desk_words(path)
        self.look(path)
        await eventually(lambda: len(self.hook.received) >= 1, 60, "a webhook")
        await eventually(lambda: self.parrot.asked, 60, "a webhook to the parrot")
        await eventually(lambda: b"referral" in b"".join(self.streamed), 20, "an event stream")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    def look(self, path: str) -> None:
        """Open what came with a case, blurred and clear."""
        boss = self.desk(Role.SUPERVISOR)
        (kept,) = self.teller.must("GET", f"{path}/attachments", headers=boss)["items"]
        where = f"/intake/v1/attachments/{kept['attachment_id']}"
        for clear in (False, True):
            asked = {"reason": "safety", "clear": clear}
            copy = self.teller.say("POST", f"{where}/open", json=asked, headers=boss)
            assert copy.headers["cache-control"] == "no-store"
            self.copies.append(copy.raise_for_status().content)
        self.teller.fails("POST", f"{where}/open", 422, json={"reason": NAME}, headers=boss)
        self.teller.fails("POST", f"{where}/original", 422, json={"reason": TOLD}, headers=boss)
        first = self.teller.say("POST", f"{where}/original", json={"reason": "court"}, headers=boss)
        assert first.status_code == 202

    def desk_words(self, path: str) -> None:
        """Say planted words at the desk."""
        must, fails = self.teller.must, self.teller.fails
        desk, boss = self.desk(), self.desk(Role.SUPERVISOR)
        shown = must("GET", path, headers=desk)
        question = f"/intake/v1/submissions/{shown['submission_id']}/question"
        must("POST", question, json={"text": f"{TOLD}?"}, headers=desk)
        agreed = {
            "decision": "given",
            "given_by": "person",
            "giver_relation": TOLD,
            "how": "spoken",
            "witness": TOLD,
            "reason": TOLD,
            "explained": True,
            "allows": ["refer", "share_identity"],
        }
        must("POST", f"{path}/consent", json=agreed, headers=desk)
        fails("POST", f"{path}/consent", 422, json=agreed | {"providers": [TOLD]}, headers=desk)
        fails("POST", f"{path}/consent", 422, json=agreed | {"recorded_by": TOLD}, headers=desk)
        fails("POST", f"{path}/triage", 422, json={"excluded": [TOLD]}, headers=desk)
        fails("POST", f"{path}/triage", 422, json={"place": NAME, NAME: 1}, headers=desk)
        fails("POST", f"{path}/close", 422, json={"reason": TOLD}, headers=desk)
        fails("POST", f"{path}/erase", 422, json={"asked_by": TOLD}, headers=desk)
        fails("POST", f"{path}/hold", 422, json={"reason": NAME}, headers=boss)
        done = f"/intake/v1/tasks/{uuid4()}/done"
        fails("POST", done, 422, json={"outcome": TOLD}, headers=desk)
        duty, shift = "/intake/v1/duty", {"begins": "2026-01-01T00:00:00Z", "way": "sms"}
        shift |= {"ends": "2099-01-01T00:00:00Z", "person": "x", "level": "supervisor"}
        must("POST", duty, json=shift | {"number": ON_DUTY}, headers=boss)
        fails("POST", duty, 422, json={"person": TOLD}, headers=boss)
        fails("POST", duty, 422, json=shift | {"number": f"{ON_DUTY}0"}, headers=boss)
        workers = "/intake/v1/contacts/providers/example-keyword"
        must("PUT", workers, json={"numbers": [WORKER]}, headers=desk)
        fails("PUT", workers, 422, json={"numbers": [f"{WORKER}0", TOLD]}, headers=desk)
        fails("PUT", f"{workers}{WORKER}", 422, json={"numbers": [NAME]}, headers=desk)
        answer = {"from": WORKER, "text": "YES 4821", "id": f"{WORKER}-{uuid4()}"}
        must("POST", "/intake/channels/sms/external", data=answer)
        asks = {"from": TEXTER, "text": "NEWS", "id": f"{NAME}-{uuid4()}"}
        must("POST", "/intake/channels/sms/external", data=asks)
        notices = "/intake/v1/awareness/messages"
        must("POST", notices, json={"set": "online"}, headers=desk)
        fails("POST", notices, 422, json={"set": NAME, "places": [TOLD, TEXTER]}, headers=desk)
        fails("POST", "/intake/v1/ties", 422, json={"one": NAME, "other": ON_DUTY}, headers=boss)
        worker = {"worker": "w1", "supervisor": "s1", "reason": TOLD}
        must("POST", f"{path}/assign", json=worker, headers=desk)
        must("POST", f"{path}/feedback", json={"helped": "harmed", "text": TOLD}, headers=desk)
        fails("POST", "/intake/v1/contacts/resolve", 401, 403, json={"purpose": TOLD}, headers=desk)

    async def listen(self, headers: dict[str, str]) -> None:
        """Keep the provider's stream of events as it comes."""
        async with (
            httpx.AsyncClient(base_url=self.stack.origin, timeout=LONG) as http,
            http.stream("GET", "/referral/v1/referrals/stream", headers=headers) as answer,
        ):
            async for part in answer.aiter_bytes():
                self.streamed.append(part)

    async def outage(self, part: str) -> None:
        """Kill a part and report while it is away."""
        old = self.stack.pid(part)
        send_signal(old, signal.SIGKILL)
        for _ in range(3):
            self.teller.say("POST", "/intake/v1/reports", json=report())
            text = {"from": NUMBERS[2], "text": f"{TOLD} {uuid4()}"}
            self.teller.say("POST", "/intake/channels/sms/external", data=text)
        await eventually(lambda: self.stack.is_ready(part, old), 150, f"{part} again")

        async def answered() -> bool:
            return self.teller.say("POST", "/intake/v1/reports", json=report()).is_success

        await eventually(answered, 90, "reports again")

    async def forge(self) -> None:
        """Write records into Kafka that no service wrote, until they are parked and flagged."""
        key = str(uuid4()).encode()
        event = {"specversion": "1.0", "id": str(uuid4()), "type": FORGED, "subject": FORGED}
        producer = AIOKafkaProducer(**self.stack.kafka_login().client())
        await producer.start()
        try:
            for value in (FORGED.encode(), json.dumps(event | {"data": FORGED}).encode(), b"\xff"):
                headers = [("type", b"case-created"), ("signature", FORGED.encode())]
                await producer.send_and_wait("cases", value, key, headers=headers)
        finally:
            await producer.stop()

        async def parked() -> bool:
            conn = await self.superuser()
            try:
                count = "SELECT count(*) FROM referral.parked WHERE key = $1"
                seen = "SELECT count(*) FROM audit.entries WHERE flags <> 0"
                found = await conn.fetchval(count, key)
                return bool(found and await conn.fetchval(seen) >= 3)
            finally:
                await conn.close()

        await eventually(parked, 40, "the forged records to be parked and flagged")

    async def superuser(self) -> asyncpg.Connection[Any]:
        home = Home(self.stack.home)
        state = find_state(home)
        assert state is not None
        return await asyncpg.connect(
            host="127.0.0.1",
            port=state.postgres_port,
            user="postgres",
            password=load_passwords(home)["postgres"],
            database="pashe",
        )
