"""Reads what an app posts: the filled form and files, in memory alone, and no more than that holds.

The form stands first (Collect). Of a post that is too large so much is read that the form is had,
and the rest is let go: what it reports is not lost with a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from services.intake.channels.openrosa.instances import MOST_BYTES
from shared.bodies import told_length
from shared.errors import Problem, TooLarge
from shared.multipart import AROUND, InMemory

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

FORM: Final = "xml_submission_file"

MOST_SENT: Final = 200_000_000
"""Bytes of a post that are let come in at all; more is refused before it is read."""

_PARTS: Final = 250
"""Parts of a post; Collect sends 100 files at most, and two besides."""


class NotAForm(Problem):
    """What came is no filled form of OpenRosa."""

    slug, status, title = "not-a-form", 400, "This is no filled form"


@dataclass(frozen=True, slots=True)
class Upload:
    """The XML of a form, files that came whole, and whether something was too large to be read."""

    xml: bytes
    files: tuple[bytes, ...]
    cut: bool


async def read_upload(request: Request, limit: int) -> Upload:
    """Read a post of at most `limit` bytes of form and files; of a larger one its beginning.

    Raises:
        TooLarge: it is far too large, or its form is not within the limit.
        NotAForm: it is no such post.

    """
    if told_length(request) > MOST_SENT:
        raise TooLarge
    body, cut = await _read(request, limit + AROUND)
    form = await _parse(request, body)
    forms = form.getlist(FORM)
    if len(forms) > 1:
        raise NotAForm("more than one form in a post")
    raw = forms[0] if forms else None
    xml = await raw.read() if isinstance(raw, UploadFile) else (raw or "").encode()
    if not xml:
        raise TooLarge if cut else NotAForm(f"{FORM} is missing")
    named = [value for name, value in form.multi_items() if name != FORM]
    files = [await one.read() for one in named if isinstance(one, UploadFile)]
    return Upload(xml, tuple(file for file in files if file), cut)


async def _read(request: Request, limit: int) -> tuple[bytes, bool]:
    """Return the first `limit` bytes, and whether there were more; all of it leaves the line."""
    body, seen = bytearray(), 0
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        seen += len(part)
        if seen > MOST_SENT:
            raise TooLarge
        body += part[: limit - len(body)]
        if not message.get("more_body", False):
            return bytes(body), seen > limit


async def _parse(request: Request, body: bytes) -> FormData:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise NotAForm("send a multipart form")
    parser = InMemory(request, body, max_files=_PARTS, max_fields=_PARTS, max_part_size=MOST_BYTES)
    try:
        return await parser.parse()
    except (MultiPartException, ValueError, LookupError):
        raise NotAForm("the form is not whole") from None
