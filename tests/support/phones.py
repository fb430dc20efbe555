"""An SMS gateway and an intake on loopback, as a test wants them to behave; both keep what came."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NOT_TAKEN = (429, 503)
"""Statuses with which a gateway says that it took nothing."""

_numbers = itertools.count(10_000_000)

ALWAYS = ["00:00-24:00", "12:00-11:00"]
"""Hours of a contact that may be reached at any time."""


def said(status: int, *headers: str, body: str = "") -> bytes:
    """Render an answer."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status} x\r\n{lines}content-length: {len(body)}\r\n\r\n{body}".encode()


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came, whole."""

    head: str
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(slots=True)
class _Server:
    _server: asyncio.Server | None = None
    _tasks: set[Any] = field(default_factory=set)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

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
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lengths = [
                int(line.partition(":")[2])
                for line in head.split("\r\n")
                if line.lower().startswith("content-length:")
            ]
            body = await reader.readexactly(lengths[0] if lengths else 0)
            writer.write(await self.reply(Request(head, body)))
            await writer.drain()
        writer.close()

    async def reply(self, request: Request) -> bytes:
        raise NotImplementedError


@dataclass(slots=True)
class Gateway(_Server):
    """Takes messages in RapidPro's form; `answer` says what it answers, empty bytes hang up."""

    answer: Callable[[dict[str, str]], Awaitable[bytes]] | None = None
    got: list[dict[str, str]] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)

    async def reply(self, request: Request) -> bytes:
        form = request.form
        self.got.append(form)
        self.taken[form["id"]] += 1  # from here on a real one may have sent it, whatever it says
        answer = await self.answer(form) if self.answer else OK
        if answer.startswith(tuple(b"HTTP/1.1 %d" % status for status in NOT_TAKEN)):
            self.taken[form["id"]] -= 1
        return answer

    def texts_to(self, number: str) -> list[str]:
        return [form["text"] for form in self.got if form["to"] == number]


_SIFTED = ("moot", "later")


@dataclass(slots=True)
class Desk(_Server):
    """Plays `POST /intake/v1/contacts/resolve`: everybody has a number unless told otherwise.

    `answers` are for a case, `otherwise` is for all of which none is told; `moot` and `later` are
    what it says of referrals when it is asked for many at once, `sifted` what it was asked.
    """

    numbers: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    otherwise: dict[str, Any] | None = None
    before: Callable[[dict[str, Any]], Awaitable[None]] | None = None
    down: bool = False
    moot: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    sifted: list[list[str]] = field(default_factory=list)
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def number(self, case_id: str) -> str:
        """Return the number of a case's person: each has an own one, in every test."""
        if case_id not in self.numbers:
            self.numbers[case_id] = f"+88017{next(_numbers):08}"
        return self.numbers[case_id]

    def _sift(self, referrals: list[str]) -> bytes:
        if self.down:
            return said(503)
        self.sifted.append(referrals)
        told = {name: [r for r in referrals if r in getattr(self, name)] for name in _SIFTED}
        return said(200, "content-type: application/json", body=json.dumps(told))

    async def reply(self, request: Request) -> bytes:
        asked = json.loads(request.body)
        if "referral_ids" in asked:
            return self._sift(asked["referral_ids"])
        self.got.append((request.head, asked))
        if self.before is not None:
            await self.before(asked)
        if self.down:
            return said(503)
        case_id = asked["case_id"]
        contact = {
            "decision": "contact",
            "number": self.number(case_id),
            "language": "bn",
            "days": [],
            "hours": ALWAYS,
            "timezone": "Asia/Dhaka",
            "urgency": "T1",
            "consent": True,
            "shared_phone": True,
            "valid_until": None,
        }
        return said(
            200,
            "content-type: application/json",
            body=json.dumps(self.answers.get(case_id, self.otherwise or contact)),
        )
