"""`/history`: read in order, and proven by the reader's browser from what is published."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect

from services.audit.checkpoint import Cosigner
from shared.access import make_token
from shared.vocabulary import Role
from tests.bench.history_log import make_event, our_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from playwright.async_api import Browser, Page, Route

    from tests.browser.look import Look

WITNESS = Cosigner("partner.example/w", b"w" * 32)


@dataclass(frozen=True, slots=True)
class Site:
    """Audit at work on a log with two cases; all of `erased` but its erasure was erased."""

    origin: str
    seed: bytes
    case: str
    erased: str

    def bearer(self, role: Role, places: Sequence[str] = ()) -> dict[str, str]:
        org = "example" if role is Role.PROVIDER_WORKER else None
        return {"authorization": f"Bearer {make_token(self.seed, role, org=org, places=places)}"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(
    postgres_admin_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("history")
    case, erased = str(uuid4()), str(uuid4())
    async with our_log(postgres_admin_dsn, folder) as log:
        kinds = ("case-created", "case-triaged", "case-updated")
        told = [(case, kind) for kind in kinds] + [(erased, kind) for kind in kinds]
        told.append((erased, "case-erased"))
        events = [
            make_event(
                log.producer, subject, number % 3 + (3 if number == 6 else 0) + 1, kind, number
            )
            for number, (subject, kind) in enumerate(told)
        ]
        await log.begin()
        await log.load(600)  # so that paths lead through several tiles
        await log.append(events, 100)
        await log.ledger.erase()
        await log.ledger.sign()
        async with log.serve() as server:
            seed = bytes.fromhex((folder / "keys" / "pashe" / "tokens.key").read_text("ascii"))
            yield Site(server.url, seed, case, erased)


async def open_as(page: Page, site: Site, role: Role, path: str) -> None:
    await page.context.set_extra_http_headers(site.bearer(role))
    await page.goto(f"{site.origin}{path}")


async def says(page: Page, kind: str, *texts: str) -> None:
    """Wait until the badge has ended up as good or care, with these texts."""
    box = page.locator("#proof")
    await expect(box).to_have_attribute("data-state", kind, timeout=30_000)
    for text in texts:
        await expect(box).to_contain_text(text)


async def test_a_coordinator_finds_a_history_and_the_browser_proves_where_it_stands(
    page: Page, look: Look, site: Site
) -> None:
    await open_as(page, site, Role.COORDINATOR, "/history")
    await look(page, "history")
    await page.get_by_label("বিষয়টির নম্বর").fill(f" {site.case} ")
    await page.get_by_role("button", name="দেখান").click()
    await expect(page).to_have_url(f"{site.origin}/history/{site.case}")
    await expect(page.locator("#timeline")).to_contain_text("এটি নিয়ে কাজ শুরু হয়েছে")
    await says(page, "good", "না বদলে আছে", "একজন নিরীক্ষক বাইটের সঙ্গে মিলিয়ে")
    assert await page.locator("[data-salt]").count() == 0, "no bytes for a coordinator"
    await look(page, "history-case")
    await page.get_by_role("link", name="English").click()
    await says(page, "good", "stand unchanged in the log", "No witness has signed")
    await expect(page.locator("#timeline")).to_contain_text("Work on it was opened")
    await look(page, "history-case-en")


async def test_an_auditors_browser_computes_every_entry_from_its_bytes(
    page: Page, look: Look, site: Site
) -> None:
    await open_as(page, site, Role.AUDITOR, f"/history/{site.case}?lang=en")
    await says(page, "good", "from its exact bytes", "keys are those that this centre shows")
    entries = await page.locator("#timeline > li").count()
    assert await page.locator("[data-badge].good", has_text="proven").count() == entries
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Save the proof file").click()
    assert (await download.value).suggested_filename == f"proof-{site.case}.json"
    await look(page, "history-auditor")


async def test_what_was_erased_is_still_proven_to_have_been_there(page: Page, site: Site) -> None:
    await open_as(page, site, Role.AUDITOR, f"/history/{site.erased}?lang=en")
    await says(page, "good", "These 4 entries stand unchanged")
    assert await page.get_by_text("What it said was erased.").count() == 3
    assert await page.locator("[data-salt]").count() == 1


async def test_keys_that_the_reader_pastes_are_the_ones_that_count(page: Page, site: Site) -> None:
    async def cosigned(route: Route) -> None:
        answer = await route.fetch()
        note = await answer.text()
        text = note.partition("\n\n")[0] + "\n"
        await route.fulfill(response=answer, body=note + WITNESS.cosign(text, 1_800_000_000))

    await page.route("**/audit/log/checkpoint", cosigned)
    await open_as(page, site, Role.COORDINATOR, f"/history/{site.case}?lang=en")
    await says(page, "good", "No witness has signed")
    async with httpx.AsyncClient(base_url=site.origin) as http:
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


PAGE = "the page itself"

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
        PAGE,
        in_page('data-commitment="([0-9a-f]{64})"', lambda told: told[::-1]),
        Role.COORDINATOR,
        "does not stand in the signed log",
    ),
    "a byte of an event": (
        PAGE,
        in_page(
            'data-value="([^"]{20})', lambda told: told[:-1] + ("A" if told[-1] != "A" else "B")
        ),
        Role.AUDITOR,
        "are not those that were recorded",
    ),
    "another word for what happened": (
        PAGE,
        in_page('data-type="([a-z-]+)"', lambda _: "case-closed"),
        Role.AUDITOR,
        "is shown otherwise than it was recorded",
    ),
    "another time": (
        PAGE,
        in_page('<time datetime="(\\d{4})', lambda told: str(int(told) - 1)),
        Role.AUDITOR,
        "is shown otherwise than it was recorded",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_lies_is_caught_by_the_browser(
    page: Page, site: Site, lie: str
) -> None:
    where, change, role, told = LIES[lie]

    async def lying(route: Route) -> None:
        answer = await route.fetch()
        body = change(await answer.body())
        await route.fulfill(response=answer, body=body)

    await page.route(re.compile(f"/history/{site.case}") if where is PAGE else where, lying)
    await open_as(page, site, role, f"/history/{site.case}?lang=en")
    await says(page, "care", told)


async def test_without_scripts_the_history_is_read_and_the_page_says_how_to_check(
    browser: Browser, site: Site
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    try:
        page = await context.new_page()
        await open_as(page, site, Role.COORDINATOR, f"/history/{site.case}?lang=en")
        await expect(page.locator("#timeline")).to_contain_text("Work on it was opened")
        await expect(page.locator("#proof")).to_contain_text("It runs no scripts now")
        await expect(page.locator("#proof-keys")).to_be_hidden()
    finally:
        await context.close()


async def test_who_may_not_read_learns_nothing(page: Page, site: Site) -> None:
    await open_as(page, site, Role.COORDINATOR, "/history/00000000-not-there?lang=en")
    await expect(page.get_by_text("it is not for you to see")).to_be_visible()
    nothing = await page.locator("main").inner_text()
    elsewhere = site.bearer(Role.COORDINATOR, ("BD1004",))
    await page.context.set_extra_http_headers(elsewhere)
    await page.goto(f"{site.origin}/history/{site.case}?lang=en")
    hidden = await page.locator("main").inner_text()
    same = re.sub(r"\d", "", nothing.replace("00000000-not-there", ""))
    assert re.sub(r"\d", "", hidden.replace(site.case, "")) == same
    async with httpx.AsyncClient(base_url=site.origin) as http:
        refused = await http.get(f"/history/{site.case}", headers=site.bearer(Role.PROVIDER_WORKER))
        assert refused.status_code == 403
        away = await http.get(f"/history/{site.case}")
        assert away.status_code == 303
        assert away.headers["location"] == f"/sign-in?next=%2Fhistory%2F{site.case}"
