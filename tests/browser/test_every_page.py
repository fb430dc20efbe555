"""Every page, in both languages and both themes, is held to what every page is held to.

The list is complete: a page that a service serves and that is not in it fails the first test.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from shared.vocabulary import Role
from tests.browser.signing_in import sign_in
from tests.support.callers import Callers, report
from tests.support.page_routes import find_page_routes
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page

    from tests.browser.look import Look
    from tests.support.stack import Stack

LANGUAGES: Final = ("bn", "en")

PUBLIC: Final = ("/", "/a", "/h", "/l/{number}", "/r", "/t")
"""Pages that anybody may open, as they are declared."""

INSIDE: Final = {
    Role.COORDINATOR: (
        "/desk",
        "/desk/cases/{case_id}",
        "/desk/search",
        "/desk/training",
        "/learning",
        "/learning/{name}",
        "/history",
        "/history/{case_id}",
        "/referral/pages/cases/{case_id}/referrals",
    ),
    Role.SUPERVISOR: ("/desk/team",),
    Role.OPERATOR: ("/desk/calls",),
    Role.COMMITTEE_MEMBER: ("/committee",),
    Role.PROVIDER_WORKER: (
        "/provider",
        "/provider/ended",
        "/provider/places",
        "/provider/schedule",
        "/provider/{referral_id}",
        "/intake/pages/disclosures/{referral_id}",
    ),
    Role.OPERATIONS: (
        "/operations",
        *(f"/operations/{one}" for one in ("audit", "intake", "notification", "referral")),
    ),
}
"""Pages of people who signed in, and who opens them here."""

OTHERS: Final = {
    "/x": "leads away from here",
    "/desk/news": "counts for the page's script",
    "/committee/{name}": "a script or style",
    "/learning/{name}/passed": "looked at in test_learning.py, after a module was passed",
    "/committee/icon.svg": "a picture",
    "/committee/manifest.webmanifest": "a file of names",
}
"""What is declared with the pages and is none."""

ELSEWHERE: Final = {
    **dict.fromkeys(
        (
            "/desk/awareness",
            "/desk/awareness/cards",
            "/desk/awareness/{name}",
            "/desk/awareness/{name}/courtyard",
            "/desk/awareness/{name}/poster",
        ),
        "test_awareness.py",
    ),
    **dict.fromkeys(("/figures", "/figures/running", "/figures/{period}"), "test_figures.py"),
    **dict.fromkeys(
        (
            "/desk/calls/mine",
            "/desk/calls/done",
            "/desk/cases/{case_id}/erasure",
            "/referral/pages/places",
            "/referral/pages/preview",
        ),
        "test_desk_rooms.py",
    ),
    "/desk/attachments/{attachment_id}/open": "test_desk_work.py",
    **dict.fromkeys(
        ("/desk/cases/{case_id}/alike", "/desk/cases/{case_id}/packets"), "test_desk_alike.py"
    ),
    "/intake/pages/team": "test_team.py",
}
"""Pages that the test of their room looks at, with what stands on them."""

KEPT: Final = """async () => [localStorage.length, sessionStorage.length, document.cookie.length,
  (await indexedDB.databases()).length, (await caches.keys()).length]"""


def test_the_list_of_pages_is_complete() -> None:
    listed = {*PUBLIC, *OTHERS, *ELSEWHERE, *(path for paths in INSIDE.values() for path in paths)}
    assert find_page_routes() == listed
    for name in set(ELSEWHERE.values()):
        assert "look(" in (Path(__file__).parent / name).read_text("utf-8"), name


@dataclass(frozen=True, slots=True)
class World:
    """A stack in which one person was reported and a place of help said yes."""

    stack: Stack
    case_id: str
    referral_id: str
    provider: str

    def path(self, declared: str) -> str:
        """Return an address for a declared path."""
        told = {"case_id": self.case_id, "referral_id": self.referral_id}
        return declared.format(**told, number=1, name="safeguarding")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(whole_stack: Stack) -> AsyncIterator[World]:
    with whole_stack.client(timeout=30) as http:
        callers = Callers(whole_stack, http)
        referral = await callers.assigned(report())
        await callers.accepted(referral)
        case_id = str(referral["case_id"])

        def told() -> bool:
            return http.get(f"/history/{case_id}", headers=callers.desk).status_code == 200

        await eventually(told, 30, "the history")
        yield World(whole_stack, case_id, str(referral["referral_id"]), referral["provider_id"])


@pytest.mark.slow
@pytest.mark.parametrize("role", INSIDE, ids=str)
async def test_every_page_of_a_role_holds_in_both_languages(
    context: BrowserContext, page: Page, look: Look, world: World, role: Role
) -> None:
    org = world.provider if role is Role.PROVIDER_WORKER else None
    await sign_in(context, world.stack, role, org)
    for language in LANGUAGES:
        for declared in INSIDE[role]:
            path = world.path(declared)
            answer = await page.goto(f"{world.stack.origin}{path}?lang={language}")
            assert answer is not None
            assert (answer.status, page.url.partition("?")[0]) == (200, world.stack.origin + path)
            await page.wait_for_load_state("networkidle")
            assert await page.get_attribute("html", "lang") == language
            name = declared.strip("/").replace("/", "-").replace("{", "").replace("}", "")
            await look(page, f"all-{name}-{language}")


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_that_anybody_may_open_holds(
    page: Page, look: Look, whole_stack: Stack, language: str
) -> None:
    for declared in (*PUBLIC, *(f"/l/{number}" for number in (2, 3, 4, 99))):
        path = declared.format(number=1)
        await page.goto(f"{whole_stack.origin}{path}?lang={language}")
        assert await page.get_attribute("html", "lang") == language
        await look(page, f"all-public{path.replace('/', '-')}-{language}", public=True)


async def _go_on(page: Page, look: Look, heading: str, name: str) -> None:
    """Look at a step, then press the first button of its last row, which leads on."""
    await look(page, name, public=True)
    async with page.expect_response(lambda one: one.url.endswith("/t") or "/t?" in one.url):
        await page.locator("form#step > .buttons").last.locator(".button").first.click()
    await page.locator(heading).first.wait_for()


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_step_of_telling_and_what_follows_holds(
    page: Page, look: Look, whole_stack: Stack, language: str
) -> None:
    await page.goto(f"{whole_stack.origin}/t?lang={language}")
    await page.locator("[name=danger][value=yes]").check()
    await _go_on(page, look, "[name=who]", f"all-step-now-{language}")
    await page.locator("[name=who][value=several]").check()
    await _go_on(page, look, "#age0", f"all-step-who-{language}")
    await _go_on(page, look, "#place", f"all-step-people-{language}")
    await page.fill("#place", "কালীগঞ্জ")
    await _go_on(page, look, "[name=which]", f"all-step-where-{language}")
    await _go_on(page, look, "#words", f"all-step-which-{language}")
    await page.fill("#words", "বানানো কথা")
    await _go_on(page, look, "[name=contact]", f"all-step-what-{language}")
    await page.locator("[name=contact][value=sms]").check()
    await _go_on(page, look, "#number", f"all-step-agree-{language}")
    await page.fill("#number", "12")
    await _go_on(page, look, "#number-error", f"all-step-contact-{language}")
    await page.fill("#number", "01712345678")
    await _go_on(page, look, ".facts", f"all-step-contact-wrong-{language}")
    await _go_on(page, look, ".digits", f"all-step-review-{language}")
    digits = await page.locator(".digits").inner_text()
    await look(page, f"all-receipt-{language}", public=True)
    await page.goto(f"{whole_stack.origin}/r?lang={language}")
    await page.fill("#number", digits)
    await page.locator("main form .button").first.click()
    await page.locator("[name=helped]").first.wait_for()
    for fold in await page.locator("summary").all():
        await fold.click()
    await look(page, f"all-back-{language}", public=True)
    await page.goto(f"{whole_stack.origin}/t?lang={language}")
    await page.evaluate("document.querySelector('[name=kept]').value = 'x'")
    await page.locator("form#step > .buttons .button").first.click()
    await page.locator("form#step").wait_for(state="detached")
    await look(page, f"all-again-{language}", public=True)
    await page.goto(f"{whole_stack.origin}/h?lang={language}")
    await page.locator("select").first.select_option("BD3026")
    await page.locator("main form .button").first.click()
    await page.locator("li.card").first.wait_for()
    await look(page, f"all-near-{language}", public=True)


@pytest.mark.slow
async def test_the_pages_of_signing_in_hold(page: Page, look: Look, whole_stack: Stack) -> None:
    """The embedded issuer's: both languages stand on each, and paper has no use for them."""
    await page.goto(f"{whole_stack.origin}/desk")
    await page.locator("[name=login]").wait_for()
    await look(page, "all-sign-in", plain=True)
    link = whole_stack.pashe("sign-in", "coordinator", "--name", "looked.at").strip()
    await page.goto(link)
    await page.locator("[name=again]").wait_for()
    await look(page, "all-enrol", plain=True)


