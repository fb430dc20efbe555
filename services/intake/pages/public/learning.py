"""Short pages to read, as Markdown beside this file: a number in the address, never a topic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markdown_it import MarkdownIt
from markupsafe import Markup

if TYPE_CHECKING:
    from shared.pages.languages import Language

CONTENT: Final = Path(__file__).with_name("content")


@dataclass(frozen=True, slots=True)
class Reading:
    """One page: its number, its title, and what it says as HTML without its title."""

    number: int
    title: str
    text: Markup


@cache
def list_readings(language: Language) -> tuple[Reading, ...]:
    """Return the pages of a language in the order of their numbers; HTML in them is no HTML."""
    reader = MarkdownIt("commonmark", {"html": False})
    made = []
    for file in sorted((CONTENT / language).glob("*.md")):
        title, _, text = file.read_text("utf-8").partition("\n")
        rendered = Markup(reader.render(text))  # noqa: S704  (our own files, HTML in them escaped)
        made.append(Reading(int(file.stem.split("-")[0]), title.removeprefix("# "), rendered))
    return tuple(made)


def find_reading(language: Language, number: int) -> Reading | None:
    """Return a page by its number."""
    return next((one for one in list_readings(language) if one.number == number), None)
