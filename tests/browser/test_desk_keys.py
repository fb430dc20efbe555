"""The desk by keys alone; what comes meanwhile moves nothing; going back sends nothing again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.vocabulary import Role
from tests.browser.desk_room import (
    KERANIGANJ,
    NAME,
    PASSWORD,
    enrol,
    new_number,
    send,
    taught,
    unfold,
)
from tests.browser.signing_in import sign_in
from tests.support.callers import Callers
from tests.support.callers import report as by_partner
from tests.support.wait import eventually

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Request

    from tests.browser.desk_room import Room

_SEEN = """() => {
  const at = document.activeElement;
  const style = getComputedStyle(at);
  const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return at !== document.body && drawn;
}"""

_HREF = "() => document.activeElement.getAttribute('href')"

_SECOND = "() => document.querySelectorAll('#queue .row')[1].getAttribute('href')"

MOST = 60
"""Presses of a key before somebody would give up."""


async def press(page: Page, *keys: str) -> None:
    """Press keys one after the other; where the focus comes to rest can be seen."""
    for key in keys:
        await page.keyboard.press(key)
    assert await page.evaluate(_SEEN), keys


async def test_from_signing_in_to_letting_a_referral_go_out_by_keys_alone(
    room: Room, page: Page
) -> None:
    place = {"role": "now", "pcode": KERANIGANJ}
    case_id = await room.reported(danger_now=True, needs=["shelter"], places=[place])
    await eventually(lambda: room.referrals(case_id), 20, "a referral")
    one = await enrol(page, room, "coordinator")
    await taught(page, room, one)

    await page.goto(f"{room.stack.origin}/desk")
    await page.locator('[name="login"]').wait_for()
    if await page.evaluate("document.activeElement === document.body"):
        await page.keyboard.press("Tab")
    for _ in range(MOST):
        if await page.evaluate("document.activeElement.name") == "login":
            break
        await page.keyboard.press("Tab")
    for words in (one.login, PASSWORD, one.code()):
        await page.keyboard.type(words)
        await page.keyboard.press("Tab")
    async with page.expect_navigation(url="**/desk**"):
        await page.keyboard.press("Enter")

    # The queue: worst first, so the one in danger is near the top.
    await page.locator("#queue").wait_for()
    for _ in range(MOST):
        await press(page, "j")
        if await page.evaluate(_HREF) == f"/desk/cases/{case_id}":
            break
    async with page.expect_navigation(url=f"**/desk/cases/{case_id}"):
        await page.keyboard.press("Enter")

    # The next step is to look at it: how soon, then sent.
    await press(page, "n")
    assert await page.evaluate("document.activeElement.id") == "triage-urgency"
    await press(page, "Home", "ArrowDown")
    async with page.expect_navigation():
        await page.keyboard.press("Control+Enter")
    assert room.case(case_id)["facts"]["entitled"]

    # What a person must release: to whom, then out.
    await page.wait_for_selector('#referrals form[action$="/release"]')
    await press(page, "h")
    assert await page.evaluate("document.activeElement.name") == "offer_id"
    await press(page, "Tab")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")

    def out() -> bool:
        return any(one["released_by"] for one in room.referrals(case_id))

    await eventually(out, 20, "the referral is out")
    for key, where in (("u", "**/desk"), ("/", "**/desk/search")):
        async with page.expect_navigation(url=where):
            await page.keyboard.press(key)


_AT = """() => [
  document.activeElement.href, document.activeElement.getBoundingClientRect().top]"""
"""What has the focus, and where in the window: a bar above may move the page under it."""


async def test_what_comes_meanwhile_is_said_and_focus_and_scroll_stay(
    room: Room, coordinator: Page
) -> None:
    await room.reported(danger_now=True)
    await room.reported(danger_now=True)
    page = coordinator
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.headers.get("accept", "") + one.url))
    await page.set_viewport_size({"width": 360, "height": 320})
    await page.goto(f"{room.stack.origin}/desk")
    for _ in range(2):
        await page.keyboard.press("j")
    await page.set_viewport_size({"width": 1000, "height": 320})
    for off in (True, False):  # the keys can be turned off, and on again
        await page.locator(".keys button").click()
        await page.locator("#queue .row").nth(1).focus()
        await page.keyboard.press("k")
        assert (await page.evaluate(_HREF) == await page.evaluate(_SECOND)) is off
    await page.set_viewport_size({"width": 360, "height": 320})
    await page.keyboard.press("j")
    before = await page.evaluate(_AT)
    rows = await page.locator("#queue .row").count()
    assert await page.evaluate("() => scrollY") > 0
    await room.reported(danger_now=True)

    async def told() -> bool:
        return await page.is_visible("#news")

    await eventually(told, 30, "the bar of what is new")
    assert any("text/event-stream" in one and "/desk/news" in one for one in asked)
    after = await page.evaluate(_AT)
    assert (after[0], abs(after[1] - before[1]) < 2) == (before[0], True)
    assert await page.locator("#queue .row").count() == rows
    await page.locator("#news a").click()
    await page.locator("#queue .row").nth(rows).or_(page.locator(".more")).first.wait_for()


class Sent:
    """Counts what a page's forms send."""

    def __init__(self, page: Page) -> None:
        self.page, self.posts = page, 0
        page.on("request", self._count)

    def _count(self, request: Request) -> None:
        self.posts += request.method == "POST"

    async def away_and_back(self, away: str) -> None:
        """Go elsewhere, back, and load it anew: a page is there each time, and nothing is sent."""
        self.posts = 0
        await self.page.goto(away)
        answer = await self.page.go_back()
        assert answer is None or answer.ok, answer
        assert not self.page.url.startswith("chrome-error")
        assert await self.page.locator("main").count() == 1
        answer = await self.page.reload()
        assert answer is None or answer.ok, answer
        assert self.posts == 0


