"""The public pages as somebody walks through them on a cheap phone, with scripts and without."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from services.intake.receipts import parse_receipt
from shared.text import normalise
from shared.vocabulary import Role
from tests.browser.look import PHONE
from tests.support.wait import eventually

if TYPE_CHECKING:
    import httpx
    from playwright.async_api import Browser, BrowserContext, Page

    from tests.browser.look import Look
    from tests.support.stack import Stack

FIRST_BYTES = 40_000
FIRST_REQUESTS = 4
LINE = 50_000 / 8
"""Bytes a second of the slow line."""

WORDS = "বানানো কথা: দোকানে একটি শিশু কাজ করে, রাতে বাড়ি যেতে দেয় না।"


async def tell(page: Page, look: Look | None = None, *, words: str = WORDS) -> tuple[str, str]:
    """Tell about one child, in Bangla, to the end; return the digits and the words shown."""

    async def see(name: str) -> None:
        if look is not None:
            await look(page, f"public-{name}", public=True)

    await page.get_by_role("link", name="আমাদের জানান").click()
    await page.get_by_label("এই মুহূর্তে না").wait_for()  # the next page, not what is between
    await see("1-now")
    await page.get_by_label("এই মুহূর্তে না").check()
    await go_on(page)
    await see("2-who")
    await page.get_by_label("কয়েকজনের").check()
    await go_on(page)
    await page.get_by_label("বয়স").first.select_option("12-14")
    await page.get_by_role("button", name="আরও একজন").click()
    await page.get_by_role("heading", name="মানুষ ৩").wait_for()
    await see("2-people")
    await go_on(page)
    await page.get_by_label("জায়গার নাম").fill("কালীগঞ্জ")
    await see("3-where")
    await go_on(page)
    await see("3-which")
    await page.get_by_label("কালীগঞ্জ, গাজীপুর").check()
    await go_on(page)
    await page.get_by_label("নিজের ভাষায় বলুন").fill(words)
    await page.get_by_label("শিশুকে দিয়ে কাজ করানো").check()
    await see("4-what")
    await go_on(page)
    await page.get_by_label("এসএমএসে").check()
    await see("5-agree")
    await go_on(page)
    await page.get_by_label("ফোন নম্বর").fill("০১৭১২")
    await go_on(page)
    await page.get_by_text("পুরো ফোন নম্বর হয়নি").wait_for()
    await see("5-contact")
    await page.get_by_label("ফোন নম্বর").fill("০১৭১২৩৪৫৬৭৮")
    await go_on(page)
    await page.get_by_text(words).wait_for()
    await see("6-review")
    await page.get_by_role("button", name="পাঠান").click()
    digits = await page.locator(".digits").inner_text()
    six = await page.locator(".six li").all_inner_texts()
    await see("7-number")
    return digits, " ".join(six)


async def go_on(page: Page) -> None:
    """Press the button that is seen, and wait for the next question."""
    before = await page.locator("input[name=kept]").get_attribute("value")
    await page.get_by_role("button", name="এগিয়ে যান").last.click()
    await page.locator(f"input[name=kept]:not([value='{before}'])").wait_for(state="attached")


def digest_of(stack: Stack, digits: str) -> bytes:
    """Return by what the report of a number is found."""
    receipt = parse_receipt(digits)
    assert receipt is not None
    pepper = (stack.home / "keys" / "intake" / "pepper.key").read_text()
    return receipt.digest(bytes.fromhex(pepper.strip()))


async def read_report(stack: Stack, digits: str) -> dict[str, Any]:
    """Return the coarse report behind a number, from the database."""
    connection = await stack.connect("intake")
    try:
        row = await connection.fetchrow(
            "SELECT report, channel, actor FROM submissions WHERE receipt_hash = $1",
            digest_of(stack, digits),
        )
    finally:
        await connection.close()
    assert row is not None
    return {"channel": row["channel"], "actor": row["actor"], **json.loads(row["report"])}


async def test_somebody_tells_without_a_script_and_a_person_can_read_it(
    browser: Browser, whole_stack: Stack
) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(whole_stack.origin)
    digits, six = await tell(page)
    assert re.fullmatch(r"[০-৯]{4} [০-৯]{4} [০-৯]{4} [০-৯]{4}", digits)
    assert len(six.split()) == 6
    report = await read_report(whole_stack, digits)
    assert (report["channel"], report["actor"]) == ("web", "anonymous:web")
    assert [person["age"] and person["age"]["min"] for person in report["persons"]] == [
        12,
        None,
        None,
    ]
    assert report["concerns"] == ["child_labour"]
    assert report["places"][0]["pcode"] == "BD30330034"
    assert not await context.cookies()
    await context.close()


async def test_somebody_tells_with_a_script_and_leaves_one_line_of_history(
    page: Page, context: BrowserContext, look: Look, whole_stack: Stack
) -> None:
    await page.goto(whole_stack.origin)
    await look(page, "public-first", public=True)
    await page.set_viewport_size({"width": 320, "height": 600})  # 400 % on a desk
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    await page.set_viewport_size(PHONE)
    length = await page.evaluate("history.length")
    digits, _ = await tell(page, look)
    assert await page.evaluate("history.length") == length
    assert (await read_report(whole_stack, digits))["concerns"] == ["child_labour"]
    assert not await context.cookies()
    left = await page.evaluate(
        "async () => [localStorage.length, sessionStorage.length,"
        " (await indexedDB.databases()).length, (await caches.keys()).length]"
    )
    assert left == [0, 0, 0, 0]


async def test_a_page_of_a_step_holds_nothing_plain_of_what_was_told(
    page: Page, whole_stack: Stack
) -> None:
    await page.goto(f"{whole_stack.origin}/t")
    for _ in range(3):
        await go_on(page)
    await page.get_by_label("নিজের ভাষায় বলুন").fill(WORDS)
    await go_on(page)
    await page.get_by_text("আপনিই ঠিক করবেন").wait_for()
    assert WORDS not in await page.content()
    assert await page.title() == "তথ্য"
    await page.get_by_role("button", name="ফিরে যান").click()
    await page.get_by_role("heading", name="কী হচ্ছে?").wait_for()
    assert await page.get_by_label("নিজের ভাষায় বলুন").input_value() == WORDS


async def test_a_double_click_is_one_report_and_a_change_after_it_is_not_lost(
    browser: Browser, whole_stack: Stack
) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{whole_stack.origin}/t")
    for _ in range(5):
        await go_on(page)
    kept = await page.locator("input[name=kept]").get_attribute("value")
    form: dict[str, str | float | bool] = {"step": "review", "kept": str(kept), "go": "send"}
    answers = [await context.request.post(f"{whole_stack.origin}/t", form=form) for _ in range(2)]
    shown = [re.findall(r'class="digits">([^<]+)<', await one.text()) for one in answers]
    assert shown[0] == shown[1]
    assert shown[0]
    again = await context.request.post(
        f"{whole_stack.origin}/t", form={"step": "what", "kept": str(kept), "words": "আরও"}
    )
    found = re.search(r'name="kept" value="([^"]+)"', await again.text())
    assert found
    more = await context.request.post(f"{whole_stack.origin}/t", form=form | {"kept": found[1]})
    assert re.findall(r'class="digits">([^<]+)<', await more.text()) not in ([], shown[0])
    await context.close()


@pytest.mark.parametrize("way", ["link", "keys"])
async def test_leaving_is_at_once_and_the_way_back_leads_to_nothing_of_ours(
    page: Page, whole_stack: Stack, way: str
) -> None:
    await page.goto(whole_stack.origin)
    await page.get_by_role("link", name="আমাদের জানান").click()
    await go_on(page)
    if way == "link":
        await page.get_by_role("link", name="এই পাতা ছাড়ুন").click()
    else:
        for _ in range(3):
            await page.keyboard.press("Shift")
    await page.wait_for_url("**/weather")
    await page.go_back()
    assert whole_stack.origin not in page.url


async def test_a_shift_used_to_type_is_no_wish_to_leave(page: Page, whole_stack: Stack) -> None:
    await page.goto(f"{whole_stack.origin}/r")
    field = page.get_by_label("ষোলোটি সংখ্যা")
    await field.focus()
    for sign in "ABCD":
        await page.keyboard.press(f"Shift+{sign}")
    assert await field.input_value() == "ABCD"
    assert page.url.endswith("/r")


async def test_leaving_works_without_a_script_and_empties_the_cache(
    http: httpx.Client, whole_stack: Stack
) -> None:
    page = http.get("/")
    assert 'href="/x"' in page.text
    left = http.get("/x")
    assert left.status_code == 303
    assert left.headers["clear-site-data"] == '"cache"'
    assert left.headers["referrer-policy"] == "no-referrer"


async def come_back(page: Page, stack: Stack, code: str) -> None:
    """Come back with a number, in digits or in words."""
    await page.goto(f"{stack.origin}/r")
    await page.get_by_label("ষোলোটি সংখ্যা").fill(code)
    await page.get_by_role("button", name="দেখুন").click()


async def tell_nothing(page: Page, stack: Stack) -> tuple[str, str]:
    """Send a report that leaves everything out; return the digits and the words shown."""
    await page.goto(f"{stack.origin}/t")
    for _ in range(5):
        await go_on(page)
    await page.get_by_role("button", name="পাঠান").click()
    digits = await page.locator(".digits").inner_text()
    return digits, " ".join(await page.locator(".six li").all_inner_texts())


async def test_whoever_comes_back_hears_one_of_four_answers(
    page: Page, look: Look, whole_stack: Stack, http: httpx.Client
) -> None:
    digits, six = await tell_nothing(page, whole_stack)
    await page.goto(f"{whole_stack.origin}/r")
    await look(page, "public-return", public=True)
    await come_back(page, whole_stack, "1234 5678 9012 3456")
    await page.get_by_text("এই নম্বরে কিছু পাওয়া যায়নি").wait_for()
    await come_back(page, whole_stack, six)
    await page.get_by_role("heading", name=normalise("পেয়েছি"), exact=True).wait_for()
    assert digits not in await page.content()
    connection = await whole_stack.connect("intake")
    try:
        found = await connection.fetchval(
            "SELECT submission_id FROM submissions WHERE receipt_hash = $1",
            digest_of(whole_stack, digits),
        )
    finally:
        await connection.close()
    asked = http.post(
        f"/intake/v1/submissions/{found}/question",
        json={"text": "বানানো প্রশ্ন?"},
        headers=whole_stack.bearer(Role.COORDINATOR),
    )
    assert asked.status_code == 200, asked.text
    await come_back(page, whole_stack, digits)
    await page.get_by_role("heading", name=normalise("আপনার জন্য একটি প্রশ্ন আছে")).wait_for()
    await page.get_by_text("বানানো প্রশ্ন?").wait_for()
    await look(page, "public-back", public=True)


async def test_whoever_comes_back_can_say_more_ask_for_a_call_and_stop_it(
    page: Page, whole_stack: Stack
) -> None:
    digits, _ = await tell_nothing(page, whole_stack)
    connection = await whole_stack.connect("intake")
    try:
        case_id = await connection.fetchval(
            "SELECT case_ids[1] FROM submissions WHERE receipt_hash = $1",
            digest_of(whole_stack, digits),
        )

        async def facts() -> dict[str, Any]:
            found = await connection.fetchval("SELECT facts FROM cases WHERE case_id = $1", case_id)
            return json.loads(found) if found else {}

        await eventually(facts)  # opened
        await come_back(page, whole_stack, digits)
        await _say_and_ask(page)
        assert (await facts())["contact_stopped"]
        tasks = await connection.fetch("SELECT kind FROM tasks WHERE case_id = $1", case_id)
    finally:
        await connection.close()
    kinds = {row["kind"] for row in tasks}
    assert {"new_words", "feedback", "call_back", "new_attachment"} <= kinds


async def _say_and_ask(page: Page) -> None:
    await page.get_by_label("আরও কিছু লিখুন").fill("আরেকটি বানানো কথা")
    await page.get_by_role("button", name="পাঠান").first.click()
    await page.get_by_text("আপনার লেখা পৌঁছেছে").wait_for()
    await page.get_by_label("কিছুটা").check()
    await page.get_by_role("button", name="পাঠান").nth(1).click()
    await page.get_by_text("জানানোর জন্য ধন্যবাদ").wait_for()
    await page.locator("summary", has_text="ফোন করতে বলুন").click()
    await page.get_by_label("ফোন নম্বর").fill("12")
    await page.get_by_role("button", name="ফোন করতে বলুন").click()
    await page.get_by_text("পুরো ফোন নম্বর হয়নি").wait_for()
    await page.get_by_label("ফোন নম্বর").fill("01712345678")
    await page.get_by_label("কোন দিন?").select_option("tomorrow")
    await page.get_by_role("button", name="ফোন করতে বলুন").click()
    await page.get_by_text("কখন ফোন করতে হবে লিখে রাখা হলো").wait_for()
    await page.locator("summary", has_text="ছবি বা রেকর্ড").click()
    await page.get_by_label("ছবি বা রেকর্ড করা কথা", exact=True).set_input_files(
        {"name": "x.gif", "mimeType": "image/gif", "buffer": b"GIF89a" + bytes(40)}
    )
    await page.locator("form[action='/r/file'] button").click()
    await page.get_by_text("পৌঁছেছে।", exact=True).wait_for()
    await page.locator("summary", has_text="আর যোগাযোগ করবেন না").click()
    await page.get_by_role("button", name="আমার সঙ্গে আর যোগাযোগ করবেন না").click()
    await page.get_by_text("আমরা আর যোগাযোগ করব না").wait_for()


async def test_english_is_one_tap_away_in_the_middle_of_telling_too(
    page: Page, look: Look, whole_stack: Stack
) -> None:
    await page.goto(f"{whole_stack.origin}/?lang=en")
    await look(page, "public-first-en", public=True)
    await page.goto(f"{whole_stack.origin}/t")
    await go_on(page)
    await page.get_by_label("নিজের", exact=True).check()
    await page.get_by_role("button", name="English").click()
    await page.get_by_role("heading", name="Who is it about?").wait_for()
    assert await page.get_by_label("Myself").is_checked()
    await page.get_by_role("button", name="Go on").last.click()
    await page.get_by_role("heading", name="About you").wait_for()
    await look(page, "public-2-people-en", public=True)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a", "advice"),
        ("/l/1", "read-1"),
        ("/l/2", "read-2"),
        ("/l/3", "read-3"),
        ("/l/4", "read-4"),
        ("/l/99", "absent"),
        ("/a?lang=en", "advice-en"),
        ("/l/4?lang=en", "read-4-en"),
    ],
)
async def test_a_page_to_read_is_fit_to_be_read(
    page: Page, look: Look, whole_stack: Stack, path: str, name: str
) -> None:
    await page.goto(f"{whole_stack.origin}{path}")
    await look(page, f"public-{name}", public=True)


FOCUSED = """() => {
  const at = document.activeElement, label = at && at.labels && at.labels[0];
  return ((label || at).innerText || "").trim();
}"""


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if name in await page.evaluate(FOCUSED):
            return
    raise AssertionError(name)


async def test_everything_is_told_by_the_keyboard_alone(page: Page, whole_stack: Stack) -> None:
    await page.goto(whole_stack.origin)
    await page.keyboard.press("Tab")
    assert "মূল লেখায় যান" in await page.evaluate(FOCUSED)
    await tab_to(page, "আমাদের জানান")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="এখনই কি কেউ বিপদে আছে?").wait_for()
    await tab_to(page, "হ্যাঁ, এখনই")
    await page.keyboard.press("Space")
    await page.keyboard.press("Enter")
    await page.get_by_text("ফোন করাই সবচেয়ে দ্রুত").wait_for()
    for heading in ("মানুষটি এখন কোথায়?", "কী হচ্ছে?", "আপনিই ঠিক করবেন", "সব ঠিক আছে?"):
        await tab_to(page, "এগিয়ে যান")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name=heading).wait_for()
    await tab_to(page, "পাঠান")
    await page.keyboard.press("Enter")
    await page.locator(".digits").wait_for()


async def test_help_near_is_listed_without_a_word_of_where_anybody_hides(
    page: Page, look: Look, whole_stack: Stack
) -> None:
    await page.goto(f"{whole_stack.origin}/a")
    await page.get_by_role("link", name="কাছের সাহায্যের জায়গা").click()
    await page.get_by_label("জেলা").select_option("BD3026")
    await page.get_by_role("button", name="দেখুন").click()
    await page.get_by_role("heading", name="ঢাকা").wait_for()
    listed = await page.locator("li.card").all_inner_texts()
    assert any("জেলা লিগ্যাল এইড অফিস" in one for one in listed)
    hidden = "আশ্রয়", "থানা", "ইউনিয়ন পরিষদ"
    assert not any(normalise(word) in normalise(one) for word in hidden for one in listed)
    assert page.url == f"{whole_stack.origin}/h"
    await look(page, "public-near", public=True)


async def test_the_first_page_is_small_and_usable_on_a_slow_line(
    context: BrowserContext, page: Page, whole_stack: Stack
) -> None:
    await page.goto(f"{whole_stack.origin}/live")
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    await session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 400,
            "downloadThroughput": LINE,
            "uploadThroughput": LINE,
        },
    )
    began = time.monotonic()
    await page.goto(whole_stack.origin, wait_until="commit")
    await page.get_by_role("link", name="আমাদের জানান").wait_for()
    await page.wait_for_load_state("load")
    seconds = time.monotonic() - began
    print(f"{len(sizes)} requests, {sum(sizes):.0f} bytes, {seconds:.1f} s")
    assert 0 < len(sizes) <= FIRST_REQUESTS
    assert sum(sizes) <= FIRST_BYTES
    assert seconds <= 8


async def test_a_line_that_breaks_loses_nothing_that_was_typed(
    context: BrowserContext, page: Page, whole_stack: Stack
) -> None:
    await page.goto(f"{whole_stack.origin}/t")
    for _ in range(3):
        await go_on(page)
    await page.get_by_label("নিজের ভাষায় বলুন").fill(WORDS)
    await context.set_offline(True)
    await page.get_by_role("button", name="এগিয়ে যান").last.click()
    await page.get_by_text("নেটওয়ার্ক নেই").wait_for()
    assert await page.get_by_label("নিজের ভাষায় বলুন").input_value() == WORDS
    await context.set_offline(False)
    await go_on(page)
    await page.get_by_role("heading", name="আপনিই ঠিক করবেন").wait_for()
