"""A page asks the interface of its own service, in the same process, as whoever looks at it.

So a page shows and does only what the interface would for the same person: its checks, its access
decisions, its Idempotency-Key and If-Match. Cookie and token are handed on, and where the request
came from; nothing goes over the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

_HANDED_ON: Final = ("authorization", "cookie", "origin", "sec-fetch-site", "traceparent")

_BASE: Final = "http://inside"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the interface answered: a JSON value, or bytes of a media type."""

    status: int
    value: Any
    raw: bytes
    media_type: str


class Refused(Exception):  # noqa: N818  (says what happened)
    """The interface said no: the status and the members of its problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        """Keep what was said; it never holds what was sent."""
        super().__init__(str(status))
        self.status = status
        self.problem = problem

    @property
    def slug(self) -> str:
        """The stable end of the problem's type."""
        return str(self.problem.get("type", "")).rpartition(":")[2] or "unexpected"


class Inside:
    """Asks an application of the same process."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application that serves the interface."""
        self._app = app

    async def get(self, request: Request, path: str, **query: Any) -> Any:  # noqa: ANN401
        """Read a JSON value as whoever sent `request`; a parameter that is None is left out.

        Raises:
            Refused: the interface says no.

        """
        known = {name: value for name, value in query.items() if value is not None}
        return (await self._ask(request, "GET", path, params=known)).value

    async def send(
        self,
        request: Request,
        method: str,
        path: str,
        body: object = None,
        *,
        version: str | None = None,
        key: str | None = None,
        origin: str | None = None,
    ) -> Answer:
        """Change something: `version` goes as If-Match, `key` as Idempotency-Key.

        `origin`: ours, where a sealed word of our own form vouches for it (`shared.pages.kept`)
        and the request itself came by way of an issuer.

        Raises:
            Refused: the interface says no.

        """
        headers = {"content-type": "application/json"}
        if version:
            headers["if-match"] = f'"{version}"'
        if key:
            headers["idempotency-key"] = key
        if origin:
            headers["origin"] = origin
        content = b"" if body is None else msgspec.json.encode(body)
        return await self._ask(request, method, path, headers=headers, content=content)

    async def _ask(
        self,
        request: Request,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,  # noqa: ANN401  (arguments of httpx.Request)
    ) -> Answer:
        handed_on = {n: request.headers[n] for n in _HANDED_ON if n in request.headers}
        peer = (request.client.host, request.client.port) if request.client else ("127.0.0.1", 0)
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False, client=peer)
        asked = httpx.Request(
            method, _BASE + path, headers={**handed_on, **(headers or {})}, **more
        )
        answered = await transport.handle_async_request(asked)
        raw = await answered.aread()
        media_type = answered.headers.get("content-type", "").partition(";")[0]
        value = _json(raw) if media_type.endswith("json") else None
        if answered.is_error:
            raise Refused(answered.status_code, value if isinstance(value, dict) else {})
        return Answer(answered.status_code, value, raw, media_type)


def _json(raw: bytes) -> Any:  # noqa: ANN401  (any JSON value)
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return None
