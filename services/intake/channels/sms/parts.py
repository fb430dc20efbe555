"""Joins the parts of a long text, when a gateway tells them apart and posts each by itself.

Each request waits a little for the others, and is answered only once its part is stored: with the
others as one text, or alone when they did not come. So nothing is lost, also when the process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.intake.channels.sms.inbound import Inbound, Part

WAIT: Final = 3.0
"""Seconds that a part waits for the others; a gateway waits ten for its answer."""

KEEP: Final = 600.0
"""Seconds in which a part that comes once more is known as one that was joined."""

T = TypeVar("T")


@dataclass(slots=True)
class _Set(Generic[T]):
    parts: dict[int, Inbound] = field(default_factory=dict)
    marks: dict[int, bytes] = field(default_factory=dict)
    full: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[T] | None = None
    ended: float | None = None


class Parts(Generic[T]):
    """The sets of parts that wait in this process, or were joined lately."""

    def __init__(self, wait: float = WAIT) -> None:
        """Take how many seconds a part waits for the others."""
        self._wait = wait
        self._sets: dict[tuple[str, str, str, int], _Set[T]] = {}

    async def join(
        self,
        gateway: str,
        message: Inbound,
        part: Part,
        store: Callable[[list[Inbound]], Awaitable[T]],
    ) -> T:
        """Return what `store` returned for the texts that this part became one of.

        Raises what `store` raises, to everybody who waits: each gateway's request is tried again.
        """
        clock = asyncio.get_running_loop().time()
        for key, old in [*self._sets.items()]:
            if old.ended is not None and old.ended + KEEP < clock:
                del self._sets[key]
        key = (gateway, message.sender, part.reference, part.of)
        mark = hashlib.sha256(message.text.encode()).digest()
        found = self._sets.get(key)
        same = found is not None and found.marks.get(part.number) == mark
        if found is None or (found.ended is not None and not same):
            found = self._sets[key] = _Set()
        elif part.number in found.marks and not same:
            return await store([message])
        if not same:
            found.marks[part.number] = mark
            found.parts[part.number] = message
        if len(found.parts) == part.of:
            found.full.set()
        if found.task is None:
            found.task = asyncio.create_task(self._finish(key, found, store))
        return await asyncio.shield(found.task)

    async def _finish(
        self,
        key: tuple[str, str, str, int],
        found: _Set[T],
        store: Callable[[list[Inbound]], Awaitable[T]],
    ) -> T:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait):
                await found.full.wait()
        found.ended = asyncio.get_running_loop().time()
        ordered = [found.parts[number] for number in sorted(found.parts)]
        found.parts.clear()
        try:
            return await store([joined(ordered)] if found.full.is_set() else ordered)
        except BaseException:
            if self._sets.get(key) is found:
                del self._sets[key]
            raise


def joined(parts: list[Inbound]) -> Inbound:
    """Return the text whose parts these are, in order."""
    first = parts[0]
    refs = tuple(dict.fromkeys(ref for part in parts for ref in part.refs))
    return replace(first, text="".join(part.text for part in parts), part=None, refs=refs)
