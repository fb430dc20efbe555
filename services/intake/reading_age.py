"""The age that a message says. Pure. A number that may be something else is no age.

Two ages of two children, or a range, are not one age: the person is a child, the age unknown.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

from services.intake.reading_words import LEXICON, fold_word, word_pattern
from shared.text import ascii_digits

ADULT: Final = 18
OLDEST: Final = 110
_BARE: Final = range(5, 31)  # a number beside a person, with no word for years
_OLDEST_BARE: Final = 80  # after "I am"
_BACK: Final = 3
_RANGE: Final = re.compile(r"(\d{1,2})[-/](\d{1,2})")
_NUMBER: Final = re.compile(r"\d{1,3}(?:\.\d+)?")
_OR: Final = frozenset(map(fold_word, ("to", "or", "theke", "ba", "na", "থেকে", "বা", "না", "কিংবা")))
_AND: Final = frozenset(map(fold_word, ("and", "ar", "আর", "ও", "o", "এবং", "ebong")))
_LIST_ENDS: Final = _AND | {"", ",", "|"}
_AT_AGE: Final = frozenset(map(fold_word, ("বয়সে", "boyose", "boyoshe")))
_THEN: Final = frozenset(map(fold_word, ("তখন", "tokhon", "takhon", "then")))
_OF: Final = frozenset(map(fold_word, ("er", "এর", "র", "r")))
_ONE: Final = frozenset(map(fold_word, ("এক", "ek", "one")))
_OLD: Final = frozenset(("old", "olds"))
_DETERMINERS: Final = frozenset(map(fold_word, ("ta", "ti", "টা", "টি", "ke", "কে", "re", "রে")))
_NOW: Final = frozenset(map(fold_word, ("এখন", "ekhon", "akhon", "ekhn", "now")))
_ENDS: Final = frozenset(("", ",", "|"))
_IS: Final = frozenset(("is", "was", "are"))
_CHILDISH: Final = range(3, ADULT)
_ALONE: Final = range(5, ADULT + 12)
_BORN: Final = re.compile(
    r"(?:born|birth|dob|জন্ম|jonmo)\D{0,20}(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Age:
    """What is said of the age: whole years or None, whether a child, and where it stands."""

    years: int | None
    minor: bool
    at: tuple[int, ...]  # positions of ages among the tokens
    mixed: bool = False  # ages of several children
    own: bool = False  # the speaker's own age
    adult: bool = False  # every age said is that of a grown-up person


@dataclass(frozen=True, slots=True)
class _Said:
    years: int
    at: int
    of_self: bool = False
    as_person: bool = False  # "ami 21 meye": the speaker is the person
    past: bool = False  # the age at some time; another age, if there is one, is that of now
    then: bool = False  # long ago, so that it is not the age now


@cache
def _numbers() -> dict[str, int]:
    with (LEXICON / "ages.toml").open("rb") as file:
        table = tomllib.load(file)["numbers"]
    return {fold_word(word): int(value) for value, words in table.items() for word in words}


@cache
def _beside() -> dict[str, re.Pattern[str]]:
    with (LEXICON / "ages.toml").open("rb") as file:
        table = tomllib.load(file)["beside"]
    return {
        kind: re.compile("|".join(word_pattern(word).rstrip() for word in words))
        for kind, words in table.items()
    }


def _is(kind: str, token: str) -> bool:
    return bool(token) and _beside()[kind].fullmatch(token) is not None


def read_age(tokens: tuple[str, ...], text: str, today: date, *, others: bool) -> Age:
    """Read the age of the person at risk; `others` says that a child or sibling is named.

    An adult reporter's own age is then not the age of the person.
    """
    said, minor = _list_said(tokens)
    if born := _born(text, today):
        said.append(born)
    at = tuple(one.at for one in said)
    if others:
        said = [one for one in said if one.as_person or not _is_reporter(one)]
    if any(not one.past for one in said):
        said = [one for one in said if not one.past]
    then = any(one.then for one in said)
    minors = {one.years for one in said if one.years < ADULT}
    adults = {one.years for one in said} - minors
    chosen = minors or adults
    return Age(
        years=next(iter(chosen)) if len(chosen) == 1 and not (minor or then) else None,
        minor=minor or bool(minors),
        at=at,
        mixed=len(minors) > 1,
        own=bool(chosen) and all(one.of_self for one in said if one.years in chosen),
        adult=bool(adults) and not (minors or minor or then),
    )


def _is_reporter(one: _Said) -> bool:
    return one.of_self and one.years >= ADULT


def _born(text: str, today: date) -> _Said | None:
    match = _BORN.search(ascii_digits(text[:2_000]))
    if match is None:
        return None
    day, month, year = int(match[1]), int(match[2]), int(match[3])
    try:
        born = date(year, month, day)
    except ValueError:
        return None
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return _Said(years, -1) if 0 <= years <= OLDEST else None


def _value(tokens: tuple[str, ...], i: int) -> int | None:
    token = tokens[i]
    if _NUMBER.fullmatch(token):
        value = int(float(token))
        return value if value <= OLDEST else None
    return _numbers().get(token)


def _list_said(tokens: tuple[str, ...]) -> tuple[list[_Said], bool]:
    """Return the single ages, and whether a range or a limit says that it is a child."""
    said: list[_Said] = []
    minor = False
    for i, token in enumerate(tokens):
        if pair := _RANGE.fullmatch(token):
            minor |= _is_age(tokens, i, i, 10, bare=True) and int(pair[2]) < ADULT
            continue
        years = None if _is_preposition(tokens, i) else _value(tokens, i)
        if years is None or _in_range(tokens, i):
            if years is not None and _range_is_age(tokens, i):
                minor |= years < ADULT
            continue
        if _is_limit(tokens, i):
            minor |= years <= ADULT
        elif _is_months(tokens, i):
            said.append(_Said(0, i))
        elif _of_other(tokens, i):
            continue
        elif (
            _is_age(tokens, i, i, years, bare=token[0].isdigit())
            or _follows(tokens, i, said)
            or _goes_before(tokens, i)
            or (i > 1 and said[-1:] and said[-1].at == i - 2 and _goes_before(tokens, i - 2))
        ):
            person = _is("people", _after(tokens, i))
            said.append(
                _Said(
                    years,
                    i,
                    of_self=_before(tokens, i) in (_SELF - _MINE if person else _SELF),
                    as_person=person,
                    past=_is_past(tokens, i),
                    then=_is_then(tokens, i),
                )
            )
    return said, minor


_SELF: Final = frozenset(map(fold_word, ("আমি", "আমার", "ami", "amar", "i", "im", "my")))


_MINE: Final = frozenset(map(fold_word, ("আমার", "amar", "amr", "my")))


def _is_preposition(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether "at" is the English word, and not eight in Bangla."""
    after = _at(tokens, i + 1)
    return tokens[i] == "at" and not (
        after in _ENDS or any(_is(kind, after) for kind in ("years", "about", "months"))
    )


