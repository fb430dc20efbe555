"""`/history`: read in order, and proven by the reader's browser from what is published."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect

from services.audit.checkpoint import Cosigner
from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from playwright.async_api import Browser, Page, Route

    from tests.browser.look import Look
    from tests.support.stack import Stack

WITNESS = Cosigner("partner.example/w", b"w" * 32)
REPORT = {
    "channel": "web",
    "about": "people",
    "concerns": ["child_labour"],
    "needs": ["education"],
    "persons": [
        {"ref": "a", "sex": "male", "age": {"min": 10, "max": 10, "basis": "estimated"}},
    ],
    "places": [{"role": "event", "pcode": "BD30260072"}],
    "narrative": "An invented story.",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def case(whole_stack: Stack) -> AsyncIterator[str]:
    """A case whose first events stand in the signed log."""
    auditor = whole_stack.bearer(Role.AUDITOR)
    async with httpx.AsyncClient(base_url=whole_stack.origin, timeout=30) as http:
        told = await http.post(
            "/intake/v1/reports", json=REPORT, headers=whole_stack.bearer(Role.PARTNER, "example")
        )
        case_id = str(told.raise_for_status().json()["case_ids"][0])

        async def recorded() -> bool:
            path = f"/audit/v1/cases/{case_id}/proof"
            return (await http.get(path, headers=auditor)).status_code == 200

        await eventually(recorded, 60, "a history that is signed")
    yield case_id


async def open_as(page: Page, stack: Stack, role: Role, path: str) -> None:
    await page.context.set_extra_http_headers(stack.bearer(role))
    await page.goto(f"{stack.origin}{path}")


async def says(page: Page, kind: str, *texts: str) -> None:
    """Wait until the badge has ended up as good or care, with these texts."""
    box = page.locator("#proof")
    await expect(box).to_have_attribute("data-state", kind, timeout=30_000)
    for text in texts:
        await expect(box).to_contain_text(text)


async def test_a_coordinator_finds_a_history_and_the_browser_proves_where_it_stands(
    page: Page, look: Look, whole_stack: Stack, case: str
) -> None:
    await open_as(page, whole_stack, Role.COORDINATOR, "/history")
    await look(page, "history")
    await page.get_by_label("বিষয়টির নম্বর").fill(f" {case} ")
    await page.get_by_role("button", name="দেখান").click()
    await expect(page).to_have_url(f"{whole_stack.origin}/history/{case}")
    await expect(page.locator("#timeline")).to_contain_text("একটি খবর এসেছে")
    await expect(page.locator("#timeline")).to_contain_text("এটি নিয়ে কাজ শুরু হয়েছে")
    await says(page, "good", "না বদলে আছে", "একজন নিরীক্ষক বাইটের সঙ্গে মিলিয়ে")
    assert await page.locator("[data-salt]").count() == 0, "no bytes for a coordinator"
    await look(page, "history-case")
    await page.get_by_role("link", name="English").click()
    await says(page, "good", "stand unchanged in the log", "No witness has signed")
    await expect(page.locator("#timeline")).to_contain_text("Somebody read this history")
    await look(page, "history-case-en")


async def test_an_auditors_browser_computes_every_entry_from_its_bytes(
    page: Page, look: Look, whole_stack: Stack, case: str
) -> None:
    await open_as(page, whole_stack, Role.AUDITOR, f"/history/{case}?lang=en")
    await says(page, "good", "from its exact bytes", "keys are those that this centre shows")
    entries = await page.locator("#timeline > li").count()
    assert await page.locator("[data-badge].good", has_text="proven").count() == entries
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Save the proof file").click()
    assert (await download.value).suggested_filename == f"proof-{case}.json"
    await look(page, "history-auditor")


async def test_keys_that_the_reader_pastes_are_the_ones_that_count(
    page: Page, whole_stack: Stack, case: str
) -> None:
    async def cosigned(route: Route) -> None:
        answer = await route.fetch()
        note = await answer.text()
        text = note.partition("\n\n")[0] + "\n"
        await route.fulfill(response=answer, body=note + WITNESS.cosign(text, 1_800_000_000))

    await page.route("**/audit/log/checkpoint", cosigned)
    await open_as(page, whole_stack, Role.COORDINATOR, f"/history/{case}?lang=en")
    await says(page, "good", "No witness has signed")
    async with httpx.AsyncClient(base_url=whole_stack.origin) as http:
        shown = (await http.get("/audit/log/keys")).text
    check = page.get_by_role("button", name="Check with these")
    box = page.get_by_label("Keys that you trust")
    await box.fill(f"{shown}witness partner {WITNESS.vkey}\n")
    await check.click()
    await says(page, "good", "partner.example/w saw this log, 15 January 2027", "that you pasted")
    stranger = Cosigner("partner.example/w", b"x" * 32).vkey
    await box.fill(f"{shown}witness partner {stranger}\n")
    await check.click()
    await says(page, "good", "No witness has signed")
    await page.reload()
    await says(page, "good", "that you pasted")  # kept by this browser
    await box.fill(f"witness partner {WITNESS.vkey}")
    await check.click()
    await says(page, "care", "has not signed this log with a key that you trust")
    await box.fill("log nonsense")
    await check.click()
    await says(page, "care", "Line 1 of the keys cannot be read.")


def flip(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def in_page(pattern: str, change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Change the first place of the page that fits."""

    def changed(body: bytes) -> bytes:
        text = body.decode()
        found = re.search(pattern, text)
        assert found is not None
        return (text[: found.start(1)] + change(found[1]) + text[found.end(1) :]).encode()

    return changed


