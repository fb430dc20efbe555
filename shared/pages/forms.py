"""Forms of plain HTML: read within limits, in memory, cleaned once, never echoed in an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from shared.bodies import read_bytes
from shared.errors import MalformedBody
from shared.multipart import AROUND, InMemory
from shared.text import is_clean, normalise

if TYPE_CHECKING:
    from starlette.requests import Request

LARGEST: Final = 256 * 1024
"""Bytes of a form without files."""

MANY: Final = 400
"""Fields of a form at most."""


@dataclass(frozen=True, slots=True)
class Form:
    """What somebody filled in: texts in NFC without outer space, and the bytes of files."""

    fields: tuple[tuple[str, str], ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of a field."""
        return next((value for key, value in reversed(self.fields) if key == name), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a field that is not empty, in order."""
        return [value for key, value in self.fields if key == name and value]

    def has(self, name: str) -> bool:
        """Say whether a field or button came."""
        return any(key == name for key, _ in self.fields)


async def read_form(request: Request, files: int = 0, largest_file: int = 0) -> Form:
    """Read a form, with at most so many files of at most so many bytes together.

    Raises:
        TooLarge: it is larger. MalformedBody: it is no form.

    """
    kind = request.headers.get("content-type", "").lower()
    if files and kind.startswith("multipart/form-data"):
        return await _read_parts(request, files, largest_file)
    body = await read_bytes(request, LARGEST)
    if not kind.startswith("application/x-www-form-urlencoded"):
        raise MalformedBody("send a form")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MANY)
    except ValueError:
        raise MalformedBody("the form is not whole") from None
    return Form(_clean(pairs))


async def _read_parts(request: Request, files: int, largest_file: int) -> Form:
    body = await read_bytes(request, largest_file + LARGEST + AROUND)
    parser = InMemory(request, body, max_files=files, max_fields=MANY, max_part_size=LARGEST)
    try:
        read = await parser.parse()
    except (MultiPartException, ValueError, LookupError):
        raise MalformedBody("the form is not whole") from None
    pairs = [(key, value) for key, value in read.multi_items() if isinstance(value, str)]
    sent = [(key, value) for key, value in read.multi_items() if isinstance(value, UploadFile)]
    content = {key: await value.read() for key, value in sent}
    return Form(_clean(pairs), {key: raw for key, raw in content.items() if raw})


def _clean(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the fields; one that cannot be stored (NUL, lone surrogate) loses those signs."""
    return tuple((key, _text(value)) for key, value in pairs)


def _text(value: str) -> str:
    if not is_clean(value):
        value = "".join(sign for sign in value if is_clean(sign))
    return normalise(value.replace("\r\n", "\n")).strip()
