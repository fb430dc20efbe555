"""The texts that persons get: a small file for each template and language, and what they may hold.

A text has no places to fill: there is nothing in it that could name anyone. Whoever changes one is
told at the next start if it became longer than one SMS or gives something away (SAFETY 2).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shared.errors import SettingsError
from shared.sms import count_segments
from shared.text import is_clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER: Final = Path(__file__).parent / "templates"
"""`<language>/<template>.txt`, and `forbidden.txt`."""

LANGUAGES: Final = ("bn", "en")
"""Every template is there in each of them."""

_LINK: Final = re.compile(r"://|www\.|@|\w\.\w")
_NUMBER: Final = re.compile(r"\d{3}")
"""Three digits in a row, of any script: a helpline, a code, a year, a price."""


@dataclass(frozen=True, slots=True)
class Templates:
    """The texts by template and language."""

    texts: Mapping[tuple[str, str], str]

    def text(self, name: str, language: str) -> str:
        """Return a text.

        Raises:
            KeyError: there is no such template or language.

        """
        return self.texts[name, language]

    @property
    def names(self) -> frozenset[str]:
        """Every template."""
        return frozenset(name for name, _ in self.texts)


def faults_of(text: str, forbidden: Sequence[str]) -> list[str]:
    """Say what is wrong with a text to a person: short stable words, empty when nothing is."""
    plain = unicodedata.normalize("NFC", text).casefold()
    faults = [f"word {word}" for word in forbidden if word in plain]
    if not text.strip() or not is_clean(text):
        faults.append("empty")
    if count_segments(text).parts != 1:
        faults.append("long")
    if _LINK.search(text):
        faults.append("link")
    if _NUMBER.search(text):
        faults.append("number")
    if "{" in text or "}" in text:
        faults.append("place to fill")
    return faults


def parse_forbidden(text: str) -> tuple[str, ...]:
    """Read the list of words: one a line, `#` begins a remark; in NFC, small letters."""
    lines = (unicodedata.normalize("NFC", line).strip() for line in text.splitlines())
    return tuple(line.casefold() for line in lines if line and not line.startswith("#"))


def load_templates(folder: Path = FOLDER) -> Templates:
    """Read and check every text.

    Raises:
        SettingsError: a text or language is missing, or a text holds what none may.

    """
    try:
        forbidden = parse_forbidden((folder / "forbidden.txt").read_text("utf-8"))
        texts = {
            (file.stem, language): unicodedata.normalize("NFC", file.read_text("utf-8").strip())
            for language in LANGUAGES
            for file in sorted((folder / language).glob("*.txt"))
        }
    except (OSError, UnicodeDecodeError):
        raise SettingsError("the templates of notices cannot be read") from None
    for name in sorted({name for name, _ in texts}):
        for language in LANGUAGES:
            text = texts.get((name, language))
            faults = ["missing"] if text is None else faults_of(text, forbidden)
            if faults:
                message = f"template {name} ({language}): {', '.join(faults)}"
                raise SettingsError(message)
    return Templates(texts)
