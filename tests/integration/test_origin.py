"""The origin's proxy: streams both ways, tells no lies about the client, never sends twice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from deploy.local.proxy import Proxy, say_in_one_line
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Service:
    """A service that does on the wire exactly what a test says; keeps what it was sent."""

    def __init__(self, act: Callable[[Service, Connection], Awaitable[None]]) -> None:
        self.port = free_port()
        self.heads: list[str] = []
        self.seen = bytearray()
        self.closed = 0
        self._act = act
        self._server: asyncio.Server | None = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            await self._act(self, (reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed += 1
            writer.close()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()


async def answer(_: Service, connection: Connection) -> None:
    connection[1].write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-inner\r\nX-Inner: a\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nETag: w\r\n\r\nok"
    )
    await connection[1].drain()


@asynccontextmanager
async def origin(service: Service) -> AsyncIterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        app = Proxy({"intake": f"http://127.0.0.1:{service.port}"})
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, proxy_headers=False, timeout_graceful_shutdown=1)
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await eventually(lambda: server.started)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await serving
            await service.stop()


async def test_forwarded_headers_are_the_proxys_and_those_of_one_hop_stay_behind() -> None:
    service = Service(answer)
    await service.start()
    async with origin(service) as url, httpx.AsyncClient() as client:
        headers = {
            "Forwarded": "for=1.1.1.1",
            "X-Forwarded-For": "1.1.1.1",
            "X-Forwarded-User": "root",
            "X-Real-IP": "1.1.1.1",
            "Connection": "close, X-Hop",
            "X-Hop": "1",
            "Idempotency-Key": "k",
        }
        got = await client.get(f"{url}/intake/v1/a%2Fb?q=%E0%A6%95&x=1", headers=headers)
    head = service.heads[0].lower()
    assert head.startswith("get /intake/v1/a%2fb?q=%e0%a6%95&x=1 http/1.1")
    assert "x-forwarded-for: 127.0.0.1\r\n" in head
    assert f"x-forwarded-host: {url[7:]}\r\n" in head
    assert f"host: {url[7:]}\r\n" in head
    assert "idempotency-key: k" in head
    assert not any(word in head for word in ("1.1.1.1", "root", "x-hop"))
    assert got.text == "ok"
    assert got.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "x-inner" not in got.headers


async def test_what_one_client_is_given_no_other_client_sends() -> None:
    service = Service(answer)
    await service.start()
    async with origin(service) as url:
        async with httpx.AsyncClient() as one:
            await one.get(f"{url}/intake/v1/a")
            await one.get(f"{url}/intake/v1/a")
        async with httpx.AsyncClient() as other:
            await other.get(f"{url}/intake/v1/a")
    assert "cookie: a=1; b=2\r\n" in service.heads[1].lower()
    assert "cookie" not in service.heads[2].lower()


async def test_nothing_is_asked_for_that_the_client_did_not_ask_for() -> None:
    service = Service(answer)
    await service.start()
    async with origin(service) as url:
        host, port = url[7:].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /intake/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()
    asked = service.heads[0].lower()
    assert "accept" not in asked
    assert "user-agent" not in asked


async def test_events_pass_as_they_come_and_a_client_that_leaves_is_noticed() -> None:
    gate = asyncio.Event()

    async def stream(_: Service, connection: Connection) -> None:
        reader, writer = connection
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await writer.drain()
        await gate.wait()
        writer.write(b"data: 2\n\n")
        await writer.drain()
        await reader.read()  # until the other side leaves

    service = Service(stream)
    await service.start()
    async with origin(service) as url, httpx.AsyncClient(timeout=10) as client:
        async with client.stream("GET", f"{url}/intake/v1/stream") as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"data: 1\n\n"
            gate.set()
            assert await anext(chunks) == b"data: 2\n\n"
            assert service.closed == 0
        await eventually(lambda: service.closed == 1, 5, "the service hears that the client left")


async def test_a_body_streams_before_it_is_whole() -> None:
    async def take(service: Service, connection: Connection) -> None:
        while b"0\r\n\r\n" not in service.seen:
            service.seen += await connection[0].read(65536)
        await answer(service, connection)

    service = Service(take)
    await service.start()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await eventually(lambda: b"first" in service.seen, 5, "the first part at the service")
        yield b"last"

    async with origin(service) as url, httpx.AsyncClient(timeout=10) as client:
        got = await client.post(f"{url}/intake/v1/reports", content=body())
    assert got.status_code == 200
    assert b"last" in service.seen


async def test_an_early_refusal_of_a_large_body_reaches_the_client() -> None:
    async def refuse(_: Service, connection: Connection) -> None:
        connection[1].write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await connection[1].drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while await connection[0].read(65536):
                    pass

    service = Service(refuse)
    await service.start()
    async with origin(service) as url, httpx.AsyncClient(timeout=20) as client:
        got = await client.post(f"{url}/intake/v1/reports", content=b"x" * 3_000_000)
    assert got.status_code == 413


async def test_connecting_is_tried_again_and_the_body_is_sent_once() -> None:
    async def take(service: Service, connection: Connection) -> None:
        service.seen += await connection[0].readexactly(4)
        await answer(service, connection)

    service = Service(take)
    async with origin(service) as url, httpx.AsyncClient(timeout=10) as client:
        asked = asyncio.create_task(client.post(f"{url}/intake/v1/reports", content=b"once"))
        await asyncio.wait({asked}, timeout=0.4)  # the service is away for this long
        await service.start()
        assert (await asked).status_code == 200
    assert bytes(service.seen) == b"once"


async def test_a_request_that_may_have_arrived_is_not_sent_again() -> None:
    async def break_off(service: Service, connection: Connection) -> None:
        service.seen += await connection[0].readexactly(4)

    service = Service(break_off)
    await service.start()
    async with origin(service) as url, httpx.AsyncClient(timeout=10) as client:
        got = await client.post(f"{url}/intake/v1/reports", content=b"once")
    assert got.status_code == 502
    assert got.json()["type"] == "urn:pashe:problem:service-broke-off"
    assert got.headers["retry-after"] == "2"
    assert len(service.heads) == 1


async def test_a_service_that_breaks_off_in_mid_answer_is_told_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def half(_: Service, connection: Connection) -> None:
        connection[1].write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await connection[1].drain()

    say_in_one_line()
    service = Service(half)
    await service.start()
    async with origin(service) as url, httpx.AsyncClient(timeout=10) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{url}/intake/v1/cases")
        await eventually(lambda: [r for r in caplog.records if "broke off" in r.getMessage()])
    assert not [r for r in caplog.records if r.exc_info]


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/ready",
        "/intake/v1/metrics",
        "/intake/v1/ready",
        "/intake/v1/ready/",
        "//intake//v1//ready",
        "/intake/v1/%72eady",
        "/intake/v1%2fready",
        "/intake/v1/x/../ready",
        "/intake/v1/x/%2e%2e/ready",
        "/other",
    ],
)
async def test_what_is_inside_stays_inside(path: str) -> None:
    service = Service(answer)
    await service.start()
    async with origin(service) as url:
        assert await status_of(url, path) == 404
    assert service.heads == []


async def status_of(url: str, path: str) -> int:
    """Ask for a path exactly as it is written."""
    host, _, port = url[7:].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    line: Any = await reader.readline()
    writer.close()
    return int(line.split()[1])
