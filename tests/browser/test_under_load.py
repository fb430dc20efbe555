"""While many others wait: a page with a script brings its report forward, no page needs to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest_asyncio

from services.intake.casework.shown import Board
from services.intake.channels import Desk
from services.intake.channels.sms.replies import Replies
from services.intake.committer import Committer
from services.intake.pages.public.main import make_router
from services.intake.proof_of_work import Work
from services.intake.reporters.service import Reporters
from services.intake.seals import Seals
from services.intake.submissions import SubmissionStore
from shared.http import make_app
from tests.browser.serving import serving
from tests.browser.test_public import go_on
from tests.support.room import open_room
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page


@pytest_asyncio.fixture(loop_scope="session")
async def busy(postgres_admin_dsn: str) -> AsyncIterator[tuple[str, Work]]:
    """The public pages of an intake that has more waiting than it can commit at once."""
    async with open_room(postgres_admin_dsn) as room:
        store = SubmissionStore(room.engine, room.outbox)
        committer, work = Committer(store, lambda: None), Work(b"k" * 32, lambda: 100, bits=12)
        service: Any = SimpleNamespace(
            settings=SimpleNamespace(service="intake"), tokens=None, started=True
        )
        service.flow, service.outbox = room.engine, room.outbox
        service.waker = SimpleNamespace(wake=lambda: None)
        desk = Desk(
            committer.door(),
            store,
            room.vault,
            room.secrets,
            Replies(room.engine, room.vault, room.secrets, None),
            work,
            Board(),
            {},
            service,
            Seals(lambda: [b"k" * 32]),
        )
        app = make_app(service, "intake", "a room")
        app.include_router(make_router(desk, Reporters(room.vault, room.outbox)))
        running = asyncio.create_task(committer.run())
        async with serving(app) as origin:
            yield origin, work
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def reviewed(page: Page, origin: str) -> None:
    """Leave everything out, up to the last step."""
    await page.goto(f"{origin}/t")
    for _ in range(5):
        await go_on(page)
    await page.get_by_role("heading", name="সব ঠিক আছে?").wait_for()


async def test_a_script_of_the_page_does_the_work_and_it_counts(
    page: Page, busy: tuple[str, Work]
) -> None:
    origin, work = busy
    await reviewed(page, origin)
    unsent = await eventually(page.locator("[name=work]").input_value, 30, "the work to be done")
    assert work.is_done(unsent), "the number was found"
    await reviewed(page, origin)
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.post_data or ""))
    await page.get_by_role("button", name="পাঠান").click()
    await page.locator(".digits").wait_for()
    (body,) = [one for one in sent if "go=send" in one]
    said = parse_qs(body)["work"][0]
    assert said.count(":") == 1
    assert not work.is_done(said), "it has counted for the report already"


async def test_without_a_script_nothing_is_asked_for_and_the_report_is_taken(
    browser: Browser, busy: tuple[str, Work]
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    try:
        page = await context.new_page()
        await reviewed(page, busy[0])
        assert await page.locator("[name=work]").input_value() == ""
        await page.get_by_role("button", name="পাঠান").click()
        await page.locator(".digits").wait_for()
    finally:
        await context.close()


async def test_a_script_that_cannot_work_sends_all_the_same(
    page: Page, busy: tuple[str, Work]
) -> None:
    await page.route("**/work.*.js", lambda route: route.abort())
    await reviewed(page, busy[0])
    await page.get_by_role("button", name="পাঠান").click()
    await page.locator(".digits").wait_for()
