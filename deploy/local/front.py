"""The origin's own pages: what is here, and `/docs`. No script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

CLIENTS: Final = Path(__file__).resolve().parents[2] / "docs" / "clients"
"""The example clients; an installation without the repository has none to show."""

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}"
)
_ALLOWED: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_ALLOWED}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Pashe</title>
<style>{style}</style>
{body}
</html>
"""

_FRONT: Final = """<h1>Pashe</h1>
<p>Reports of child trafficking and child labour: taken, referred, followed, remembered.</p>
<p><a href="/docs">The interfaces of this installation</a></p>"""

_DOCS: Final = """<h1>Interfaces</h1>
<h2>Requests and answers: OpenAPI 3.1</h2>
<ul>{services}</ul>
<h2>What providers' systems are told: AsyncAPI 3</h2>
<ul><li><a href="/notification/v1/asyncapi.json">feeds by webhook, Kafka and server-sent
events</a></li></ul>
{clients}
<p><a href="/">Back</a></p>"""


def show_front() -> Response:
    """Return the page at `/`."""
    return _page(_FRONT)


def show_docs(services: Iterable[str]) -> Response:
    """Return the page at `/docs`: a link to each document, and to the example clients."""
    listed = "".join(f'<li><a href="/{n}/v1/openapi.json">{n}</a></li>' for n in services)
    clients = "".join(f'<li><a href="/docs/clients/{n}">{n}</a></li>' for n in _clients())
    heading = "<h2>Example clients</h2>\n"
    return _page(
        _DOCS.format(services=listed, clients=f"{heading}<ul>{clients}</ul>" if clients else "")
    )


def show_client(name: str) -> Response | None:
    """Return an example client as plain text, None if there is none of this name."""
    if name not in _clients():
        return None
    return PlainTextResponse((CLIENTS / name).read_text("utf-8"), headers=_HEADERS)


def _clients() -> list[str]:
    return sorted(file.name for file in CLIENTS.glob("*.py"))


def _page(body: str) -> Response:
    return HTMLResponse(_PAGE.format(style=_STYLE, body=body), headers=_HEADERS)
