"""The routes of `/h`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import Response

from services.referral.exchange.hsds.confidential import NEEDS as HIDDEN
from services.referral.pages.near.store import Near, list_near
from shared import places
from shared.database import transaction
from shared.pages.forms import read_form
from shared.pages.pages import Pages
from shared.places import Level
from shared.vocabulary import Need

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.runtime import Service


def make_router(service: Service) -> APIRouter:
    """Make the page of places of help; it knows nobody and keeps nothing."""
    pages = Pages("referral", Path(__file__).parent, public=True)
    router = pages.router()
    needs = tuple(need for need in Need if need not in HIDDEN)

    def show(
        request: Request, district: str = "", need: str = "", found: list[Near] | None = None
    ) -> Response:
        return pages.show(
            request,
            "near.html",
            districts=_districts(),
            needs=needs,
            district=district,
            need=need,
            found=found,
        )

    @router.get("/h", response_model=None)
    async def ask(request: Request) -> Response:
        return show(request)

    @router.post("/h", response_model=None)
    async def look(request: Request) -> Response:
        form = await read_form(request)
        district, need = form.get("district"), form.get("need")
        need = need if need in needs else ""
        if district not in {place.pcode for place in _districts()}:
            return show(request, need=need)
        async with transaction(service.web, "*") as conn:
            found = await list_near(conn, district, need or None)
        return show(request, district, need, found)

    return router


def _districts() -> list[places.Place]:
    found = [p for p in places.all_places().values() if p.level is Level.DISTRICT]
    return sorted(found, key=lambda one: one.name_en)
