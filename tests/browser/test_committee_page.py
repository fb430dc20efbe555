"""A committee member in a field without a network writes, comes back, sends; the phone is mute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from shared.vocabulary import Role
from tests.browser.signing_in import sign_in
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from playwright.async_api import BrowserContext, Page, Route

    from tests.browser.look import Look
    from tests.support.stack import Stack

PIN = "472905"
CANARY, PLACE, NUMBER = "Invented Shirin", "an invented market", "01799000111"

_STORED = """async () => {
  const kept = [JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie];
  const told = (v) => v instanceof ArrayBuffer || ArrayBuffer.isView(v)
    ? String.fromCharCode(...new Uint8Array(v.buffer || v)) : v;
  for (const { name, version } of await indexedDB.databases()) {
    const db = await new Promise((done, fail) => {
      const ask = indexedDB.open(name, version);
      ask.onsuccess = () => done(ask.result);
      ask.onerror = () => fail(ask.error);
    });
    for (const store of db.objectStoreNames) {
      const all = await new Promise((done) => {
        const ask = db.transaction(store).objectStore(store).getAll();
        ask.onsuccess = () => done(ask.result);
      });
      kept.push(JSON.stringify(all, (_, v) => told(v)));
    }
    db.close();
  }
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) {
      kept.push(request.url, await (await cache.match(request)).text());
    }
  }
  return kept.join("\\n");
}"""


@pytest.fixture
def http(whole_stack: Stack) -> Iterator[httpx.Client]:
    with whole_stack.client(timeout=20) as client:
        yield client


@pytest.fixture
def member() -> str:
    return f"m{uuid4().hex[:8]}"


async def begun(
    context: BrowserContext, page: Page, stack: Stack, member: str, place: str | None = None
) -> None:
    """Sign a member in and make the phone ready, as for a day in the field."""
    await sign_in(context, stack, Role.COMMITTEE_MEMBER, subject=member, place=place)
    await page.goto(f"{stack.origin}/committee")
    await page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    await page.reload()  # from now on the worker answers
    await page.locator("#new-pin").fill(PIN)
    await page.locator("#again").fill(PIN)
    await page.get_by_role("button", name="শুরু করুন").click()
    await page.locator("#lock").wait_for()


async def written(page: Page, story: str) -> None:
    """Write a report and keep it."""
    await page.locator("#write").click()
    await page.locator("#report-form [name=danger][value=no]").check()
    await page.locator("#report-form [name=concern][value=child_labour]").check()
    await page.locator("#who").fill(CANARY)
    await page.locator("#age").fill("১৪")
    await page.locator("#place").fill(PLACE)
    await page.locator("#phone").fill(NUMBER)
    await page.locator("#story").fill(story)
    await page.locator("#report-form button.main").click()
    await page.locator("#home").wait_for()


async def unlocked(page: Page, pin: str = PIN) -> None:
    await page.locator("#pin").fill(pin)
    await page.get_by_role("button", name="খুলুন", exact=True).click()
    await page.locator("#lock").wait_for()


def talks_of(http: httpx.Client, stack: Stack, place: str) -> list[list[Any]]:
    """Return the courtyard talks that were counted in an upazila: of what, and who came."""
    headers = stack.bearer(Role.SUPERVISOR, subject="s1")
    found = http.get("/intake/v1/awareness/sessions", headers=headers).raise_for_status().json()
    who = ("set", "women", "men", "girls", "boys")
    return [[one[name] for name in who] for one in found["items"] if one["place"] == place]


def own_reports(http: httpx.Client, stack: Stack, member: str) -> list[dict[str, Any]]:
    headers = stack.bearer(Role.COMMITTEE_MEMBER, subject=member)
    found = http.get("/intake/v1/committee/reports", headers=headers)
    return list(found.raise_for_status().json()["items"])


async def test_three_reports_are_written_without_a_network_and_sent_when_it_is_back(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack, http: Any, member: str
) -> None:
    await sign_in(context, whole_stack, Role.COMMITTEE_MEMBER, subject=member)
    await page.goto(f"{whole_stack.origin}/committee")
    await page.locator("#begin").wait_for()
    await look(page, "committee-begin")
    await begun(context, page, whole_stack, member)
    await look(page, "committee-empty")
    await context.set_offline(True)
    await page.reload()  # the page itself is there without a network, and locked
    await page.locator("#unlock").wait_for()
    await page.locator("#pin").fill(PIN)
    await page.get_by_role("button", name="খুলুন", exact=True).click()
    await page.get_by_text("খুলতে নেটওয়ার্ক লাগে").first.wait_for()
    await page.locator("#write").click()
    await look(page, "committee-report")
    await page.locator("#report-form [data-back]").click()
    for story in ("first invented words", "second invented words", "third invented words"):
        await written(page, story)
    assert await page.locator("#queue li[data-state=waiting]").count() == 3
    await look(page, "committee-offline")
    kept = await page.evaluate(_STORED)
    assert "item" in kept
    for word in (CANARY, PLACE, NUMBER, "invented words", PIN):
        assert word not in kept, word

    await context.set_offline(False)
    await page.locator("#queue li").first.wait_for(state="detached")
    assert await page.locator("#sent li[data-result=stored]").count() == 3
    assert await page.locator(".secret-number").count() == 0  # nobody has said who looks

    async def all_three() -> bool:
        return len(own_reports(http, whole_stack, member)) == 3

    await eventually(all_three, 20, "the three reports")
    cases = {one["case_id"] for one in own_reports(http, whole_stack, member)}
    desk = whole_stack.bearer(Role.COORDINATOR)
    case_id = cases.pop()

    def known() -> Any:
        return http.get(f"/intake/v1/cases/{case_id}", headers=desk).json().get("facts")

    facts = await eventually(known, 20, "the case")
    assert (facts["age"], facts["concerns"], facts["channel"]) == (
        14,
        ["child_labour"],
        "committee",
    )
    left = 'async () => (await (await import("/committee/store.js")).items()).length'
    assert await page.evaluate(left) == 0  # what has arrived leaves the phone
    await unlocked(page)
    await page.locator("#reports li").nth(2).wait_for()
    assert await page.locator("#sent .secret-number").count() == 3
    await look(page, "committee-unlocked")


async def test_what_changed_meanwhile_and_what_came_back_is_explained(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack, http: Any, member: str
) -> None:
    await begun(context, page, whole_stack, member)
    await written(page, "invented words")
    await page.locator("#reports li").first.wait_for()

    # Somebody else of the centre's own: the same member on another phone adds to it first.
    (known,) = own_reports(http, whole_stack, member)
    added = {"id": str(uuid4()), "adds_to": known["id"], "base_version": 1, "text": "invented"}
    headers = whole_stack.bearer(Role.COMMITTEE_MEMBER, subject=member)
    told = http.post("/intake/v1/committee/batches", json={"items": [added]}, headers=headers)
    assert told.json()["items"][0]["result"] == "stored"
    await page.locator("#reports li button").click()
    await page.locator("#more-story").fill("more invented words")
    await page.locator("#more-place").fill(PLACE)
    await look(page, "committee-addition")
    await page.locator("#addition-form button.main").click()
    await page.get_by_text("সমন্বয়কারী মিলিয়ে দেখবেন").wait_for()
    assert await page.get_by_text("নতুন জায়গার কথা").count() == 1
    await look(page, "committee-conflict")

    # What the centre cannot open comes back, is read with the PIN, and goes again.
    await context.set_offline(True)
    await written(page, "words that come back")
    await page.evaluate(
        """async () => {
          const store = await import("/committee/store.js");
          const [item] = await store.items();
          item.sealed = item.sealed.slice(0, -2) + "AA";
          await store.put(item);
        }"""
    )
    await context.set_offline(False)
    await page.locator("#queue li[data-state=refused]").wait_for()
    await look(page, "committee-refused")
    await page.get_by_role("button", name="পড়ুন বা বদলান").click()
    assert await page.locator("#story").input_value() == "words that come back"
    assert await page.locator("#who").input_value() == CANARY
    await page.locator("#report-form button.main").click()
    await page.locator("#queue li").first.wait_for(state="detached")
    assert len(own_reports(http, whole_stack, member)) == 2


async def test_a_wrong_pin_is_counted_a_lock_hides_and_removing_leaves_nothing(
    context: BrowserContext, page: Page, whole_stack: Stack, http: Any, member: str
) -> None:
    await begun(context, page, whole_stack, member)
    await context.set_offline(True)
    await written(page, "invented words")
    await page.locator("#lock").click()
    await page.locator("#queue li").wait_for()
    assert await page.locator("#queue button").count() == 0  # nothing to read while it is locked
    await context.set_offline(False)
    await page.locator("#queue li").first.wait_for(state="detached")
    await page.locator("#pin").fill("111111")
    await page.get_by_role("button", name="খুলুন", exact=True).click()
    await page.get_by_text("৪ বার").wait_for()
    for _ in range(4):
        await page.locator("#pin").fill("111111")
        await page.get_by_role("button", name="খুলুন", exact=True).click()
        await page.locator("#pin").wait_for()
    await page.locator("#begin").wait_for()
    assert await page.get_by_text("নতুন পিন ঠিক করুন").count() >= 1
    await begun_again(page)
    page.on("dialog", lambda dialog: dialog.accept())
    await page.locator("#remove").click()
    await page.get_by_text("এই ফোন থেকে সব মুছে গেছে").wait_for()
    found = await page.evaluate(
        "async () => [(await caches.keys()).length,"
        " (await navigator.serviceWorker.getRegistrations()).length]"
    )
    assert found == [0, 0]


async def test_a_page_that_nobody_touches_locks_itself(
    context: BrowserContext, page: Page, whole_stack: Stack, member: str
) -> None:
    await page.clock.install()
    await begun(context, page, whole_stack, member)
    await page.clock.fast_forward("04:50")
    assert await page.locator("#lock").is_visible()
    await page.clock.fast_forward("00:30")
    await page.locator("#unlock").wait_for()
    assert not await page.locator("#lock").is_visible()


async def begun_again(page: Page) -> None:
    await page.locator("#new-pin").fill(PIN)
    await page.locator("#again").fill(PIN)
    await page.get_by_role("button", name="শুরু করুন").click()
    await page.locator("#lock").wait_for()


async def test_what_a_coordinator_asked_is_a_stub_and_its_answer_comes_before_the_desk(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack, http: Any, member: str
) -> None:
    desk = whole_stack.bearer(Role.COORDINATOR, subject="c1")
    body = {
        "channel": "helpline",
        "concerns": ["child_labour"],
        "persons": [{"name": CANARY, "age": {"min": 15, "max": 15}}],
    }
    made = http.post(
        "/intake/v1/reports", json=body, headers=whole_stack.bearer(Role.OPERATOR, subject="o1")
    ).json()
    case_id = made["case_ids"][0]

    def known() -> bool:
        return http.get(f"/intake/v1/cases/{case_id}", headers=desk).json().get("facts") is not None

    await eventually(known, 30, "the case")
    path = f"/intake/v1/cases/{case_id}/committee-tasks"
    asked = {"member": member, "kind": "accompany", "at": "2030-05-06T04:00:00Z"}
    given = http.post(path, json=asked, headers=desk)
    assert given.status_code == 201, given.text
    await begun(context, page, whole_stack, member)
    await page.locator("#tasks li").wait_for()
    text = await page.inner_text("#tasks")
    assert "কারও সঙ্গে যাওয়া" in text
    assert CANARY not in await page.content()
    assert case_id not in await page.content()
    await look(page, "committee-task")
    await page.get_by_role("button", name="নিরাপদ ছিল না").click()
    await page.locator("#tasks li").wait_for(state="detached")

    def on_desk() -> bool:
        asked = {"case_id": case_id, "limit": 200}
        found = http.get("/intake/v1/tasks", params=asked, headers=desk).json()["items"]
        return any(task["kind"] == "errand_not_done" for task in found)

    await eventually(on_desk, 20, "the task of the desk")


async def test_a_courtyard_talk_is_counted_in_the_field_and_only_once(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack, http: Any, member: str
) -> None:
    union, upazila = "BD10040913", "BD10040009"
    await begun(context, page, whole_stack, member, place=union)
    before = talks_of(http, whole_stack, upazila)
    await context.set_offline(True)
    await page.reload()
    await page.locator("details:has(#talk-form) > summary").click()
    await page.select_option("#set", "online")
    await page.fill("#day", datetime.now(UTC).date().isoformat())
    await page.fill("#women", "১২")
    await page.fill("#girls", "7")
    await look(page, "committee-talk")
    await page.get_by_role("button", name="সংখ্যা রাখুন").click()
    await page.get_by_text("নেটওয়ার্ক এলে হিসাবে যাবে").wait_for()
    assert talks_of(http, whole_stack, upazila) == before

    async def another_meanwhile(route: Route) -> None:
        await page.select_option("#set", "online")
        await page.fill("#day", (datetime.now(UTC) - timedelta(days=1)).date().isoformat())
        await page.fill("#men", "3")
        await page.get_by_role("button", name="সংখ্যা রাখুন").click()
        await page.get_by_text("নেটওয়ার্ক এলে হিসাবে যাবে").wait_for()
        await route.continue_()

    sessions = "**/intake/v1/awareness/sessions"
    await context.route(sessions, another_meanwhile, times=1)
    await context.set_offline(False)
    counted = [["online", 12, 0, 7, 0], ["online", 0, 3, 0, 0], *before]
    await eventually(lambda: talks_of(http, whole_stack, upazila) == counted, 20, "both counts")
    await page.locator("#sync").click()
    await page.get_by_text("পাঠানোর কিছু বাকি নেই").wait_for()
    assert talks_of(http, whole_stack, upazila) == counted
