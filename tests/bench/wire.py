"""A small HTTP/1.1 client for loopback: keep-alive, one request at a time a connection, cheap.

It must never be what limits a bench: it costs some 20 µs of CPU a request, against about 1 ms of
a common client. `tests.bench.client` measures that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
NO_CONTENT = 204


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body."""

    status: int
    body: bytes


class WireError(Exception):
    """The server broke off, or said what this client does not speak."""


class Wire(asyncio.Protocol):
    """One connection. Answers must have a Content-Length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._need = -1
        self._status = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the host and port of a URL."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(cls, *_place(url))
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(WireError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._need < 0:
            end = self._buffer.find(_END)
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            place = head.find(_LENGTH)
            self._status = int(head[9:12])
            line = head.find(b"\r\n", place)
            if self._status == NO_CONTENT:
                length = 0
            elif place < 0:
                self._fail("an answer without a Content-Length")
                return
            else:
                length = int(head[place + len(_LENGTH) : line if line >= 0 else len(head)])
            del self._buffer[: end + len(_END)]
            self._need = length
        if len(self._buffer) >= self._need:
            body = bytes(self._buffer[: self._need])
            del self._buffer[: self._need]
            self._need = -1
            waiting, self._waiting = self._waiting, None
            if waiting is not None and not waiting.done():
                waiting.set_result(Answer(self._status, body))

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(WireError(why))
        self.close()

    async def send(self, request: bytes) -> Answer:
        """Send a whole request and wait for its answer.

        Raises:
            WireError: the connection was closed.

        """
        if self._transport is None:
            raise WireError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Render a request of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("ascii") + _END + body


def post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Render a POST of JSON."""
    return request("POST", path, {"content-type": "application/json", **headers}, body)


async def ask(url: str, rendered: bytes, within: float = 20.0) -> Answer:
    """Send one request on a connection of its own."""
    async with asyncio.timeout(within):
        wire = await Wire.open(url)
        try:
            return await wire.send(rendered)
        finally:
            wire.close()


async def events(
    url: str, path: str, headers: Mapping[str, str]
) -> AsyncIterator[tuple[int, bytes]]:
    """Follow server-sent events; yield number and data of each, until the server ends it.

    Chunks of the transfer coding are line feeds among the lines: an event of ours has one data
    line, which uvicorn sends as one chunk.
    """
    reader, writer = await asyncio.open_connection(*_place(url), limit=2**20)
    try:
        writer.write(request("GET", path, {"accept": "text/event-stream", **headers}))
        head = await reader.readuntil(_END)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise WireError(head.split(b"\r\n", 1)[0].decode("latin-1"))
        number = 0
        while line := await reader.readline():
            if line.startswith(b"id:"):
                number = int(line[3:])
            elif line.startswith(b"data:"):
                yield number, line[5:].strip()
    finally:
        writer.close()
