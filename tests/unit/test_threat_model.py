"""Each test that the threat model names is there, and the page stays short."""

from __future__ import annotations

import re
from typing import Final

from tests.support.processes import ROOT

PAGE: Final = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
LINES_OF_A_PAGE: Final = 50


def test_each_test_that_the_threat_model_names_exists() -> None:
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 40
    assert named - there == set()


def test_each_threat_names_a_test_and_the_page_says_what_is_not_protected() -> None:
    _, threats, left = re.split(r"^## (?:Who, what|What is not)[^\n]*$", PAGE, flags=re.MULTILINE)
    for threat in re.split(r"\n(?=\*\*)", threats)[1:]:
        assert "`test_" in threat, threat[:60]
    assert left.count("\n- **") >= 8
    assert PAGE.count("\n") <= 4 * LINES_OF_A_PAGE