def _at(tokens: tuple[str, ...], i: int) -> str:
    return tokens[i] if 0 <= i < len(tokens) else ""


def _before(tokens: tuple[str, ...], i: int) -> str:
    """Return the word before, over commas, `about` and words for age."""
    for back in range(1, _BACK + 2):
        token = _at(tokens, i - back)
        if not (
            token in (",", "am")
            or token in _DETERMINERS
            or _is("about", token)
            or _is("age", token)
        ):
            return token
    return ""


def _follows(tokens: tuple[str, ...], i: int, said: list[_Said]) -> bool:
    """Tell whether this number goes on a list of ages: "12, 5 and 1"."""
    if not said or not tokens[i][0].isdigit() or _at(tokens, i + 1) not in _LIST_ENDS:
        return False
    back = i - 1
    while back >= i - _BACK and _at(tokens, back) in (_AND | {","}):
        back -= 1
    return back < i - 1 and any(one.at in (back, back - 1) for one in said)


def _after(tokens: tuple[str, ...], i: int) -> str:
    """Return the word after a number, over the word for years."""
    return _at(tokens, i + 1 + _is("years", _at(tokens, i + 1)))


def _goes_before(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether an age follows on a list: "১১ ও ১৩ বছরের", "two sisters, 9 and 13"."""
    j = i + 2
    if _at(tokens, i + 1) not in _AND or j >= len(tokens) or _value(tokens, j) is None:
        return False
    if _is("years", _at(tokens, j + 1)):
        return _is_age(tokens, j, j, 0, bare=False)
    return (
        tokens[i][0].isdigit()
        and int(float(tokens[i])) in _CHILDISH
        and not _is("units", _at(tokens, j + 1))
        and (_is("people", _before(tokens, i)) or _is("several", _before(tokens, i)))
    )


def _is_past(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the age is that at some event: "১৬ বছর বয়সে", "at the age of 16"."""
    return _at(tokens, i + 2) in _AT_AGE or _at(tokens, i + 1) in _AT_AGE or _is_then(tokens, i)


def _is_then(tokens: tuple[str, ...], i: int) -> bool:
    return any(_at(tokens, i - back) in _THEN for back in range(1, _BACK + 1))


def _in_range(tokens: tuple[str, ...], i: int) -> bool:
    for step in (1, -1):
        joint, other = _at(tokens, i + step), i + 2 * step
        if joint in _OR and 0 <= other < len(tokens) and _value(tokens, other) is not None:
            return True
    if tokens[i] in _ONE or _at(tokens, i - 1) in _ONE:
        return False
    follows, precedes = i + 1 < len(tokens), i > 0
    return (follows and _value(tokens, i + 1) is not None) or (
        precedes and _value(tokens, i - 1) is not None
    )


def _range_is_age(tokens: tuple[str, ...], i: int) -> bool:
    if _is_cued(tokens, i - (i > 0 and _value(tokens, i - 1) is not None)):
        return True
    return any(
        _value(tokens, j) is not None and _is("years", _at(tokens, j + 1))
        for j in range(i, min(i + 3, len(tokens)))
    ) and not _is("time", _at(tokens, i + 2))


def _is_limit(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether this is "under 18" or "১৮ বছরের নিচে"."""
    j = i + 1 + (_is("years", _at(tokens, i + 1)) or _at(tokens, i + 1) in _OF)
    than = 2 if _at(tokens, i - 1) == "than" else 1
    return _is("under", _at(tokens, j)) or _is("under", _at(tokens, i - than))


def _is_months(tokens: tuple[str, ...], i: int) -> bool:
    unit, after = _at(tokens, i + 1), _at(tokens, i + 2)
    if not _is("months", unit) or not tokens[i][0].isdigit():
        return False
    aged = any(_is("age", _at(tokens, i - back)) for back in (1, 2))
    aged = aged or _is("baby", _before(tokens, i))
    return aged or after in _OLD or (unit[-1] in "রr" and _is("people", after))


def _is_age(tokens: tuple[str, ...], i: int, last: int, years: int, *, bare: bool) -> bool:
    before, after = _at(tokens, i - 1), _at(tokens, last + 1)
    cue = _is_cued(tokens, i)
    if _is("years", after):
        beyond = _at(tokens, last + 2)
        if _is("aged", beyond) or cue:
            return True
        return not (_is("since", before) or _is("time", beyond))
    counts = _is("units", after) and not _is("people", after)
    if counts or cue or _is("aged", after):
        return not counts
    said_of_self = bare and years <= _OLDEST_BARE and _before(tokens, i) in _SELF - _MINE
    near = years in _CHILDISH and _is("near", before)
    if years not in _BARE and not (said_of_self or near):
        return False
    person = _before(tokens, i)
    of_person = _is("people", person) and before != "|"
    if not bare:
        return of_person and after in _LIST_ENDS
    if _is("before", before):
        return False
    return (
        of_person
        or after in ("f", "m")
        or _stands_alone(tokens, i, years)
        or _follows_name(tokens, i, years)
    )


def _stands_alone(tokens: tuple[str, ...], i: int, years: int) -> bool:
    """Tell whether the number is a clause of its own: "rina, 15, from ...", not all of it."""
    before, after = _at(tokens, i - 1), _at(tokens, i + 1)
    if before in _NOW and not _is("units", after):
        return True
    last = _before(tokens, i)
    if before in _IS and after in _LIST_ENDS and years in _CHILDISH:
        return any(_is("people", token) for token in tokens[max(i - 6, 0) : i])
    if before not in _ENDS or after not in _ENDS or years not in _ALONE:
        return False
    if _is("before", last) or last[:1].isdigit() or _at(tokens, i + 2)[:1].isdigit():
        return False
    return sum(token not in _ENDS for token in tokens) > _BACK


def _follows_name(tokens: tuple[str, ...], i: int, years: int) -> bool:
    """Tell whether a name stands between the child and its age: "my son arif 9 went"."""
    name = _at(tokens, i - 1)
    return (
        years in _CHILDISH
        and _is("kin", _at(tokens, i - 2))
        and name not in _ENDS
        and not name[0].isdigit()
        and not any(_is(kind, name) for kind in ("people", "units", "time", "others", "before"))
    )


def _is_cued(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether a word for age stands before, with at most words like "about" between."""
    for back in range(1, _BACK + 1):
        token = _at(tokens, i - back)
        if _is("age", token):
            return True
        if not (token == "," or token in _SELF or _is("about", token)):
            return False
    return False


def _of_other(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the age is that of a man who does harm, a groom or a parent."""
    unit, j = _at(tokens, i + 1), i + 2
    if _at(tokens, j) in ("er", "এর"):
        unit, j = "er", j + 1
    genitive = unit.endswith(("ের", "er")) or _is("aged", unit)
    old = _at(tokens, j) in _OLD
    if (genitive or old) and _is("people", _at(tokens, j + old)):
        return False
    if _is("others", _before(tokens, i)):
        return True
    if old:
        return _is("others", _at(tokens, j + 1))
    return genitive and any(_is("others", _at(tokens, j + k)) for k in (0, 1))
