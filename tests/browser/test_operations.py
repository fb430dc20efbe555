"""People of operations see the four parts, replay what was set aside, and read what is away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from shared.vocabulary import Role
from tests.browser.signing_in import sign_in
from tests.support.wait import eventually

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Route

    from tests.browser.look import Look
    from tests.support.stack import Stack

SECRET = "Invented Rina of nowhere"
PARTS = ("intake", "referral", "notification", "audit")


async def event_of(stack: Stack) -> tuple[bytes, bytes, str]:
    """Return key, value and type of an event of a case, as Kafka has it; one is made if need be."""
    body = {"channel": "helpline", "concerns": ["child_labour"], "persons": [{"name": SECRET}]}
    async with httpx.AsyncClient(base_url=stack.origin, timeout=20) as http:
        made = await http.post("/intake/v1/reports", json=body, headers=stack.bearer(Role.OPERATOR))
    case_id = made.raise_for_status().json()["case_ids"][0]
    conn = await stack.connect("intake")
    try:

        async def sent() -> Any:
            return await conn.fetchrow(
                "SELECT key, value, type FROM outbox WHERE topic = 'cases' AND key = $1"
                " AND sent_at IS NOT NULL ORDER BY id LIMIT 1",
                case_id.encode(),
            )

        row = await eventually(sent, 20, "the event")
    finally:
        await conn.close()
    return row["key"], row["value"], row["type"]


async def parked(
    stack: Stack, service: str, consumer: str, key: bytes, value: bytes, kind: str
) -> int:
    """Park a record as its consumer would."""
    conn = await stack.connect(service)
    try:
        return int(
            await conn.fetchval(
                'INSERT INTO parked (consumer, topic, partition, "offset", key, value, headers,'
                " reason, detail) VALUES ($1, 'cases', 0, $2, $3, $4, $5, 'bug', 'KeyError')"
                " RETURNING id",
                consumer,
                2**40 + uuid4().int % 2**40,
                key,
                value,
                json.dumps([["type", kind]]),
            )
        )
    finally:
        await conn.close()


async def state_of(stack: Stack, service: str, parked_id: int) -> Any:
    conn = await stack.connect(service)
    try:
        return await conn.fetchval("SELECT state FROM parked WHERE id = $1", parked_id)
    finally:
        await conn.close()


async def opened(page: Page, stack: Stack, lang: str = "bn") -> None:
    await page.goto(f"{stack.origin}/operations?lang={lang}")
    for part in PARTS:
        await page.wait_for_selector(f'[data-part^="/operations/{part}"][data-state="here"]')


async def test_a_person_replays_what_was_set_aside_and_gives_up_another(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack
) -> None:
    event = await event_of(whole_stack)
    again = await parked(whole_stack, "referral", "referral.cases", *event)
    never = await parked(whole_stack, "intake", "nobody.reads", b"1", SECRET.encode(), "x")
    await sign_in(context, whole_stack, Role.OPERATIONS)
    await opened(page, whole_stack)
    text = await page.inner_text("main")
    assert "referral.cases" in text
    assert SECRET not in await page.content()
    await look(page, "operations")
    await page.locator(f'form[action="/operations/referral/parked/{again}/replay"] button').click()
    await page.wait_for_url("**/operations?done=replay")

    async def replayed() -> bool:
        return bool(await state_of(whole_stack, "referral", again) == "done")

    await eventually(replayed, 15, "the replay")
    await opened(page, whole_stack, "en")
    await look(page, "operations-en")
    row = page.locator("li", has=page.locator(f'form[action$="intake/parked/{never}/dismiss"]'))
    await row.locator("summary").click()
    await row.get_by_role("button", name="Give it up for ever").click()
    await page.wait_for_url("**/operations?done=dismiss")
    assert await state_of(whole_stack, "intake", never) == "dismissed"


async def test_a_part_that_cannot_be_had_says_so_and_the_others_stay(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack
) -> None:
    await sign_in(context, whole_stack, Role.OPERATIONS)

    async def away(route: Route) -> None:
        await route.abort()

    await page.route("**/operations/referral?part=1", away)
    await page.goto(f"{whole_stack.origin}/operations?lang=bn")
    await page.wait_for_selector('[data-part^="/operations/referral"][data-state="away"]')
    for part in ("intake", "notification", "audit"):
        await page.wait_for_selector(f'[data-part^="/operations/{part}"][data-state="here"]')
    await look(page, "operations-away")


async def test_without_a_script_each_part_is_a_page_and_only_operations_reach_them(
    browser: Any, whole_stack: Stack
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    try:
        await sign_in(context, whole_stack, Role.OPERATIONS)
        page = await context.new_page()
        await page.goto(f"{whole_stack.origin}/operations?lang=en")
        await page.locator("main").get_by_role("link", name="Open this part").first.click()
        assert page.url == f"{whole_stack.origin}/operations/intake"
        assert "Reports without a case, overdue" in await page.inner_text("main")
        await context.clear_cookies()
        for role in (Role.COORDINATOR, Role.PROVIDER_WORKER, Role.COMMITTEE_MEMBER):
            await sign_in(context, whole_stack, role, "p" if role == "provider_worker" else None)
            for path in ("/operations", *(f"/operations/{part}" for part in PARTS)):
                answer = await page.goto(f"{whole_stack.origin}{path}")
                assert answer.status == 403, path
    finally:
        await context.close()