@pytest.mark.parametrize("path", [one.format(number=1) for one in PUBLIC])
async def test_a_public_page_is_left_and_keeps_nothing(
    page: Page, whole_stack: Stack, path: str
) -> None:
    answer = await page.goto(whole_stack.origin + path)
    assert answer is not None
    told = answer.headers
    assert (told["cache-control"], told["referrer-policy"]) == ("no-store", "no-referrer")
    assert "set-cookie" not in told
    assert await page.title() == "তথ্য"
    assert await page.locator("a#leave[href='/x']").is_visible()
    assert await page.locator('a[href="tel:1098"]').count() >= 1
    assert await page.evaluate(KEPT) == [0, 0, 0, 0, 0]
    fields = page.locator("input:not([type=hidden], [type=file]), textarea, select")
    for field in await fields.all():
        assert await field.get_attribute("autocomplete") == "off"
    assert re.fullmatch(r"/\w?(/\d)?", path), "an address tells nothing"


FOCUSED: Final = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  const box = at.getBoundingClientRect();
  const under = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return {
    name: at === document.body ? '' : at.outerHTML.slice(0, 140),
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    seen: !under || at.contains(under) || under.contains(at) || at.type === 'file',
  };
}"""

REACHABLE: Final = """() => [...document.querySelectorAll(
  'a[href], button, select, textarea, summary, input:not([type=hidden])')]
  .filter(e => e.checkVisibility({visibilityProperty: true})
    && e.tabIndex >= 0 && !(e.type === 'radio')).length"""


async def every_control(page: Page, name: str) -> None:
    """Reach all of a page by Tab alone: each shows a ring, none is hidden, and it ends."""
    reachable = int(await page.evaluate(REACHABLE))
    for _ in range(reachable + 20):  # from wherever it is to the end
        if not (await page.evaluate(FOCUSED))["name"]:
            break
        await page.keyboard.press("Tab")
    seen: dict[str, Any] = {}
    for _ in range(2 * reachable + 20):
        await page.keyboard.press("Tab")
        at = await page.evaluate(FOCUSED)
        if not at["name"]:
            break
        assert at["ring"], f"{name}: no ring at {at['name']}"
        assert at["seen"], f"{name}: {at['name']} is focused where nobody sees it"
        seen[at["name"]] = at
    else:
        pytest.fail(f"{name}: the keyboard is caught")
    assert len(seen) >= reachable // 2, f"{name}: {len(seen)} of {reachable}"


async def reach(page: Page, selector: str) -> None:
    """Press Tab until a control has the focus."""
    for _ in range(120):
        if await page.evaluate("at => document.activeElement.matches(at)", selector):
            return
        await page.keyboard.press("Tab")
    pytest.fail(f"no key leads to {selector}")


async def test_keys_alone_reach_everything_on_public_pages_and_the_committees(
    context: BrowserContext, page: Page, world: World
) -> None:
    for declared in PUBLIC:
        path = world.path(declared)
        await page.goto(world.stack.origin + path)
        await every_control(page, path)
    await sign_in(context, world.stack, Role.COMMITTEE_MEMBER, subject="keys")
    await page.goto(f"{world.stack.origin}/committee")
    await page.locator("#begin").wait_for()
    await every_control(page, "/committee, at the beginning")
    for field in ("#new-pin", "#again"):
        await reach(page, field)
        await page.keyboard.type("472905")
    await page.keyboard.press("Enter")
    await page.locator("#lock").wait_for()
    await page.locator("#said", has_text=re.compile(".")).wait_for()
    await every_control(page, "/committee, unlocked")
    await reach(page, "#write")
    await page.keyboard.press("Enter")
    await page.locator("#report-form").wait_for()
    await every_control(page, "/committee, a report")
    await reach(page, "#story")
    await page.keyboard.type("invented words")
    await reach(page, "#report-form .button.main")
    await page.keyboard.press("Enter")
    await page.locator("#home").wait_for()

    async def sent() -> bool:
        return await page.locator("#sent li[data-result=stored]").count() == 1

    await eventually(sent, 20, "what was written by keys alone arrives")


async def test_the_committees_page_speaks_the_language_chosen_last_also_offline(
    context: BrowserContext, page: Page, world: World
) -> None:
    await sign_in(context, world.stack, Role.COMMITTEE_MEMBER, subject="tongue")
    await page.goto(f"{world.stack.origin}/committee")
    await page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    await page.get_by_role("link", name="English").click()
    await page.get_by_role("heading", name="Committee").wait_for()
    await page.goto(f"{world.stack.origin}/committee")
    await page.get_by_role("heading", name="Committee").wait_for()
    await context.set_offline(True)
    await page.goto(f"{world.stack.origin}/committee")
    await page.get_by_role("heading", name="Committee").wait_for()
    await page.get_by_role("link", name="বাংলা").click()
    await page.get_by_role("heading", name="কমিটি").wait_for()
    await page.goto(f"{world.stack.origin}/committee")
    await page.get_by_role("heading", name="কমিটি").wait_for()


LINE: Final = 50_000 / 8
"""Bytes a second of the slow line."""


@pytest.mark.slow
@pytest.mark.parametrize("path", [*(one.format(number=1) for one in PUBLIC), "/committee"])
async def test_every_first_visit_is_small_and_soon_there_on_a_slow_line(
    context: BrowserContext, page: Page, whole_stack: Stack, path: str
) -> None:
    """40 KB; 4 requests for what anybody opens; the committee's page has its scripts besides."""
    await page.goto(f"{whole_stack.origin}/live")  # the browser itself is awake
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    line = {"latency": 400, "downloadThroughput": LINE, "uploadThroughput": LINE}
    await session.send("Network.emulateNetworkConditions", {"offline": False, **line})
    began = time.monotonic()
    await page.goto(whole_stack.origin + path, wait_until="commit")
    committee = path == "/committee"
    await page.locator("#begin" if committee else "main h1").first.wait_for(timeout=60_000)
    seconds = time.monotonic() - began
    if not committee:
        await page.wait_for_load_state("load")
    print(f"{path}: {len(sizes)} requests, {sum(sizes):.0f} bytes, usable after {seconds:.1f} s")
    assert 0 < len(sizes) <= (14 if committee else 4)
    assert sum(sizes) <= 40_000
    assert seconds <= (10 if committee else 8)
