"""`/referral/pages/…`: the part of a case's page that referral serves, and what its forms do.

The desk's page of intake fetches it as a part (`X-Part`); without a script it is a page of its own.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import Depends, Request
from fastapi.responses import Response

from services.referral import offers_store
from services.referral.domain import VERBS
from services.referral.explaining import providers_in
from services.referral.pages.desk.places import add_places, add_preview
from services.referral.pages.desk.view import Choices, Shown, choices_in, in_order
from shared.access import Caller, require
from shared.database import transaction
from shared.errors import NotFound
from shared.inside import Inside, Refused
from shared.pages.forms import Form, read_form
from shared.pages.kept import Kept
from shared.pages.pages import Pages
from shared.pages.refusals import pass_on
from shared.settings import read_key
from shared.vocabulary import Reason, Role

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.runtime import Service

_Desk = Annotated[Caller, Depends(require(Role.COORDINATOR, Role.SUPERVISOR))]

MOST: Final = 100
"""Referrals of one case on its page."""

LINK: Final = "link"
"""What the page after this one shows once: a worker's link."""

WRONG: Final = frozenset({"stale", "conflict", "invalid-body"})
"""Why something was not done, as the page after it says."""

_OURS: Final = frozenset({"once", "version", "case_id"})


def make_router(service: Service) -> APIRouter:
    """Make the routes of referral's part of the desk."""
    pages = Pages("referral", Path(__file__).parent)
    kept = Kept(read_key(service.settings, "signing.key"), service.settings.public_url)
    router = pages.router()
    add_places(router, pages, service)
    add_preview(router, pages)

    async def show(
        request: Request,
        caller: Caller,
        case_id: UUID,
        **more: Any,  # noqa: ANN401
    ) -> Response:
        inside = Inside(request.app)
        try:
            items = await _referrals(inside, request, case_id)
            told = [await _explained(inside, request, one) for one in items]
        except Refused as refused:
            pass_on(refused)
            raise
        language = pages.language(request)
        shown = await _shown(service, items, told, language)
        values: dict[str, Any] = {
            "case_id": case_id,
            "referrals": in_order(shown),
            "reasons": [str(reason) for reason in Reason],
            "once": lambda: str(uuid4()),
            "moment": datetime.fromisoformat,
            "wrong": "",
            "link": None,
            "at": "",
        }
        part = "part" if request.headers.get("x-part") else "whole"
        return pages.show(request, f"{part}.html", me=caller, **(values | more))

    @router.get("/referral/pages/cases/{case_id}/referrals", response_model=None)
    async def part(request: Request, case_id: UUID, caller: _Desk) -> Response:
        made = kept.find(request, LINK, caller, dict[str, Any])
        if made is None or request.headers.get("x-part"):
            said = request.query_params.get("wrong", "")
            wrong = said if said in WRONG else ""
            at = request.query_params.get("at", "") if wrong else ""
            return await show(request, caller, case_id, wrong=wrong, at=at)
        at = str(made["referral_id"])
        response = await show(request, caller, case_id, link=made, at=at)
        kept.drop(response, LINK)
        return response

    @router.post("/referral/pages/referrals/{referral_id}/{verb}", response_model=None)
    async def act(request: Request, referral_id: UUID, verb: str, caller: _Desk) -> Response:
        form = await read_form(request)
        if verb not in (*VERBS, "link"):
            raise NotFound
        case_id = _case_of(form)
        page = f"/referral/pages/cases/{case_id}/referrals"
        path = f"/referral/v1/referrals/{referral_id}/{verb}"
        try:
            answer = await Inside(request.app).send(
                request,
                "POST",
                path,
                {name: value for name, value in form.fields if value and name not in _OURS},
                version=form.get("version") or None,
                key=form.get("once") or None,
            )
        except Refused as refused:
            pass_on(refused)
            slug = refused.slug if refused.slug in WRONG else "conflict"
            return pages.go(request, page, at=str(referral_id), wrong=slug)
        if verb == "link":
            response = pages.go(
                request, f"/referral/pages/cases/{case_id}/referrals#r-{referral_id}"
            )
            kept.keep(response, LINK, caller, {"referral_id": referral_id, **answer.value})
            return response
        return pages.go(request, f"/desk/cases/{case_id}", said="done")

    return router


def _case_of(form: Form) -> UUID:
    try:
        return UUID(form.get("case_id"))
    except ValueError:
        raise NotFound from None


async def _referrals(inside: Inside, request: Request, case_id: UUID) -> list[dict[str, Any]]:
    found = await inside.get(request, "/referral/v1/referrals", case_id=str(case_id), limit=MOST)
    return list(found["items"])


async def _explained(
    inside: Inside, request: Request, referral: dict[str, Any]
) -> dict[str, Any] | None:
    """Return why it went where it went; None where no decision was stored."""
    path = f"/referral/v1/referrals/{referral['referral_id']}/explanation"
    try:
        found: dict[str, Any] = await inside.get(request, path)
    except Refused as refused:
        if refused.status == 404:  # noqa: PLR2004
            return None
        raise
    return found


async def _shown(
    service: Service,
    items: list[dict[str, Any]],
    told: list[dict[str, Any] | None],
    language: str,
) -> list[Shown]:
    wanted = {one["provider_id"] for one in items if one["provider_id"]}
    wanted |= {name for found in told if found for name in providers_in(found)}
    async with transaction(service.web, "*") as conn:
        names = await offers_store.names_of(conn, wanted)
    shown = []
    for referral, found in zip(items, told, strict=True):
        provider = str(referral["provider_id"] or "")
        named = names.get(provider, {}).get(language) or provider
        if found is None:
            shown.append(Shown(referral, named))
            continue
        outcome, *lines = found["reads"][language]
        choices = choices_in(found, names, language) if _is_open(referral) else Choices()
        shown.append(Shown(referral, named, outcome, tuple(lines), choices))
    return shown


def _is_open(referral: dict[str, Any]) -> bool:
    return bool({"release", "told"} & set(referral["allowed"]))
