"""One request to a gateway over HTTP, and what is known when there is no good answer to it.

A connection serves one request, so that a closed one fools nobody; no redirect is followed; of an
answer so much is read as it takes to understand one, for a short time. Whatever goes wrong before
the request was begun was certainly not sent; after that nobody can say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import httpcore
import httpx
import msgspec

from shared.sms.gateway import Outcome, Refused, Unknown

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

BODY_BYTES: Final = 64 * 1024
"""Bytes of an answer that are read."""

BODY_SECONDS: Final = 2.0
"""Seconds that reading them may take: the status is there already."""

CONNECTIONS: Final = 32
"""Requests under way at once, at most."""

LONGEST_AFTER: Final = 86_400
"""Seconds that a Retry-After counts for, at most."""

MALFORMED: Final = "malformed"
"""Why a request that cannot be written was lost."""

_BUSY: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Call:
    """A request; `headers` and `url` are ASCII. `reads` says whether the answer's body matters."""

    method: str
    url: str = field(repr=False)
    content: bytes = field(default=b"", repr=False)
    content_type: str = ""
    authorization: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    reads: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the status, a Retry-After if there was one, the beginning of the body."""

    status: int
    after: timedelta | None = None
    body: bytes = field(default=b"", repr=False)

    @property
    def good(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004  (RFC 9110)

    def json(self) -> Any:  # noqa: ANN401  (any JSON value)
        """Return the body as JSON, None when it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def refusal(self) -> Outcome | None:
        """Say what a status tells by itself: None for a 2xx, whose body must be understood.

        429 and 503 say that it may be tried again, every other 4xx that it may not; a redirect and
        every other answer leave open what was done.
        """
        if self.good:
            return None
        if self.status in _BUSY:
            return Refused("busy", again=True, after=self.after, status=self.status)
        if 400 <= self.status < 500:  # noqa: PLR2004  (RFC 9110, the client's fault)
            return Refused("refused", status=self.status)
        if 300 <= self.status < 400:  # noqa: PLR2004  (RFC 9110, elsewhere)
            return Unknown("redirect", self.status)
        return Unknown("server-error" if self.status >= 500 else "unexpected-answer", self.status)  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer. `begun`: the request was on its way, so that nobody knows what was done."""

    reason: str
    begun: bool

    def outcome(self) -> Outcome:
        """Return what it means for a message."""
        if self.begun:
            return Unknown(self.reason if self.reason != MALFORMED else "protocol")
        return Refused(self.reason, again=self.reason != MALFORMED)


class Wire:
    """Asks one gateway; `timeout` is of a whole exchange."""

    def __init__(self, timeout: timedelta, tls: ssl.SSLContext | None = None) -> None:
        """Take the timeout; `tls` is of the public authorities, or of `SSL_CERT_FILE`."""
        self.timeout: Final = timeout
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=0,
            retries=0,
        )

    async def ask(self, make: Callable[[], Call]) -> Answer | Lost:
        """Ask once what `make` gives; raises nothing but a cancel."""
        begun = False

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            nonlocal begun
            begun = begun or event.endswith("send_request_headers.started")

        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                return await self._exchange(make(), trace)
        except (TimeoutError, httpcore.TimeoutException):
            return Lost("timeout", begun)
        except socket.gaierror:
            return Lost("dns", begun)
        except (httpcore.NetworkError, OSError):
            return Lost("connection", begun)
        except httpcore.ProtocolError:
            return Lost("protocol", begun)
        except (httpcore.UnsupportedProtocol, ValueError):  # a text or address that is none
            return Lost(MALFORMED, begun)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _exchange(self, call: Call, trace: object) -> Answer:
        headers = [(b"user-agent", b"Pashe/1"), (b"accept", b"*/*")]
        for name, value in (
            ("authorization", call.authorization),
            ("content-type", call.content_type),
            *call.headers,
        ):
            if value:
                headers.append((name.encode("ascii"), value.encode("ascii")))
        request = self._pool.stream(
            call.method,
            call.url,
            headers=headers,
            content=call.content,
            extensions={"trace": trace},
        )
        async with request as response:
            body = await _read(response) if call.reads else b""
            return Answer(response.status, _after(response), body)


async def _read(response: httpcore.Response) -> bytes:
    """Read the beginning of an answer, for a short time."""
    found = bytearray()
    with contextlib.suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(BODY_SECONDS):
            async for part in response.aiter_stream():
                found += part
                if len(found) >= BODY_BYTES:
                    break
    return bytes(found[:BODY_BYTES])


def _after(response: httpcore.Response) -> timedelta | None:
    """Read a Retry-After in seconds (RFC 9110, 10.2.3); None when there is none to read."""
    told = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
    text = told.strip()
    if not text.isdigit() or len(text) > 9:  # noqa: PLR2004  (digits that a timedelta holds)
        return None
    return timedelta(seconds=min(int(text), LONGEST_AFTER))
