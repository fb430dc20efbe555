"""HTTP: one FastAPI application a service, problem documents (RFC 9457), health, bodies, cursors.

No answer ever echoes input: validation errors name fields and rules only (SAFETY 25).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig  # noqa: TC002  (a value of this module has this type)
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared import idempotency, telemetry
from shared.access import any_caller
from shared.bodies import fields_of
from shared.database import Blame, blame, sqlstate_of
from shared.errors import InvalidBody, Problem, Unavailable
from shared.health import add_health
from shared.openapi import complete
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import APIRouter
    from prometheus_client import Counter, Histogram
    from sqlalchemy.ext.asyncio import AsyncConnection
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from shared.runtime import Service

PROBLEM: Final = "application/problem+json"
PROBLEMS_AT: Final = "urn:pashe:problem:"
"""Prefix of every problem type; the slugs are stable."""

_log = Log("http")


def problem(error: Problem) -> JSONResponse:
    """Render a problem; extension members are the error's own, never the request's."""
    body = {
        "type": f"{PROBLEMS_AT}{error.slug}",
        "title": error.title,
        "status": error.status,
        **({"detail": error.detail} if error.detail else {}),
        **error.members,
    }
    headers = {}
    if (pause := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(pause)
    if error.status == 401:  # noqa: PLR2004
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, error.status, headers, media_type=PROBLEM)


async def once(
    request: Request,
    conn: AsyncConnection,
    body: bytes,
    act: Callable[[], Awaitable[tuple[int, Any]]],
) -> Response:
    """Run a change once for an Idempotency-Key, inside the caller's transaction.

    `act` returns status and JSON value. Without the header it simply runs. Raises what `act`
    raises, and `IdempotencyConflict`.
    """
    value = request.headers.get("idempotency-key")
    caller = await any_caller(request)
    if value is None:
        status, answer = await act()
        return JSONResponse(msgspec.to_builtins(answer), status)
    scope = f"{caller.actor if caller else 'anonymous'} {request.method} {request.url.path}"
    key = idempotency.Key.of(value, scope=scope, body=body)
    await conn.exec_driver_sql(
        "SELECT pg_advisory_xact_lock($1)", (int.from_bytes(key.digest[:8], "big", signed=True),)
    )
    found = await idempotency.find_answer(conn, key)
    if found is None:
        status, answer = await act()
        found = msgspec.json.encode([status, answer])
        await idempotency.keep_answer(conn, key, found)
    status, answer = msgspec.json.decode(found)
    return JSONResponse(answer, status)


NO_SUCH_CHARACTER: Final = "22021"
"""What PostgreSQL says of a NUL in a text: an address may hold one, a body was looked at before."""


def translate(error: Exception) -> Problem:
    """Return the problem that an error is to whoever asked."""
    if isinstance(error, Problem):
        return error
    if blame(error) in (Blame.WORLD, Blame.RETRY):
        return Unavailable()
    if sqlstate_of(error) == NO_SUCH_CHARACTER:
        return InvalidBody("a text holds a character that none can be stored with")
    return _Unexpected()


class _Unexpected(Problem):
    slug, status, title = "unexpected", 500, "Something is wrong here; it has been noted"


class _HttpProblem(Problem):
    """What the framework itself says: no such path, wrong method."""

    def __init__(self, status: int) -> None:
        names = {
            404: ("not-found", "Nothing is here"),
            405: ("method", "This method is not for it"),
        }
        slug, title = names.get(status, ("http", "The request cannot be taken"))
        self.slug, self.status, self.title = slug, status, title  # type: ignore[misc]
        super().__init__()


_NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own spans hold the query string, where a gateway puts a number and its text: never."""


_BEFORE_START: Final = ("/live", "/ready", "/metrics", "/openapi.json")
"""Paths that answer before schema, roles and keys were checked; all others answer 503 till then."""


_TAKING: Final = ("POST", "PUT")
"""Methods that bring something."""


@runtime_checkable
class Telling(Protocol):
    """A fence that is told what was refused inside it."""

    def refused(self, status: int) -> None:
        """Take the status of an answer, 400 or more, to what was brought."""


Fences = dict[str, Callable[["ASGIApp"], "ASGIApp"]]
"""What stands around the paths that begin so."""


