"""Writes which names a WebView of `OLDEST` does not know, from MDN's browser-compat-data (CC0).

`npm install @mdn/browser-compat-data`, then
`python -m tests.support.compat node_modules/@mdn/browser-compat-data/data.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST: Final = 83
"""The WebView of an Android telephone that was updated last in the middle of 2020."""

FILE: Final = ROOT / "tests" / "browser" / "compat" / "newer.json"

_BROWSER: Final = "webview_android"


def _since(entry: dict[str, Any]) -> float:
    """Return the first version that knows a feature, without a flag; infinity where none does."""
    told = entry["__compat"]["support"].get(_BROWSER, [])
    first = float("inf")
    for one in told if isinstance(told, list) else [told]:
        version = one.get("version_added")
        if one.keys() & {"flags", "prefix", "alternative_name"}:
            continue
        if isinstance(version, str):
            number = version.removeprefix("\u2264").split(".")[0]
            first = min(first, float(number) if number.isdigit() else float("inf"))
    return first


def _walk(tree: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield each named feature below, and the version that brought it."""
    for name, entry in tree.items():
        if name == "__compat":
            continue
        if "__compat" in entry:
            yield name, _since(entry)
        yield from _walk(entry)


def _newer(*trees: dict[str, Any]) -> list[str]:
    """Return the names that everything of this name is newer than the oldest."""
    first: dict[str, float] = {}
    for tree in trees:
        for name, since in _walk(tree):
            if name.replace("-", "").replace("_", "").isalnum():
                first[name] = min(first.get(name, float("inf")), since)
    return sorted(name for name, since in first.items() if since > OLDEST)


def main() -> None:
    data = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    css = data["css"]
    found = {
        "oldest": OLDEST,
        "data": data["__meta"]["version"],
        "scripts": _newer(data["api"], data["javascript"]["builtins"]),
        "properties": sorted(n for n, e in css["properties"].items() if _since(e) > OLDEST),
        "selectors": sorted(n for n, e in css["selectors"].items() if _since(e) > OLDEST),
        "at_rules": sorted(n for n, e in css["at-rules"].items() if _since(e) > OLDEST),
    }
    FILE.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
