"""Audit's HTTP interface: the history for staff, proofs, and the published log for everyone."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse, Response

from services.audit.reading import Page
from services.audit.tiles import TileInvalid, parse_path
from shared.access import Caller, require
from shared.errors import InvalidBody, NotFound
from shared.paging import decode_cursor, page
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.audit.checkpoint import VerifierKey
    from services.audit.daily import Daily
    from services.audit.proofs import Proofs
    from services.audit.reading import Reading
    from shared.runtime import Service

_MOST = 2**62
SEES = (Role.AUDITOR, Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS)
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_NOW = {"Cache-Control": "no-cache"}
_NO_STORE = {"Cache-Control": "no-store"}

Staff = Annotated[Caller, Depends(require(*SEES))]
Auditor = Annotated[Caller, Depends(require(Role.AUDITOR))]
Subject = Annotated[str, Path(pattern=r"^[!-~]{1,200}$")]
Language = Literal["bn", "en"]
Index = Annotated[int, Path(ge=0, lt=_MOST)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Size = Annotated[int | None, Query(ge=0, lt=_MOST)]


def page_of(after: str | None) -> Page:
    """Return which page of a list a cursor names. Raises `InvalidBody`."""
    match decode_cursor(after):
        case None:
            return Page()
        case [int(start), int(until)] if 0 <= start < _MOST and 0 < until < _MOST:
            return Page(start, until)
        case _:
            message = "the cursor is not valid"
            raise InvalidBody(message)


def make_router(service: Service, reading: Reading, proofs: Proofs) -> APIRouter:
    """Make the routes of the history, for staff, and of proofs, for everyone.

    A proof says nothing about anyone: it can be computed from the published tiles.
    """
    router = APIRouter(prefix="/audit/v1", tags=["history"])

    @router.get("/cases/{case_id}/history", response_model=None)
    async def history(
        case_id: Subject, caller: Staff, after: str | None = None, limit: Limit = 500
    ) -> Response:
        """List every entry about a case in order; reading it is itself an event of the case."""
        items, following = await reading.history(caller, case_id, page_of(after), limit)
        service.waker.wake()
        return JSONResponse(page(items, following), headers=_NO_STORE)

    @router.get("/cases/{case_id}/account", response_model=None)
    async def account(case_id: Subject, caller: Staff, language: Language = "bn") -> Response:
        """Read the history of a case in plain words, to give to the person it is about."""
        found = await reading.account(caller, case_id, language)
        service.waker.wake()
        return Response(found, media_type="text/plain; charset=utf-8", headers=_NO_STORE)

    @router.get("/cases/{case_id}/proof", response_model=None)
    async def proof(case_id: Subject, caller: Auditor) -> Response:
        """Read the proof file of a case: its exact events, salts and paths to a signed root."""
        found = await reading.proof(caller, case_id)
        service.waker.wake()
        return JSONResponse(found, headers=_NO_STORE)

    @router.get("/entries", response_model=None)
    async def entries(caller: Staff, after: str | None = None, limit: Limit = 200) -> Response:
        """List the entries of the whole log in order."""
        items, following = await reading.entries(caller, page_of(after), limit)
        service.waker.wake()
        return JSONResponse(page(items, following), headers=_NO_STORE)

    @router.get("/entries/{index}", response_model=None)
    async def entry(index: Index, caller: Staff) -> Response:
        """Read one entry; an auditor gets the exact bytes and the salt of its commitment."""
        found = await reading.entry(caller, index)
        service.waker.wake()
        return JSONResponse(found, headers=_NO_STORE)

    @router.get("/log", response_model=None)
    async def log(caller: Staff) -> dict[str, Any]:
        """Read size, root, flags, gaps, and the age of the last checkpoint."""
        return await reading.overview(caller)

    @router.get("/proofs/inclusion", response_model=None)
    async def inclusion(
        index: Annotated[int, Query(ge=0, lt=_MOST)], size: Size = None
    ) -> dict[str, Any]:
        """Prove that an entry stands in the log of a size, by default the last signed one."""
        return await proofs.inclusion(index, size)

    @router.get("/proofs/consistency", response_model=None)
    async def consistency(
        old: Annotated[int, Query(alias="from", ge=0, lt=_MOST)],
        new: Annotated[int | None, Query(alias="to", ge=0, lt=_MOST)] = None,
    ) -> dict[str, Any]:
        """Prove that the log only grew from one size to another."""
        return await proofs.consistency(old, new)

    return router


def make_public_router(proofs: Proofs, daily: Daily, key: VerifierKey, keys: str) -> APIRouter:
    """Make the routes of the published log (C2SP tlog-tiles): no token, cacheable.

    `keys` is what a verifier of proof files must trust, line by line.
    """
    router = APIRouter(prefix="/audit/log", tags=["log"])

    @router.get("/checkpoint", response_model=None)
    async def checkpoint() -> Response:
        """Read the last signed checkpoint as a signed note."""
        return Response(
            await proofs.checkpoint(), media_type="text/plain; charset=utf-8", headers=_NOW
        )

    @router.get("/key", response_model=None)
    async def vkey() -> Response:
        """Read the verifier key of the log; pin it."""
        return Response(f"{key}\n", media_type="text/plain; charset=utf-8", headers=_NOW)

    @router.get("/keys", response_model=None)
    async def every_key() -> Response:
        """Read the public keys of log, witnesses and services; pin them."""
        return Response(keys, media_type="text/plain; charset=utf-8", headers=_NOW)

    @router.get("/daily", response_model=None)
    async def days() -> Response:
        """List the days that have a checkpoint of their own, newest first, one a line."""
        found = "".join(f"{day}\n" for day in await daily.days())
        return Response(found, media_type="text/plain; charset=utf-8", headers=_NOW)

    @router.get("/daily/{day}", response_model=None)
    async def of_day(day: date) -> Response:
        """Read the checkpoint of a day as a signed note; it never changes."""
        note = await daily.note(day)
        return Response(note, media_type="text/plain; charset=utf-8", headers=_FOR_EVER)

    @router.get("/tile/{path:path}", response_model=None)
    async def tile(path: str) -> Response:
        """Read a hash tile or entry bundle; it never changes."""
        try:
            wanted = parse_path(path)
        except TileInvalid:
            raise NotFound from None
        found = await proofs.tile(wanted)
        return Response(found, media_type="application/octet-stream", headers=_FOR_EVER)

    return router
