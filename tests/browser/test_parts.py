"""The parts that all pages are made of, on one page, held to what every page is held to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI, Request

from shared.access import Caller
from shared.pages.pages import Pages
from shared.vocabulary import Role
from tests.browser.serving import serving

if TYPE_CHECKING:
    from playwright.async_api import Page
    from starlette.responses import Response

    from tests.browser.look import Look


@pytest.mark.parametrize("public", [False, True], ids=["inside", "public"])
async def test_the_parts_of_all_pages_are_fit_to_be_used(
    page: Page, look: Look, tmp_path: Path, *, public: bool
) -> None:
    (tmp_path / "templates").mkdir()
    parts = Path(__file__).with_name("parts.html").read_text("utf-8")
    (tmp_path / "templates" / "parts.html").write_text(parts, "utf-8")
    pages = Pages("lab", tmp_path, public=public)
    app, router = FastAPI(), pages.router()

    @router.get("/", response_model=None)
    async def show(request: Request) -> Response:
        at, me = datetime(2026, 11, 29, 8, 5, tzinfo=UTC), Caller("a", Role.COORDINATOR)
        return pages.show(request, "parts.html", at=at, me=None if public else me)

    app.include_router(router)
    async with serving(app) as origin:
        await page.goto(origin)
        await look(page, f"parts-{'public' if public else 'inside'}", public=public)
        fonts = [r.url for r in look.requests if r.resource_type == "font"]
        assert bool(fonts) is not public, "a public page uses the phone's own font"
