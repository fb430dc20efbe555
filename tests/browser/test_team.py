"""The head of a place of help looks after the team on a phone; a worker changes nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

from shared.vocabulary import Role
from tests.browser.signing_in import sign_in

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.browser.desk_room import Room
    from tests.browser.look import Look

SHELTER = "example-shelter-sharsha"


async def test_a_head_invites_changes_and_ends_on_a_phone(
    room: Room, context: BrowserContext, page: Page, look: Look, other: BrowserContext
) -> None:
    head, name = f"h{uuid4().hex[:8]}", f"rina.{uuid4().hex[:6]}"
    await room.make_head(SHELTER, head)
    await sign_in(context, room.stack, Role.PROVIDER_WORKER, SHELTER, head)
    await page.goto(f"{room.stack.origin}/provider")
    await page.locator('a[href="/intake/pages/team"]').click()
    await page.wait_for_url("**/intake/pages/team")
    await look(page, "provider-team")
    await page.fill("#name", name)
    await page.locator("form.step .button").click()
    await page.wait_for_url("**done=1")
    link = await page.inner_text(".link")
    assert re.fullmatch(rf"{room.stack.origin}/accounts/enrol/[\w-]+", link.strip())
    await look(page, "provider-team-invited")
    await page.reload()
    assert await page.locator(".link").count() == 0  # shown once

    await page.fill("#name", name)  # the name is somebody's now
    await page.locator("form.step .button").click()
    await page.wait_for_url("**wrong=name")
    card = page.locator(".team li", has_text=name)
    await card.locator("summary").click()
    await look(page, "provider-team-change")
    await card.locator("select").select_option("head")
    await card.locator("input[type=date]").fill("2031-01-31")
    await card.locator('form[action$="/change"] button').click()
    await page.wait_for_url("**done=1")
    assert "৩১" in await card.inner_text()
    own = page.locator(".team li", has_text="আপনি")
    assert await own.locator("form").count() == 0  # nobody changes their own place

    await sign_in(other, room.stack, Role.PROVIDER_WORKER, SHELTER, f"w{uuid4().hex[:8]}")
    theirs = await other.new_page()
    await theirs.goto(f"{room.stack.origin}/intake/pages/team")
    assert name in await theirs.inner_text("main")
    assert await theirs.locator("main form").count() == 0

    await card.locator("summary").click()
    await card.locator('form[action$="/end"] button').click()
    await page.wait_for_url("**done=1")
    assert await page.locator(".team li", has_text=name).count() == 0
    await page.goto(f"{room.stack.origin}/intake/pages/team?lang=en")
    await look(page, "provider-team-en")
