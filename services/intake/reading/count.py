"""How many persons a message speaks of. Pure."""

from __future__ import annotations

import re
from typing import Final

from services.intake.reading.people import sex_of
from services.intake.reading.words import fold_word
from shared.text import parse_whole

_COUNTERS: Final = frozenset(
    map(fold_word, ("জন", "টা", "টি", "jon", "ta", "ti", "joner", "people", "persons", "জনকে")),
)
_PEOPLE: Final = frozenset(
    map(
        fold_word,
        ("জন", "জনকে", "জনরে", "জনের", "jon", "jonke", "jonre", "joner", "people"),
    ),
)
_OBJECT_WORDS: Final = frozenset(map(fold_word, ("ke", "re", "কে", "রে")))
_US: Final = frozenset(map(fold_word, ("আমরা", "আমাদের", "amra", "amader", "we", "are", "us")))
_PLURAL: Final = re.compile(
    ".*(?:দের|েরা|ারা|গুলো|গুলা|গুলি)|পোলাপা(?:ন|ই).*|(?:polapan.*|meyera|meyeder|chelera|cheleder|bacha(?:ra|der|gula|gulo)|girls"
    "|boys|children|kids|women|sons|daughters|sisters|brothers|babies)",
)
_RANGE: Final = re.compile(r"(\d{1,3})[-/](\d{1,3})")
_MANY: Final = 1_000
_FEW: Final = range(2, 6)  # "2 bon": more than that beside one word is rather an age
_CHILD: Final = re.compile(
    "|".join(
        fold_word(w)
        for w in ("শিশু", "বাচ্চা", "পোলাপান", "bacha", "sisu", "polapan", "child", "kid", "baby")
    ),
)
_NUMBER_WORDS: Final = {
    fold_word(word): number
    for number, words in {
        2: ("দুই", "dui", "two"),
        9: ("নয়", "noy", "nine"),
        3: ("তিন", "tin", "three"),
        4: ("চার", "চাইর", "char", "four"),
        5: ("পাঁচ", "pach", "five"),
        6: ("ছয়", "choy", "six"),
        7: ("সাত", "shat", "seven"),
        8: ("আট", "eight"),
        10: ("দশ", "dosh", "ten"),
    }.items()
    for word in words
}
_COUNT_ENDINGS: Final = (
    "টা", "টি", "টো", "ডা", "জন", "টারে", "টাকে", "টার", "ডারে", "ডার", "জনকে", "জনরে", "জনের",
    "ta", "ti", "da", "jon", "tare", "take", "tar", "dare", "jonke", "jonre", "joner",
)  # fmt: skip
_COUNTED: Final = {
    fold_word(start + ending): number
    for start, number in (
        *{"দুই": 2, "দু": 2, "তিন": 3, "চার": 4, "চাইর": 4, "পাঁচ": 5, "ছয়": 6, "সাত": 7}.items(),
        *{
            "আট": 8,
            "নয়": 9,
            "দশ": 10,
            "noy": 9,
            "dosh": 10,
            "dui": 2,
            "du": 2,
            "tin": 3,
            "char": 4,
            "chair": 4,
            "pach": 5,
            "choy": 6,
        }.items(),
        *{"sat": 7, "at": 8}.items(),
    )
    for ending in _COUNT_ENDINGS
    if start.isascii() == ending.isascii()
}


def read_count(tokens: tuple[str, ...]) -> tuple[int, int] | None:
    """Return the least and the most persons said, None when no number is."""
    among = next((i for i, token in enumerate(tokens) if token in _AMONG), 0)
    counts = [(i, c) for i, _ in enumerate(tokens) if (c := _count_at(tokens, i)) is not None]
    from_numbers = [c for i, c in counts if i > among] or [c for _, c in counts]
    if not from_numbers:
        return None
    return max(from_numbers, key=lambda pair: pair[1])


def _count_at(tokens: tuple[str, ...], i: int) -> tuple[int, int] | None:
    token = tokens[i]
    if pair := _RANGE.fullmatch(token):
        least, most = sorted((int(pair[1]), int(pair[2])))
    elif (said := parse_whole(token, _MANY)) is not None:
        least = most = said
    elif number := _NUMBER_WORDS.get(token) or _COUNTED.get(token):
        least = most = number
    else:
        return None
    if most > _MANY or not (
        _counts_persons(tokens, i, most) or _counts_us(tokens, i) or _follows_person(tokens, i)
    ):
        return None
    return least, most


def _counts_persons(tokens: tuple[str, ...], i: int, number: int) -> bool:
    """Tell whether persons stand after the number: "৩ জন মেয়ে", "two girls", "2 bon"."""
    after = tokens[i + 1 : i + 4]
    if not any(_is_person(word) for word in after):
        return False
    few = _is_person(after[0]) and (number in _FEW or after[0] in _SIBLINGS)
    return after[0] in _COUNTERS or tokens[i] in _COUNTED or _is_plural(after[0]) or few


def _counts_us(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the people counted are the speakers, or those to whom it is done."""
    after = tokens[i + 1 : i + 3]
    if after == ("of", "us"):
        return True
    counted = tokens[i] if tokens[i] in _COUNTED else after[0] if after else ""
    if counted not in _PEOPLE and not counted.endswith(("জন", "jon", "জনকে", "জনরে")):
        return False
    done_to = counted.endswith(("কে", "রে", "ke", "re")) or after[-1:][0] in _OBJECT_WORDS
    return done_to or not _US.isdisjoint(tokens[max(i - 2, 0) : i])


def _follows_person(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the number stands after the person: "বাচ্চা দুইটারে", "meye 2 ta"."""
    counted = tokens[i] in _COUNTED or not _COUNTERS.isdisjoint(tokens[i + 1 : i + 2])
    return counted and i > 0 and _is_person(tokens[i - 1])


_SIBLINGS: Final = frozenset(
    map(fold_word, ("ভাইবোন", "ভাইবইন", "bhaibon", "vaibon", "siblings", "brothers", "sisters")),
)


def _is_person(word: str) -> bool:
    return _CHILD.match(word) is not None or sex_of(word, "") is not None or word in _KIN


_AMONG: Final = frozenset(map(fold_word, ("মধ্যে", "moddhe", "modde", "মইদ্যে")))  # "2 of 5"
_KIN: Final = frozenset(
    map(
        fold_word,
        ("ভাই", "ভাইবোন", "ভাইবইন", "bhai", "vai", "bhaibon", "vaibon", "brothers", "siblings"),
    ),
)


def _is_plural(word: str) -> bool:
    return _PLURAL.fullmatch(word) is not None


def is_plural(tokens: tuple[str, ...]) -> bool:
    """Tell whether the message speaks of several persons, counted or not."""
    return any(
        _is_plural(word) and (sex_of(word, "") or _CHILD.match(word) is not None) for word in tokens
    )
