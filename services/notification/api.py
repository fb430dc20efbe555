"""Notification's HTTP interface: subscriptions of providers' systems, and notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from services.notification import store
from services.notification.asyncapi import render
from services.notification.domain import WEBHOOK, NoticeState
from services.notification.notice_list import list_notices, render_notice
from services.notification.service import Subscriptions, organisation, render_subscription
from services.notification.targets import MAX_URL
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import now
from shared.database import transaction
from shared.errors import InvalidBody
from shared.http import once
from shared.openapi import body_of
from shared.paging import commit_place, decode_cursor, page
from shared.vocabulary import Role

if TYPE_CHECKING:
    from shared.runtime import Service

_OWN = (Role.PROVIDER_SYSTEM,)
_TENDS = (*_OWN, Role.OPERATIONS)
_SEES = (*_TENDS, Role.PROVIDER_WORKER, Role.COORDINATOR, Role.SUPERVISOR, Role.AUDITOR)
_MAX_BIGINT = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=200)]
"""How many items of a list a caller may ask for at once."""

ProviderQuery = Annotated[str | None, Query(max_length=200)]


class SubscriptionIn(Model):
    """Where to send, and which event types; without types every one about referrals.

    A webhook has a URL; Kafka needs none, for a provider has one topic.
    """

    notifier: Literal["webhook", "kafka"] = "webhook"
    url: str | None = Field(None, min_length=1, max_length=MAX_URL)
    types: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, min_length=1, max_length=64
    )


class ReplayIn(Model):
    """The cursor after which to send again; 0 is the beginning of the feed."""

    after: int = Field(ge=0, le=_MAX_BIGINT, strict=True)


def _number(after: str | None) -> int:
    match decode_cursor(after):
        case None:
            return 0
        case int(seq) if 0 <= seq <= _MAX_BIGINT:
            return seq
        case _:
            message = "the cursor is not valid"
            raise InvalidBody(message)


def make_router(service: Service, subscriptions: Subscriptions) -> APIRouter:  # noqa: C901  (a list of routes)
    """Make the routes under `/notification/v1`."""
    router = APIRouter(prefix="/notification/v1", tags=["notification"])

    @router.get("/subscriptions", response_model=None)
    async def list_subscriptions(
        caller: Annotated[Caller, Depends(require(*_SEES))],
        provider_id: ProviderQuery = None,
        after: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List subscriptions, oldest first: one's own for a provider, all for staff."""
        start = _number(after)
        async with transaction(service.web, organisation(caller)) as conn:
            rows = await store.list_subscriptions(conn, provider_id, start, limit)
        items = [render_subscription(row, caller) for row in rows]
        return _json(page(items, rows[-1].seq if rows else None))

    @router.post(
        "/subscriptions",
        status_code=201,
        response_model=None,
        openapi_extra=body_of(SubscriptionIn),
    )
    async def subscribe(
        request: Request, caller: Annotated[Caller, Depends(require(*_OWN))]
    ) -> Response:
        """Subscribe a URL, or one's own topic in Kafka, to one's own referrals.

        The answer shows the secret of a webhook this once.
        """
        raw = await read_bytes(request, 16_384)
        body = validate(SubscriptionIn, parse_json(raw))
        if (body.url is None) is (body.notifier == WEBHOOK):
            rule = "missing" if body.url is None else "not-for-kafka"
            raise InvalidBody(None, errors=[{"field": "url", "rule": rule}])
        if body.url is None:
            await subscriptions.check_topic(caller)
        else:
            await subscriptions.check_target(body.url)
        async with transaction(service.web, organisation(caller)) as conn:

            async def act() -> tuple[int, Any]:
                return 201, await subscriptions.subscribe(conn, caller, body.url, body.types, now())

            return _secret(await once(request, conn, raw, act))

    @router.get("/subscriptions/{subscription_id}", response_model=None)
    async def show(
        subscription_id: UUID, caller: Annotated[Caller, Depends(require(*_SEES))]
    ) -> Response:
        """Read a subscription with its health: last success, failures, next attempt, its end."""
        return _json(await subscriptions.show(caller, subscription_id))

    @router.delete("/subscriptions/{subscription_id}", status_code=204, response_model=None)
    async def unsubscribe(
        subscription_id: UUID, caller: Annotated[Caller, Depends(require(*_TENDS))]
    ) -> Response:
        """Delete a subscription and its secret; what still waits for it is withheld."""
        await subscriptions.unsubscribe(caller, subscription_id, now())
        return Response(status_code=204)

    @router.post("/subscriptions/{subscription_id}/enable", response_model=None)
    async def enable(
        request: Request,
        subscription_id: UUID,
        caller: Annotated[Caller, Depends(require(*_TENDS))],
    ) -> Response:
        """Bring back a dead or disabled subscription from now on; replay brings what it missed."""
        raw = await read_bytes(request, 16_384)
        validate(Model, parse_json(raw) if raw.strip() else {})
        async with transaction(service.web, organisation(caller)) as conn:

            async def act() -> tuple[int, Any]:
                return 200, await subscriptions.enable(conn, caller, subscription_id, now())

            response = await once(request, conn, raw, act)
        subscriptions.wake()
        return response

    @router.post(
        "/subscriptions/{subscription_id}/replay",
        status_code=202,
        response_model=None,
        openapi_extra=body_of(ReplayIn),
    )
    async def replay(
        request: Request,
        subscription_id: UUID,
        caller: Annotated[Caller, Depends(require(*_TENDS))],
    ) -> Response:
        """Send again what the feed holds after a cursor, oldest first, with the same ids."""
        raw = await read_bytes(request, 16_384)
        body = validate(ReplayIn, parse_json(raw) if raw.strip() else {})
        async with transaction(service.web, organisation(caller)) as conn:

            async def act() -> tuple[int, Any]:
                return 202, await subscriptions.replay(conn, subscription_id, body.after, now())

            response = await once(request, conn, raw, act)
        await subscriptions.hasten(caller, subscription_id, now())
        return response

    @router.get("/notices", response_model=None)
    async def notices(
        caller: Annotated[Caller, Depends(require(*_SEES))],
        after: str | None = None,
        case_id: UUID | None = None,
        subscription_id: UUID | None = None,
        state: NoticeState | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List notices in the order they were made: one's own for a provider, all for staff.

        Staff see notices to persons too: what was told about which case, never to whom.
        """
        place = commit_place(after)
        async with transaction(service.web, scope_of(caller, Verb.NOTICE, now())) as conn:
            rows = await list_notices(
                conn, place, limit, case_id=case_id, subscription_id=subscription_id, state=state
            )
        last = (int(rows[-1].xid), rows[-1].seq) if rows else None
        return _json(page([render_notice(row) for row in rows], last))

    return router


def make_documents(origin: str) -> APIRouter:
    """Make the route of the document that says what is told, beside `openapi.json`."""
    router = APIRouter(prefix="/notification/v1")
    rendered = render(origin)

    @router.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi() -> Response:
        return Response(rendered, media_type="application/json")

    return router


def _json(value: object) -> JSONResponse:
    return JSONResponse(msgspec.to_builtins(value))


def _secret(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
