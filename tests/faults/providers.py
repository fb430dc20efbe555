"""Providers' systems under load: an SSE reader each, answers through the interface, a webhook."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from shared.vocabulary import Role
from tests.faults.attempts import Kind, Outcome
from tests.faults.truth import Heard

if TYPE_CHECKING:
    import random

    from tests.faults.caller import Caller
    from tests.support.receiver import Received

SILENT = httpx.Timeout(5.0, read=20.0)
"""A stream that says nothing for 20 s, not even a comment, is opened again."""


@dataclass(slots=True)
class Provider:
    """Follows one provider's feed, and accepts, declines, starts and delivers what it is given."""

    provider_id: str
    caller: Caller
    rng: random.Random
    heard: list[Heard] = field(default_factory=list)
    last: str = "0"
    reconnects: int = 0
    _asked: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"sse {self.provider_id}"

    async def run(self) -> None:
        """Follow for ever: reconnect from the last event id; answer beside the reading."""
        async with asyncio.TaskGroup() as answers:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    await self._follow(answers)
                self.reconnects += 1
                await asyncio.sleep(0.3)

    async def _follow(self, answers: asyncio.TaskGroup) -> None:
        headers = self.caller.token(Role.PROVIDER_SYSTEM, "reader", self.provider_id)
        headers |= {"last-event-id": self.last, "accept": "text/event-stream"}
        path = "/referral/v1/referrals/stream"
        async with self.caller.client.stream("GET", path, headers=headers, timeout=SILENT) as got:
            got.raise_for_status()
            place, data = "", ""
            async for line in got.aiter_lines():
                if line.startswith("id:"):
                    place = line[3:].strip()
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif not line and data:
                    self._hear(place, data, answers)
                    place, data = "", ""

    def _hear(self, place: str, data: str, answers: asyncio.TaskGroup) -> None:
        event = json.loads(data)
        self.last = place
        self.heard.append(
            Heard(
                self.name,
                int(place),
                str(event["event_id"]),
                data,
                str(event.get("case_id", "")),
                int(event.get("sequence", 0)),
            )
        )
        if event["type"] == "referral-assigned":
            referral_id = str(event["referral"]["referral_id"])
            if referral_id not in self._asked:
                self._asked.add(referral_id)
                answers.create_task(self._answer(referral_id))

    async def _answer(self, referral_id: str) -> None:
        drawn = self.rng.random()
        if drawn < 0.15:
            return
        if drawn < 0.3:
            await self._post(Kind.DECLINE, referral_id, {"reason": "no_capacity"})
            return
        if await self._post(Kind.ACCEPT, referral_id, {}) is not Outcome.OK:
            return
        if await self._post(Kind.START, referral_id, {}) is Outcome.OK:
            await self._post(Kind.DELIVER, referral_id, {"how_much": "all"})

    async def _post(self, kind: Kind, referral_id: str, body: dict[str, Any]) -> Outcome:
        done = await self.caller.attempt(
            kind,
            str(UUID(int=self.rng.getrandbits(128), version=4)),
            f"/referral/v1/referrals/{referral_id}/{kind}",
            role=Role.PROVIDER_SYSTEM,
            org=self.provider_id,
            about=referral_id,
            json=body,
        )
        return done.outcome


@dataclass(slots=True)
class Webhook:
    """One provider's webhook: keeps every delivery; now and then it says 500 though it heard."""

    who: str
    rng: random.Random
    heard: list[Heard] = field(default_factory=list)
    _notices: set[str] = field(default_factory=set)

    def answer(self, request: Received) -> int:
        notice = request.headers.get("webhook-id", "")
        body = request.body.decode("utf-8", "replace")
        told = json.loads(body)["data"]
        fresh = notice not in self._notices
        self._notices.add(notice)
        self.heard.append(
            Heard(
                self.who,
                int(told["cursor"]),
                notice,
                body,
                str(told["referral_id"]),
                int(told["version"]),
            )
        )
        return 500 if fresh and self.rng.random() < 0.05 else 200
