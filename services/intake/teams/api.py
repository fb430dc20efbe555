"""`/intake/v1/providers/{provider_id}/team`: a place of help looks after who works for it here."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, Field, model_validator

from services.intake.casework.api_stages import act, read
from services.intake.naming import NOT_A_KEY, provider_key
from services.intake.teams import service as teams
from services.intake.teams import store
from services.intake.teams.rules import Post, is_head
from services.intake.teams.service import Asked, Wish
from shared.access import Caller, organisation_of, require, require_fresh
from shared.bodies import Model
from shared.clock import now
from shared.database import transaction
from shared.errors import Conflict, NotFound, Unavailable
from shared.issuers import IssuerAway
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.sign_in.service import SignIn
    from services.intake.teams.rules import Worker
    from shared.runtime import Service

_MAY: Final = (Role.PROVIDER_WORKER, Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS)
_NOT_KEPT: Final = {"Cache-Control": "no-store"}

Looks = Annotated[Caller, Depends(require(*_MAY))]
Changes = Annotated[Caller, Depends(require(*_MAY))]
Invites = Annotated[Caller, Depends(require_fresh(*_MAY))]


def _key(said: str) -> str:
    if provider_key(said) == NOT_A_KEY:
        message = "this is no provider's key"
        raise ValueError(message)
    return said


ProviderId = Annotated[str, AfterValidator(_key)]


class InviteIn(Model):
    """Who is invited: a name to sign in with, which is no real one; as what; on which days."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{2,39}$")]
    role: Post = Post.WORKER
    begins: date | None = Field(None, alias="from")
    until: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.begins and self.until and self.until < self.begins:
            message = "until is before from"
            raise ValueError(message)
        return self


class PlaceIn(Model):
    """Somebody's role, and their last day; none: without an end."""

    role: Post
    until: date | None = None


def shown(one: Worker, caller: Caller, day: date) -> dict[str, Any]:
    """Return somebody of a team as the interface tells of them."""
    return {
        "worker_id": one.worker_id,
        "name": one.name,
        "role": one.role,
        "from": one.begins,
        "until": one.until,
        "state": one.state(day),
        "invited_by": one.invited_by,
        "joined_at": one.joined_at,
        "ended_at": one.ended_at,
        "you": one.subject == caller.subject,
    }


def asked_by(provider_id: str, caller: Caller) -> Asked:
    """Return who asks for which team.

    Raises:
        NotFound: it is another's than the worker's own.

    """
    if caller.role is Role.PROVIDER_WORKER and caller.org != provider_id:
        raise NotFound
    return Asked(provider_id, caller, now())


def make_router(service: Service, sign_in: SignIn | None) -> APIRouter:
    """Make the routes of teams."""
    router = APIRouter(prefix="/intake/v1/providers/{provider_id}/team", tags=["teams"])

    @router.get("", response_model=None)
    async def team(provider_id: ProviderId, caller: Looks) -> Response:
        """List who works for a place of help here, and whether the caller leads it."""
        asked = asked_by(provider_id, caller)
        async with transaction(service.web, organisation_of(caller)) as conn:
            found = await store.list_team(conn, provider_id)
        leads = caller.role is not Role.PROVIDER_WORKER or is_head(found, caller, asked.day)
        items = [shown(one, caller, asked.day) for one in found]
        told = msgspec.to_builtins({"items": items, "next": None, "leads": leads})
        return JSONResponse(told, headers=_NOT_KEPT)

    @router.post("", status_code=201, response_model=None, openapi_extra=body_of(InviteIn))
    async def invite(request: Request, provider_id: ProviderId, caller: Invites) -> Response:
        """Invite somebody: the answer holds their link, which works once, within a day."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(InviteIn, raw)
            asked = asked_by(provider_id, caller)
            wish = Wish(body.name, body.role, body.begins, body.until)
            made, link = await teams.invite(conn, asked, wish, _enrol(sign_in, provider_id))
            return 201, {**shown(made, caller, asked.day), "link": link}

        return await act(service, request, do)

    @router.post("/{worker_id}/link", response_model=None)
    async def again(
        request: Request, provider_id: ProviderId, worker_id: UUID, caller: Invites
    ) -> Response:
        """Make a new link for somebody who lost phone or password; their sessions end."""

        async def do(conn: AsyncConnection, _: bytes) -> tuple[int, Any]:
            asked = asked_by(provider_id, caller)
            enrol = _enrol(sign_in, provider_id)
            found, link = await teams.invite_again(conn, asked, worker_id, enrol)
            return 200, {**shown(found, caller, asked.day), "link": link}

        return await act(service, request, do)

    @router.put("/{worker_id}", response_model=None, openapi_extra=body_of(PlaceIn))
    async def change(
        request: Request, provider_id: ProviderId, worker_id: UUID, caller: Changes
    ) -> Response:
        """Give somebody another role, or another last day."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(PlaceIn, raw)
            asked = asked_by(provider_id, caller)
            found = await teams.change(conn, asked, worker_id, body.role, body.until)
            return 200, shown(found, caller, asked.day)

        return await act(service, request, do)

    @router.delete("/{worker_id}", response_model=None, status_code=204)
    async def end(provider_id: ProviderId, worker_id: UUID, caller: Changes) -> Response:
        """End somebody's place: they sign in no more, and their sessions end within a minute."""
        async with service.flow.begin() as conn:
            await teams.end(conn, asked_by(provider_id, caller), worker_id)
        return Response(status_code=204)

    return router


def _enrol(sign_in: SignIn | None, provider_id: str) -> teams.Enrol:
    async def enrol(*, login: str = "", subject: str = "") -> tuple[str, str]:
        """Ask the issuer for an account, as `SignIn.invite`.

        Raises:
            Conflict: the name is taken, or accounts are kept by an issuer that we cannot ask.
            Unavailable: it does not answer.

        """
        if sign_in is None:
            raise Conflict("accounts are kept elsewhere: ask whoever keeps them", why="elsewhere")
        try:
            return await sign_in.invite(provider_id, login=login, subject=subject)
        except IssuerAway:
            raise Unavailable from None

    return enrol
