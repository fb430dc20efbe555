"""`/referral/pages/places`: who has how many places free; and what would happen if somebody asked.

Both are questions without a person: what is asked stands in the address, and nothing is changed but
a number that an office told by a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.responses import Response

from services.referral.pages.desk import store
from shared import places
from shared.access import Caller, require
from shared.database import transaction
from shared.errors import NotFound
from shared.inside import Inside, Refused
from shared.pages.forms import read_form
from shared.pages.languages import show_place
from shared.pages.refusals import pass_on
from shared.pages.words import NEEDS, SEXES
from shared.text import ascii_digits
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import APIRouter
    from starlette.datastructures import QueryParams

    from shared.pages.languages import Language
    from shared.pages.pages import Pages
    from shared.runtime import Service

_Desk = Annotated[Caller, Depends(require(Role.COORDINATOR, Role.SUPERVISOR))]

PLACES: Final = "/referral/pages/places"
PREVIEW: Final = "/referral/pages/preview"

_SEXES: Final = ("female", "male", "hijra", "unknown")


def add_places(router: APIRouter, pages: Pages, service: Service) -> None:
    """Add the list of free places, and the form by which the desk says how many."""

    @router.get(PLACES, response_model=None)
    async def free(request: Request, caller: _Desk) -> Response:
        query, language = request.query_params, pages.language(request)
        need, district = _need(query), _district(query)
        found: list[dict[str, Any]] = []
        if district is not None:
            async with transaction(service.web, "*") as conn:
                found = await store.list_places(conn, need, areas_of(district))
        return pages.show(
            request,
            "places.html",
            me=caller,
            found=found,
            need=need or "",
            district=district or "",
            needs=_named(pages, request, NEEDS),
            districts=district_options(language),
            wrong=query.get("wrong", ""),
            done=query.get("done", ""),
        )

    @router.post(PLACES + "/{offer_id}", response_model=None)
    async def say(request: Request, offer_id: str, caller: _Desk) -> Response:
        """Write down what an office said: how many places it has free."""
        del caller
        form = await read_form(request)
        told = {"need": form.get("need"), "district": form.get("district")}
        path = f"/referral/v1/offers/{offer_id}"
        try:
            inside = Inside(request.app)
            known = await inside.get(request, path)
            body = {"places_free": number(form.get("free")), "places_total": known["places_total"]}
            if body["places_free"] is None:
                return pages.go(request, PLACES, **told, wrong=offer_id)
            await inside.send(request, "PUT", f"{path}/capacity", body)
        except Refused as refused:
            pass_on(refused)
            return pages.go(request, PLACES, **told, wrong=offer_id)
        return pages.go(request, PLACES, **told, done=offer_id)


def add_preview(router: APIRouter, pages: Pages) -> None:
    """Add the page that says what would happen if."""

    @router.get(PREVIEW, response_model=None)
    async def preview(request: Request, caller: _Desk) -> Response:
        """Try the routing on facts of nobody: who would be asked, and why not the others."""
        query, language = request.query_params, pages.language(request)
        told: dict[str, Any] | None = None
        wrong = False
        if _need(query):
            try:
                asked = Inside(request.app).send(
                    request, "POST", "/referral/v1/routing/preview", body_of(query)
                )
                told = (await asked).value
            except Refused as refused:
                pass_on(refused)
                wrong = True
        outcome, *lines = told["reads"][language] if told else [""]
        return pages.show(
            request,
            "preview.html",
            me=caller,
            asked=query,
            told=told,
            outcome=outcome,
            lines=lines,
            wrong=wrong,
            needs=_named(pages, request, NEEDS),
            sexes=_named(pages, request, {code: SEXES[code] for code in _SEXES}),
            places=place_options(language),
        )


def body_of(query: QueryParams) -> dict[str, Any]:
    """Return a question of the address as the interface takes it; what is left out is unknown."""
    body: dict[str, Any] = {"need": query.get("need")}
    if query.get("place"):
        body["place"] = query["place"]
    if query.get("sex"):
        body["sex"] = query["sex"]
    for name, field in (("age", "age"), ("persons", "places_needed")):
        if query.get(name):
            body[field] = number(query[name])
    excluded = [word for word in query.get("excluded", "").replace(",", " ").split() if word]
    return body | ({"excluded": excluded} if excluded else {})


def number(value: str) -> int | None:
    """Return a small whole number in either digits; None when it is none."""
    plain = ascii_digits(value).strip()
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) <= 4 else None  # noqa: PLR2004


def areas_of(district: str) -> set[str]:
    """Return the district, what lies in it, and what it lies in."""
    if places.district_of(district) != district:
        raise NotFound
    inside = {code for code in places.all_places() if places.district_of(code) == district}
    return inside | set(places.ancestors(district))


def _need(query: QueryParams) -> str | None:
    return query["need"] if query.get("need") in NEEDS else None


def _district(query: QueryParams) -> str | None:
    found = query.get("district", "")
    return found if found and places.district_of(found) == found else None


def _named(pages: Pages, request: Request, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(code, pages.text(request, text)) for code, text in texts.items()]


def district_options(language: Language) -> list[tuple[str, str]]:
    """Return the districts in order of name."""
    return _options(language, (places.Level.DISTRICT,))


def place_options(language: Language) -> list[tuple[str, str]]:
    """Return districts, and what lies in them with its district's name."""
    level = places.Level
    return _options(language, (level.DISTRICT, level.UPAZILA, level.CITY_CORPORATION, level.THANA))


def _options(language: Language, levels: tuple[places.Level, ...]) -> list[tuple[str, str]]:
    found = []
    for place in places.all_places().values():
        if place.level in levels:
            district = places.district_of(place.pcode)
            more = "" if district in (None, place.pcode) else f", {show_place(district, language)}"
            found.append((place.pcode, show_place(place.pcode, language) + more))
    return sorted(found, key=lambda one: one[1])
