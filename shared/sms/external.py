"""The `external` gateway: any HTTP interface, described by templates as RapidPro's External has it.

`{{id}}`, `{{uuid}}` (the message's key), `{{text}}`, `{{to}}`, `{{to_no_plus}}`, `{{from}}`,
`{{from_no_plus}}` stand in the URL and the body. In the URL and in a form they are escaped for a
query, in XML for XML; in JSON they become whole JSON strings with their quotes, so a JSON template
has none around them. A message is one request, never divided: its parts are the gateway's work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import httpcore
import httpx

from shared.sms.gateway import Outcome, Refused, Sent, Unknown
from shared.sms.numbers import without_plus

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

FORM: Final = "application/x-www-form-urlencoded"
BODY: Final = "id={{id}}&text={{text}}&to={{to}}&from={{from}}"
"""RapidPro's own template."""

BODY_BYTES: Final = 16 * 1024
"""Bytes of an answer that are read."""

BODY_SECONDS: Final = 2.0
"""Seconds that reading them may take: the status is there already."""

CONNECTIONS: Final = 32
"""Messages under way at once, at most."""

_PLACE: Final = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")
_BUSY: Final = frozenset({429, 503})
_LONGEST_AFTER: Final = 86_400


@dataclass(frozen=True, slots=True)
class ExternalSettings:
    """How the gateway is spoken to. `success` holds the statuses that mean taken; empty: any 2xx.

    `check` is a text that an answer must hold to mean taken, or empty. `timeout` is of the whole
    exchange. `authorization` and `sender` may be empty.
    """

    url: str
    method: str = "POST"
    body: str = BODY
    content_type: str = FORM
    max_length: int = 640
    success: frozenset[int] = frozenset()
    check: str = ""
    sender: str = ""
    authorization: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=15)


class External:
    """Speaks to one gateway; a connection serves one message, so that a closed one fools nobody."""

    name: Final = "external"

    def __init__(self, settings: ExternalSettings, tls: ssl.SSLContext | None = None) -> None:
        """Take the gateway's description; `tls` defaults to the public authorities.

        `SSL_CERT_FILE` names others.
        """
        self._settings = settings
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=0,
            retries=0,
        )

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Send one text; what happened before the request was begun is refused, after it unknown.

        429 and 503 say that it may be tried again, every other 4xx that it may not; a redirect is
        not followed, and it and every other answer leave open what was done.
        """
        if len(text) > self._settings.max_length:
            return Refused("too-long")
        begun = False

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            nonlocal begun
            begun = begun or event.endswith("send_request_headers.started")

        def lost(reason: str) -> Outcome:
            return Unknown(reason) if begun else Refused(reason, again=True)

        try:
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                return await self._exchange(number, text, key, trace)
        except (TimeoutError, httpcore.TimeoutException):
            return lost("timeout")
        except socket.gaierror:
            return lost("dns")
        except (httpcore.NetworkError, OSError):
            return lost("connection")
        except httpcore.ProtocolError:
            return lost("protocol")
        except (httpcore.UnsupportedProtocol, ValueError):  # a text or address that is none
            return Unknown("protocol") if begun else Refused("malformed")

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _exchange(self, number: str, text: str, key: str, trace: object) -> Outcome:
        settings = self._settings
        values = {
            "id": key,
            "uuid": key,
            "text": text,
            "to": number,
            "to_no_plus": without_plus(number),
            "from": settings.sender,
            "from_no_plus": without_plus(settings.sender),
        }
        headers = [(b"user-agent", b"Pashe-SMS/1"), (b"accept", b"*/*")]
        if settings.authorization:
            headers.append((b"authorization", settings.authorization.encode("ascii")))
        content = b""
        if settings.method == "POST":
            content = fill(settings.body, values, escape_for(settings.content_type)).encode()
            headers.append((b"content-type", settings.content_type.encode("ascii")))
        request = self._pool.stream(
            settings.method,
            fill(settings.url, values, quote_plus),
            headers=headers,
            content=content,
            extensions={"trace": trace},
        )
        async with request as response:
            return await self._judge(response)

    async def _judge(self, response: httpcore.Response) -> Outcome:
        settings, status = self._settings, response.status
        good = status in settings.success if settings.success else 200 <= status < 300  # noqa: PLR2004
        if good:
            if settings.check and settings.check.encode() not in await _read(response):
                return Unknown("unexpected-answer", status)
            return Sent(None, status)
        if status in _BUSY:
            return Refused("busy", again=True, after=_after(response), status=status)
        if 400 <= status < 500:  # noqa: PLR2004  (RFC 9110, the client's fault)
            return Refused("refused", status=status)
        if 300 <= status < 400:  # noqa: PLR2004  (RFC 9110, elsewhere)
            return Unknown("redirect", status)
        return Unknown("server-error" if status >= 500 else "unexpected-answer", status)  # noqa: PLR2004


def fill(template: str, values: Mapping[str, str], escaped: Callable[[str], str]) -> str:
    """Put values into a template's `{{names}}`; an unknown name becomes an empty text."""
    return _PLACE.sub(lambda place: escaped(values.get(place[1], "")), template)


def escape_for(content_type: str) -> Callable[[str], str]:
    """Return how a value is written in a body of this content type; a query's way by default."""
    if "json" in content_type:
        return lambda value: json.dumps(value, ensure_ascii=False)
    if "xml" in content_type:
        return lambda value: escape(value, {'"': "&quot;", "'": "&apos;"})
    return quote_plus


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
    return timedelta(seconds=min(int(text), _LONGEST_AFTER))
