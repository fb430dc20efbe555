"""The one way out: HTTP posts that go only to addresses that were checked.

The name is resolved and every address checked inside the making of the connection, which then goes
to that very address: a name that answers otherwise a moment later (DNS rebinding) changes nothing.
TLS still verifies the name. Redirects are not followed, no proxy is used, no body is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.notification.targets import (
    TargetRefused,
    check_address,
    check_answers,
    check_url,
    is_loopback,
)
from services.notification.verdicts import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from services.notification.targets import Target

    Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

KEEP_ALIVE: Final = 4.0
"""Seconds that an idle connection is kept: less than the five that many servers keep theirs."""

DRAIN_BYTES: Final = 16 * 1024
DRAIN_SECONDS: Final = 1.0
"""How much of a body is read, for how long, so that its connection can be used again."""

RESOLVERS: Final = 64
"""Threads for looking up names: a slow name server must not hold up the others' names."""

USER_AGENT: Final = "Pashe-Webhook/1"


class _Guard(AbstractResolver):
    """Looks up names, and makes sockets, for checked addresses only."""

    def __init__(
        self,
        resolve: Resolve,
        *,
        allow_loopback: bool,
        denied: Sequence[IPv4Network | IPv6Network],
    ) -> None:
        self._resolve = resolve
        self._allow_loopback = allow_loopback
        self._denied = denied
        self.open: Callable[[aiohttp.AddrInfoType], socket.socket] = _socket

    async def addresses(self, target: Target) -> list[str]:
        """Return the addresses to connect to, all checked.

        Raises:
            TargetRefused: one of them is not allowed.
            OSError: the name cannot be looked up.

        """
        if target.address is not None:
            answers: Sequence[str] = [str(target.address)]
        else:
            answers = await self._resolve(target.host, target.port)
        return [str(address) for address in check_answers(target, answers, self._denied)]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        target = check_url(f"https://{host}:{port}", allow_loopback=self._allow_loopback)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self.addresses(target)
        ]

    def socket_for(self, place: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket to one address, which may have been in the URL and never looked up."""
        address = ip_address(place[4][0])
        if not (self._allow_loopback and is_loopback(address)):
            check_address(address, self._denied)
        return self.open(place)

    async def close(self) -> None:
        """Nothing is held."""


def _socket(place: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, proto, *_ = place
    return socket.socket(family, kind, proto)


class Outbound:
    """Posts to subscribers; one instance a process, made inside its event loop or before."""

    def __init__(
        self,
        *,
        timeout: timedelta,
        connections: int,
        allow_loopback: bool = False,
        denied: Sequence[IPv4Network | IPv6Network] = (),
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the longest time of one post, the most connections, and what else may be reached.

        `tls` defaults to the public authorities; `SSL_CERT_FILE` names others.
        """
        self._timeout = timeout.total_seconds()
        self._allow_loopback = allow_loopback
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        self._guard = _Guard(resolve or self._look_up, allow_loopback=allow_loopback, denied=denied)
        self._tls = tls or httpx.create_ssl_context()
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # made inside the loop, as it must be
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._tls,
                    resolver=self._guard,
                    socket_factory=self._guard.socket_for,
                    use_dns_cache=False,
                    happy_eyeballs_delay=None,
                    limit=self._connections,
                    keepalive_timeout=KEEP_ALIVE,
                ),
                timeout=aiohttp.ClientTimeout(),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding"),
                auto_decompress=False,
            )
        return self._session

    async def check(self, url: str) -> None:
        """Check a URL and what its name resolves to now.

        Raises:
            TargetRefused: no webhook goes there; `name-unresolved` if it cannot be looked up.

        """
        target = check_url(url, allow_loopback=self._allow_loopback)
        try:
            async with asyncio.timeout(self._timeout):
                await self._guard.addresses(target)
        except (OSError, UnicodeError):  # a time-out is an OSError
            raise TargetRefused("name-unresolved") from None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, at: datetime) -> Answer:
        """Post once and say what came of it; whatever the receiver does, this returns in time.

        `at` is now, to read a Retry-After that is a date.
        """
        started = time.monotonic()
        status: int | None = None
        trouble: str | None = None
        retry_after: timedelta | None = None
        try:
            check_url(url, allow_loopback=self._allow_loopback)
            status, told = await self._exchange(url, headers, body)
            retry_after = parse_retry_after(told, at)
        except TargetRefused:
            trouble = "target-refused"
        except TimeoutError:
            trouble = "timeout"
        except aiohttp.ClientConnectorDNSError:
            trouble = "dns"
        except OSError as error:
            trouble = "tls" if _is_tls(error) else "connection"
        except (aiohttp.ClientError, UnicodeError, ValueError):
            trouble = "protocol"
        return Answer(timedelta(seconds=time.monotonic() - started), status, trouble, retry_after)

    async def _exchange(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str | None]:
        told = {"content-type": "application/json", "user-agent": USER_AGENT, **headers}
        async with asyncio.timeout(self._timeout):
            response = await self._open().post(
                URL(url, encoded=True), headers=told, data=body, allow_redirects=False
            )
        try:
            await _drain(response)
        finally:
            response.close()  # of a body read to its end, the connection has gone back already
        return response.status, response.headers.get("retry-after")

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]


def _is_tls(error: BaseException | None) -> bool:
    """Say whether a certificate or the handshake is to blame; it is kept as the cause."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a short body away. The status is the answer: what the body does changes nothing."""
    read = 0
    with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while part := await response.content.readany():
                read += len(part)
                if read > DRAIN_BYTES:
                    return


def parse_retry_after(value: str | None, at: datetime) -> timedelta | None:
    """Read a Retry-After (RFC 9110, 10.2.3): seconds or a date; None when there is none to read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:  # noqa: PLR2004  (a timedelta holds it)
        return timedelta(seconds=int(text))
    try:
        return max(parsedate_to_datetime(text) - at, timedelta(0))
    except (ValueError, TypeError, OverflowError):
        return None
