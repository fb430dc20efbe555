"""An HTTP gateway that misbehaves, on loopback: what it got is counted before it says anything."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.support.phones import Request, said

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

BEHAVIOURS = (
    "times out", "hangs up", "half a status", "no http", "500", "502", "429", "429 for long", "503",
    "400", "401", "redirect", "wrong body", "empty body", "slow head", "slow body", "10 MB",
    "endless", "deep json",
)  # fmt: skip
"""What it can do after it has taken a request whole."""


@dataclass(slots=True)
class Hostile:
    """Serves `good` bodies, or one `answer`, or does what `behaviour` says."""

    good: Callable[[Request], str] = lambda _: "ok"
    behaviour: str = ""
    answer: tuple[int, str] | None = None
    tls: ssl.SSLContext | None = None
    got: list[Request] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set[Any] = field(default_factory=set)

    @property
    def url(self) -> str:
        assert self._server is not None
        scheme = "https" if self.tls else "http"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
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
            length = next(
                (
                    int(line.partition(":")[2])
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length:")
                ),
                0,
            )
            request = Request(head, await reader.readexactly(length))
            self.got.append(request)
            await self._misbehave(writer, request)
        writer.close()

    async def _misbehave(self, writer: asyncio.StreamWriter, request: Request) -> None:
        plain = {
            "hangs up": b"",
            "half a status": b"HTTP/1.1 20",
            "no http": b"SMS GATEWAY READY\r\n\r\n",
            "500": said(500),
            "502": said(502, body="<html>bad gateway</html>"),
            "429": said(429, "retry-after: 3"),
            "429 for long": said(429, "retry-after: 99999999"),
            "503": said(503, "retry-after: soon"),
            "400": said(400, body='{"code": 21211}'),
            "401": said(401),
            "redirect": said(302, f"location: {self.url}/elsewhere"),
            "wrong body": said(200, body="<html>welcome</html>"),
            "empty body": said(200),
            "deep json": said(200, body="[" * 50_000),
        }
        match self.behaviour:
            case "":
                status, body = self.answer or (200, self.good(request))
                writer.write(said(status, "content-type: application/json", body=body))
            case "times out":
                await asyncio.Event().wait()
            case "slow head":
                for sign in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok":
                    writer.write(bytes([sign]))
                    await writer.drain()
                    await asyncio.sleep(0.2)
            case "slow body":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            case "10 MB":
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n" + b" " * 10485760
                )
            case "endless":
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
                    await writer.drain()
            case other:
                writer.write(plain[other])
        await writer.drain()
