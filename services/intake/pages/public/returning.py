"""`/r`: coming back with the secret number: four neutral answers, words both ways, an end.

The number is typed once: then it goes from page to page sealed, and no page shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from fastapi import Request
from fastapi.responses import Response

from services.intake.media.api import Order
from services.intake.media.keeping import Keeping, TooManyAttachments, VideoNotTaken
from services.intake.media.rules import rules_on
from services.intake.pages.public.told import HOURS, number_of
from services.intake.receipts import parse_receipt
from services.intake.reporters import reaching
from services.intake.reporters.api import find_by_receipt
from services.intake.reporters.guessing import Guesses, TooManyGuesses, network_of
from services.intake.reporters.service import Feedback, Reporters
from shared import telemetry
from shared.clock import now
from shared.errors import InvalidBody, NotFound, TooLarge
from shared.idempotency import Key, find_answer, keep_answer
from shared.pages.forms import Form, read_form
from shared.pages.words import FEEDBACK, N_

if TYPE_CHECKING:
    from fastapi import APIRouter
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.pages.public.room import Room
    from services.intake.reporters.store import Report

LONGEST: Final = 20_000
DAYS: Final = {"today": N_("Today"), "tomorrow": N_("Tomorrow"), "later": N_("In a few days")}

NOT_RIGHT: Final = N_(
    "There is nothing under this number. Look at the sixteen digits again, or write the six words"
    " with a space between them."
)
WAIT: Final = N_("Please wait a minute, then try again.")
SAID: Final = {
    "words": N_("What you wrote has arrived."),
    "feedback": N_("Thank you for telling us."),
    "stop": N_("We will not contact you about this any more. You can still come back here."),
    "call": N_("We have noted when to call. If it does not suit you any more, write to us here."),
    "file": N_("It has arrived."),
}
NOTHING: Final = {
    "words": N_("Nothing was written yet."),
    "feedback": N_("Please choose one of the four."),
    "call": N_("This is not a whole phone number. A number here looks like 01712 345678."),
    "file": N_("No file was chosen."),
}
NO_FILM: Final = N_("A film cannot be kept. Send a picture, speak or write instead.")
TOO_MANY: Final = N_("No more files fit. Write what they show.")
TOO_LARGE: Final = N_("This file is too large. Send a smaller one, or write what it shows.")


@dataclass(frozen=True, slots=True)
class Returning:
    """What whoever comes back can do; each act is one transaction, once."""

    room: Room
    reporters: Reporters
    keeping: Keeping
    guesses: Guesses
    order: Order

    async def show(
        self, request: Request, code: str, said: str = "", wrong: tuple[str, str] = ("", "")
    ) -> Response:
        """Show how things stand behind a receipt, or why there is nothing to show."""
        desk = self.room.desk
        engine = desk.service.flow
        try:
            async with self.guesses.guard(engine, _from(request)), engine.connect() as conn:
                report = await find_by_receipt(conn, code, desk.secrets.pepper, lock=False)
                status = await self.reporters.status(conn, report)
                heard = await self.reporters.hear(conn, report)
        except (InvalidBody, NotFound):
            return self.ask(request, NOT_RIGHT)
        except TooManyGuesses:
            return self.ask(request, WAIT, 429)
        pages = self.room.pages
        return pages.show(
            request,
            "back.html",
            standing=status["text"][pages.language(request)],  # type: ignore[index]
            heard=heard,
            said=said,
            wrong=wrong,
            kept=self.room.receipts.seal(code),
            once=uuid4().hex,
            feedback=tuple(FEEDBACK),
            hours=tuple(HOURS),
            days=DAYS,
        )

    def ask(self, request: Request, wrong: str = "", status: int = 0) -> Response:
        """Ask for the number."""
        status = status or (422 if wrong else 200)
        return self.room.pages.show(request, "number.html", status, wrong=wrong)

    async def do(self, request: Request, name: str, form: Form, act: Any) -> Response:  # noqa: ANN401
        """Do something behind the receipt that a form carries, once, and show how things stand."""
        code = self.room.receipts.open(form.get("kept"), str)
        if code is None:
            return self.ask(request)
        desk = self.room.desk
        key = Key.of(form.get("once") or uuid4().hex, scope=f"page {name}", body=b"")
        async with desk.service.flow.begin() as conn:
            report = await find_by_receipt(conn, code, desk.secrets.pepper, lock=True)
            if await find_answer(conn, key) is None:
                await act(conn, report)
                await keep_answer(conn, key, b"done")
        desk.service.waker.wake()
        return await self.show(request, code, SAID[name])

    async def refuse(self, request: Request, name: str, form: Form, text: str = "") -> Response:
        """Say what is wrong with a form; what stands behind the receipt is shown again."""
        code = self.room.receipts.open(form.get("kept"), str)
        if code is None:
            return self.ask(request)
        return await self.show(request, code, wrong=(name, text or NOTHING[name]))


def add_returning(router: APIRouter, room: Room, reporters: Reporters) -> None:
    """Add the pages behind the secret number."""
    pepper = room.desk.secrets.pepper
    keeping = Keeping(room.desk.vault, reporters)
    back = Returning(room, reporters, keeping, Guesses(pepper), Order(pepper))

    @router.get("/r", response_model=None)
    async def ask(request: Request) -> Response:
        return back.ask(request)

    @router.post("/r", response_model=None)
    async def look(request: Request) -> Response:
        form = await read_form(request)
        code = room.receipts.open(form.get("kept"), str) or form.get("number")
        receipt = parse_receipt(" ".join(code.split()))
        return (
            back.ask(request, NOT_RIGHT)
            if receipt is None
            else await back.show(request, receipt.shown)
        )

    _add_saying(router, back)
    _add_contact(router, back)
    _add_files(router, back)


def _add_saying(router: APIRouter, back: Returning) -> None:
    @router.post("/r/words", response_model=None)
    async def words(request: Request) -> Response:
        form = await read_form(request)
        text = form.get("words")[:LONGEST]
        if not text:
            return await back.refuse(request, "words", form)

        async def act(conn: AsyncConnection, report: Report) -> None:
            await back.reporters.add_words(conn, report, text, now())

        return await back.do(request, "words", form, act)

    @router.post("/r/feedback", response_model=None)
    async def feedback(request: Request) -> Response:
        form = await read_form(request)
        helped, text = form.get("helped"), form.get("text")[:LONGEST] or None
        if helped not in FEEDBACK:
            return await back.refuse(request, "feedback", form)

        async def act(conn: AsyncConnection, report: Report) -> None:
            await back.reporters.add_feedback(conn, report, Feedback(helped, None, text), now())

        return await back.do(request, "feedback", form, act)


def _add_contact(router: APIRouter, back: Returning) -> None:
    @router.post("/r/stop", response_model=None)
    async def stop(request: Request) -> Response:
        form = await read_form(request)

        async def act(conn: AsyncConnection, report: Report) -> None:
            await reaching.stop(back.reporters, conn, report, now())

        return await back.do(request, "stop", form, act)

    @router.post("/r/call", response_model=None)
    async def call(request: Request) -> Response:
        form = await read_form(request)
        number = number_of(form.get("number"))
        if number is None:
            return await back.refuse(request, "call", form)
        wish = {
            "call_back": number,
            "day": form.get("day") if form.get("day") in DAYS else "",
            "hours": HOURS.get(form.get("hours"), ""),
            "ask_for": form.get("ask_for")[:200],
        }

        async def act(conn: AsyncConnection, report: Report) -> None:
            await reaching.ask_for_call(back.reporters, conn, report, wish, now())

        return await back.do(request, "call", form, act)


def _add_files(router: APIRouter, back: Returning) -> None:
    @router.post("/r/file", response_model=None)
    async def keep(request: Request) -> Response:
        rules = rules_on(now())
        async with back.order.reading():
            try:
                form = await read_form(request, files=1, largest_file=rules.max_bytes)
            except TooLarge:
                return back.ask(request, TOO_LARGE, 413)
        raw = form.files.get("file")
        if not raw:
            return await back.refuse(request, "file", form)

        async def act(conn: AsyncConnection, report: Report) -> None:
            kept = await back.keeping.keep(conn, report, raw, now())
            if kept.new:
                telemetry.ATTACHMENTS.labels(kept.kind).inc()

        service, who = back.room.desk.service, network_of(_from(request))
        try:
            async with back.order.turn(service, who, rules.first_in_ten_minutes):
                return await back.do(request, "file", form, act)
        except VideoNotTaken:
            return await back.refuse(request, "file", form, NO_FILM)
        except TooManyAttachments:
            return await back.refuse(request, "file", form, TOO_MANY)
        except TooLarge:
            return await back.refuse(request, "file", form, TOO_LARGE)


def _from(request: Request) -> str:
    return request.client.host if request.client else ""
