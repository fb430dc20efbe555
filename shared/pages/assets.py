"""Styles, scripts and fonts at addresses that change with their content, cached for ever.

Each room of a service serves its own copies, `/<service>/assets/<room>/<name>.<hash><ending>`: no
page needs another service to look right.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from shared.errors import NotFound
from shared.pages.headers import ASSET

if TYPE_CHECKING:
    from starlette.requests import Request

SHARED: Final = Path(__file__).with_name("static")

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}
_PACKED: Final = frozenset({".woff2", ".png"})
"""Endings of files that are compressed already."""

_REFERENCE: Final = re.compile(r'url\("([\w.-]+)"\)')


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served; `small` is its gzip, None where that is no smaller."""

    content: bytes
    small: bytes | None
    kind: str


class Assets:
    """The files of one room: those that all share, then its own."""

    def __init__(self, at: str, *folders: Path) -> None:
        """Read every file once. A style sheet's `url("name")` becomes that file's address."""
        self.at = at
        self._addresses: dict[str, str] = {}
        self._files: dict[str, Asset] = {}
        found = [file for folder in (SHARED, *folders) for file in sorted(folder.glob("*.*"))]
        for file in sorted(found, key=lambda one: one.suffix == ".css"):
            if file.suffix in _TYPES:
                self._add(file)

    def _add(self, file: Path) -> None:
        content = file.read_bytes()
        if file.suffix == ".css":
            content = _REFERENCE.sub(self._resolve, content.decode()).encode()
        mark = hashlib.sha256(content).hexdigest()[:10]
        name = f"{file.stem}.{mark}{file.suffix}"
        small = None if file.suffix in _PACKED else gzip.compress(content, 9, mtime=0)
        self._files[name] = Asset(content, small, _TYPES[file.suffix])
        self._addresses[file.name] = f"{self.at}/{name}"

    def _resolve(self, found: re.Match[str]) -> str:
        return f'url("{self._addresses[found[1]]}")'

    def address(self, name: str) -> str:
        """Return where a file is. Raises `KeyError`: there is none of this name."""
        return self._addresses[name]

    def answer(self, request: Request, name: str) -> Response:
        """Return a file by the name in its address. Raises `NotFound`."""
        asset = self._files.get(name)
        if asset is None:
            raise NotFound
        if asset.small is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                asset.small, 200, {**ASSET, "Content-Encoding": "gzip"}, media_type=asset.kind
            )
        return Response(asset.content, 200, ASSET, media_type=asset.kind)
