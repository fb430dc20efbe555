"""Reads a form with a file in memory alone: nothing of it is ever written to a disk in clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from shared.bodies import read_bytes
from shared.errors import InvalidBody, MalformedBody
from shared.text import is_clean

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

AROUND: Final = 64 * 1024
"""Bytes of a form besides its file."""


@dataclass(frozen=True, slots=True)
class Form:
    """The receipt as it was written, and the bytes of the file; its name and type are not read."""

    receipt: str
    raw: bytes


class InMemory(MultiPartParser):
    """The parser of Starlette, for a body that was read already: it never spools to a disk."""

    def __init__(
        self,
        request: Request,
        body: bytes,
        *,
        max_files: int = 1,
        max_fields: int = 4,
        max_part_size: int = AROUND,
    ) -> None:
        """Take the request for its headers, its body, and bounds of files and fields."""
        self.spool_max_size = len(body) + 1
        super().__init__(
            request.headers,
            _once(body),
            max_files=max_files,
            max_fields=max_fields,
            max_part_size=max_part_size,
        )


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def read_form(request: Request, max_bytes: int) -> Form:
    """Read `receipt` and `file` of a multipart form.

    Raises:
        TooLarge: it is larger. MalformedBody: it is no such form. InvalidBody: a field is missing.

    """
    body = await read_bytes(request, max_bytes + AROUND)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise MalformedBody("send a multipart form with a receipt and a file")
    try:
        form = await InMemory(request, body).parse()
    except (MultiPartException, ValueError, LookupError):
        raise MalformedBody("the form is not whole") from None
    receipt, file = form.get("receipt"), form.get("file")
    if not isinstance(receipt, str) or not 1 <= len(receipt) <= 200 or not is_clean(receipt):  # noqa: PLR2004
        raise InvalidBody(None, errors=[{"field": "receipt", "rule": "missing"}])
    if not isinstance(file, UploadFile):
        raise InvalidBody(None, errors=[{"field": "file", "rule": "missing"}])
    return Form(receipt, await file.read())
