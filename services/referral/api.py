"""Referral's HTTP interface: referrals, their transitions and explanations, and the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse

from services.referral import notes_store, offers_store, store, stream
from services.referral.bodies import BODIES, order_of
from services.referral.domain import VERBS, Actor, shown
from services.referral.explaining import providers_in, read_out
from shared.access import PROVIDERS, Caller, require
from shared.access_rules import Verb, scope_of
from shared.bodies import parse_json, read_bytes, validate
from shared.clock import now
from shared.database import transaction
from shared.errors import Forbidden, InvalidBody, NotFound
from shared.http import once
from shared.paging import commit_place, page, version_of
from shared.text import parse_whole
from shared.vocabulary import ReferralState, Role

if TYPE_CHECKING:
    from services.referral.service import Referrals
    from shared.runtime import Service

_STAFF: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR)
_READERS: Final = (*_STAFF, Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM)
_ACTORS: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM)
_MAX_BIGINT: Final = 2**63 - 1


def actor_of(caller: Caller) -> Actor:
    """Return the caller as the domain knows it."""
    return Actor(caller.role, caller.actor, caller.org)


def json_of(value: object, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """Render a JSON answer."""
    return JSONResponse(msgspec.to_builtins(value), status, headers)


def _number(value: str | None) -> int:
    """Return a feed number; nothing is the beginning."""
    if value is None or not value.strip():
        return 0
    told = parse_whole(value.strip(), _MAX_BIGINT)
    if told is None:
        message = "the number of a feed entry is a whole number"
        raise InvalidBody(message)
    return told


def make_router(service: Service, referrals: Referrals, bell: stream.Bell) -> APIRouter:
    """Make the routes of referrals."""
    router = APIRouter(prefix="/referral/v1", tags=["referrals"])
    _add_stream(router, service, bell)
    _add_reading(router, service, referrals)
    for verb in VERBS:
        _add_transition(router, service, referrals, verb)
    return router


def _add_stream(router: APIRouter, service: Service, bell: stream.Bell) -> None:
    @router.get("/referrals/stream", response_model=None)
    async def follow(
        request: Request,
        caller: Annotated[Caller, Depends(require(*_READERS))],
        provider_id: Annotated[str | None, Query(max_length=100)] = None,
        after: Annotated[str | None, Query(max_length=20)] = None,
    ) -> EventSourceResponse:
        """Follow a provider's feed as server-sent events.

        Goes on after `Last-Event-ID` (or `after`), else begins with the first entry, so that
        nothing is missed. A provider follows its own; staff name one.
        """
        name = caller.org if caller.role in PROVIDERS else provider_id
        if name is None:
            message = "name the provider whose feed to follow"
            raise InvalidBody(message)
        if provider_id is not None and provider_id != name:
            raise Forbidden
        start = _number(request.headers.get("last-event-id") or after)
        events = stream.follow(service.web, bell, name, caller, start)
        return stream.respond(events)


def _add_reading(router: APIRouter, service: Service, referrals: Referrals) -> None:
    @router.get("/referrals", response_model=None)
    async def list_(
        caller: Annotated[Caller, Depends(require(*_READERS))],
        after: str | None = None,
        case_id: UUID | None = None,
        provider_id: Annotated[str | None, Query(max_length=100)] = None,
        state: ReferralState | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """List referrals in the order of their last change; a provider's in its feed's order.

        Keep the last cursor: what changes later comes after it.
        """
        own = caller.role in PROVIDERS
        if own and provider_id not in (None, caller.org):
            raise Forbidden
        wanted = store.Filter(case_id, caller.org if own else provider_id, state)
        place = commit_place(after)
        async with transaction(service.web, scope_of(caller, Verb.REFERRAL, now())) as conn:
            if own:
                rows = await store.list_own(conn, wanted, place[1], limit)
            else:
                rows = await store.list_referrals(conn, wanted, place, limit)
        items = [shown(referral, actor_of(caller)) for referral, _ in rows]
        return json_of(page(items, rows[-1][1] if rows else None))

    @router.get("/referrals/{referral_id}", response_model=None)
    async def one(
        referral_id: UUID, caller: Annotated[Caller, Depends(require(*_READERS))]
    ) -> Response:
        """Read one referral: what a provider must know to answer, and nothing that names anyone."""
        referral = await referrals.show(referral_id, caller, now())
        return json_of(shown(referral, actor_of(caller)), {"ETag": f'"{referral.version}"'})

    @router.get("/referrals/{referral_id}/explanation", response_model=None)
    async def explanation(
        referral_id: UUID, caller: Annotated[Caller, Depends(require(*_STAFF))]
    ) -> Response:
        """Read why this offer: every one considered with `in` or the rule that put it out."""
        async with transaction(service.web, scope_of(caller, Verb.EXPLAIN, now())) as conn:
            found = await notes_store.find_explanation(conn, referral_id)
            if found is None:
                raise NotFound
            names = await offers_store.names_of(conn, providers_in(found))
        return json_of({"referral_id": referral_id, **found, "reads": read_out(found, names)})


def _add_transition(router: APIRouter, service: Service, referrals: Referrals, verb: str) -> None:
    async def transition(
        request: Request,
        referral_id: UUID,
        caller: Annotated[Caller, Depends(require(*_ACTORS))],
    ) -> Response:
        raw = await read_bytes(request)
        body = validate(BODIES[verb], parse_json(raw) if raw.strip() else {})
        order = order_of(verb, body, version_of(request))
        async with service.flow.begin() as conn:
            await referrals.must(conn, referral_id, caller, Verb.ANSWER, now())

            async def act() -> tuple[int, Any]:
                actor = actor_of(caller)
                return 200, shown(
                    await referrals.act(conn, referral_id, order, actor, now()), actor
                )

            response = await once(request, conn, raw, act)
        service.waker.wake()
        return response

    transition.__doc__ = _DOCS[verb]
    name = verb.replace("-", "_")
    router.add_api_route(
        f"/referrals/{{referral_id}}/{verb}",
        transition,
        methods=["POST"],
        name=name,
        operation_id=name,
        response_model=None,
        openapi_extra={
            "requestBody": {
                "content": {"application/json": {"schema": BODIES[verb].model_json_schema()}}
            }
        },
    )


_DOCS: Final = {
    "release": "Let a planned referral go out: to the best offer, or to the one named.",
    "told": "Say that an office that does not use Pashe was told: how, by whom, when.",
    "accept": "Accept; with `waitlisted` when there is no place yet.",
    "decline": "Decline with a reason; the need is offered to the next.",
    "contact": "Say that the person was reached for the first time.",
    "start": "Say that the service has begun, or goes on after a hold.",
    "hold": "Say that the service rests for now.",
    "appointment": "Plan an appointment, or say that it was kept, missed or moved.",
    "refer-onward": "Ask for another need of the person; a coordinator releases it.",
    "milestone": "Say that a step of a long service was reached, and what the next waits on.",
    "deliver": "Say that the service was delivered, all or in part; the rest is planned again.",
    "fail": "Say that the service failed, with a reason.",
    "withdraw": "Withdraw the referral, with a reason; its provider must acknowledge.",
    "mark-error": "Say that the referral was a mistake; its provider must acknowledge.",
    "acknowledge-withdrawal": "Say that the withdrawal was heard and what was shared is deleted.",
}