async def test_going_back_after_a_form_asks_for_nothing_again_at_the_desk(
    room: Room, coordinator: Page
) -> None:
    page, origin, number = coordinator, room.stack.origin, new_number()
    case_id = await room.reported(persons=[{"ref": "a", "name": NAME, "phone": number}])
    sent, path = Sent(page), f"{origin}/desk/cases/{case_id}"
    away = f"{origin}/desk/team"
    # a step that is taken, and one that is refused
    await page.goto(path)
    await unfold(page, "#do-notes")
    await page.fill("#notes-text", "Invented words.")
    await send(page, "notes")
    await sent.away_and_back(away)
    await page.goto(path)
    await unfold(page, "#do-visits")
    await page.fill("#visits-who", "w1")
    await page.fill("#visits-expected_back\\:time", "2020-01-01T10:00")
    await send(page, "visits")
    assert await page.get_by_role("alert").count() == 1
    await sent.away_and_back(away)
    assert page.url.startswith(path)
    # who it is, opened: gone when one comes back
    await page.click("#who button")
    assert NAME in await page.inner_text("#who")
    await sent.away_and_back(away)
    assert NAME not in await page.content()
    # a search, whose result is there again
    await page.goto(f"{origin}/desk/search")
    await page.select_option("#search-by", "phone")
    await page.fill("#search-what", number)
    async with page.expect_navigation():
        await page.click("#search .button")
    found = page.locator(f'a[href="/desk/cases/{case_id}"]')
    assert await found.count() == 1
    await sent.away_and_back(path)
    assert await found.count() == 1
    # a call that has ended: its number is shown once
    await page.goto(f"{origin}/desk/calls")
    await page.fill('[name="report.narrative"]', "Invented words of a caller.")
    await page.click('[name="end"]')
    await page.wait_for_url("**/desk/calls/done")
    assert await page.locator(".receipt").count() == 2
    await sent.away_and_back(away)
    assert await page.locator(".receipt").count() == 0


async def test_going_back_after_a_form_asks_for_nothing_again_at_a_place_of_help(
    room: Room, context: BrowserContext, page: Page
) -> None:
    callers = Callers(room.stack, room.http)
    referral: dict[str, Any] = await callers.assigned(by_partner())
    await sign_in(context, room.stack, Role.PROVIDER_WORKER, referral["provider_id"])
    path = f"{room.stack.origin}/provider/{referral['referral_id']}"
    away, sent = f"{room.stack.origin}/provider/schedule", Sent(page)
    await page.goto(path)
    await page.get_by_role("button", name="হ্যাঁ, পারব", exact=True).click()
    await page.wait_for_url("**done=accept")
    await sent.away_and_back(away)
    # refused: it was taken back meanwhile
    await page.goto(path)
    room.http.post(
        f"/referral/v1/referrals/{referral['referral_id']}/withdraw",
        json={"reason": "consent_withdrawn"},
        headers=room.desk,
    ).raise_for_status()
    await page.get_by_role("button", name="মানুষটির সঙ্গে যোগাযোগ হয়েছে").click()
    await page.wait_for_url("**wrong=meanwhile")
    assert "বদলে" in await page.inner_text("main")
    await sent.away_and_back(away)
