"""`/figures`: charts and tables that show nobody, for everybody; the running quarter inside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect

from services.audit.figures.following import Figures
from shared.access import make_token
from shared.vocabulary import Role
from tests.bench.history_log import our_log
from tests.support.told import many_cases, sign_for_referral

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from playwright.async_api import Page

    from tests.browser.look import Look

AFTER = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Site:
    """Audit at work on a history with one quarter that is over, and one that runs."""

    origin: str
    seed: bytes

    def bearer(self, role: Role, places: Sequence[str] = ()) -> dict[str, str]:
        return {"authorization": f"Bearer {make_token(self.seed, role, places=places)}"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(
    postgres_admin_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("figures")
    async with our_log(postgres_admin_dsn, folder) as log:
        teller = sign_for_referral(log)
        await log.begin()
        await log.append(many_cases(teller, 420, 7), 2000)
        teller.at = datetime.now(UTC) - timedelta(hours=8)
        await log.append(many_cases(teller, 60, 8), 2000)
        figures = Figures(log.flow)
        while await figures.follow():
            pass
        await figures.publish(AFTER)
        async with log.serve() as server:
            seed = bytes.fromhex((folder / "keys" / "pashe" / "tokens.key").read_text("ascii"))
            yield Site(server.url, seed)


async def test_everybody_sees_a_quarter_that_is_over_in_charts_and_tables(
    page: Page, look: Look, site: Site
) -> None:
    await page.goto(f"{site.origin}/figures")
    await expect(page.locator("h1")).to_have_text("সংখ্যায় সাহায্য")
    await expect(page.get_by_role("img")).to_have_count(3)
    await expect(page.get_by_role("table").first).to_contain_text("৪২০")
    await expect(page.get_by_text("<৫").first).to_be_visible()
    await look(page, "figures", public=True)
    for detail in await page.locator("details").all():
        await detail.locator("summary").click()
    await look(page, "figures-open", public=True)
    await page.get_by_role("link", name="English").click()
    await expect(page.locator("h1")).to_have_text("Help in figures")
    await expect(page.get_by_role("link", name="Leave this page")).to_be_visible()
    await look(page, "figures-en", public=True)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="XLSX").click()
    assert (await download.value).suggested_filename == "pashe-2026-Q3.xlsx"
    await page.emulate_media(media="print")
    await expect(page.get_by_role("link", name="XLSX")).to_be_hidden()
    await expect(page.locator("svg.chart").first).to_be_visible()


async def test_a_year_is_the_sum_of_what_its_quarters_show(
    page: Page, look: Look, site: Site
) -> None:
    await page.goto(f"{site.origin}/figures?lang=en")
    await page.get_by_role("link", name="The year 2026").click()
    await expect(page.locator("h1")).to_have_text("Help in figures: the year 2026")
    way = page.get_by_role("table").first
    told = way.get_by_role("row", name="Persons we were told about")
    await expect(told.get_by_role("cell")).to_have_text(
        ["Persons we were told about", "420", "at least 420"]
    )
    await look(page, "figures-year-en", public=True)
    for detail in await page.locator("details").all():
        await detail.locator("summary").click()
    await expect(page.get_by_text("not shown").first).to_be_visible()
    await page.get_by_role("link", name="বাংলা").click()
    await expect(page.locator("h1")).to_have_text("সংখ্যায় সাহায্য: ২০২৬ সাল")
    await look(page, "figures-year", public=True)
    await page.get_by_role("link", name="জুলাই–সেপ্টেম্বর ২০২৬").click()
    await expect(page.locator("h1")).to_have_text("সংখ্যায় সাহায্য")


async def test_the_running_quarter_is_for_those_who_serve_the_whole_centre(
    page: Page, look: Look, site: Site
) -> None:
    for role in (Role.OPERATIONS, Role.AUDITOR, Role.SUPERVISOR, Role.COORDINATOR):
        await page.context.set_extra_http_headers(site.bearer(role))
        await page.goto(f"{site.origin}/figures/running?lang=en")
        await expect(page.get_by_text("These months have not ended")).to_be_visible()
    await look(page, "figures-running")
    await page.context.set_extra_http_headers(site.bearer(Role.COORDINATOR, ("BD3026",)))
    await page.goto(f"{site.origin}/figures/running?lang=en")
    await expect(page.get_by_text("these figures never change")).to_be_visible()
    async with httpx.AsyncClient(base_url=site.origin) as http:
        near = site.bearer(Role.COORDINATOR, ("BD3026",))
        assert (await http.get("/audit/v1/figures/running", headers=near)).status_code == 403
        away = await http.get("/figures/running")
        assert (away.status_code, away.headers["location"][:8]) == (303, "/sign-in")


@pytest.mark.parametrize(
    "asked",
    [
        "2026-H1",
        "2026-07",
        "2026-Q3?from=2026-07-01&to=2026-08-12",
        "2026-Q3?by=sex&district=BD3026",
        "2026-Q3?table=upazila",
        "2026-Q3?table=district&form=json&union=BD30260038",
    ],
)
async def test_what_would_show_somebody_by_subtracting_is_refused(site: Site, asked: str) -> None:
    async with httpx.AsyncClient(base_url=site.origin) as http:
        answer = await http.get(f"/audit/v1/figures/{asked}")
    assert answer.status_code == 422
    assert asked.rpartition("=")[2] not in answer.text, "nothing is echoed"
    if "table=upazila" not in asked:
        assert answer.json()["type"].endswith("not-published")
        assert "subtracted" in answer.json()["detail"]


async def test_tables_are_files_too(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.origin) as http:
        listed = (await http.get("/audit/v1/figures")).json()["items"]
        assert [each["quarter"] for each in listed] == ["2026-Q3"]
        told = (await http.get("/audit/v1/figures/2026-Q3?table=sex&form=csv")).text
        assert told.startswith("quarter,sex,cases,planned,accepted,delivered\r\n")
        assert "2026-Q3,female," in told
        year = (await http.get("/audit/v1/figures/2026?table=sex&form=csv")).text
        assert year.startswith(told)
        assert "\r\n2026,female,at least " in year, "one quarter is not the year"
        assert (await http.get("/audit/v1/figures/2025")).status_code == 404
        assert (await http.get("/audit/v1/figures/2025-Q1")).status_code == 404
