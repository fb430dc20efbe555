"""The words that no screen holds (`shared/pages/glossary.toml`), found in a text."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

from shared.text import normalise

FILE: Final = Path(__file__).resolve().parents[2] / "shared" / "pages" / "glossary.toml"


@cache
def _words(*, public: bool) -> tuple[tuple[str, tuple[str, ...]], ...]:
    told = tomllib.loads(FILE.read_text("utf-8"))
    entries = told["word"] + (told["public"] if public else [])
    return tuple((word, tuple(one.get("rooms", ()))) for one in entries for word in one["never"])


def forbidden(text: str, where: str = "", *, public: bool = False) -> list[str]:
    """Return the words in a text that its screen may not hold; `where` is a path or address."""
    text = normalise(text).lower()
    found = []
    for word, rooms in _words(public=public):
        if any(room in where for room in rooms):
            continue
        wanted = normalise(word).lower()
        pattern = rf"\b{re.escape(wanted)}\b" if wanted.isascii() else re.escape(wanted)
        if re.search(pattern, text):
            found.append(word)
    return found
