"""`/figures`: the published quarters for everybody; the running one for people of the centre."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from services.audit.figures.api import READERS, NotPublished, sees_running
from services.audit.figures.periods import name_of, parse_quarter, parse_year, quarter_of
from services.audit.figures.sheets import sums_of_year
from services.audit.figures.tables import NAMES
from services.audit.pages.figures import charts
from services.audit.pages.figures.names import OWN, STEPS, TABLES, WAITS, WORDS
from shared import places
from shared.access import Caller, require
from shared.clock import now
from shared.pages.pages import Pages
from shared.pages.words import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    async def of_period(request: Request, period: str) -> Response:
        """Show a published quarter, or a year of them; nothing else is a period."""
        if (year := parse_year(period)) is not None:
            return _year(request, year, await releases.year(year), await releases.quarters())
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
        group=_namer(pages, request),
        first_day=parse_quarter,
        short=short,
        years=_years(quarters),
    )


def _year(
    request: Request,
    year: int,
    found: Sequence[dict[str, Any]],
    quarters: Sequence[tuple[date, datetime]],
) -> Response:
    return PUBLIC.show(
        request,
        "year.html",
        year=str(year),
        releases=found,
        sums={table: sums_of_year(found, table) for table in NAMES},
        columns={table: found[0]["tables"][table]["columns"] for table in NAMES},
        steps=STEPS,
        names=TABLES,
        group=_namer(PUBLIC, request),
        first_day=parse_quarter,
        published=[name_of(quarter) for quarter, _ in quarters],
        years=_years(quarters),
    )


def _years(quarters: Sequence[tuple[date, datetime]]) -> list[str]:
    """Return the years of published quarters, newest first."""
    return list(dict.fromkeys(str(quarter.year) for quarter, _ in quarters))


def _namer(pages: Pages, request: Request) -> Callable[[str, str], str]:
    """Return what gives a group of a table its name in the page's language."""
    language = pages.language(request)

    def group(code: str, by: str) -> str:
        if code in OWN:
            return pages.text(request, OWN[code])
        if by in WORDS and code in KINDS[WORDS[by]]:
            return pages.text(request, KINDS[WORDS[by]][code])
        place = places.find(code) if by in ("division", "district") else None
        if place is not None:
            return place.name_bn if language == "bn" else place.name_en
        return code

    return group


def short(name: str, signs: int = 3) -> str:
    """Return the beginning of a name, whole signs of it, for where there is little room."""
    return "".join(_SIGN.findall(name)[:signs])
