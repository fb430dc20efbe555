"""Every text that somebody reads or hears: pages, catalogues, SMS, phone menus, notices, forms."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from tests.support.glossary import forbidden
from tests.support.processes import ROOT
from tests.support.texts import list_rooms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUBLIC: Final = ROOT / "services" / "intake" / "pages" / "public" / "templates"

TYPED: Final = frozenset({"police", "up_chair", "ctc_member", "helpline"})
"""Keys that somebody at the desk types, and is told how."""

_TOLD: Final = (
    ("services/intake/talk/talk.toml", True),
    ("services/intake/channels/openrosa/form/form.toml", False),
    ("services/intake/helplines.toml", True),
    ("services/audit/telling.toml", False),
    ("services/referral/data/reasons.toml", False),
    ("services/referral/data/kinds.toml", False),
)
"""Files of texts in both languages, and whether anybody may hear them."""


def public_templates() -> list[Path]:
    """Return the templates of pages that anybody may open."""
    near = ROOT / "services" / "referral" / "pages" / "near" / "templates"
    return sorted([*PUBLIC.rglob("*.html"), *near.rglob("*.html")])


def shown_texts() -> Iterator[tuple[str, str, list[str]]]:
    """Yield where each text stands, the text, and the words in it that no screen holds."""
    for room in list_rooms():
        public = "public" in room.name or "near" in room.name
        for pair in room.has().items():
            for side in pair:
                for text in (side,) if isinstance(side, str) else side:
                    yield room.name, text, forbidden(text, room.name, public=public)
    for file in sorted((ROOT / "services/notification/templates").rglob("*.ftl")):
        public = file.stem == "persons"
        for text in re.findall(r"^[\w-]+ = (.+)$", file.read_text("utf-8"), re.MULTILINE):
            where = str(file.relative_to(ROOT))
            yield where, text, forbidden(text, where, public=public)
    for name, public in _TOLD:
        for text in _texts(tomllib.loads((ROOT / name).read_text("utf-8"))):
            said = re.sub(r"\{\w+\}", "", text)
            yield name, said, forbidden(said, name, public=public)
    for file in sorted((ROOT / "deploy/local/issuer/templates").glob("*.html")):
        text = re.sub(r"\{[%{].*?[%}]\}|<[^>]+>", " ", file.read_text("utf-8"))
        yield str(file.relative_to(ROOT)), text, forbidden(text)


@cache
def code_words() -> frozenset[str]:
    """Return the words that the program writes for itself: values of enumerations and literals."""
    found: set[str] = set()
    for folder in ("services", "shared"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                enum = isinstance(node, ast.ClassDef) and "Enum" in ast.dump(node)
                literal = isinstance(node, ast.Subscript) and "Literal" in ast.dump(node.value)
                for one in ast.walk(node) if enum or literal else ():
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        found.add(one.value)
    return frozenset(word for word in found if re.fullmatch(r"[a-z][a-z_-]{3,}", word))


def codes_in(text: str) -> list[str]:
    """Return the code words in what a Bangla page says: ours, and whatever is written like one."""
    said = set(re.findall(r"[A-Za-z][A-Za-z0-9_-]*", text))
    like = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text))
    return sorted(((said & code_words()) | like) - TYPED)


def _texts(tree: Any) -> Iterator[str]:
    """Yield texts that are shown: under a language's key, or in a pair of both."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in {"bn", "en", "banglish"} and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
    elif isinstance(tree, list):
        pair = len(tree) == 2 and all(isinstance(one, str) for one in tree)
        for value in tree:
            if pair:
                yield value
            else:
                yield from _texts(value)
