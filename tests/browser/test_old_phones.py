"""Scripts and styles of pages for cheap phones say nothing that an old WebView does not know.

Scripts are read by a parser at ES2020, the level of Chromium 83, and the names that they use are
looked up in what came later (`tests/support/compat.py`); so are a style's properties and selectors.
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

OWN: Final = {
    name
    for script in SCRIPTS
    for name in re.findall(r"(?:function|const|let) (\w+)", script.read_text("utf-8"))
}
"""Names that scripts give to their own functions."""

STYLES: Final = sorted(
    [*(ROOT / "shared").rglob("static/*.css"), *(ROOT / "services").glob("*/pages/*/static/*.css")]
)

WITHOUT: Final = {
    "accent-color": "boxes to tick have the browser's own colour",
    "has": "a chosen answer has no ground of its own; its box is ticked all the same",
    "focus-visible": "the browser's own ring shows where one is",
}
"""What a style says to newer browsers alone, and what an old one shows instead."""

_USED: Final = """([text, level, kind]) => {
  const tree = acorn.parse(text, {ecmaVersion: level, sourceType: kind});
  const browsers = new Set(["window", "self", "navigator", "document", "location", "crypto",
    "event", "history", "Object", "Array", "Promise", "String", "Math", "JSON"]);
  const names = new Set();
  const walk = (node) => {
    if (!node || typeof node.type !== "string") return;
    const callee = /^(Call|New)Expression$/.test(node.type) && node.callee;
    if (callee && callee.type === "Identifier") names.add(callee.name);
    if (callee && callee.type === "MemberExpression") names.add(callee.property.name);
    if (node.type === "MemberExpression" && browsers.has(node.object.name)) {
      names.add(node.property.name);
    }
    for (const below of Object.values(node)) [].concat(below).forEach(walk);
  };
  walk(tree);
  return [...names];
}"""
"""The names of what a script calls, makes, or reads from what the browser gives it."""


async def used(page: Page, text: str, kind: str) -> set[str]:
    """Return what a script calls or reads; raises where the parser does not know its syntax."""
    if not await page.evaluate("() => typeof acorn === 'object'"):
        await page.evaluate(ACORN)
    found: list[Any] = await page.evaluate(_USED, [text, LEVEL, kind])
    return {str(one) for one in found}


@pytest.mark.parametrize(
    "script", [one for one in SCRIPTS if one.name not in DESKS], ids=lambda one: one.name
)
async def test_a_script_is_understood_by_an_old_webview(page: Page, script: Path) -> None:
    text = re.sub(r"\{\{.*?\}\}", "0", script.read_text("utf-8"))  # the worker is a template
    kind = "module" if re.search(r"^(import|export) ", text, re.MULTILINE) else "script"
    newer = await used(page, text, kind) & set(NEWER["scripts"])
    assert not newer - OWN, script.name


async def test_the_parser_finds_what_is_too_new(page: Page) -> None:
    for text in ("a ||= 1", "class A { #x = 1 }", "const x = 1_000", "await 1"):
        with pytest.raises(Exception, match="SyntaxError"):
            await used(page, text, "module")
    names = await used(page, "crypto.randomUUID(); [1].at(0); a?.b ?? c", "script")
    assert names & set(NEWER["scripts"]) == {"randomUUID", "at"}


@pytest.mark.parametrize("style", STYLES, ids=lambda one: one.name)
def test_a_style_loses_nothing_that_matters_in_an_old_webview(style: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", style.read_text("utf-8"), flags=re.DOTALL)
    properties = set(re.findall(r"[{;]\s*([a-z-]+)\s*:", text)) & set(NEWER["properties"])
    rules = re.findall(r"([^{};]+)\{", text)
    assert not properties - WITHOUT.keys()
    for rule in rules:
        newer = set(re.findall(r"::?([a-z-]+)", rule)) & set(NEWER["selectors"])
        assert newer <= WITHOUT.keys(), rule
        # One selector that is not known takes its whole rule with it.
        assert not newer or "," not in re.sub(r"\(.*?\)", "", rule), rule
        assert not re.search(r":not\([^)]*,", rule), f"{rule}: a list in :not() is of Chromium 88"
        assert not set(re.findall(r"@([a-z-]+)", rule)) & set(NEWER["at_rules"]), rule
