"""`/`, `/a`, `/l`, `/x` and `/t`: the first page, advice, reading, leaving, and telling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from msgspec.structs import replace

from services.intake.casework.rules import rules_on
from services.intake.channels.web import accept
from services.intake.pages.public import steps
from services.intake.pages.public.learning import find_reading, list_readings
from services.intake.pages.public.room import Room, lines_now
from services.intake.pages.public.told import ABROAD, AGES, HOURS, SEXES, Told, key_of, report_of
from services.intake.report import ReportIn
from shared import places
from shared.bodies import validate
from shared.clock import now
from shared.errors import NotFound
from shared.idempotency import Key
from shared.pages import headers
from shared.pages.forms import read_form
from shared.pages.languages import language_of
from shared.places import Level

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.pages.forms import Form

BACK: Final = "back"
SEND: Final = "send"
LAST: Final = "review"
"""The step after which it is sent."""

TO: Final = "step:"
"""How a button begins that goes to a step by its name, from the review."""

_CHOICES: Final[dict[str, Any]] = {
    "AGES": AGES,
    "SEXES": SEXES,
    "HOURS": tuple(HOURS),
    "CONCERNS": steps.CONCERNS,
    "NEEDS": steps.NEEDS,
    "NUMBERS": steps.NUMBERS,
    "ABROAD": ABROAD,
}


def add_first_pages(router: APIRouter, room: Room) -> None:
    """Add the pages that are only read, and the way out."""
    pages = room.pages

    @router.get("/", response_model=None)
    async def first(request: Request) -> Response:
        return pages.show(request, "first.html", lines=lines_now())

    @router.get("/a", response_model=None)
    async def advice(request: Request) -> Response:
        readings = list_readings(pages.language(request))
        return pages.show(request, "advice.html", lines=lines_now(), readings=readings)

    @router.get("/l/{number}", response_model=None)
    async def reading(request: Request, number: int) -> Response:
        language = pages.language(request)
        found = find_reading(language, number)
        if found is None:
            raise NotFound
        others = [one for one in list_readings(language) if one.number != number]
        return pages.show(request, "reading.html", reading=found, others=others)

    @router.get("/x", response_model=None)
    async def leave() -> Response:
        # The cache alone: storage of this origin may hold what a committee could not send yet.
        told = {**headers.PUBLIC, "Clear-Site-Data": '"cache"'}
        return RedirectResponse(room.leave_to, 303, told)


def add_telling(router: APIRouter, room: Room) -> None:
    """Add the steps of telling; each answer holds the whole state, sealed, the server none."""
    pages = room.pages

    def show(
        request: Request, step: str, told: Told, error: tuple[str, str] | None = None
    ) -> Response:
        return pages.show(
            request,
            f"steps/{step}.html",
            step=step,
            told=told,
            kept=room.sealer.seal(told),
            back=steps.before(step, told),
            error=error or ("", ""),
            districts=_districts(),
            offered=steps.offered(told) if step == "which" else [],
            lines=lines_now() if told.danger == "yes" else [],
            work=room.desk.work.challenge() if step == LAST and room.desk.work.asked else None,
            **_CHOICES,
        )

    @router.get("/t", response_model=None)
    async def begin(request: Request) -> Response:
        told = Told(key=uuid4().hex)
        if request.query_params.get("d") == "2":
            told = replace(told, door="help")
        return show(request, "now", told)

    @router.post("/t", response_model=None)
    async def go_on(request: Request) -> Response:
        form = await read_form(request)
        if (asked := language_of(form.get("lang") or None)) is not None:
            request.state.language = asked
        told = room.sealer.open(form.get("kept"), Told)
        if told is None:
            return pages.show(request, "again.html", 410)
        step = form.get("step")
        if step not in steps.STEPS:
            raise NotFound
        taken = steps.take(step, form, told)
        if form.get("go") == SEND and step == LAST:
            return await send(request, taken.told, form.get("work"))
        return show(request, *_next(step, form, taken))

    async def send(request: Request, told: Told, work: str) -> Response:
        desk, language = room.desk, pages.language(request)
        report = validate(ReportIn, report_of(told, language))
        body = msgspec.json.encode(told)
        key = Key.of(key_of(told, body), scope="anonymous", body=body)
        # A page without a script does no proof of work: under load it waits its turn.
        behind = desk.work.asked and not desk.work.is_done(work)
        answer = await accept(desk, report, None, key, size=len(body), behind=behind)
        made = msgspec.json.decode(answer)
        return pages.show(
            request,
            "receipt.html",
            digits=made["receipt"],
            words=made["words"],
            minutes=rules_on(now()).page_within_minutes if made.get("on_duty") else 0,
            told=told,
            lines=lines_now() if told.danger == "yes" else [],
            kept=room.receipts.seal(made["receipt"]),
        )


def _next(step: str, form: Form, taken: steps.Taken) -> tuple[Any, ...]:
    """Return which step is shown after a form, with what was told and what is wrong."""
    go, told = form.get("go"), taken.told
    if go == BACK:
        return steps.before(step, told) or step, told
    if form.has("lang") or go in {"add", "fewer"}:
        return step, told
    if go.startswith(TO) and go.removeprefix(TO) in steps.STEPS:
        return go.removeprefix(TO), told
    if taken.error is not None:
        return step, told, taken.error
    return steps.after(step, told) if step != LAST else step, told


def _districts() -> list[places.Place]:
    found = [p for p in places.all_places().values() if p.level is Level.DISTRICT]
    return sorted(found, key=lambda one: one.name_en)
