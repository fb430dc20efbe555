"""Pages of one service: rendered in the reader's language, with errors that are pages too."""

from __future__ import annotations

import gzip
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    pass_context,
)
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.access import any_caller
from shared.access_rules import is_trained
from shared.clock import now
from shared.errors import InvalidBody, StepUpNeeded, Unauthenticated
from shared.http import translate
from shared.pages import headers
from shared.pages.assets import SHARED, Assets
from shared.pages.languages import (
    LANGUAGES,
    NAMES,
    Language,
    digits,
    language_of,
    load_texts,
    other,
    show_date,
    show_months,
    show_place,
    show_time,
    show_whole_place,
)
from shared.pages.words import word
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from gettext import NullTranslations
    from pathlib import Path

    from jinja2.runtime import Context

HERE: Final = SHARED.parent
COOKIE: Final = "pashe-language"
"""Keeps the language of people who signed in; a public page keeps it in its address."""

SMALLEST: Final = 600
"""Bytes of a page that are worth packing."""

LEARNING: Final = "/learning"
"""Where people learn what their role needs."""

_log = Log("pages")


class Pages:
    """The pages that a service keeps in a folder: templates, `locale/`, `static/`.

    `public` pages know nobody: no cookie is read or set, the language stands in the address, and
    every one of them can be left at once.
    """

    def __init__(
        self,
        service: str,
        folder: Path,
        *,
        public: bool = False,
        for_learners: bool = False,
        texts: tuple[Path, ...] = (),
    ) -> None:
        """Read texts, files and templates; a missing value in a template is an error.

        Pages `for_learners` are open before the training that a role needs; from the others who
        signed in without it is sent to learn first. `texts` are further folders whose catalogues
        are read; the room's own wins.
        """
        self.public = public
        self.gated = not (public or for_learners)
        self.assets = Assets(f"/{service}/assets/{folder.name}", folder / "static")
        self._texts: dict[Language, NullTranslations] = {
            language: load_texts((HERE, *texts, folder), language) for language in LANGUAGES
        }
        loader = ChoiceLoader(
            [FileSystemLoader(folder / "templates"), PackageLoader("shared.pages", "templates")]
        )
        self._environments = {one: self._environment(loader, one) for one in LANGUAGES}

    def _environment(self, loader: ChoiceLoader, language: Language) -> Environment:
        made = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        )
        texts = self._texts[language]
        made.install_gettext_translations(texts, newstyle=True)  # type: ignore[attr-defined]
        made.filters |= {
            "digits": partial(digits, language=language),
            "date": partial(show_date, language=language),
            "months": partial(show_months, language=language),
            "time": partial(show_time, language=language),
            "place": partial(show_place, language=language),
            "whole_place": partial(show_whole_place, language=language),
            "word": partial(word, texts),
        }
        made.globals |= {
            "asset": self.assets.address,
            "lang": language,
            "lang_names": NAMES,
            "other_lang": other(language),
            "public": self.public,
            "url": self._link if self.public else _plain_link,
        }
        return made

    def language(self, request: Request) -> Language:
        """Return the language to answer in: the address's, then the cookie's, then Bangla."""
        asked = getattr(request.state, "language", None)
        asked = asked or language_of(request.query_params.get("lang"))
        if asked is None and not self.public:
            asked = language_of(request.cookies.get(COOKIE))
        return asked or "bn"

    def text(self, request: Request, message: str) -> str:
        """Return a text in the reader's language."""
        return self._texts[self.language(request)].gettext(message)

    def show(self, request: Request, name: str, status: int = 200, **values: object) -> Response:
        """Render a template in the reader's language; `me` is the caller of signed-in pages."""
        language = self.language(request)
        values.setdefault("me", None)
        values |= {"request": request, "here": request.url.path}
        text = self._environments[language].get_template(name).render(values)
        response = self._pack(request, text, status)
        if not self.public and request.query_params.get("lang") == language:
            secure = request.headers.get("x-forwarded-proto") == "https"
            response.set_cookie(
                COOKIE, language, path="/", samesite="lax", httponly=True, secure=secure
            )
        return response

    def _pack(self, request: Request, text: str, status: int) -> Response:
        content, told = text.encode(), headers.PUBLIC if self.public else headers.INSIDE
        told = {**told, "Vary": "Accept-Encoding"}
        accepted = request.headers.get("accept-encoding", "")
        if len(content) >= SMALLEST and "gzip" in accepted:
            told["Content-Encoding"] = "gzip"
            content = gzip.compress(content, 6, mtime=0)
        return HTMLResponse(content, status, told)

    def go(self, request: Request, path: str, **query: str) -> Response:
        """Send the browser on after a form was taken (303), in the same language."""
        if self.public and (language := self.language(request)) != "bn":
            query["lang"] = language
        told = headers.PUBLIC if self.public else headers.INSIDE
        return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303, told)

    @staticmethod
    @pass_context
    def _link(context: Context, path: str, **query: str) -> str:
        """Return an address in the language of the page."""
        if context["lang"] != "bn":
            query["lang"] = context["lang"]
        return _plain_link(path, **query)

    def router(self, *, files: bool = True) -> APIRouter:
        """Make a router whose errors are pages; with `files` it serves those of these pages."""
        pages = self

        class PageRoute(APIRoute):
            """A route that answers an error with a page; whoever must sign in is sent there."""

            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                answer = super().get_route_handler()

                async def guarded(request: Request) -> Response:
                    try:
                        if pages.gated and await _must_learn(request):
                            return RedirectResponse(LEARNING, 303, headers.INSIDE)
                        return await answer(request)
                    except Exception as error:  # noqa: BLE001  (translated, logged, shown)
                        return await pages.fail(request, error)

                return guarded

        router = APIRouter(route_class=PageRoute, include_in_schema=False)

        if files:

            @router.get(f"{self.assets.at}/{{name}}", response_model=None)
            async def asset(request: Request, name: str) -> Response:
                return self.assets.answer(request, name)

        return router

    async def fail(self, request: Request, error: Exception) -> Response:
        """Answer an error: on to signing in, or a page that says what to do."""
        if isinstance(error, RequestValidationError):
            error = InvalidBody()
        told = translate(error)
        if told is not error and told.status >= 500:  # noqa: PLR2004
            _log.error("page-failed", error, status=told.status)
        ahead = None
        if isinstance(told, Unauthenticated | StepUpNeeded) and not self.public:
            ahead = _sign_in_from(request, told)
            if request.method in {"GET", "HEAD"}:
                return RedirectResponse(ahead, 303, headers.INSIDE)
        caller = None if self.public or ahead else await any_caller(request)
        return self.show(request, "error.html", told.status, problem=told, ahead=ahead, me=caller)


async def _must_learn(request: Request) -> bool:
    """Say whether who signed in lacks the training that the role needs."""
    caller = await any_caller(request)
    return caller is not None and not is_trained(caller, now())


def _plain_link(path: str, **query: Any) -> str:  # noqa: ANN401  (a template's values)
    return f"{path}?{urlencode(query)}" if query else path


def _sign_in_from(request: Request, told: Unauthenticated | StepUpNeeded) -> str:
    """Return where to sign in and then come back to: this page, or the one the form stood on."""
    back = request.url.path
    if request.query_params and request.method == "GET":
        back += f"?{request.url.query}"
    if request.method not in {"GET", "HEAD"}:
        source = urlsplit(request.headers.get("referer", ""))
        back = source.path or "/"
    start = str(told.members.get("sign_in", "/sign-in"))
    return f"{start}{'&' if '?' in start else '?'}next={quote(back, safe='')}"
