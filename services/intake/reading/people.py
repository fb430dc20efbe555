"""Who the person at risk is: the sex that a message says of them. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from services.intake.reading.words import LEXICON, fold_word, word_pattern
from shared.vocabulary import Sex

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEAR_AGE: Final = 3
_PRONOUNS: Final = {
    fold_word(word): sex
    for word, sex in (
        ("he", Sex.MALE), ("hes", Sex.MALE), ("his", Sex.MALE),
        ("she", Sex.FEMALE), ("shes", Sex.FEMALE), ("her", Sex.FEMALE),
    )
}  # fmt: skip
_WITH: Final = frozenset(map(fold_word, ("সাথে", "সঙ্গে", "লগে", "sathe", "shathe", "loge", "songe")))
_ME: Final = frozenset(map(fold_word, ("me", "i", "im")))
_MY: Final = frozenset(map(fold_word, ("আমার", "amar", "amr")))
_FEW: Final = frozenset(map(fold_word, ("2", "3", "দুই", "তিন", "dui", "tin", "two", "three")))
_SUBJECTS: Final = frozenset(map(fold_word, ("he", "she", "hes", "shes")))
_TO_ME: Final = frozenset(
    map(fold_word, ("me", "আমাকে", "আমারে", "আমায়", "amake", "amare", "amk", "amay")),
)
_TELLING: Final = frozenset(map(fold_word, ("told", "tell", "tells")))
_ORDERING: Final = frozenset(map(fold_word, ("to", "not")))
_OBJECT_WORDS: Final = (["ke"], ["কে"], ["re"])
_YEARS: Final = tuple(
    map(
        fold_word,
        ("বছর", "বছরের", "bochor", "bochorer", "bosor", "bosorer", "years", "old", "year"),
    ),
)
_BE: Final = frozenset(map(fold_word, ("is", "was", "about", "only", "just", "age", "aged")))


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


def read_sex(
    tokens: tuple[str, ...],
    at: tuple[int, ...],
    *,
    own: bool = False,
    child: bool = False,
    mixed: bool = False,
) -> Sex | None:
    """Return the sex said of the person at risk, None when it is not said or said of several.

    The speaker's own word decides first, then the word beside the age, then the one to whom it is
    done, then what is left if it is of one sex only. When the age is the speaker's `own`, only
    what they say of themself counts. Beside a `child`, a woman who is
    named is not the person. With `mixed` ages only "two sisters" says the sex of all.
    """
    line = " " + " ".join(tokens) + " "
    if _pattern("hijra").search(line):
        return Sex.HIJRA
    line = _pattern("both").sub(lambda match: "_ " * (match[0].count(" ")), line)
    words = line.split(" ")[1:-1]
    ages = frozenset(at)
    said = _list_said(words, ages)
    to_self = speaks_of_self(tokens)
    if child or to_self:
        said = [one for one in said if not _is_bystander(words, one, ages, to_self=to_self)]
    of_self = [one.sex for one in said if one.own]
    if mixed:
        levels = [[one.sex for one in said if one.at and words[one.at - 1] in _FEW]]
    elif own:
        levels = [of_self, [one.sex for one in said if _is_behind(words, one.at, ages)]]
    else:
        levels = [
            of_self,
            [one.sex for one in said if _is_beside(words, one.at, ages)],
            [one.sex for one in said if one.done_to],
            [one.sex for one in said],
            _list_objects(words) if not said and not _names(_ME, words) else [],
            _list_subjects(words) if not said else [],
        ]
    return next((some[0] for some in levels if len(set(some)) == 1), None)


def _is_beside(words: list[str], at: int, ages: frozenset[int]) -> bool:
    return any(
        age in ages and "|" not in words[min(at, age) : max(at, age)]
        for age in range(at - _NEAR_AGE, at + _NEAR_AGE + 1)
    )


def _is_behind(words: list[str], at: int, ages: frozenset[int]) -> bool:
    """Tell whether the word follows the age at once: "boyos 13, meye"."""
    return any(
        age in ages
        and words[at - 1] in (words[age], ",", *_YEARS)
        and not words[at].endswith(_endings())
        for age in range(max(at - _NEAR_AGE, 0), at)
    )


def _list_subjects(words: list[str]) -> list[Sex]:
    """Return the sex of "she" or "he" when only a friend, cousin or child is named before."""
    named = next(
        (i for i, word in enumerate(words) if _pattern("unsexed").search(f" {word} ")), None
    )
    if named is None:
        return []
    after = words[named:]
    first = next((i for i, word in enumerate(after) if word in _SUBJECTS), 0)
    if any(_pattern("doer").search(f" {word} ") for word in words[: named + first]):
        return []
    return [_PRONOUNS[word] for word in after if word in _SUBJECTS]


def _list_objects(words: list[str]) -> list[Sex]:
    """Return the sexes of "him" and of a "her" to whom something is done."""
    found = [Sex.MALE] if "him" in words else []
    for i, word in enumerate(words):
        after = words[i + 1] if i + 1 < len(words) else "|"
        if word == "her" and _pattern("after_her").search(f" {after} "):
            found.append(Sex.FEMALE)
    return found


def _list_said(words: list[str], ages: frozenset[int]) -> list[_Said]:
    said = []
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        near = not ages.isdisjoint((i - 1, i, i + 1)) and _pattern("cousins").search(f" {before} ")
        sex = sex_of(word, "my" if near or (ages and before in _FEW) else before)
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
                done_to=word.endswith(_endings())
                or words[i + 1 : i + 2] in _OBJECT_WORDS
                or _is_with(words, i),
            ),
        )
    return said


def speaks_of_self(tokens: tuple[str, ...]) -> bool:
    """Tell whether the harm is done to the speaker: "amake", "me", "আমার সাথে"."""
    return _names(_TO_ME, tokens) or any(
        token in _MY and not _WITH.isdisjoint(tokens[i + 1 : i + 2])
        for i, token in enumerate(tokens)
    )


def _names(me: frozenset[str], words: Sequence[str]) -> bool:
    """Tell whether the speaker is named otherwise than as who was told of it ("she told me")."""
    return any(
        word in me
        and (
            _TELLING.isdisjoint(words[max(i - 1, 0) : i])
            or not _ORDERING.isdisjoint(words[i + 1 : i + 2])
        )
        for i, word in enumerate(words)
    )


def _is_bystander(words: list[str], one: _Said, ages: frozenset[int], *, to_self: bool) -> bool:
    if one.own or one.done_to or _is_beside(words, one.at, ages):
        return False
    if to_self and not _follows_owner(words, one.at):
        return True
    return _pattern("grown").search(f" {words[one.at]} ") is not None


def _is_with(words: list[str], i: int) -> bool:
    """Tell whether it is done with a person of the speaker's: "amar bhatijir sathe"."""
    return _follows_owner(words, i) and not _WITH.isdisjoint(words[i + 1 : i + 2])


def _follows_owner(words: list[str], i: int) -> bool:
    return i > 0 and _pattern("owner").search(f" {words[i - 1]} ") is not None


def _is_aged(words: list[str], i: int) -> bool:
    """Tell whether "he" or "she" is said of the one whose age follows: "she is 12"."""
    after = [word for word in words[i + 1 : i + 4] if word not in _BE]
    return bool(after) and after[0].isdigit()


def sex_of(word: str, before: str) -> Sex | None:
    """Return the sex that a folded word says; `before` is the word before it."""
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
