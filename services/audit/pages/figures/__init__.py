"""`/figures`: the published quarters for everybody; the running one for people of the centre."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from services.audit.figures.api import READERS, NotPublished, sees_running
from services.audit.figures.periods import name_of, parse_quarter, quarter_of
from services.audit.pages.figures import charts
from services.audit.pages.figures.names import OWN, STEPS, TABLES, WAITS, WORDS
from shared import places
from shared.access import Caller, require
from shared.clock import now
from shared.pages.pages import Pages
from shared.pages.words import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.audit.figures.following import Figures, Releases

PUBLIC: Final = Pages("audit", Path(__file__).parent, public=True)
INSIDE: Final = Pages("audit", Path(__file__).parent)

_SIGN: Final = re.compile("[\u0980-\u09ff](?:[\u0981-\u0983\u09bc\u09be-\u09cc\u09d7]|\u09cd.)*|.")
"""One sign as it is read: a Bangla letter with what hangs on it, or a letter."""


def make_router(figures: Figures, releases: Releases) -> APIRouter:
    """Make the pages of figures for everybody, and for people of the centre."""
    router = APIRouter()
    everybody, inside = PUBLIC.router(), INSIDE.router(files=False)

    @everybody.get("/figures", response_model=None)
    async def newest(request: Request) -> Response:
        """Show the newest published quarter, or when the first will come."""
        quarters = await releases.quarters()
        if not quarters:
            return PUBLIC.show(request, "none.html", next=quarter_of(now()), inside=False)
        return await _show(PUBLIC, request, releases, name_of(quarters[0][0]), quarters)

    @inside.get("/figures/running", response_model=None)
    async def running(
        request: Request, caller: Annotated[Caller, Depends(require(*READERS))]
    ) -> Response:
        """Show the running quarter to who serves the whole centre, else the newest published."""
        quarters = await releases.quarters()
        if sees_running(caller):
            release = await figures.running(now())
            return _page(INSIDE, request, release, quarters, caller)
        if not quarters:
            return INSIDE.show(request, "none.html", next=quarter_of(now()), inside=True, me=caller)
        name = name_of(quarters[0][0])
        return _page(INSIDE, request, await releases.release(name), quarters, caller)

    @everybody.get("/figures/{period}", response_model=None)
    async def quarter(request: Request, period: str) -> Response:
        """Show a published quarter; nothing else is a period."""
        if parse_quarter(period) is None:
            raise NotPublished
        return await _show(PUBLIC, request, releases, period, await releases.quarters())

    router.include_router(inside)
    router.include_router(everybody)
    return router


async def _show(
    pages: Pages,
    request: Request,
    releases: Releases,
    name: str,
    quarters: Sequence[tuple[date, datetime]],
) -> Response:
    return _page(pages, request, await releases.release(name), quarters)


def _page(
    pages: Pages,
    request: Request,
    release: dict[str, Any],
    quarters: Sequence[tuple[date, datetime]],
    caller: Caller | None = None,
) -> Response:
    published = {name_of(quarter): at for quarter, at in quarters}
    language = pages.language(request)

    def say(text: str) -> str:
        return pages.text(request, text)

    def group(code: str, by: str) -> str:
        """Return what a group of a table is called."""
        if code in OWN:
            return say(OWN[code])
        if by in WORDS and code in KINDS[WORDS[by]]:
            return say(KINDS[WORDS[by]][code])
        place = places.find(code) if by in ("division", "district") else None
        if place is not None:
            return place.name_bn if language == "bn" else place.name_en
        return code

    divisions, bands = charts.gaps(release)
    return pages.show(
        request,
        "figures.html",
        me=caller,
        inside=caller is not None,
        release=release,
        tables=release["tables"],
        published=published,
        at=published.get(release["quarter"]),
        quarter=parse_quarter(release["quarter"]),
        funnel=charts.funnel(release),
        tiles=charts.tiles(release),
        divisions=divisions,
        bands=bands,
        chart=charts,
        steps=STEPS,
        names=TABLES,
        waits=WAITS,
        group=group,
        short=short,
    )


def short(name: str, signs: int = 3) -> str:
    """Return the beginning of a name, whole signs of it, for where there is little room."""
    return "".join(_SIGN.findall(name)[:signs])