class _Watch:
    """Spans, metrics and the last translation of errors, as plain ASGI: streams pass untouched."""

    def __init__(
        self, app: ASGIApp, service: Service, fences: Fences, route: str | None = None
    ) -> None:
        self._app = app
        self._service = service
        self._fences = fences
        self._name = service.settings.service
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        parent = dict(scope["headers"]).get(b"traceparent", b"").decode("ascii", "replace")
        with telemetry.span(f"{self._name} {method}", parent or None) as span:
            try:
                ready = self._service.started or scope["path"].endswith(_BEFORE_START)
                answer = self._fenced(scope["path"]) if ready else problem(Unavailable())
                await answer(scope, receive, watched)
            except Exception as error:
                if status:
                    raise
                translated = translate(error)
                if translated is not error and translated.status >= 500:  # noqa: PLR2004
                    span.fail(error)
                    _log.error("request-failed", error, status=translated.status)
                await problem(translated)(scope, receive, watched)
            if status >= 500:  # noqa: PLR2004  (ours; a trace of it is kept)
                span.fail(_Unexpected())
        route = self._route or getattr(scope.get("route"), "path", "none")
        seconds, requests = _series(method, route, status)
        seconds.observe(time.perf_counter() - started)
        requests.inc()
        if status >= 400 and method in _TAKING:  # noqa: PLR2004  (errors begin there)
            self._tell_refused(scope["path"], status)

    def _tell_refused(self, path: str, status: int) -> None:
        for begins, fence in self._fences.items():
            if path.startswith(begins) and isinstance(fence, Telling):
                fence.refused(status)

    def _fenced(self, path: str) -> ASGIApp:
        for begins, fence in self._fences.items():
            if path.startswith(begins):
                return fence(self._app)
        return self._app


@lru_cache(maxsize=1024)
def _series(method: str, route: str, status: int) -> tuple[Histogram, Counter]:
    """Return the metrics' children for these labels; to find them anew costs more than to count."""
    return (
        telemetry.HTTP_SECONDS.labels(route),
        telemetry.HTTP_REQUESTS.labels(method, route, status),
    )


Endpoint = Callable[[Request], Awaitable[Response]]


def direct(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that takes the request alone: it is called past FastAPI's own machinery.

    That costs several times what such an endpoint does itself: it walks all routes, resolves
    dependencies and wraps the answer. Path and method are declared as ever, so that OpenAPI knows
    them; the path must have no parameters.
    """
    endpoint.direct = True  # type: ignore[attr-defined]
    return endpoint


class App(FastAPI):
    """FastAPI, with a table of the routes that are `direct`, and fences around groups of paths.

    `fences` has what is called around every path that begins so, `direct` or not.
    """

    def __init__(self, service: Service, **more: Any) -> None:  # noqa: ANN401  (FastAPI's own)
        """Take the service that is watched, and FastAPI's own arguments."""
        super().__init__(**more)
        self._service = service
        self._direct: dict[tuple[str, str], ASGIApp] = {}
        self.fences: Fences = {}
        self.add_middleware(_Watch, service=service, fences=self.fences)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            found = self._direct.get((scope["method"], scope["path"]))
            if found is not None:
                scope["app"] = self
                await found(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the document of the interface; made once."""
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema

    def include_router(self, router: APIRouter, **more: Any) -> None:  # noqa: ANN401
        """Include a router; those of its endpoints that are `direct` are entered in the table."""
        super().include_router(router, **more)
        for route in router.routes:
            if isinstance(route, APIRoute) and getattr(route.endpoint, "direct", False):
                for method in route.methods or ():
                    watched = _Watch(_plain(route.endpoint), self._service, self.fences, route.path)
                    self._direct[method, route.path] = watched


def _plain(endpoint: Endpoint) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)

    return answer


def make_app(service: Service, title: str, description: str) -> App:
    """Make the application of a service: problems, health, metrics, OpenAPI, request metrics."""
    name = service.settings.service

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = App(
        service,
        title=title,
        description=description,
        version="1",
        openapi_url=f"/{name}/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
        lifespan=lifespan,
    )
    app.state.tokens = service.tokens
    app.state.sessions = getattr(service, "sessions", None)
    app.state.issuers = getattr(service, "issuers", None)

    @app.exception_handler(Problem)
    async def on_problem(_: Request, error: Problem) -> Response:
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> Response:
        return problem(InvalidBody(None, errors=fields_of(error.errors())))

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> Response:
        return problem(_HttpProblem(error.status_code))

    add_health(app, service)
    return app
