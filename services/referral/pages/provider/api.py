"""The routes of `/provider`, for a signed-in worker of one provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.referral import offers_store
from services.referral.api import actor_of
from services.referral.domain import allowed
from services.referral.listing import change_capacity
from services.referral.pages.provider import HERE, store, words
from services.referral.pages.provider.answers import order_in
from services.referral.referral import PROMISED
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.clock import DHAKA, now
from shared.database import transaction
from shared.errors import Conflict, Forbidden, InvalidBody, NotFound, Stale
from shared.outbox import Stamp
from shared.pages.forms import read_form
from shared.pages.pages import Pages
from shared.pages.words import NEEDS
from shared.text import parse_whole
from shared.vocabulary import ReferralState, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.referral.referral import Referral
    from services.referral.service import Referrals
    from shared.runtime import Service

_MOST_PLACES: Final = 10_000
_Worker = Annotated[Caller, Depends(require(Role.PROVIDER_WORKER))]


def make_router(service: Service, referrals: Referrals) -> APIRouter:
    """Make the routes."""
    pages = Pages("referral", HERE)
    router = pages.router()
    _add_lists(router, pages, service)
    _add_places(router, pages, service)
    _add_one(router, pages, service, referrals)
    return router


def _own(caller: Caller) -> str:
    if caller.org is None:
        raise Forbidden
    return caller.org


def _add_lists(router: APIRouter, pages: Pages, service: Service) -> None:
    @router.get("/provider", response_model=None)
    async def inbox(request: Request, caller: _Worker) -> Response:
        """Show what waits for an answer, what ended and must be heard, and what goes on."""
        scope = scope_of(caller, Verb.REFERRAL, now())
        async with transaction(service.web, scope) as conn:
            found = await store.list_open(conn, _own(caller))
        return pages.show(
            request,
            "inbox.html",
            me=caller,
            at=now(),
            gone=[one for one in found if one.unacknowledged],
            asked=[one for one in found if one.state == ReferralState.ASSIGNED],
            going=[one for one in found if one.state in PROMISED],
        )

    @router.get("/provider/ended", response_model=None)
    async def ended(request: Request, caller: _Worker) -> Response:
        """Show what ended lately."""
        scope = scope_of(caller, Verb.REFERRAL, now())
        async with transaction(service.web, scope) as conn:
            found = await store.list_ended(conn, _own(caller))
        return pages.show(request, "ended.html", me=caller, found=found)

    @router.get("/provider/schedule", response_model=None)
    async def schedule(request: Request, caller: _Worker) -> Response:
        """Show what is due when: answers, first contacts, appointments, ends."""
        scope = scope_of(caller, Verb.REFERRAL, now())
        async with transaction(service.web, scope) as conn:
            found = await store.list_open(conn, _own(caller))
        return pages.show(
            request, "schedule.html", me=caller, at=now(), days=days_of(found), zone=DHAKA
        )


def days_of(referrals: Iterable[Referral]) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Return what is due of these referrals by its day in Dhaka, the earliest first."""
    lines: list[dict[str, Any]] = []
    for one in referrals:
        waits = one.state in PROMISED and one.first_contact_at is None
        due = {
            "answer": one.respond_by if one.state == ReferralState.ASSIGNED else None,
            "contact": one.first_contact_by if waits else None,
            "deliver": one.deliver_by if one.state in PROMISED else None,
        }
        lines += [{"at": at, "what": what, "of": one} for what, at in due.items() if at]
        lines += [
            {"at": met.at, "what": "meet", "of": one, "kind": met.kind}
            for met in one.appointments
            if met.state == "planned"
        ]
    days: dict[Any, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda one: one["at"]):
        days.setdefault(line["at"].astimezone(DHAKA).date(), []).append(line)
    return list(days.items())


