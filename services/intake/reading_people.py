"""Who the person at risk is: sex as said, and how many there are. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.intake.reading_words import LEXICON, fold_word, word_pattern
from shared.vocabulary import Sex

_NEAR_AGE: Final = 3
_COUNTERS: Final = frozenset(
    map(fold_word, ("জন", "টা", "টি", "jon", "ta", "ti", "joner", "people", "persons", "জনকে")),
)
_PLURAL: Final = re.compile(
    ".*(?:দের|েরা|ারা|গুলো|গুলা|গুলি)|(?:meyera|meyeder|chelera|cheleder|bacha(?:ra|der)|girls|boys"
    "|children|kids|women|sons|daughters|sisters|brothers|babies)",
)
_RANGE: Final = re.compile(r"(\d{1,3})[-/](\d{1,3})")
_PRONOUNS: Final = {
    fold_word(word): sex
    for word, sex in (
        ("he", Sex.MALE), ("hes", Sex.MALE), ("his", Sex.MALE),
        ("she", Sex.FEMALE), ("shes", Sex.FEMALE), ("her", Sex.FEMALE),
    )
}  # fmt: skip
_OBJECT_WORDS: Final = (["ke"], ["কে"], ["re"])
_YEARS: Final = tuple(
    map(
        fold_word,
        ("বছর", "বছরের", "bochor", "bochorer", "bosor", "bosorer", "years", "old", "year"),
    ),
)
_BE: Final = frozenset(map(fold_word, ("is", "was", "about", "only", "just", "age", "aged")))
_MANY: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Said:
    sex: Sex
    at: int
    own: bool = False  # the speaker says it of themself
    done_to: bool = False


@cache
def _words() -> dict[str, tuple[str, ...]]:
    with (LEXICON / "people.toml").open("rb") as file:
        return {kind: tuple(words) for kind, words in tomllib.load(file).items()}


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    phrases = ("".join(map(word_pattern, phrase.split())) for phrase in _words()[kind])
    return re.compile("(?<= )(?:" + "|".join(phrases) + ")")


@cache
def _endings() -> tuple[str, ...]:
    return tuple(fold_word(ending) for ending in _words()["object_endings"])


def read_sex(tokens: tuple[str, ...], ages: tuple[int, ...], *, own: bool = False) -> Sex | None:
    """Return the sex said of the person at risk, None when it is not said or said of several.

    The speaker's own word decides first, then the word beside the age, then the one to whom it is
    done, then what is left if it is of one sex only. When the age is the speaker's `own`, only
    what they say of themself counts.
    """
    line = " " + " ".join(tokens) + " "
    if _pattern("hijra").search(line):
        return Sex.HIJRA
    line = _pattern("both").sub(lambda match: "_ " * (match[0].count(" ")), line)
    words = line.split(" ")[1:-1]
    said = _list_said(words)
    of_self = [one.sex for one in said if one.own]
    if own:
        levels = [of_self, [one.sex for one in said if _is_behind(words, one.at, ages)]]
    else:
        levels = [
            of_self,
            [one.sex for one in said if _is_beside(words, one.at, ages)],
            [one.sex for one in said if one.done_to],
            [one.sex for one in said],
            _list_objects(words) if not said else [],
        ]
    return next((some[0] for some in levels if len(set(some)) == 1), None)


def _is_beside(words: list[str], at: int, ages: tuple[int, ...]) -> bool:
    return any(
        abs(at - age) <= _NEAR_AGE and "|" not in words[min(at, age) : max(at, age)] for age in ages
    )


def _is_behind(words: list[str], at: int, ages: tuple[int, ...]) -> bool:
    """Tell whether the word follows the age at once: "boyos 13, meye"."""
    return any(
        0 < at - age <= _NEAR_AGE
        and words[at - 1] in (words[age], ",", *_YEARS)
        and not words[at].endswith(_endings())
        for age in ages
    )


def _list_objects(words: list[str]) -> list[Sex]:
    """Return the sexes of "him" and of a "her" to whom something is done."""
    found = [Sex.MALE] if "him" in words else []
    for i, word in enumerate(words):
        after = words[i + 1] if i + 1 < len(words) else "|"
        if word == "her" and _pattern("after_her").search(f" {after} "):
            found.append(Sex.FEMALE)
    return found


def _list_said(words: list[str]) -> list[_Said]:
    said = []
    for i, word in enumerate(words):
        sex = _sex_of(word, words[i - 1] if i else "")
        if sex is None:
            if word in _PRONOUNS and _is_aged(words, i):
                said.append(_Said(_PRONOUNS[word], i))
            letter = {"f": Sex.FEMALE, "m": Sex.MALE}.get(word)
            if letter and i and words[i - 1].isdigit():
                said.append(_Said(letter, i, own=True))
            continue
        said.append(
            _Said(
                sex,
                i,
                own=_is_own(words, i),
                done_to=word.endswith(_endings()) or words[i + 1 : i + 2] in _OBJECT_WORDS,
            ),
        )
    return said


def _is_aged(words: list[str], i: int) -> bool:
    """Tell whether "he" or "she" is said of the one whose age follows: "she is 12"."""
    after = [word for word in words[i + 1 : i + 4] if word not in _BE]
    return bool(after) and after[0].isdigit()


def _sex_of(word: str, before: str) -> Sex | None:
    padded = f" {word} "
    if _pattern("female").search(padded):
        return Sex.FEMALE
    if _pattern("male").search(padded):
        return Sex.MALE
    if _pattern("male_owned").search(padded) and (
        _pattern("owner").search(f" {before} ") or word.endswith(_endings())
    ):
        return Sex.MALE
    return None


def _is_own(words: list[str], i: int) -> bool:
    """Tell whether the speaker says it of themself: "ami 15, chele", "I am a girl"."""
    if words[i].endswith(_endings()):
        return False
    between = {",", "am", "a", "an", *map(fold_word, ("একটা", "একজন", "এক", "ekta", "ekjon", "ek"))}
    for back in range(1, 5):
        if i - back < 0:
            return False
        word = words[i - back]
        if _pattern("self").search(f" {word} "):
            return back == 1 or words[i - 1] != "," or words[i - 2].isdigit()
        if word not in between and not word.isdigit():
            return False
    return False


def read_count(tokens: tuple[str, ...]) -> tuple[int, int] | None:
    """Return the least and the most persons said, None when no number is."""
    from_numbers = [c for i, _ in enumerate(tokens) if (c := _count_at(tokens, i)) is not None]
    if not from_numbers:
        return None
    return max(from_numbers, key=lambda pair: pair[1])


def _count_at(tokens: tuple[str, ...], i: int) -> tuple[int, int] | None:
    token, after = tokens[i], tokens[i + 1 : i + 4]
    person = any(_sex_of(word, "") or _is_child(word) for word in after)
    counted = bool(after) and (after[0] in _COUNTERS or (person and _is_plural(after[0])))
    pair = _RANGE.fullmatch(token)
    numbers = [int(pair[1]), int(pair[2])] if pair else [int(token)] if token.isdigit() else []
    number_word = _NUMBER_WORDS.get(token)
    if number_word is not None:
        numbers = [number_word]
        if not counted and after and after[0] in _COUNTERS:
            counted = True
    if not numbers or max(numbers) > _MANY or not counted or not person:
        return None
    return min(numbers), max(numbers)


def _is_child(word: str) -> bool:
    return _CHILD.match(word) is not None


def _is_plural(word: str) -> bool:
    return _PLURAL.fullmatch(word) is not None


def is_plural(tokens: tuple[str, ...]) -> bool:
    """Tell whether the message speaks of several persons, counted or not."""
    return any(_is_plural(word) and (_sex_of(word, "") or _is_child(word)) for word in tokens)


_CHILD: Final = re.compile(
    "|".join(fold_word(w) for w in ("শিশু", "বাচ্চা", "bacha", "sisu", "child", "kid", "baby")),
)
_NUMBER_WORDS: Final = {
    fold_word(word): number
    for number, words in {
        2: ("দুই", "দুইটা", "দুটি", "দুটো", "দুইজন", "dui", "duita", "duijon", "two"),
        3: ("তিন", "তিনটা", "তিনজন", "tin", "tinta", "tinjon", "three"),
        4: ("চার", "চারজন", "char", "charjon", "four"),
        5: ("পাঁচ", "পাঁচজন", "pach", "pachjon", "five"),
    }.items()
    for word in words
}
