"""`/committee`: the page that works without a network, its scripts and its service worker.

The page holds nobody's data: whatever a member sees comes from the interface to a member who signed
in, or is opened on the phone. Its scripts have fixed addresses, since they import one another; the
service worker takes a new version of all of them at once.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi import Request
from jinja2 import Environment
from starlette.responses import JSONResponse, Response

from services.intake.awareness.sets import list_sets
from services.intake.learning.modules import list_modules
from services.intake.pages.committee.words import CONCERNS, LESSONS, WORDS
from shared.errors import NotFound
from shared.pages import headers
from shared.pages.languages import LANGUAGES
from shared.pages.pages import Pages
from shared.pages.words import CONCERNS as CONCERN_WORDS
from shared.pages.words import SEXES

if TYPE_CHECKING:
    from fastapi import APIRouter

_HERE: Final = Path(__file__).parent
_STATIC: Final = _HERE / "static"
_AT: Final = "/committee"
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_WORKER: Final = "worker.js"
_MANIFEST: Final = {
    "name": "কমিটি",
    "short_name": "কমিটি",
    "lang": "bn",
    "start_url": _AT,
    "scope": _AT,
    "display": "standalone",
    "background_color": "#ffffff",
    "theme_color": "#ffffff",
    "icons": [{"src": f"{_AT}/icon.svg", "sizes": "any", "type": "image/svg+xml"}],
}
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><rect width="96" height="96"'
    ' rx="20" fill="#31566b"/><path d="M24 34h48M24 48h48M24 62h30" stroke="#fff"'
    ' stroke-width="7" stroke-linecap="round"/></svg>'
)
"""A neutral sign: lines of a note."""


def make_router() -> APIRouter:
    """Make the routes of the page; anybody may load it, it shows nothing by itself."""
    pages = Pages("intake", _HERE, for_learners=True)  # nobody is kept from reporting
    router = pages.router()
    files = {f.name: f.read_bytes() for f in sorted(_STATIC.iterdir()) if f.suffix in _TYPES}
    files[_WORKER] = _worker(pages, files)
    small = {name: gzip.compress(content, 9, mtime=0) for name, content in files.items()}
    kept = {**headers.ASSET, "Cache-Control": "no-cache"}

    @router.get(_AT, response_model=None)
    async def page(request: Request) -> Response:
        told = {name: pages.text(request, text) for name, text in WORDS.items()}
        lessons = [
            (pages.text(request, heading), [pages.text(request, point) for point in points])
            for heading, points in LESSONS
        ]
        shown = pages.show(
            request,
            "committee.html",
            words=sorted(told.items()),
            lessons=lessons,
            modules=list_modules(pages.language(request)),
            talks=list_sets(pages.language(request)),
            talk_titles=[(one.name, one.title) for one in list_sets(pages.language(request))],
            scripts=[name for name in files if name.endswith(".js") and name != _WORKER],
            concerns=[(code, pages.text(request, CONCERN_WORDS[code])) for code in CONCERNS],
            sexes=[
                (code, pages.text(request, SEXES[code]))
                for code in ("female", "male", "hijra", "unknown")
            ],
        )
        # The service worker fetches both languages: neither is anybody's choice.
        del shown.headers["set-cookie"]
        return shown

    @router.get(f"{_AT}/manifest.webmanifest", response_model=None)
    async def manifest() -> Response:
        return JSONResponse(_MANIFEST, headers=kept, media_type="application/manifest+json")

    @router.get(f"{_AT}/icon.svg", response_model=None)
    async def icon() -> Response:
        return Response(_ICON, headers=kept, media_type="image/svg+xml")

    @router.get(f"{_AT}/{{name}}", response_model=None)
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise NotFound
        told = {**kept, "Service-Worker-Allowed": _AT}
        packed = "gzip" in request.headers.get("accept-encoding", "")
        if packed:
            told["Content-Encoding"] = "gzip"
        content = (small if packed else files)[name]
        return Response(content, headers=told, media_type=_TYPES[Path(name).suffix])

    return router


def _worker(pages: Pages, files: dict[str, bytes]) -> bytes:
    """Return the service worker: its version changes with whatever it keeps."""
    style = pages.assets.address("style.css")
    shell = [_AT, *(f"{_AT}?lang={language}" for language in LANGUAGES), style]
    shell += [f"{_AT}/{name}" for name in files if name != _WORKER]
    shell += [f"{_AT}/manifest.webmanifest", f"{_AT}/icon.svg"]
    modules = [list_modules(language) for language in LANGUAGES]
    talks = [list_sets(language) for language in LANGUAGES]
    mark = hashlib.sha256(repr((WORDS, LESSONS, modules, talks, shell)).encode())
    for name in sorted(files):
        mark.update(files[name])
    for template in sorted((*_HERE.rglob("*.html"), *_HERE.rglob("*.po"))):
        mark.update(template.read_bytes())
    made = Environment(autoescape=False).from_string(files[_WORKER].decode())  # noqa: S701  (a script)
    return made.render(version=mark.hexdigest()[:12], shell=shell).encode()
