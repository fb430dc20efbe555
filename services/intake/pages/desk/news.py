"""What came since a page was made, as server-sent events: said in a bar, never moved into the list.

The browser asks while the page is looked at, and comes back by itself when the stream ends. Each
look reads as the web role in the caller's reach.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from fastapi import Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from services.intake.pages.desk.frame import DESK, Frame
from services.intake.pages.desk.queue import count_new
from services.intake.pages.desk.routes import Word, wanted_in
from shared.access import Caller, require
from shared.clock import now
from shared.database import Blame, blame
from shared.pages import headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi import APIRouter

    from shared.runtime import Service

EVERY: Final = 3.0
"""Seconds between looks."""

LASTS: Final = timedelta(minutes=5)
"""How long a stream goes on: then the browser asks again, and is asked who it is."""

AGAIN: Final = 5_000
"""Milliseconds after which the browser comes back."""


def make_router(service: Service, frame: Frame) -> APIRouter:
    """Make the route."""
    router = frame.pages.router(files=False)

    @router.get("/desk/news", response_model=None)
    async def news(
        request: Request,
        caller: Annotated[Caller, Depends(require(*DESK))],
        since: Annotated[str, Query(max_length=40, pattern=r"^[0-9TZ:.-]+$")],
        group: Word = None,
        place: Word = None,
        mine: Word = None,
    ) -> Response:
        wanted = wanted_in(group, place, mine)

        async def look() -> int:
            return await count_new(service, caller, wanted, since, now())

        if "text/event-stream" not in request.headers.get("accept", ""):
            return JSONResponse({"new": await look()}, headers=headers.INSIDE)
        return StreamingResponse(
            follow(look), media_type="text/event-stream", headers=headers.INSIDE
        )

    return router


async def follow(
    look: Callable[[], Awaitable[int]], every: float = EVERY, lasts: timedelta = LASTS
) -> AsyncIterator[bytes]:
    """Yield a count whenever it is another than before; end in time, or without a database."""
    until, told = now() + lasts, 0
    yield f"retry: {AGAIN}\n\n".encode()
    while now() < until:
        try:
            many = await look()
        except Exception as error:
            if blame(error) is Blame.UNKNOWN:
                raise
            return
        if many != told:
            told = many
            yield b"data: " + msgspec.json.encode({"new": many}) + b"\n\n"
        else:
            yield b":\n\n"  # a dead line is noticed
        await asyncio.sleep(every)