def _add_one(router: APIRouter, pages: Pages, service: Service, referrals: Referrals) -> None:
    def _named(request: Request, texts: Mapping[str, str]) -> list[tuple[str, str]]:
        return [(code, pages.text(request, text)) for code, text in texts.items()]

    async def show(request: Request, caller: Caller, referral: Referral, wrong: str) -> Response:
        return pages.show(
            request,
            "referral.html",
            me=caller,
            at=now(),
            one=referral,
            can=allowed(referral, actor_of(caller)),
            wrong=wrong,
            words=words,
            meetings=_named(request, words.APPOINTMENTS),
            steps=_named(request, words.MILESTONES),
            needs=_named(request, NEEDS),
        )

    @router.get("/provider/{referral_id}", response_model=None)
    async def one(request: Request, referral_id: UUID, caller: _Worker) -> Response:
        """Show one referral and what may be done with it now."""
        found = await referrals.show(referral_id, caller, now())
        return await show(request, caller, found, request.query_params.get("wrong", ""))

    @router.post("/provider/{referral_id}/{verb}", response_model=None)
    async def answer(request: Request, referral_id: UUID, verb: str, caller: _Worker) -> Response:
        """Do what a form says, as the interface would, and show the referral again."""
        form = await read_form(request)
        try:
            order = order_in(verb, form)
            async with service.flow.begin() as conn:
                await referrals.must(conn, referral_id, caller, Verb.ANSWER, now())
                await referrals.act(conn, referral_id, order, actor_of(caller), now())
        except (InvalidBody, Stale, Conflict) as refused:
            await referrals.show(referral_id, caller, now())
            wrong = verb if isinstance(refused, InvalidBody) else "meanwhile"
            return pages.go(request, f"/provider/{referral_id}", wrong=wrong)
        service.waker.wake()
        return pages.go(request, f"/provider/{referral_id}", done=verb)


def _add_places(router: APIRouter, pages: Pages, service: Service) -> None:
    async def offers(caller: Caller) -> Sequence[dict[str, Any]]:
        async with transaction(service.web, "*") as conn:
            return await offers_store.list_offers(
                conn, need=None, area=None, provider_id=_own(caller), after="", limit=200
            )

    @router.get("/provider/places", response_model=None)
    async def places(request: Request, caller: _Worker) -> Response:
        """Show the provider's own offers, and how many places each has free."""
        found = await offers(caller)
        wrong = request.query_params.get("wrong", "")
        return pages.show(request, "places.html", me=caller, found=found, wrong=wrong)

    @router.post("/provider/places/{offer_id}", response_model=None)
    async def set_places(request: Request, offer_id: str, caller: _Worker) -> Response:
        """Say how many places an own offer has free now."""
        form = await read_form(request)
        try:
            free = _places(form.get("free"))
            async with service.flow.begin() as conn:
                found = await offers_store.find_offer(conn, offer_id, lock=True)
                offer = _within(found, _own(caller), free)
                stamp = Stamp(now(), caller.actor)
                await change_capacity(conn, service.outbox, offer, free, None, stamp)
        except InvalidBody:
            return pages.go(request, "/provider/places", wrong=offer_id)
        service.waker.wake()
        return pages.go(request, "/provider/places", done=offer_id)


def _within(offer: dict[str, Any] | None, own: str, free: int) -> dict[str, Any]:
    """Return an offer of the provider's own, if it can have so many free places.

    Raises:
        NotFound: there is none, or it is another's. InvalidBody: there are not so many.

    """
    if offer is None or offer["provider_id"] != own:
        raise NotFound
    if offer["places_total"] is not None and free > offer["places_total"]:
        raise InvalidBody(None, errors=[{"field": "free", "rule": "more-than-total"}])
    return offer


def _places(value: str) -> int:
    places = parse_whole(value.translate(str.maketrans("০১২৩৪৫৬৭৮৯", "0123456789")), _MOST_PLACES)
    if places is None:
        raise InvalidBody(None, errors=[{"field": "free", "rule": "whole-number"}])
    return places
