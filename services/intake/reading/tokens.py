"""The folded words of a message: short forms spelt out, joined words taken apart. Pure."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Final

from services.intake.reading.glue import unglue
from services.intake.reading.words import LEXICON, fold_word
from shared.text import ascii_digits

if TYPE_CHECKING:
    from collections.abc import Iterator

READ: Final = 20_000  # characters, the longest text that a channel takes

_TOKEN: Final = re.compile(
    "[a-z]+(?:['’`][a-z]+)*|[\u0980-\u09e3\u09f0\u09f1\u200c\u200d]+|\\d+(?:[.,/:-]\\d+)*"
    "|[।|.!?;\n]|[,()৳$–—]",
)
_SENTENCE: Final = frozenset("।|.!?;\n")
_MONEY: Final = frozenset("৳$")


@cache
def _short_forms() -> dict[str, tuple[str, ...]]:
    with (LEXICON / "classes.toml").open("rb") as file:
        short = tomllib.load(file)["short"]
    return {
        fold_word(form): tuple(map(fold_word, word.split()))
        for word, forms in short.items()
        for form in forms
    }


def _spell_out(folded: str) -> Iterator[str]:
    """Yield the words that a folded word of a message stands for."""
    short = _short_forms()
    for word in unglue(folded):
        yield from short.get(word, (word,))


def fold_tokens(text: str) -> tuple[str, ...]:
    """Return folded words, numbers in ASCII digits, `৳`, `,` and `|` of a normalised text."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(ascii_digits(text[:READ]).lower()):
        raw = match[0]
        if raw in _SENTENCE:
            tokens.append("|")
        elif raw in _MONEY:
            tokens.append("৳")
        elif raw[0].isdigit():
            tokens.append(raw)
        elif len(raw) == 1 and raw in ",()–—":
            tokens.append(",")
        else:
            word = re.sub("['’`]", "", raw) if raw[0] <= "z" else raw
            if folded := fold_word(word):
                tokens.extend(_spell_out(folded))
    return tuple(tokens)
