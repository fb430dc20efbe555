"""`POST /referral/v1/directory/import` and `GET …/export`: the directory as HSDS 3."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from services.referral.exchange.hsds.giving import IN_MEMORY, give
from services.referral.exchange.hsds.taking import take
from shared.access import Caller, require
from shared.bodies import told_length
from shared.clock import now
from shared.errors import Forbidden, InvalidBody, Problem, TooLarge
from shared.outbox import Stamp
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from shared.runtime import Service

MOST_BYTES: Final = 300_000_000
"""Bytes of what is sent."""

_TAKERS: Final = (Role.SUPERVISOR, Role.OPERATIONS)
_GIVEN_TO: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR)
_LINES: Final = "application/x-ndjson"
_CHUNK: Final = 65_536
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {}},
            _LINES: {"schema": {"type": "string"}},
        },
    }
}


async def _receive(request: Request) -> IO[bytes]:
    if told_length(request) > MOST_BYTES:
        raise TooLarge
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (the caller closes it)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            file.close()
            raise TooLarge
        file.write(chunk)
    file.seek(0)
    return file


def make_router(service: Service) -> APIRouter:
    """Make the routes of import and export."""
    router = APIRouter(prefix="/referral/v1/directory", tags=["directory"])
    _add_import(router, service)
    _add_export(router, service)
    return router


def _add_import(router: APIRouter, service: Service) -> None:
    @router.post("/import", response_model=None, openapi_extra=_BODY)
    async def import_directory(
        request: Request,
        caller: Annotated[Caller, Depends(require(*_TAKERS))],
        *,
        dry_run: bool = False,
        overwrite: bool = False,
    ) -> Response:
        """Take an HSDS 3 package or document whole, or say by row what is wrong and take nothing.

        The same again changes nothing. `dry_run` tries everything and keeps nothing; `overwrite`
        also changes what a person edited here. Asked for `application/x-ndjson` the answer is 200
        and lines: progress, and at the end the report (`event: end`) or an `error`.
        """
        file = await _receive(request)
        stamp = Stamp(now(), caller.actor)
        words = take(
            service.flow, service.outbox, file, stamp, dry_run=dry_run, overwrite=overwrite
        )
        if _LINES in request.headers.get("accept", ""):
            lines = _told_by_line(words, file, service)
            return StreamingResponse(lines, media_type=_LINES, headers=_NO_STORE)
        last: dict[str, Any] = {}
        try:
            async for word in words:
                last = word
        finally:
            file.close()
        service.waker.wake()
        del last["event"]
        if last["problem_count"]:
            raise InvalidBody("nothing was taken: see problems", **last)
        return JSONResponse(last)


_NO_STORE: Final = {"Cache-Control": "no-store"}


async def _told_by_line(
    words: AsyncGenerator[dict[str, Any], None], file: IO[bytes], service: Service
) -> AsyncIterator[bytes]:
    try:
        async for word in words:
            yield msgspec.json.encode(word) + b"\n"
    except Problem as problem:  # the status is sent already
        word = {"event": "error", "title": problem.title, "detail": problem.detail}
        yield msgspec.json.encode(word) + b"\n"
    finally:
        await words.aclose()
        file.close()
        service.waker.wake()


def _add_export(router: APIRouter, service: Service) -> None:
    @router.get("/export", response_model=None)
    async def export_directory(
        caller: Annotated[Caller, Depends(require(*_GIVEN_TO))],
        *,
        form: Literal["json", "package"] = "json",
        confidential: bool = False,
    ) -> StreamingResponse:
        """Give the directory as HSDS 3: JSON, or a zip of tables.

        Where shelters are is in it only with `confidential=true`, for a supervisor; an event tells
        who took them.
        """
        if confidential and caller.role is not Role.SUPERVISOR:
            raise Forbidden
        stamp = Stamp(now(), caller.actor)
        file = await give(service.flow, service.outbox, form, stamp, with_confidential=confidential)
        service.waker.wake()
        kind = "application/zip" if form == "package" else "application/json"
        return StreamingResponse(_chunks(file), media_type=kind, headers=_NO_STORE)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
