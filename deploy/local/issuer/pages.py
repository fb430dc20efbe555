"""The issuer's pages: plain HTML, Bangla first, no script, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import segno
from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

LARGEST: Final = 16_384
"""Bytes of a form."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

STYLE: Final = """
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 28rem; margin: 2rem auto }
body { padding: 0 1rem }
label { display: block; margin-top: 1rem } small, .en { color: #555 }
input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box }
button { font: inherit; margin-top: 1.5rem; padding: .6rem 1.2rem }
.note { border-left: .3rem solid #888; padding-left: .8rem }
code { overflow-wrap: anywhere } img { width: 14rem; max-width: 100%; height: auto }
"""

NOTES: Final = {
    "wrong": (
        "নাম, পাসওয়ার্ড বা সংখ্যা মেলেনি।",
        "The name, the password or the code is not right.",
    ),
    "busy": ("একটু পরে আবার চেষ্টা করুন।", "Try again in a moment."),
    "stale": ("পাতাটি পুরোনো হয়ে গেছে। আবার লিখুন।", "The page was too old. Please write it again."),
    "password": (
        "পাসওয়ার্ডে অন্তত ১২টি অক্ষর লাগবে, আর আপনার নাম থাকবে না।",
        "A password has at least 12 characters, and not your name in it.",
    ),
    "same": ("দুটি পাসওয়ার্ড এক নয়।", "The two passwords are not the same."),
    "code": ("সংখ্যাটি মেলেনি। ফোনের ঘড়ি ঠিক আছে?", "The code is not right. Is the phone's clock?"),
}
"""What is told when something is not right, in Bangla and English."""

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True
)


def show(name: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401
    """Render a page; `note` is one of NOTES."""
    values["note"] = NOTES.get(values.get("note", ""))
    return HTMLResponse(_pages.get_template(f"{name}.html").render(values), status, HEADERS)


def picture_of(uri: str) -> str:
    """Return a QR code as an address with the picture in it."""
    return str(segno.make(uri, error="m").svg_data_uri(border=2))


class TooLarge(Exception):  # noqa: N818
    """A form that is larger than any of ours."""


async def read_form(request: Request) -> list[tuple[str, str]]:
    """Return a form's parameters in order. Raises `TooLarge`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise TooLarge
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
