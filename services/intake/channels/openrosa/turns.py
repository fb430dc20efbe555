"""How much is read at once: large posts are bounded for a process, and for one member."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from shared.bodies import told_length
from shared.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

AT_ONCE: Final = 8
"""Large posts that are in the memory of a process at once, 12 MB each; more wait."""

OF_ONE: Final = 2
"""Large posts of one member at once; more are to come again, so that others have room."""

SMALL: Final = 100_000
"""Bytes of a post that waits for no large one: a form without files."""

WITHIN: Final = 300.0
"""Seconds for one post, with its wait."""


class Turns:
    """Bounds how many large posts are in memory; whoever sends too slowly tries again."""

    def __init__(self) -> None:
        """Start with all room."""
        self._room = asyncio.Semaphore(AT_ONCE)
        self._of: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, request: Request, member: str) -> AsyncIterator[None]:
        """Hold a member's turn to send this post.

        Raises:
            Unavailable: it took too long, or the member sends as many as one may.

        """
        small = 0 < told_length(request) <= SMALL
        try:
            async with asyncio.timeout(WITHIN), nullcontext() if small else self._large(member):
                yield
        except TimeoutError:
            raise Unavailable from None

    @asynccontextmanager
    async def _large(self, member: str) -> AsyncIterator[None]:
        if self._of[member] >= OF_ONE:
            raise Unavailable
        self._of[member] += 1
        try:
            async with self._room:
                yield
        finally:
            self._of[member] -= 1
            if not self._of[member]:
                del self._of[member]
