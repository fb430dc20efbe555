"""How a person's name sounds, whatever script and spelling it was written in. Pure.

`parts_of` gives the words of a name that tell people apart, each by two keys: `fine` keeps classes
of vowels (Rohima, রহিমা and Rahema meet, Rony and Rina do not), `rough` has consonants alone. Words
that half the country bears (মোছাম্মৎ, Begum, Islam) tell nobody apart and are left out, unless
there is nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shared.text import normalise

_BANGLA: Final = {
    **dict.fromkeys("কখ", "k"), **dict.fromkeys("গঘ", "g"), **dict.fromkeys("ঙংঞণন", "n"),
    **dict.fromkeys("চছ", "c"), **dict.fromkeys("জঝয", "j"), **dict.fromkeys("টঠতথৎ", "t"),
    **dict.fromkeys("ডঢদধ", "d"), **dict.fromkeys("পফ", "p"), **dict.fromkeys("বভ", "b"),
    **dict.fromkeys("রৰ", "r"), **dict.fromkeys("শষস", "s"), **dict.fromkeys("ইঈিীএেঐৈ", "i"),
    **dict.fromkeys("উঊুূ", "u"), **dict.fromkeys("অআাওোঔৌ", "a"), "ম": "m", "ল": "l", "হ": "h",
    "ৃ": "ri", "ঋ": "ri", "ঃ": "", "ঁ": "", "্": "", "ৱ": "b",
}  # fmt: skip
_SOFT_Y: Final = re.compile("য\u09bc|\u09df")
_SOFT_R: Final = re.compile("[\u09a1\u09a2]\u09bc|[\u09dc\u09dd]")
_JOINED_Y: Final = re.compile("\u09cd(?:য|\u09df)")
_JOINED_V: Final = re.compile("(?<=[কখগঘজতথদধনশষসহ])\u09cdব")
_LATIN: Final = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        ("x", "ks"),
        ("ph|f", "p"),
        ("[kgcjtdb]h", lambda found: found[0][0]),
        ("sh|s", "s"),
        ("(?<=s)w", ""),
        ("ch|c(?=[eiy])", "c"),
        ("ck|q|c(?![eiyh])", "k"),
        ("z", "j"),
        ("v|w(?=[aeiou])", "b"),
        ("ng|n", "n"),
        ("[ao]u", "a"),
        ("oo|u", "u"),
        ("[eiy]+", "i"),
        ("[ao]+w?", "a"),
        ("[^a-z]", ""),
    )
)
_LETTERS: Final = re.compile(r"[a-z\u0980-\u09fe]+")
_TWICE: Final = re.compile(r"(.)\1+")
_LAST_H: Final = re.compile("h$")
_SOFT: Final = re.compile("[iuh]")
_COMMON: Final = frozenset(
    {"md", "mohd", "mhd", "mst", "mosa", "mosammat", "mossammat", "mohammad", "mohammed"}
    | {"muhammad", "mohamad", "begum", "begom", "khatun", "khatoon", "akter", "akhter", "aktar"}
    | {"islam", "uddin", "hossain", "hosen", "hossen", "ali", "rahman", "rohman", "miah", "mia"}
    | {"bibi", "khan", "sheikh", "shekh", "das", "rani", "banu", "ara"}
    | {"al", "el", "abdul", "abdur"}
    | {"মো", "মোঃ", "মোছা", "মোছাঃ", "মোসা", "মোছাম্মৎ", "মোসাম্মৎ", "মোহাম্মদ", "মুহাম্মদ", "বেগম"}
    | {"খাতুন", "আক্তার", "আখতার", "ইসলাম", "উদ্দিন", "হোসেন", "হোসাইন", "আলী", "আলি", "রহমান"}
    | {"মিয়া", "বিবি", "খান", "শেখ", "দাস", "রানী", "রাণী", "বানু", "আরা", "আব্দুল", "আবদুল"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One word of a name by its two keys."""

    fine: str
    rough: str


def parts_of(name: str) -> tuple[Part, ...]:
    """Return the words of a name that tell somebody apart, in order, each once."""
    words = _LETTERS.findall(normalise(name).casefold())
    common = _common()
    keys = [_keys(word) for word in words]
    own = [key for key in keys if key.fine and key.fine not in common]
    return tuple(dict.fromkeys(own or [key for key in keys if key.fine]))


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    return frozenset(_keys(normalise(word)).fine for word in _COMMON)


@lru_cache(maxsize=4096)
def _keys(word: str) -> Part:
    sounds = _of_bangla(word) if word > "\u0980" else _of_latin(word)
    first = sounds[:1]
    rest = _LAST_H.sub("", sounds[1:].replace("a", ""))
    fine = _TWICE.sub(r"\1", first + rest)
    bare = fine[:1].translate(_OPEN) + _SOFT.sub("", fine[1:])
    return Part(fine, _TWICE.sub(r"\1", bare))


_OPEN: Final = str.maketrans("iu", "aa")


def _of_bangla(word: str) -> str:
    told = _SOFT_Y.sub("ই", _JOINED_V.sub("", _JOINED_Y.sub("", word)))
    told = _SOFT_R.sub("র", told).replace("\u09bc", "")
    sounds = "".join(_BANGLA.get(letter, "") for letter in told)
    return re.sub("i+", "i", sounds)


def _of_latin(word: str) -> str:
    sounds = word
    for pattern, to in _LATIN:
        sounds = pattern.sub(to, sounds)
    return sounds
