"""A receiver that takes a webhook and then does its worst: one trick a path, once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.receiver import Received, _read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

MEGABYTE: Final = b"x" * 1_000_000
DRIP: Final = 0.3
"""Seconds between the bytes of what drips."""


async def _once(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _silence() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def _drip(head: bytes) -> AsyncIterator[bytes]:
    """Send a head one byte at a time, and never all of it."""
    for index in range(len(head) - 1):
        yield head[index : index + 1]
        await asyncio.sleep(DRIP)
    await asyncio.Event().wait()


async def _for_ever(head: bytes, part: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    yield head
    while True:
        yield part
        await asyncio.sleep(pause)


def _said(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = "".join(f"{line}\r\n" for line in (*headers, f"content-length: {len(body)}"))
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + body


CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
MUCH: Final = b"HTTP/1.1 %d Said\r\ncontent-length: 10000000\r\n\r\n"

TRICKS: Final[dict[str, tuple[str, Callable[[], AsyncIterator[bytes]]]]] = {
    "silence": ("timeout", _silence),
    "drip": ("timeout", lambda: _drip(b"HTTP/1.1 200 OK\r\nx-slow: aaaaaaaaaaaaaaaaaaaaaaaaaaa")),
    "continue-for-ever": ("timeout", lambda: _for_ever(b"", CONTINUE, 0.01)),
    "hangs-up": ("protocol", _once),
    "no-http": ("protocol", lambda: _once(b"SSH-2.0-nothing\r\n\r\n")),
    "head-for-ever": ("protocol", lambda: _for_ever(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 1000)),
    "404": ("4xx", lambda: _once(_said(404))),
    "500": ("5xx", lambda: _once(_said(500, body=b"<html>an error</html>"))),
    "500-and-ten-megabytes": ("5xx", lambda: _once(MUCH % 500, *[MEGABYTE] * 10)),
    "429": ("4xx", lambda: _once(_said(429, "retry-after: 1"))),
    "503-with-nonsense": ("5xx", lambda: _once(_said(503, "retry-after: \xa0soon"))),
    "redirect": ("3xx", lambda: _once(_said(307, "location: http://169.254.169.254/latest/"))),
    "no-body-where-one-was-said": ("2xx", lambda: _once(MUCH % 200, b"{")),
    "body-that-is-no-json": ("2xx", lambda: _once(_said(200, body=b'\xff{"ok":'))),
    "broken-chunks": ("protocol", lambda: _once(CHUNKED + b"zz\r\nnot hex")),
    "ten-megabytes": ("2xx", lambda: _once(MUCH % 200, *[MEGABYTE] * 10)),
    "body-for-ever": ("2xx", lambda: _for_ever(CHUNKED, b"f4240\r\n" + MEGABYTE + b"\r\n")),
}
"""Each trick by its path: the word that the sender should have for it, and what is sent."""


@dataclass(slots=True)
class Hostile:
    """Plays the trick of a path at its first request, and answers 204 from then on."""

    tls: ssl.SSLContext | None = None
    got: dict[str, list[Received]] = field(default_factory=lambda: defaultdict(list))
    sent: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, trick: str) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"http{'s' if self.tls else ''}://127.0.0.1:{port}/{trick}"

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
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    request = await _read(reader)
                    trick = request.path.strip("/")
                    self.got[trick].append(request)
                    if len(self.got[trick]) == 1:
                        async for part in TRICKS[trick][1]():
                            writer.write(part)
                            self.sent += len(part)
                            await writer.drain()
                        return
                    writer.write(_said(204))
                    await writer.drain()
        finally:
            writer.close()


def own_certificate(folder: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that nobody but itself has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "own.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
