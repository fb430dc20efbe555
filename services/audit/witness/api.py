"""A witness's HTTP interface (C2SP tlog-witness), for audit and for a witness of its own."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from services.audit.witness.rules import MAX_REQUEST, Answer, WitnessBroken
from shared.telemetry import Log

if TYPE_CHECKING:
    from services.audit.witness.rules import Witness

PREFIX = "/audit/witness"
"""Where the interface lies."""

_log = Log("witness")
_BODY = {
    "requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}
}

Name = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


def make_router(witness: Witness | None) -> APIRouter:
    """Make the routes; without a witness every log is unknown."""
    router = APIRouter(prefix=PREFIX, tags=["witness"])

    @router.post("/add-checkpoint", response_model=None, openapi_extra=_BODY)
    async def add_checkpoint(request: Request) -> Response:
        """Cosign a checkpoint of a known log that has only grown since the last one."""
        raw = b""
        async for part in request.stream():
            raw += part
            if len(raw) > MAX_REQUEST:
                return _answer(Answer(413, "the request is too long\n"))
        if witness is None:
            return _answer(Answer(404, "the log is not known here\n"))
        try:
            found = await asyncio.to_thread(witness.add, raw, int(time.time()))
        except (WitnessBroken, OSError) as error:
            _log.error("witness-refuses", error, why=str(error))
            found = Answer(500, "the witness cannot read or write what it remembers\n")
        return _answer(found)

    @router.get("/{name}/checkpoint", response_model=None)
    async def checkpoint(name: Name) -> Response:
        """Read the last checkpoint that was cosigned, by the SHA-256 of the log's origin in hex."""
        found = await asyncio.to_thread(witness.find, name) if witness is not None else None
        return _answer(Answer(404) if found is None else Answer(200, found.decode()))

    return router


def _answer(answer: Answer) -> Response:
    headers = {"Cache-Control": "no-cache"}
    return Response(answer.body, answer.status, headers, answer.media_type)
