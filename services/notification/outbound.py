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
from typing import TYPE_CHECKING, Final

import httpcore
import httpx

from services.notification.targets import TargetRefused, check_answers, check_url
from services.notification.verdicts import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from services.notification.targets import Target

    Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

KEEP_ALIVE: Final = 4.0
"""Seconds that an idle connection is kept: less than the five that many servers keep theirs."""

MAX_IDLE: Final = 64
"""Idle connections that are kept."""

DRAIN_BYTES: Final = 16 * 1024
DRAIN_SECONDS: Final = 1.0
"""How much of a body is read, for how long, so that its connection can be used again."""

RESOLVERS: Final = 64
"""Threads for looking up names: a slow name server must not hold up the others' names."""

USER_AGENT: Final = "Pashe-Webhook/1"


class _Guard(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only."""

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
        self._wire = httpcore.AnyIOBackend()

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

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        name = f"[{host}]" if ":" in host else host
        target = check_url(f"https://{name}:{port}", allow_loopback=self._allow_loopback)
        error: Exception = httpcore.ConnectError()
        for address in await self.addresses(target):
            try:
                return await self._wire.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del path, timeout, socket_options
        raise TargetRefused("host-not-allowed")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


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
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=connections,
            max_keepalive_connections=min(MAX_IDLE, connections),
            keepalive_expiry=KEEP_ALIVE,
            network_backend=self._guard,
        )

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
        except (TimeoutError, httpcore.TimeoutException):
            trouble = "timeout"
        except socket.gaierror:
            trouble = "dns"
        except (httpcore.NetworkError, OSError) as error:
            trouble = "tls" if _is_tls(error) else "connection"
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, UnicodeError, ValueError):
            trouble = "protocol"
        return Answer(timedelta(seconds=time.monotonic() - started), status, trouble, retry_after)

    async def _exchange(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str | None]:
        told = {"content-type": "application/json", "user-agent": USER_AGENT, **headers}
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._timeout):
                response = await stack.enter_async_context(
                    self._pool.stream(
                        "POST",
                        url,
                        headers=[(name.encode(), value.encode()) for name, value in told.items()],
                        content=body,
                    )
                )
            wait = next(
                (value for name, value in response.headers if name.lower() == b"retry-after"), None
            )
            await _drain(response)
            return response.status, wait.decode("latin-1") if wait is not None else None

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]


def _is_tls(error: BaseException | None) -> bool:
    """Say whether a certificate or the handshake is to blame; httpcore keeps it as the cause."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _drain(response: httpcore.Response) -> None:
    """Read a short body away. The status is the answer: what the body does changes nothing."""
    read = 0
    with contextlib.suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for part in response.aiter_stream():
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
