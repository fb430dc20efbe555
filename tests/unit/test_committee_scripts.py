"""The committee's page says only words that it has, and its worker keeps all of it."""

from __future__ import annotations

import re
from typing import Final

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from services.intake.pages import committee
from services.intake.pages.committee.words import WORDS
from tests.support.processes import ROOT

STATIC: Final = ROOT / "services" / "intake" / "pages" / "committee" / "static"
SCRIPTS: Final = sorted(STATIC.glob("*.js"))


def test_every_word_that_a_script_names_is_there() -> None:
    said = "".join(one.read_text("utf-8") for one in SCRIPTS)
    named = set(re.findall(r"\b(?:say|word|button)\('([a-z_-]+)'", said))
    named -= {name for name in named if name.endswith("-")}  # the rest follows at run time
    assert len(named) > 20
    assert named <= WORDS.keys()


async def test_the_worker_keeps_all_that_the_page_needs() -> None:
    app = FastAPI()
    app.include_router(committee.make_router())
    async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as http:
        page = (await http.get("/committee")).text
        worker = await http.get("/committee/worker.js")
        assert worker.headers["service-worker-allowed"] == "/committee"
        needed = set(re.findall(r'(?:src|href)="(/[^"?]+\.(?:css|js|webmanifest))"', page))
        imported = {
            f"/committee/{name}"
            for one in SCRIPTS
            for name in re.findall(r"from '\./([\w.]+)'", one.read_text("utf-8"))
        }
        assert len(imported) >= 6
        for path in needed | imported | {"/committee"}:
            assert f'"{path}"' in worker.text, path
            assert (await http.get(path)).status_code == 200
        assert "set-cookie" not in (await http.get("/committee?lang=en")).headers
