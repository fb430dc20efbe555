"""Reads a form with a file in memory alone: nothing of it is ever written to a disk in clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from shared.bodies import read_bytes
from shared.errors import InvalidBody, MalformedBody
from shared.multipart import AROUND, InMemory
from shared.text import is_clean

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Form:
    """The receipt as it was written, and the bytes of the file; its name and type are not read."""

    receipt: str
    raw: bytes


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
