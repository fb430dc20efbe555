"""Which addresses show a page: prints them as JSON, sorted.

A process of its own, since wiring sets up logs and traces.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local.keys import SERVICES, make_keys
from tests.support.wiring import ask, wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def find_page_routes() -> set[str]:
    """Return the paths, as they were declared, at which a browser may ask for a page."""
    found: dict[str, list[str]] = ask("tests.support.page_routes")
    return set(found["pages"])


def _pages(routes: Iterable[Any], before: str = "") -> Iterator[str]:
    """Yield the paths that answer GET with a page, also below an included router."""
    for route in routes:
        if path := getattr(route, "path", ""):
            asked = "GET" in (getattr(route, "methods", None) or ())
            if type(route).__name__ == "PageRoute" and asked:
                yield before + path
        elif below := getattr(route, "original_router", None):
            yield from _pages(below.routes, before + route.include_context.prefix)


def main() -> None:
    found: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        make_keys(keys, beside_data=False)
        for service in SERVICES:
            _, app = wire(service, keys)
            found |= {path for path in _pages(app.routes) if "/assets/" not in path}
    sys.stdout.write(json.dumps({"pages": sorted(found)}))


if __name__ == "__main__":
    main()
