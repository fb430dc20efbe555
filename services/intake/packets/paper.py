"""A page of Bangla on paper: set by ReportLab, shaped by HarfBuzz.

In Noto Sans with Bangla and Latin letters (SIL OFL 1.1; made by
`python -m tests.support.subset_font`); letters of other scripts are boxes.
"""

from __future__ import annotations

import io
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

if TYPE_CHECKING:
    from collections.abc import Iterable

FONT: Final = Path(__file__).with_name("bangla.ttf")


@cache
def _styles() -> tuple[ParagraphStyle, ParagraphStyle, ParagraphStyle]:
    registerFont(TTFont("Bangla", str(FONT), shapable=True))

    def style(name: str, size: int, before: int) -> ParagraphStyle:
        return ParagraphStyle(
            name,
            fontName="Bangla",
            fontSize=size,
            leading=size * 1.6,
            spaceBefore=before,
            shaping=True,
        )

    return style("head", 16, 0), style("term", 9, 6), style("text", 12, 0)


def _set(text: str) -> str:
    """Return a text as ReportLab's markup."""
    return escape(text, quote=False).replace("\n", "<br/>")


def set_page(head: str, lines: Iterable[tuple[str, str]], foot: str) -> bytes:
    """Return a PDF of a heading, terms with their texts, and a last line."""
    big, term, text = _styles()
    story: list[Any] = [Paragraph(_set(head), big), Spacer(1, 8)]
    for name, said in lines:
        story += [Paragraph(_set(name), term), Paragraph(_set(said), text)]
    story += [Spacer(1, 14), Paragraph(_set(foot), term)]
    out = io.BytesIO()
    page = SimpleDocTemplate(out, pagesize=A4, title="-", author="-", invariant=1, lang="bn")
    page.build(story)
    return out.getvalue()
