"""Styles lose nothing that matters in an old WebView; what only newer ones know is listed here."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.compat import FILE
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NEWER: Final = json.loads(FILE.read_text("utf-8"))
STYLES: Final = sorted(
    [*(ROOT / "shared").rglob("static/*.css"), *(ROOT / "services").glob("*/pages/*/static/*.css")]
)

WITHOUT: Final = {
    "accent-color": "boxes to tick have the browser's own colour",
    "has": "a chosen answer has no ground of its own; its box is ticked all the same",
    "text-underline-offset": "a link's line is nearer to its letters",
    "print-color-adjust": "paper has the lines and words, and no ground of a colour",
    "page": "paper has the printer's own margins",
    "size": "and its own size",
    "focus-visible": "the browser's own ring shows where one is",
}
"""What a style says to newer browsers alone, and what an old one shows instead."""


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
