"""`/desk/awareness`: what is told in which season, to print and to read; how many talks were held.

A notice goes out from here to those who asked for them, and to nobody else. The code on a poster
leads to the first page, the same on every poster: who came through it is not known.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake.awareness.api import SEES
from services.intake.awareness.messages_store import STATES
from services.intake.awareness.service import AROUND, SMALLEST
from services.intake.awareness.sets import (
    find_set,
    in_season_first,
    lines_of,
    list_sets,
    load_guide,
    say_radio,
    with_danger,
)
from services.intake.helplines import load_lines
from shared import places
from shared.access import Caller, require
from shared.clock import day_of, now
from shared.errors import NotFound
from shared.inside import Inside, Refused
from shared.pages.forms import Form, read_form
from shared.pages.languages import digits, show_place
from shared.pages.pages import Pages

if TYPE_CHECKING:
    from services.intake.awareness.messages import Messages
    from services.intake.awareness.service import Awareness
    from services.intake.awareness.sets import Set
    from shared.pages.languages import Language

ROOM: Final = "/desk/awareness"

CARDS: Final = 10
"""Cards on a sheet of A4."""

_HERE: Final = Path(__file__).parent
_API: Final = "/intake/v1/awareness/sessions"
_SENDING: Final = "/intake/v1/awareness/messages"
_EVERYWHERE: Final = "all"
_DIVISION: Final = {"bn": " বিভাগ", "en": " Division"}
_PEOPLE: Final = ("women", "men", "girls", "boys")
_COUNTED: Final = frozenset({places.Level.UPAZILA, places.Level.THANA})

_Sees = Annotated[Caller, Depends(require(*SEES))]


def make_router(awareness: Awareness, messages: Messages, public_url: str) -> APIRouter:
    """Make the room's routes; `public_url` is where anybody finds the first page."""
    pages = Pages("intake", _HERE)
    router = pages.router()

    async def overview(
        request: Request,
        caller: Caller,
        status: int = 200,
        **more: Any,  # noqa: ANN401
    ) -> Response:
        language = pages.language(request)
        district = _district(request, caller)
        today = day_of(now())
        sets = in_season_first(list_sets(language), today, district)
        values = {
            "me": caller,
            "sets": sets,
            "titles": {one.name: one.title for one in sets},
            "today": today,
            "district": district,
            "districts": _under(language, None),
            "upazilas": _under(language, district) if district else (),
            "talks": await awareness.list(now()),
            "notices": await messages.list(now()),
            "asking": await messages.count(),
            "states": STATES,
            "wholes": _wholes(language),
            "everywhere": _EVERYWHERE,
            "days": AROUND.days,
            "under": SMALLEST,
            "people": _PEOPLE,
            "once": uuid4().hex,
            "filled": Form(),
            "wrong": {},
            "refused": "",
            "said": request.query_params.get("said", ""),
            **more,
        }
        return pages.show(request, "sets.html", status, **values)

    @router.get(ROOM, response_model=None)
    async def first(request: Request, caller: _Sees) -> Response:
        return await overview(request, caller)

    async def pass_on(
        request: Request, caller: Caller, form: Form, path: str, body: dict[str, Any]
    ) -> Response | None:
        """Ask the interface; return the page again where it refuses."""
        key = form.get("once") or None
        try:
            await Inside(request.app).send(request, "POST", path, body, key=key)
        except Refused as refused:
            named = refused.problem.get("errors", ())
            wrong = {str(one["field"]).partition(".")[0]: str(one["rule"]) for one in named}
            what = "counted" if path == _API else "planned"
            return await overview(
                request, caller, refused.status, filled=form, wrong=wrong, refused=what
            )
        return None

    @router.post(ROOM, response_model=None)
    async def count(request: Request, caller: _Sees) -> Response:
        form = await read_form(request)
        if (again := await pass_on(request, caller, form, _API, _body(form))) is not None:
            return again
        return pages.go(request, ROOM, said="counted", district=_district(request, caller) or "")

    @router.post(f"{ROOM}/messages", response_model=None)
    async def send(request: Request, caller: _Sees) -> Response:
        form = await read_form(request)
        place = form.get("places")
        body = {"set": form.get("notice"), "places": None if place == _EVERYWHERE else [place]}
        if (again := await pass_on(request, caller, form, _SENDING, body)) is not None:
            return again
        return pages.go(request, ROOM, said="planned", district=_district(request, caller) or "")

    @router.post(f"{ROOM}/sessions/{{session_id}}/out", response_model=None)
    async def out(request: Request, session_id: UUID, caller: _Sees) -> Response:
        del caller
        await awareness.drop(session_id)
        return pages.go(request, ROOM, said="out")

    _add_set(router, pages, public_url)
    return router


