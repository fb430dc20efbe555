"""Words of a message, folded, and the notation in which the lexicon speaks of them. Pure.

A message becomes one line of folded words, `,` between clauses and `|` between sentences; a phrase
of the lexicon is one regular expression over that line, without nesting of unbounded repetitions,
so that time grows with the length only.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shared import spelling

if TYPE_CHECKING:
    from collections.abc import Iterable

LEXICON: Final = Path(__file__).parents[1] / "lexicon"

_FOLD_WHOLE: Final = re.compile("(?:ch|c|s)+h*(e|i|en|o|eo)$")
_FOLDS: Final = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        ("ph", "f"),
        ("vh?", "bh"),
        ("z|jh", "j"),
        ("sh+", "s"),
        ("c+h+(?:c*h+)*", "ch"),
        ("oo", "u"),
        ("ee", "i"),
        (r"(.)\1+", r"\1"),
    )
)
_WITHIN: Final = {"..": "(?:[^ |,]+ ){0,3}?", "...": "(?:[^ |,]+ ){0,6}?"}
_GROUPED: Final = 3  # letters
_BETWEEN_STEM_AND_ENDING: Final = "[^ |,]{0,4}?"


def fold_word(word: str) -> str:
    """Return the key of a lower-case word, Bangla or Latin."""
    if not word.isascii():
        return spelling.soften(spelling.plain(word))
    return _FOLD_WHOLE.sub(r"s\1", _fold_start(word))


def _fold_start(word: str) -> str:
    if not word.isascii():
        return spelling.soften(spelling.plain(word))
    folded = word
    for pattern, to in _FOLDS:
        folded = pattern.sub(to, folded)
    return folded


@cache
def _notation() -> tuple[dict[str, list[str]], dict[str, str]]:
    with (LEXICON / "classes.toml").open("rb") as file:
        tables = tomllib.load(file)
    return tables["class"], tables["ending"]


@cache
def word_pattern(word: str) -> str:
    """Return the expression for one word of a phrase (lexicon/README.md has the notation)."""
    if word in _WITHIN:
        return _WITHIN[word]
    if word.startswith("<"):
        return any_pattern(_notation()[0][word[1:-1]])
    if "~" in word:
        start, ending = word.split("~")
        inside = _BETWEEN_STEM_AND_ENDING + _notation()[1][ending]
        return f"{re.escape(_fold_start(start))}{inside} "
    if not word.endswith("*"):
        return re.escape(word if word.isdigit() else fold_word(word)) + " "
    start = word.removesuffix("*")
    if not start:
        return "[^ |,]+ "
    begun, whole = _fold_start(start), fold_word(start)
    if whole.startswith(begun):
        return re.escape(begun) + "[^ |,]* "
    return f"(?:{re.escape(begun)}[^ |,]*|{re.escape(whole)}) "


def phrase_pattern(phrase: str) -> str:
    """Return the expression for a phrase; one that begins with `/` is an expression itself."""
    if phrase.startswith("/"):
        return phrase[1:]
    return "".join(word_pattern(word) for word in phrase.lower().split())


def any_pattern(phrases: Iterable[str]) -> str:
    """Return the expression for any of the phrases, the longest first."""
    longest_first = sorted({phrase_pattern(p) for p in phrases}, key=lambda p: (-len(p), p))
    return _by_first_letters(longest_first, _GROUPED)


def _by_first_letters(patterns: list[str], depth: int) -> str:
    """Join patterns, those with the same first letter together: most are then tried at once."""
    groups: dict[str, list[str]] = {}
    for pattern in patterns:
        letter = pattern[0] if depth and pattern[:1].isalpha() and pattern[1:2].isalpha() else ""
        groups.setdefault(letter, []).append(pattern[len(letter) :])
    parts = [
        letter + _by_first_letters(rests, depth - 1)
        if letter and len(rests) > 1
        else "|".join(letter + rest for rest in rests)
        for letter, rests in groups.items()
    ]
    return "(?:" + "|".join(parts) + ")"


def compile_phrases(phrases: Iterable[str]) -> re.Pattern[str]:
    """Compile phrases for a line of folded words; a match begins at a word."""
    return re.compile("(?<= )" + any_pattern(phrases))
