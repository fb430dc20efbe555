"""`/operations/<service>`: a service's own part, as a page or as a fragment of the whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response  # noqa: TC002  (FastAPI reads the annotation)

from shared import telemetry
from shared.access import Caller, require
from shared.clock import now
from shared.errors import NotFound, Unavailable
from shared.lean import text
from shared.metrics import total
from shared.operations.names import PARKED
from shared.pages.forms import read_form
from shared.pages.pages import Pages
from shared.parked import ask_replay, dismiss, list_parked
from shared.telemetry import Log
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.operations.figures import Block
    from shared.parked import Parked
    from shared.runtime import Service

HERE: Final = Path(__file__).parent
WHOLE: Final = "/operations"
SERVICES: Final = ("intake", "referral", "notification", "audit")
LONGEST: Final = 2.0
"""Seconds that the database may take for a part; then the part says that it does not answer."""

SHOWN: Final = 50
"""Parked records on a part."""

_READERS: Final = (Role.OPERATIONS, Role.AUDITOR)
_Reader = Annotated[Caller, Depends(require(*_READERS))]
_Keeper = Annotated[Caller, Depends(require(Role.OPERATIONS))]
_log = Log("operations")


@dataclass(frozen=True, slots=True)
class Stream:
    """A consumer of this process and how far it is behind."""

    name: str
    lag: int | None
    held: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database says: rows of the outbox not in Kafka, since when, and what is parked."""

    unsent: int
    oldest: datetime | None
    parked: list[Parked]
    blocks: list[Block]


def make_part_router(
    service: Service,
    look: Callable[[AsyncConnection, datetime], Awaitable[list[Block]]],
    *,
    host: bool = False,
    texts: tuple[Path, ...] = (),
) -> APIRouter:
    """Make the routes of a service's part; `host` has the page of all four besides.

    `texts` are rooms of the service whose words its figures use too.
    """
    name = service.settings.service
    pages = Pages(name, HERE, texts=texts)
    router = pages.router()
    path = f"{WHOLE}/{name}"

    @router.get(path, response_model=None)
    async def part(
        request: Request, caller: _Reader, part: Annotated[Literal["1"] | None, Query()] = None
    ) -> Response:
        """Show what this service says of itself; `part=1` without what stands around it."""
        report = await service.readiness()
        return pages.show(
            request,
            "part.html" if part else "alone.html",
            level="h3" if part else "h2",
            me=caller,
            service=name,
            report=report,
            streams=streams_of(service),
            stored=await _stored(service, look),
            services=SERVICES,
            keeps=caller.role is Role.OPERATIONS,
            parked_names=PARKED,
            at=now(),
        )

    @router.post(path + "/parked/{parked_id}/{act}", response_model=None)
    async def act(
        request: Request, parked_id: int, act: Literal["replay", "dismiss"], caller: _Keeper
    ) -> Response:
        """Replay a parked record with all that wait behind it, or end it unhandled."""
        form = await read_form(request)
        async with service.flow.begin() as conn:
            if act == "replay":
                done = await ask_replay(conn, parked_id) > 0
            else:
                done = await dismiss(conn, parked_id, caller.actor)
        if not done:
            raise NotFound
        back = WHOLE if form.get("whole") else path
        return pages.go(request, back, done=act)

    if host:
        _add_whole(router, pages)
    return router


def _add_whole(router: APIRouter, pages: Pages) -> None:
    gate = require(*_READERS)

    @router.get(WHOLE, response_model=None)
    async def whole(request: Request) -> Response:
        """Show the four parts; the page has none of their figures, and opens when one is away."""
        try:
            caller: Caller | None = await gate(request)
        except Unavailable:  # nobody can say now whether the session holds: the parts ask again
            caller = None
        return pages.show(request, "whole.html", me=caller, services=SERVICES)


def streams_of(service: Service) -> list[Stream]:
    """Return the consumers of this process by name."""
    found = []
    for consumer in service.consumers:
        lag = total("pashe_consumer_lag_records", consumer=consumer.name)
        held = bool(consumer.held or consumer.paused())
        found.append(Stream(consumer.name, None if lag is None else int(lag), held))
    return sorted(found, key=lambda one: (not one.held, -(one.lag or 0), one.name))


async def _stored(service: Service, look: Callable[..., Awaitable[list[Any]]]) -> Stored | None:
    """Return what the database says; None while it does not answer."""
    try:
        async with asyncio.timeout(LONGEST), service.flow.connect() as conn:
            row = (
                await conn.execute(
                    text(
                        "SELECT count(*) AS unsent, min(created_at) AS oldest FROM outbox"
                        " WHERE sent_at IS NULL"
                    )
                )
            ).one()
            parked = await list_parked(conn, limit=SHOWN)
            return Stored(row.unsent, row.oldest, parked, await look(conn, now()))
    except Exception as error:  # noqa: BLE001  (the part says so; the rest of it is shown)
        _log.warning("part-without-database", error=telemetry.describe(error))
        return None
