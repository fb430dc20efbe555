"""Words written without a space between them: "amakeatkayrakhse", "হোটেলরুমে". Pure."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from typing import Final

from services.intake.reading.words import LEXICON, fold_word

_LEAST: Final = 8  # letters of a word that is tried
_MOST: Final = 60
_STEM: Final = 7
_PIECE: Final = range(3, 15)
_PLAIN: Final = re.compile(r"[^\W\d_]+|[\u0980-\u09ff]+")


@cache
def _pieces() -> frozenset[str]:
    """Return the words that a glued word may consist of: those of the lexicon, and small ones."""
    words = set(tomllib.loads((LEXICON / "classes.toml").read_text(encoding="utf-8"))["joined"])
    for name in ("signals.toml", "danger.toml"):
        for row in tomllib.loads((LEXICON / name).read_text(encoding="utf-8"))["entry"]:
            for phrase in (*row.get("bn", ()), *row.get("banglish", ())):
                words |= {word for word in phrase.split() if word[-1] != "*" and "<" not in word}
    return frozenset(
        folded
        for word in words
        if len(folded := fold_word(word)) in _PIECE and _PLAIN.fullmatch(word)
    )


@cache
def _long_stems() -> tuple[str, ...]:
    """Return the long beginnings of words that the lexicon knows: such a word stays whole."""
    rows = tomllib.loads((LEXICON / "signals.toml").read_text(encoding="utf-8"))["entry"]
    phrases = (p for row in rows for p in (*row.get("bn", ()), *row.get("banglish", ())))
    stems = {fold_word(word[:-1]) for p in phrases for word in p.split() if word[-1] == "*"}
    return tuple(stem for stem in stems if len(stem) >= _STEM)


@lru_cache(maxsize=4_096)
def unglue(word: str) -> tuple[str, ...]:
    """Return the words of which a folded word consists, itself when it is one word."""
    if not _LEAST <= len(word) <= _MOST or word in _pieces() or word.startswith(_long_stems()):
        return (word,)
    best: list[tuple[str, ...] | None] = [()] + [None] * len(word)
    for end in range(1, len(word) + 1):
        for length in _PIECE:
            piece = word[end - length : end]
            if length > end or piece not in _pieces():
                continue
            for before in best[end - length : end - length + 2]:  # a letter folded from two
                known = best[end]
                if before is not None and (known is None or len(before) + 1 < len(known)):
                    best[end] = (*before, piece)
    return best[-1] or (word,)
