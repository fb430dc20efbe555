"""The actors of the demonstration: reporters, a coordinator, providers' systems. HTTP only."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx

from services.notification.signature import verify


class Client:
    """HTTP at the one origin as somebody; a lost connection is tried again with the same key."""

    def __init__(self, http: httpx.AsyncClient, token: str | None = None) -> None:
        """Take the shared connection pool and a bearer token, or none for an anonymous person."""
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def get(self, path: str, **query: str | int | None) -> Any:  # noqa: ANN401  (JSON)
        """GET JSON; raises `httpx.HTTPStatusError` for an error answer."""
        params = {key: value for key, value in query.items() if value is not None}
        answer = await self._http.get(path, params=params, headers=self._headers)
        answer.raise_for_status()
        return answer.json()

    async def all(self, path: str, **query: str | int | None) -> list[Any]:
        """GET every page of a list from its beginning, or from `after`."""
        items: list[Any] = []
        while True:
            found = await self.get(path, **query)
            items += found["items"]
            if not found["items"] or not found["next"]:
                return items
            query["after"] = found["next"]

    async def form(self, path: str, fields: dict[str, str]) -> httpx.Response:
        """POST a form, as an SMS gateway does."""
        return await self._http.post(path, data=fields, headers=self._headers)

    async def post(self, path: str, body: object) -> httpx.Response:
        """POST JSON with a fresh idempotency key; a 503 or a lost connection is tried again."""
        headers = {**self._headers, "Idempotency-Key": str(uuid4())}
        for _ in range(20):
            with contextlib.suppress(httpx.TransportError):
                answer = await self._http.post(path, json=body, headers=headers)
                if answer.status_code not in (502, 503):
                    return answer
            await asyncio.sleep(0.25)
        message = f"no answer from {path}"
        raise RuntimeError(message)


@dataclass(slots=True)
class ProviderSystem:
    """A provider's own system: follows its feed, accepts, starts and delivers.

    `silent` is shared by all: how many that are asked in danger (T0) do not answer.
    """

    provider_id: str
    client: Client
    http: httpx.AsyncClient
    token: str
    silent: list[None]
    declines: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    delivered: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    last: str = "0"

    async def follow(self) -> None:
        """Read the feed until cancelled; reconnect from the last event id."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                await self._follow_once()
            await asyncio.sleep(0.2)

    async def _follow_once(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "Last-Event-ID": self.last}
        async with self.http.stream(
            "GET", "/referral/v1/referrals/stream", headers=headers, timeout=None
        ) as stream:
            data = ""
            async for line in stream.aiter_lines():
                if line.startswith("id:"):
                    self.last = line[3:].strip()
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif not line and data:
                    event, data = json.loads(data), ""
                    await self._on(event)

    async def _on(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["type"] == "referral-assigned":
            if event["referral"]["urgency"] == "T0" and self.silent:
                self.silent.pop()
                return
            await self._answer(event["referral"]["referral_id"])

    async def _answer(self, referral_id: str) -> None:
        path = f"/referral/v1/referrals/{referral_id}"
        if self.declines > 0:
            self.declines -= 1
            await self.client.post(f"{path}/decline", {"reason": "no_capacity"})
            return
        accepted = await self.client.post(f"{path}/accept", {})
        if accepted.is_error:
            return
        self.expected.add(referral_id)
        await self.client.post(f"{path}/start", {})
        done = await self.client.post(f"{path}/deliver", {"how_much": "all"})
        if done.is_success:
            self.delivered.add(referral_id)


class WebhookReceiver:
    """A provider's web server on loopback that checks each signature, as the standard asks."""

    def __init__(self) -> None:
        """Bind a free port on loopback."""
        self.secret = ""
        self.good: list[str] = []
        self.bad = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                receiver.take(dict(self.headers.items()), body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Keep the id of a webhook whose signature is right."""
        lower = {key.lower(): value for key, value in headers.items()}
        if verify(self.secret, lower, body):
            self.good.append(lower["webhook-id"])
        else:
            self.bad += 1

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


def by_state(referrals: list[dict[str, Any]]) -> dict[str, int]:
    """Count referrals by their state."""
    found: dict[str, int] = defaultdict(int)
    for referral in referrals:
        found[referral["state"]] += 1
    return dict(sorted(found.items()))
