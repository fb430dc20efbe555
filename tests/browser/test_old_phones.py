"""Scripts of pages for cheap phones say nothing that an old WebView does not know.

A parser reads them at ES2020, the level of Chromium 83, and the names that they use are looked up
in what came later (`tests/support/compat.py`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.compat import FILE
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from playwright.async_api import Page

ACORN: Final = (Path(__file__).parent / "acorn" / "acorn.js").read_text("utf-8")
NEWER: Final = json.loads(FILE.read_text("utf-8"))
LEVEL: Final = 2020

SCRIPTS: Final = sorted(
    [
        *(ROOT / "shared" / "pages" / "static").glob("*.js"),
        *(ROOT / "services").glob("*/pages/*/static/*.js"),
        *(ROOT / "shared" / "operations" / "static").glob("*.js"),
    ]
)
DESKS: Final = frozenset({"proof.js", "desk.js", "operations.js"})
"""Of rooms for people at a computer of the centre, which is kept up to date."""

READ: Final = {
    # The service worker is a template.
    script.name: re.sub(r"\{\{.*?\}\}", "0", script.read_text("utf-8"))
    for script in SCRIPTS
}
OWN: Final = {
    name for text in READ.values() for name in re.findall(r"(?:function|const|let) (\w+)", text)
}
"""Names that scripts give to their own functions."""

_USED: Final = """([text, level, kind]) => {
  const tree = acorn.parse(text, {ecmaVersion: level, sourceType: kind});
  const browsers = new Set(["window", "self", "navigator", "document", "location", "crypto",
    "event", "history", "Object", "Array", "Promise", "String", "Math", "JSON"]);
  const names = new Set(), given = new Set();
  const bind = (node) => {
    if (node.type === "Identifier") given.add(node.name);
    if (node.type === "ObjectPattern") node.properties.forEach((one) => bind(one.value || one));
    if (node.type === "AssignmentPattern") bind(node.left);
  };
  const walk = (node) => {
    if (!node || typeof node.type !== "string") return;
    const callee = /^(Call|New)Expression$/.test(node.type) && node.callee;
    if (callee && callee.type === "Identifier") names.add(callee.name);
    if (callee && callee.type === "MemberExpression") names.add(callee.property.name);
    if (node.type === "MemberExpression" && browsers.has(node.object.name)) {
      names.add(node.property.name);
    }
    (node.params || []).forEach(bind);
    for (const below of Object.values(node)) [].concat(below).forEach(walk);
  };
  walk(tree);
  return [...names].filter((name) => !given.has(name));
}"""
"""The names of what a script calls, makes, or reads from what the browser gives it."""


async def used(page: Page, text: str, kind: str) -> set[str]:
    """Return what a script calls or reads; raises where the parser does not know its syntax."""
    if not await page.evaluate("() => typeof acorn === 'object'"):
        await page.evaluate(ACORN)
    found: list[Any] = await page.evaluate(_USED, [text, LEVEL, kind])
    return {str(one) for one in found}


@pytest.mark.parametrize("script", sorted(READ.keys() - DESKS))
async def test_a_script_is_understood_by_an_old_webview(page: Page, script: str) -> None:
    text = READ[script]
    kind = "module" if re.search(r"^(import|export) ", text, re.MULTILINE) else "script"
    newer = await used(page, text, kind) & set(NEWER["scripts"])
    assert not newer - OWN


async def test_the_parser_finds_what_is_too_new(page: Page) -> None:
    for text in ("a ||= 1", "class A { #x = 1 }", "const x = 1_000", "await 1"):
        with pytest.raises(Exception, match="SyntaxError"):
            await used(page, text, "module")
    names = await used(page, "crypto.randomUUID(); [1].at(0); a?.b ?? c", "script")
    assert names & set(NEWER["scripts"]) == {"randomUUID", "at"}
