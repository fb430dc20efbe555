"""Multipart forms in memory alone: nothing of them is ever written to a disk in clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.formparsers import MultiPartParser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

AROUND: Final = 64 * 1024
"""Bytes of a form besides its files."""


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
