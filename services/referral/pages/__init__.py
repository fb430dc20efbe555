"""Referral's pages: plain HTML, Bangla first, no script, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, Response

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

_HERE: Final = Path(__file__).parent
_pages = Environment(loader=FileSystemLoader(_HERE), autoescape=True)


def show(name: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401
    """Render a page by its name."""
    return HTMLResponse(_pages.get_template(f"{name}.html").render(values), status, HEADERS)


def style() -> Response:
    """Return the style sheet."""
    return Response((_HERE / "style.css").read_bytes(), 200, HEADERS, "text/css")
