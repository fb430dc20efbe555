"""`/intake/v1/committee/phones`: the server's half of the key of a member's phone."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from services.intake.channels.committee.phones import Phones
from shared.access import Caller, require
from shared.bodies import Model, read_body
from shared.clock import now
from shared.errors import Forbidden, InvalidBody
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.channels import Desk

_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_PROOF_BYTES: Final = 32
_Member = Annotated[Caller, Depends(require(Role.COMMITTEE_MEMBER))]
_Proof = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class PhoneIn(Model):
    """A new phone: an id of its own, and what proves its PIN (32 bytes, base64url)."""

    phone_id: UUID
    proof: _Proof


class ProofIn(Model):
    """What proves the PIN of a phone."""

    proof: _Proof


def make_phones_router(desk: Desk) -> APIRouter:
    """Make the routes; a member reaches the own phones alone."""
    router = APIRouter(prefix="/intake/v1/committee/phones", tags=["committee"])
    phones, service = Phones(desk.secrets.pepper), desk.service

    @router.post("", status_code=201, response_model=None, openapi_extra=body_of(PhoneIn))
    async def make(request: Request, caller: _Member) -> Response:
        """Take a new phone; return the `half` of its key (base64url) that stays here."""
        body = await read_body(request, PhoneIn)
        async with service.flow.begin() as conn:
            half = await phones.make(conn, body.phone_id, _raw(body.proof), caller.actor, now())
        return JSONResponse({"half": _text(half)}, 201, headers=_NOT_KEPT)

    @router.post("/{phone_id}/open", response_model=None, openapi_extra=body_of(ProofIn))
    async def open_(request: Request, phone_id: UUID, caller: _Member) -> Response:
        """Return the `half` to who proves the PIN; a wrong one is answered 403 with `left`."""
        body = await read_body(request, ProofIn)
        async with service.flow.begin() as conn:
            found = await phones.open(conn, phone_id, _raw(body.proof), caller.actor, now())
        if found.half is None:  # after the commit: a wrong one counts
            raise Forbidden(None, left=found.left)
        return JSONResponse({"half": _text(found.half)}, headers=_NOT_KEPT)

    @router.delete("/{phone_id}", status_code=204, response_model=None)
    async def end(phone_id: UUID, caller: _Member) -> Response:
        """Destroy the half of an own phone, as for one that was lost; again does nothing."""
        async with service.flow.begin() as conn:
            await phones.end(conn, phone_id, caller.actor)
        return Response(status_code=204)

    return router


def _raw(proof: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(proof + "=")
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != _PROOF_BYTES:
        raise InvalidBody(None, errors=[{"field": "proof", "rule": "base64url"}])
    return raw


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