def _add_set(router: APIRouter, pages: Pages, public_url: str) -> None:
    """Add the cards, and the pages of one set: all of it, its poster, its courtyard talk."""

    @router.get(f"{ROOM}/cards", response_model=None)
    async def cards(request: Request, caller: _Sees) -> Response:
        return pages.show(request, "cards.html", me=caller, cards=CARDS)

    def show(request: Request, caller: Caller, name: str, template: str) -> Response:
        language = pages.language(request)
        found = find_set(language, name)
        if found is None:
            raise NotFound
        today = day_of(now())
        lines = lines_of(found, load_lines(), today)
        return pages.show(
            request,
            template,
            me=caller,
            told=found,
            today=today,
            lines=lines,
            numbers=with_danger(lines, load_lines(), today),
            radio=_radio(found, [one.number for one in lines], language),
            guide=load_guide(language),
            code=_code(public_url),
            address=public_url.partition("://")[2],
        )

    @router.get(f"{ROOM}/{{name}}", response_model=None)
    async def one(request: Request, name: str, caller: _Sees) -> Response:
        return show(request, caller, name, "set.html")

    @router.get(f"{ROOM}/{{name}}/poster", response_model=None)
    async def poster(request: Request, name: str, caller: _Sees) -> Response:
        return show(request, caller, name, "poster.html")

    @router.get(f"{ROOM}/{{name}}/courtyard", response_model=None)
    async def courtyard(request: Request, name: str, caller: _Sees) -> Response:
        return show(request, caller, name, "courtyard.html")


def _radio(told: Set, numbers: list[str], language: Language) -> list[str]:
    return say_radio(told, [digits(one, language) for one in numbers], language)


@cache
def _code(public_url: str) -> str:
    """Return the QR code of the first page as the address of a picture: dark on white."""
    import segno  # noqa: PLC0415  (large, and seldom wanted)

    made = segno.make(f"{public_url}/", error="m", micro=False)
    return str(made.svg_data_uri(border=2, light="#fff", svgclass=None, lineclass=None))


def _district(request: Request, caller: Caller) -> str | None:
    """Return the district that was asked for, else the caller's own; None is everywhere."""
    asked = request.query_params.get("district")
    if asked is None:
        asked = next(iter(caller.places), "")
    return places.district_of(asked) if places.find(asked) else None


@cache
def _under(language: Language, district: str | None) -> tuple[tuple[str, str], ...]:
    """Return the upazilas and thanas of a district in order of name; of None all districts."""
    found = [
        (one.pcode, show_place(one.pcode, language))
        for one in places.all_places().values()
        if (
            one.level is places.Level.DISTRICT
            if district is None
            else one.level in _COUNTED and district in places.ancestors(one.pcode)
        )
    ]
    return tuple(sorted(found, key=lambda one: one[1]))


@cache
def _wholes(language: Language) -> tuple[tuple[str, str], ...]:
    """Return the divisions and the districts, each district after its division."""
    whole = (places.Level.DIVISION, places.Level.DISTRICT)
    found = [
        (place.pcode, place.level is places.Level.DIVISION)
        for place in places.all_places().values()
        if place.level in whole
    ]
    return tuple(
        (pcode, f"{show_place(pcode, language)}{_DIVISION[language] if is_division else ''}")
        for pcode, is_division in sorted(found)
    )


def _body(form: Form) -> dict[str, Any]:
    """Return a count as the interface takes it; what is no number goes as it is and is refused."""
    told: dict[str, Any] = {name: form.get(name) for name in ("set", "place", "day")}
    for name in _PEOPLE:
        value = form.get(name) or "0"
        told[name] = int(value) if value.isdecimal() and len(value) <= 6 else value  # noqa: PLR2004
    return told
