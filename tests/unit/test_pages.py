"""Pages: two languages, strict headers, errors that are pages, forms read within limits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from jinja2 import UndefinedError
from starlette.responses import PlainTextResponse, Response

from shared.access import Caller, require
from shared.errors import NotFound, StepUpNeeded
from shared.pages.forms import read_form
from shared.pages.pages import Pages
from shared.vocabulary import Role

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """{% extends "base.html" %}{% import "components.html" as c with context %}
{% block main %}<h1>{{ _("Sign in") }} {{ 1203 | digits }}</h1>{{ said }}
{{ "legal_aid" | word("need") }} {{ "BD30" | place }} <a href="{{ url('/r') }}">r</a>
{{ c.field("name", _("Next"), value=said, error=_("Next")) }}
{{ c.choice("sex", _("Next"), [("a", "A"), ("b", "B")], chosen="b") }}{% endblock %}"""


def room(folder: Path, *, public: bool = False) -> Pages:
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "templates" / "page.html").write_text(PAGE)
    (folder / "templates" / "wrong.html").write_text("{{ nothing }}")
    return Pages("lab", folder, public=public)


def app(pages: Pages, session: Caller | None = None) -> FastAPI:
    made = FastAPI()
    made.state.tokens, made.state.sessions = None, SimpleNamespace(caller=lambda _: session)
    router = pages.router()

    @router.get("/page")
    async def page(request: Request) -> Response:
        return pages.show(request, "page.html", said="<b>")

    @router.get("/inside")
    async def inside(_: Annotated[Caller, Depends(require(Role.COORDINATOR))]) -> Response:
        return PlainTextResponse("in")

    @router.post("/inside")
    async def act(_: Annotated[Caller, Depends(require(Role.COORDINATOR))]) -> Response:
        return PlainTextResponse("done")

    @router.get("/fail/{what}")
    async def fail(what: str, number: int = 0) -> Response:
        raise {
            "absent": NotFound(),
            "step-up": StepUpNeeded(None, sign_in="/sign-in?max_age=600"),
            "bug": ZeroDivisionError("01712345678"),
        }[what]

    @router.post("/form")
    async def form(request: Request) -> Response:
        read = await read_form(request, files=1, largest_file=10)
        return PlainTextResponse(f"{read.get('a')}|{read.all('b')}|{read.files}")

    made.include_router(router)
    return made


async def ask(made: FastAPI, path: str, method: str = "GET", **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(made)
    async with httpx.AsyncClient(transport=transport, base_url="http://lab") as http:
        return await http.request(method, path, **more)


async def test_a_page_is_bangla_first_and_english_one_tap_away(tmp_path: Path) -> None:
    made = app(room(tmp_path))
    page = await ask(made, "/page")
    assert '<html lang="bn">' in page.text
    assert "ঢুকুন ১২০৩" in page.text
    assert "আইনি সহায়তা ঢাকা" in page.text
    assert "&lt;b&gt;" in page.text
    assert "<b>" not in page.text
    assert 'href="?lang=en" lang="en" hreflang="en">English' in page.text
    english = await ask(made, "/page?lang=en")
    assert "Sign in 1203" in english.text
    assert "Help with the law Dhaka" in english.text
    kept = await ask(made, "/page", headers={"cookie": english.headers["set-cookie"]})
    assert "Sign in 1203" in kept.text


async def test_a_public_page_sets_no_cookie_and_keeps_the_language_in_its_links(
    tmp_path: Path,
) -> None:
    made = app(room(tmp_path, public=True))
    page = await ask(made, "/page?lang=en", headers={"cookie": "pashe-language=bn"})
    assert "set-cookie" not in page.headers
    assert 'href="/r?lang=en"' in page.text
    assert "Sign in 1203" in page.text
    assert 'href="/r"' in (await ask(made, "/page", headers={"cookie": "pashe-language=en"})).text


@pytest.mark.parametrize("public", [False, True])
async def test_a_page_allows_nothing_inline_or_from_elsewhere_and_is_not_kept(
    tmp_path: Path, *, public: bool
) -> None:
    page = await ask(app(room(tmp_path, public=public)), "/page")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == ("no-referrer" if public else "same-origin")
    assert page.headers["content-encoding"] == "gzip"


async def test_a_file_is_kept_for_ever_at_an_address_of_its_content(tmp_path: Path) -> None:
    pages = room(tmp_path)
    made = app(pages)
    address = pages.assets.address("style.css")
    found = await ask(made, address)
    assert "immutable" in found.headers["cache-control"]
    assert pages.assets.address("bangla.woff2") in found.text
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "style.css").write_text("p { margin: 0 }")
    assert room(tmp_path).assets.address("style.css") != address
    assert (await ask(made, address.replace("style", "other"))).status_code == 404


async def test_whoever_must_sign_in_is_sent_there_and_comes_back(tmp_path: Path) -> None:
    made = app(room(tmp_path))
    sent = await ask(made, "/inside?a=1")
    assert sent.status_code == 303
    assert sent.headers["location"] == "/sign-in?next=%2Finside%3Fa%3D1"
    stepped = await ask(made, "/fail/step-up")
    assert stepped.headers["location"] == "/sign-in?max_age=600&next=%2Ffail%2Fstep-up"
    form = await ask(made, "/inside", "POST", headers={"referer": "http://lab/desk?x=2"})
    assert form.status_code == 401
    assert 'href="/sign-in?next=%2Fdesk"' in form.text
    known = app(room(tmp_path), Caller("a", Role.COORDINATOR))
    assert (await ask(known, "/inside")).text == "in"
    other = await ask(app(room(tmp_path), Caller("a", Role.AUDITOR)), "/inside")
    assert other.status_code == 403
    assert "আপনার কাজের অংশ নয়" in other.text
    assert "/sign-out" in other.text


async def test_an_error_is_a_page_that_echoes_nothing(tmp_path: Path) -> None:
    made = app(room(tmp_path, public=True))
    broken = await ask(made, "/fail/bug")
    assert broken.status_code == 500
    assert "01712345678" not in broken.text
    assert "সমস্যা হয়েছে" in broken.text
    assert (await ask(made, "/fail/absent")).status_code == 404
    wrong = await ask(made, "/fail/absent?number=secret")
    assert wrong.status_code == 422
    assert "secret" not in wrong.text


def test_a_value_that_a_template_lacks_is_an_error(tmp_path: Path) -> None:
    request = Request({"type": "http", "path": "/", "query_string": b"", "headers": []})
    with pytest.raises(UndefinedError):
        room(tmp_path).show(request, "wrong.html")


async def test_a_form_is_read_clean_and_within_its_limits(tmp_path: Path) -> None:
    made = app(room(tmp_path))
    plain = await ask(made, "/form", "POST", data={"a": " ক\u09dc\x00 ", "b": ["1", "", "2"]})
    assert plain.text == "ক\u09a1\u09bc|['1', '2']|{}"
    parts = await ask(made, "/form", "POST", data={"a": "x"}, files={"f": ("n.jpg", b"abc")})
    assert parts.text == "x|[]|{'f': b'abc'}"
    assert (await ask(made, "/form", "POST", json={})).status_code == 400
    large = await ask(made, "/form", "POST", data={"a": "x" * 300_000})
    assert large.status_code == 413
