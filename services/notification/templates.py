"""The texts of notices, in Fluent: one file for each language and audience, and what they may hold.

Whoever changes a text is told at the next start if it became longer than one SMS or gives something
away (SAFETY 2): each is rendered in every language with the longest values that may come.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fluent.runtime import FluentBundle, FluentResource
from fluent.syntax.ast import Junk
from fluent.syntax.ast import Message as Entry

from shared.errors import SettingsError
from shared.sms import count_segments
from shared.text import is_clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER: Final = Path(__file__).parent / "templates"
"""`<language>/<audience>.ftl`, and the lists of words: `forbidden.txt` and `never.txt`."""

LANGUAGES: Final = ("bn", "en")
"""Every template is there in each of them."""

LONGEST: Final[Mapping[str, str]] = {
    "code": "8888",
    "count": "99+",
    "soon": "99+",
    "url": "https://" + "w" * 63 + "." + "w" * 63 + ".example.org",
}
"""The places that a text may have, each with the longest value that comes there."""


class Audience(StrEnum):
    """Whom a text is for; the name of its file."""

    PERSONS = "persons"
    STAFF = "staff"
    PROVIDERS = "providers"


_LINK: Final = re.compile(r"://|www\.|@|\w\.\w")
_NUMBER: Final = re.compile(r"\d{3}")
"""Three digits in a row, of any script: a helpline, a code, a year, a price."""

_UNSEEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_JOINERS: Final = "\u200c\u200d"
_LETTER: Final = ("subject", "body")


@dataclass(frozen=True, slots=True)
class Letter:
    """A text as mail: a subject of one line, and a plain body."""

    subject: str
    body: str


class Templates:
    """The texts by template and language; a template belongs to one audience."""

    def __init__(
        self, bundles: Mapping[str, FluentBundle], audiences: Mapping[str, Audience]
    ) -> None:
        """Take a bundle for each language, and whom each template is for."""
        self._bundles = bundles
        self._audiences = audiences

    @property
    def names(self) -> frozenset[str]:
        """Every template."""
        return frozenset(self._audiences)

    def audience(self, name: str) -> Audience:
        """Return whom a template is for.

        Raises:
            KeyError: there is no such template.

        """
        return self._audiences[name]

    def text(self, name: str, language: str, values: Mapping[str, str] | None = None) -> str:
        """Return a text of one line, its places filled.

        Raises:
            KeyError: there is no such template or language, or a place has no value.

        """
        return self._fill(name, language, None, values)

    def letter(self, name: str, language: str, values: Mapping[str, str] | None = None) -> Letter:
        """Return a text as mail.

        Raises:
            KeyError: there is no such template or language, it is no mail, or a value is missing.

        """
        subject, body = (self._fill(name, language, part, values) for part in _LETTER)
        return Letter(subject, body)

    def is_letter(self, name: str) -> bool:
        """Say whether a template may go by mail."""
        messages = (bundle.get_message(name) for bundle in self._bundles.values())
        return all(set(_LETTER) <= set(message.attributes) for message in messages)

    def _fill(
        self, name: str, language: str, part: str | None, values: Mapping[str, str] | None
    ) -> str:
        bundle = self._bundles[language]
        message = bundle.get_message(name)
        pattern = message.value if part is None else message.attributes[part]
        if pattern is None:
            raise KeyError(name)
        told = {place: clean_value(place, value) for place, value in (values or {}).items()}
        text, errors = bundle.format_pattern(pattern, told)
        if errors:
            raise KeyError(name)
        return unicodedata.normalize("NFC", str(text)).strip()


def clean_value(place: str, value: str) -> str:
    """Return a value as a text may hold it: one line of what is seen, no longer than it may be.

    Nothing in it is a place, a link's beginning or a line's end to anybody who reads the text.
    """
    seen = "".join(
        sign if sign in _JOINERS or unicodedata.category(sign) not in _UNSEEN else " "
        for sign in unicodedata.normalize("NFC", value)
    )
    return " ".join(seen.split())[: len(LONGEST[place])]


def faults_of(text: str, audience: Audience, forbidden: Sequence[str]) -> list[str]:
    """Say what is wrong with a text of one SMS: short stable words, empty when nothing is."""
    faults = _words_of(text, forbidden)
    if not text.strip() or not is_clean(text) or "\n" in text:
        faults.append("empty")
    if count_segments(text).parts != 1:
        faults.append("long")
    if _LINK.search(text):
        faults.append("link")
    if audience is not Audience.PROVIDERS and _NUMBER.search(text):
        faults.append("number")
    if "{" in text or "}" in text:
        faults.append("place to fill")
    return faults


def _words_of(text: str, forbidden: Sequence[str]) -> list[str]:
    plain = unicodedata.normalize("NFC", text).casefold()
    return [f"word {word}" for word in forbidden if word in plain]


def parse_forbidden(text: str) -> tuple[str, ...]:
    """Read the list of words: one a line, `#` begins a remark; in NFC, small letters."""
    lines = (unicodedata.normalize("NFC", line).strip() for line in text.splitlines())
    return tuple(line.casefold() for line in lines if line and not line.startswith("#"))


def load_forbidden(folder: Path = FOLDER) -> dict[Audience, tuple[str, ...]]:
    """Read which words no text to an audience may hold.

    Raises:
        OSError, UnicodeDecodeError: a list cannot be read.

    """
    never, neutral = (
        parse_forbidden((folder / f"{name}.txt").read_text("utf-8"))
        for name in ("never", "forbidden")
    )
    both = tuple(dict.fromkeys((*never, *neutral)))
    return {Audience.PERSONS: both, Audience.STAFF: both, Audience.PROVIDERS: never}


@cache
def load_templates(folder: Path = FOLDER) -> Templates:
    """Read and check every text, once a process.

    Raises:
        SettingsError: a text or language is missing, or a text holds what none may.

    """
    audiences: dict[str, Audience] = {}
    bundles: dict[str, FluentBundle] = {}
    try:
        forbidden = load_forbidden(folder)
        for language in LANGUAGES:
            bundles[language] = FluentBundle([language], use_isolating=False)
            for audience in Audience:
                file = folder / language / f"{audience}.ftl"
                for name in _read(file, bundles[language]):
                    if audiences.setdefault(name, audience) is not audience:
                        message = f"template {name} is for two audiences"
                        raise SettingsError(message)
    except (OSError, UnicodeDecodeError):
        raise SettingsError("the templates of notices cannot be read") from None
    templates = Templates(bundles, audiences)
    for name in sorted(templates.names):
        for language in LANGUAGES:
            faults = _faults(templates, name, language, forbidden)
            if faults:
                message = f"template {name} ({language}): {', '.join(faults)}"
                raise SettingsError(message)
    return templates


def _read(file: Path, bundle: FluentBundle) -> list[str]:
    """Add a file's texts to a bundle and return their names."""
    resource = FluentResource(unicodedata.normalize("NFC", file.read_text("utf-8")))
    names = [entry.id.name for entry in resource.body if isinstance(entry, Entry)]
    if any(isinstance(entry, Junk) for entry in resource.body) or len(names) > len(set(names)):
        message = f"{file.parent.name}/{file.name} is not written as Fluent wants it"
        raise SettingsError(message)
    bundle.add_resource(resource)
    return names


def _faults(
    templates: Templates,
    name: str,
    language: str,
    forbidden: Mapping[Audience, Sequence[str]],
) -> list[str]:
    """Say what is wrong with a template in a language, with the longest values."""
    audience = templates.audience(name)
    values = {} if audience is Audience.PERSONS else LONGEST
    try:
        faults = faults_of(templates.text(name, language, values), audience, forbidden[audience])
        if templates.is_letter(name):
            letter = templates.letter(name, language, values)
            faults += _words_of(f"{letter.subject} {letter.body}", forbidden[audience])
            if not letter.subject or "\n" in letter.subject or not letter.body:
                faults.append("no letter")
            if audience is Audience.PERSONS:
                faults.append("a letter to a person")
    except LookupError:
        return ["missing, or a place to fill that nothing fills"]
    return faults
