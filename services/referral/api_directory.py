"""Referral's HTTP interface to the directory: providers, offers, capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from services.referral import listing, listing_store, offers_store
from services.referral.api import json_of
from services.referral.directory import kinds_of
from services.referral.directory_bodies import CapacityIn, KeyIn, OfferIn, ProviderIn
from shared import places
from shared.access import PROVIDERS, Caller, require
from shared.bodies import parse_json, read_bytes, validate
from shared.clock import now
from shared.database import transaction
from shared.errors import Forbidden, InvalidBody, NotFound
from shared.http import once
from shared.outbox import Stamp
from shared.paging import decode_cursor, page
from shared.vocabulary import Need, Role

if TYPE_CHECKING:
    from shared.runtime import Service

_STAFF: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR)
_EDITORS: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS)
_PROVIDERS: Final = (Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM)

Limit = Annotated[int, Query(ge=1, le=200)]
Named = Annotated[str | None, Query(max_length=100)]


def make_router(service: Service) -> APIRouter:
    """Make the routes of the directory."""
    router = APIRouter(prefix="/referral/v1", tags=["directory"])
    _add_providers(router, service)
    _add_offers(router, service)
    _add_capacity(router, service)
    return router


def _after(cursor: str | None) -> str:
    match decode_cursor(cursor):
        case None:
            return ""
        case str(key):
            return key
        case _:
            message = "the cursor is not valid"
            raise InvalidBody(message)


def _add_providers(router: APIRouter, service: Service) -> None:
    @router.get("/providers", response_model=None)
    async def providers(
        _: Annotated[Caller, Depends(require(*_STAFF, *_PROVIDERS))],
        kind: Named = None,
        after: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List providers by their key."""
        async with transaction(service.web, "*") as conn:
            rows = await offers_store.list_providers(conn, kind, _after(after), limit)
        return json_of(page(rows, rows[-1]["provider_id"] if rows else None))

    @router.get("/providers/{provider_id}", response_model=None)
    async def provider(
        provider_id: str, _: Annotated[Caller, Depends(require(*_STAFF, *_PROVIDERS))]
    ) -> Response:
        """Read one provider."""
        async with transaction(service.web, "*") as conn:
            found = await offers_store.find_provider(conn, provider_id)
        if found is None:
            raise NotFound
        return json_of(found)

    @router.put("/providers/{provider_id}", response_model=None)
    async def put_provider(
        request: Request,
        provider_id: str,
        _: Annotated[Caller, Depends(require(*_EDITORS))],
    ) -> Response:
        """Store a provider, new or changed; a file never overwrites it again."""
        raw = await read_bytes(request)
        body = validate(ProviderIn, parse_json(raw))
        key = validate(KeyIn, {"key": provider_id}).key
        kinds = dict.fromkeys([*kinds_of(key, body.kind), *body.kinds])
        row = {**body.model_dump(), "provider_id": key, "kinds": ";".join(kinds)}
        async with service.flow.begin() as conn:

            async def act() -> tuple[int, Any]:
                await listing_store.save_providers(conn, [row], edited=True)
                return 200, await offers_store.find_provider(conn, key)

            return await once(request, conn, raw, act)


def _add_offers(router: APIRouter, service: Service) -> None:
    @router.get("/offers", response_model=None)
    async def offers(
        _: Annotated[Caller, Depends(require(*_STAFF, *_PROVIDERS))],
        need: Need | None = None,
        area: Named = None,
        provider_id: Named = None,
        after: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List offers by their id; `area` is exactly the offer's own area."""
        async with transaction(service.web, "*") as conn:
            rows = await offers_store.list_offers(
                conn,
                need=need,
                area=area,
                provider_id=provider_id,
                after=_after(after),
                limit=limit,
            )
        return json_of(page(rows, rows[-1]["offer_id"] if rows else None))

    @router.get("/offers/{offer_id}", response_model=None)
    async def offer(
        offer_id: str, _: Annotated[Caller, Depends(require(*_STAFF, *_PROVIDERS))]
    ) -> Response:
        """Read one offer."""
        async with transaction(service.web, "*") as conn:
            found = await offers_store.find_offer(conn, offer_id)
        if found is None:
            raise NotFound
        return json_of(found, {"ETag": f'"{found["version"]}"'})

    @router.put("/offers/{offer_id}", response_model=None)
    async def put_offer(
        request: Request, offer_id: UUID, caller: Annotated[Caller, Depends(require(*_EDITORS))]
    ) -> Response:
        """Store an offer, new or changed: an `offer-listed` event. No file overwrites it."""
        raw = await read_bytes(request)
        body = validate(OfferIn, parse_json(raw))
        if places.find(body.area_pcode) is None:
            raise InvalidBody(None, errors=[{"field": "area_pcode", "rule": "unknown-place"}])
        async with service.flow.begin() as conn:

            async def act() -> tuple[int, Any]:
                row = {**body.model_dump(mode="json"), "offer_id": str(offer_id)}
                stamp = Stamp(now(), caller.actor)
                return 200, await listing.list_offer(conn, service.outbox, row, stamp)

            response = await once(request, conn, raw, act)
        service.waker.wake()
        return response


def _add_capacity(router: APIRouter, service: Service) -> None:
    @router.put("/offers/{offer_id}/capacity", response_model=None)
    async def capacity(
        request: Request,
        offer_id: str,
        caller: Annotated[Caller, Depends(require(*_EDITORS, *_PROVIDERS))],
    ) -> Response:
        """Say how many places are free now; a provider for its own offers, or the desk."""
        raw = await read_bytes(request)
        body = validate(CapacityIn, parse_json(raw))
        if None not in (body.places_free, body.places_total) and (
            (body.places_free or 0) > (body.places_total or 0)
        ):
            raise InvalidBody(None, errors=[{"field": "places_free", "rule": "more-than-total"}])
        async with service.flow.begin() as conn:

            async def act() -> tuple[int, Any]:
                found = await offers_store.find_offer(conn, offer_id, lock=True)
                if found is None:
                    raise NotFound
                if caller.role in PROVIDERS and found["provider_id"] != caller.org:
                    raise Forbidden
                free, total = body.places_free, body.places_total
                stamp = Stamp(now(), caller.actor)
                return 200, await listing.change_capacity(
                    conn, service.outbox, found, free, total, stamp
                )

            response = await once(request, conn, raw, act)
        service.waker.wake()
        return response