LIES: dict[str, tuple[str, Callable[[bytes], bytes], Role, str]] = {
    "a bit of a tile": (
        "**/audit/log/tile/0/**",
        lambda body: bytes(byte ^ 1 for byte in body),
        Role.COORDINATOR,
        "does not stand in the signed log",
    ),
    "a bit of the signature": (
        "**/audit/log/checkpoint",
        lambda body: body[:-8] + (b"A" if body[-8:-7] != b"A" else b"B") + body[-7:],
        Role.COORDINATOR,
        "does not hold",
    ),
    "another size": (
        "**/audit/log/checkpoint",
        lambda body: re.sub(rb"\n(\d+)\n", lambda m: b"\n%d\n" % (int(m[1]) + 1), body, count=1),
        Role.COORDINATOR,
        "does not hold",
    ),
    "a bit of a commitment": (
        "**/history/*",
        in_page('data-commitment="([0-9a-f]{64})"', lambda told: told[::-1]),
        Role.COORDINATOR,
        "does not stand in the signed log",
    ),
    "a byte of an event": (
        "**/history/*",
        in_page(
            'data-value="([^"]{20})', lambda told: told[:-1] + ("A" if told[-1] != "A" else "B")
        ),
        Role.AUDITOR,
        "are not those that were recorded",
    ),
    "another word for what happened": (
        "**/history/*",
        in_page('data-type="([a-z-]+)"', lambda _: "case-closed"),
        Role.AUDITOR,
        "is shown otherwise than it was recorded",
    ),
    "another time": (
        "**/history/*",
        in_page('<time datetime="(\\d{4})', lambda told: str(int(told) - 1)),
        Role.AUDITOR,
        "is shown otherwise than it was recorded",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_lies_is_caught_by_the_browser(
    page: Page, whole_stack: Stack, case: str, lie: str
) -> None:
    where, change, role, told = LIES[lie]

    async def lying(route: Route) -> None:
        answer = await route.fetch()
        body = change(await answer.body())
        await route.fulfill(response=answer, body=body)

    await page.route(where, lying)
    await open_as(page, whole_stack, role, f"/history/{case}?lang=en")
    await says(page, "care", told)


async def test_without_scripts_the_history_is_read_and_the_page_says_how_to_check(
    browser: Browser, whole_stack: Stack, case: str
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    try:
        page = await context.new_page()
        await open_as(page, whole_stack, Role.COORDINATOR, f"/history/{case}?lang=en")
        await expect(page.locator("#timeline")).to_contain_text("A report came in")
        await expect(page.locator("#proof")).to_contain_text("It runs no scripts now")
        await expect(page.locator("#proof-keys")).to_be_hidden()
    finally:
        await context.close()


async def test_who_may_not_read_learns_nothing(page: Page, whole_stack: Stack, case: str) -> None:
    await open_as(page, whole_stack, Role.COORDINATOR, "/history/00000000-not-there?lang=en")
    await expect(page.get_by_text("it is not for you to see")).to_be_visible()
    nothing = await page.locator("main").inner_text()
    elsewhere = whole_stack.bearer(Role.COORDINATOR, places=("BD1004",))
    await page.context.set_extra_http_headers(elsewhere)
    await page.goto(f"{whole_stack.origin}/history/{case}?lang=en")
    hidden = await page.locator("main").inner_text()
    same = re.sub(r"\d", "", nothing.replace("00000000-not-there", ""))
    assert re.sub(r"\d", "", hidden.replace(case, "")) == same
    async with httpx.AsyncClient(base_url=whole_stack.origin) as http:
        refused = await http.get(
            f"/history/{case}", headers=whole_stack.bearer(Role.PROVIDER_WORKER, "example")
        )
        assert refused.status_code == 403
        away = await http.get(f"/history/{case}")
        assert away.status_code == 303
        assert away.headers["location"] == f"/sign-in?next=%2Fhistory%2F{case}"
