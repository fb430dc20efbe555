"""The one origin: a small reverse proxy that streams both ways; in production an ingress does it.

It says itself where a request came from (what a client claims is dropped), keeps `/metrics` and
`/ready` inside, and tries again only while connecting, when nothing was sent: a request that may
have reached a service is never sent twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from deploy.local import front
from deploy.local.home import HOST
from deploy.local.keys import ACCOUNTS, SERVICES
from shared.logs import guard_process, setup_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive, Scope, Send

CONNECT_FOR: Final = 1.5
"""Seconds in which connecting is tried again; a service that was killed is back by then."""

CONNECT: Final = 5.0
"""Seconds that one try may take. On one machine it is refused or made at once; a shorter limit only
takes a proxy that got no CPU for that long for a service that is away."""

READ: Final = 60.0
"""Seconds without a byte from a service before it counts as hung; event streams ping sooner."""

RETRY_AFTER: Final = "2"

_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers of one hop only (RFC 9110, 7.6.1)."""

ROOMS: Final = {
    **dict.fromkeys(("sign-in", "sign-out"), "intake"),
    **dict.fromkeys(("", "a", "l", "r", "t", "x"), "intake"),
    **dict.fromkeys(("desk", "committee", "learning"), "intake"),
    **dict.fromkeys(("h", "provider"), "referral"),
    "operations": "notification",
    "history": "audit",
    "figures": "audit",
}
"""Which service serves the pages under a first segment; the empty one is the origin's front."""

SHARED_ROOM: Final = "operations"
"""Pages of every service: its own under `/operations/<service>`."""

_CLAIMED: Final = (b"forwarded", b"x-forwarded-", b"x-real-ip")
_INSIDE: Final = frozenset({"metrics", "ready"})


class Proxy:
    """An ASGI application that hands each request to the service of its first path segment."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        """Take the base address of each first path segment."""
        self._routes = dict(routes)
        # Each request has a connection of its own: one kept alive can be closed by the service
        # at the moment it is used, and then nobody knows whether the request arrived.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(READ, connect=CONNECT, pool=5.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
            follow_redirects=False,
            # A client of httpx keeps cookies: without this everybody would have everybody's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
        # What the client did not say is not said for it: it may not know how to inflate.
        for name in list(self._client.headers):
            del self._client.headers[name]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the start and end of the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive)
            response = await self._respond(request)
            await response(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await self._client.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, request: Request) -> Response:
        words = [word for word in request.scope["path"].split("/") if word]
        room = words[0] if words else ""
        if (not words and "" not in self._routes) or words == ["live"] or room == "docs":
            return self._own(request, words)
        base = self._base_of(words)
        if base is None or _is_inside(words):
            return problem(404, "not-found", "There is nothing here.")
        try:
            upstream = await self._send(request, base)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            told = problem(502, "service-away", f"{room} is not there now; try again.")
            return front.for_people(request, told)
        except httpx.TimeoutException:
            told = problem(504, "service-slow", f"{room} did not answer in time.")
            return front.for_people(request, told)
        except httpx.HTTPError:
            told = problem(502, "service-broke-off", f"{room} broke off; ask again.")
            return front.for_people(request, told)
        response = StreamingResponse(_body_of(upstream), upstream.status_code)
        response.raw_headers = _forwardable(upstream.headers.raw)
        return response

    def _base_of(self, words: list[str]) -> str | None:
        if len(words) > 1 and words[0] == SHARED_ROOM and words[1] in SERVICES:
            return self._routes.get(words[1])
        return self._routes.get(words[0] if words else "")

    def _own(self, request: Request, words: list[str]) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return problem(405, "method-not-allowed", "Only GET is served here.")
        match words:
            case []:
                return front.show_front()
            case ["live"]:
                return JSONResponse({"status": "live"})
            case ["docs"]:
                return front.show_docs(name for name in self._routes if name in SERVICES)
            case ["docs", "clients", name] if (client := front.show_client(name)) is not None:
                return client
        return problem(404, "not-found", "There is nothing here.")

    async def _send(self, request: Request, base: str) -> httpx.Response:
        """Send a request on and return the answer's head; connecting is tried for a while."""
        url = httpx.URL(base).copy_with(raw_path=_target_of(request.scope))
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        until = time.monotonic() + CONNECT_FOR
        while True:
            outgoing = self._client.build_request(
                request.method,
                url,
                headers=_forwarded(request),
                content=request.stream() if has_body else None,
            )
            try:
                return await self._client.send(outgoing, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent, and the body was not touched.
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)


def _is_inside(words: list[str]) -> bool:
    """Say whether a path is kept inside; dots are refused, since they could lead there."""
    if any(word in {".", ".."} for word in words):
        return True
    if not words:
        return False
    return len(words) <= 3 and words[-1].lower() in _INSIDE and words[1:-1] in ([], ["v1"])  # noqa: PLR2004  (service, version, name)


def _target_of(scope: Scope) -> bytes:
    path: bytes = scope["raw_path"].partition(b"?")[0]
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


def _forwarded(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the headers for the service: the client's, without claims about where it is."""
    headers = [
        (name, value)
        for name, value in _forwardable(request.headers.raw)
        if not name.lower().startswith(_CLAIMED)
    ]
    client = request.client.host if request.client else "unknown"
    return [
        *headers,
        (b"x-forwarded-for", client.encode("ascii", "replace")),
        (b"x-forwarded-proto", request.scope["scheme"].encode("ascii")),
        (b"x-forwarded-host", request.headers.get("host", "").encode("latin-1")),
    ]


def _forwardable(raw: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    named = {
        word.strip().lower()
        for name, value in raw
        if name.lower() == b"connection"
        for word in value.split(b",")
    }
    return [(n, v) for n, v in raw if n.lower() not in _HOP and n.lower() not in named]


class BrokeOff(Exception):  # noqa: N818  (says what happened)
    """A service broke off in mid-answer: the client's connection is cut, so that it knows."""


async def _body_of(upstream: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body as it comes, still encoded; the connection ends with it."""
    try:
        async for chunk in upstream.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        raise BrokeOff(type(error).__name__) from None
    finally:
        await upstream.aclose()


def say_in_one_line() -> None:
    """Keep tracebacks of services that broke off out of the log."""
    logging.getLogger("uvicorn.error").addFilter(_InOneLine())


class _InOneLine(logging.Filter):
    """Tells of a service that broke off in one line; everything else keeps its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, BrokeOff):
            record.msg, record.args = "a service broke off in mid-answer", ()
            record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
        return True


def problem(status: int, kind: str, title: str) -> JSONResponse:
    """Return an error as `application/problem+json` (RFC 9457); 502 and 504 say when to retry."""
    body: dict[str, Any] = {"type": f"urn:pashe:problem:{kind}", "title": title, "status": status}
    headers = {"Retry-After": RETRY_AFTER} if status in {502, 504} else None
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def main() -> None:
    """Serve on the listening socket whose file descriptor is the first argument."""
    names = (*SERVICES, ACCOUNTS)
    routes = {name: os.environ.get(f"{name.upper()}_URL", "") for name in names}
    routes |= {room: routes[service] for room, service in ROOMS.items()}
    listener = socket.socket(fileno=int(sys.argv[1]))
    setup_logs("proxy", "WARNING")
    guard_process()
    say_in_one_line()
    config = uvicorn.Config(
        Proxy({name: url for name, url in routes.items() if url}),
        host=HOST,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
