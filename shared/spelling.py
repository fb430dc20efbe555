"""How names are written: the keys under which spellings of one name in Bangla or Latin meet.

Pure. `plain` keeps the letters, `fold` makes spellings equal that people do not keep apart
(ণ and ন, ড় and র, o and a, z and j, -gonj and -ganj), `stems` takes off the case endings that
Bangla puts on a place (ঢাকায়, সাভারের, dhakate).
"""

from __future__ import annotations

import re
from typing import Final

_LATIN: Final = re.compile(r"[a-z]")
_NOT_LETTERS: Final = re.compile("[^a-z\u0980-\u09e3\u09f0\u09f1]+")

_LATIN_RULES: Final = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        ("ph", "f"),
        ("bh|v", "b"),
        ("jh|z", "j"),
        ("sh|s", "s"),
        ("ch+h*", "C"),
        ("ck|[ckq]", "k"),
        ("C", "ch"),
        ("x", "ks"),
        ("oo", "u"),
        ("ee|y", "i"),
        ("i+", "i"),
        ("[ao]w|[ao]u", "o"),
        ("g[ao]n[gj]", "ganj"),
        ("o", "a"),
        (r"(.)\1", r"\1"),
        ("(?<=[aeiu])h$", ""),
    )
)
_BANGLA_SOFT: Final = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        ("[\u200c\u200d\u0981]", ""),  # joiners, chandrabindu
        ("য\u09bc|\u09df", "Y"),
        ("[\u09a1\u09a2]\u09bc|[\u09dc\u09dd]", "র"),
        ("\u09bc", ""),
        ("[ণঞ]", "ন"),
        ("[শষ]", "স"),
        ("য", "জ"),
        ("ঙ", "ং"),
        ("ৎ", "ত"),
        ("ঈ", "ই"),
        ("ঊ", "উ"),
        ("ী", "ি"),
        ("ূ", "ু"),
    )
)
_BANGLA_RULES: Final = (
    *_BANGLA_SOFT,
    (re.compile("\u09cd"), ""),  # hasanta: a doubled or joined consonant is often written single
    (re.compile(r"(.)\1"), r"\1"),
)
_BANGLA_ENDINGS: Final = ("তেই", "তে", "ের", "েই", "েও", "ে", "য়ের", "য়", "রও", "র", "কে")
_LATIN_ENDINGS: Final = ("te", "er", "r", "ye", "y", "e", "s")
_SHORTEST_STEM: Final = 3


def plain(text: str) -> str:
    """Return the lower-case letters of the text, nothing between them."""
    return _NOT_LETTERS.sub("", text.lower())


def fold(word: str) -> str:
    """Return the key of a `plain` word; spellings of one name share it."""
    folded = word
    for pattern, to in _LATIN_RULES if _LATIN.search(word) else _BANGLA_RULES:
        folded = pattern.sub(to, folded)
    return folded


def soften(word: str) -> str:
    """Return the key of a `plain` Bangla word of running text: joined consonants stay joined."""
    softened = word
    for pattern, to in _BANGLA_SOFT:
        softened = pattern.sub(to, softened)
    return softened


def stems(word: str) -> tuple[str, ...]:
    """Return what is left of a `plain` word without a case ending, longest ending first."""
    endings = _LATIN_ENDINGS if _LATIN.search(word) else _BANGLA_ENDINGS
    return tuple(
        word[: -len(ending)]
        for ending in endings
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM
    )
