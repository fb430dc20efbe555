"""The age that a message says. Pure. A number that may be something else is no age.

Two ages of two children, or a range, are not one age: the person is a child, the age unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.intake.reading.age_cues import (
    ADULT,
    AND,
    BACK,
    LIST_ENDS,
    MINE,
    OLD,
    OLDEST,
    SELF,
    goes_before,
    in_range,
    is_age,
    is_limit,
    is_months,
    is_past,
    is_preposition,
    is_then,
    is_word,
    range_is_age,
    token_at,
    value_at,
    word_after,
    word_before,
)
from shared.text import ascii_digits

_YOUNGEST_OTHER: Final = 16  # younger than that it is the child itself
_RANGE: Final = re.compile(r"(\d{1,2})[-/](\d{1,2})")
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


def _list_said(tokens: tuple[str, ...]) -> tuple[list[_Said], bool]:
    """Return the single ages, and whether a range or a limit says that it is a child."""
    said: list[_Said] = []
    minor = False
    for i, token in enumerate(tokens):
        if pair := _RANGE.fullmatch(token):
            minor |= is_age(tokens, i, i, 10, bare=True) and int(pair[2]) < ADULT
            continue
        years = None if is_preposition(tokens, i) else value_at(tokens, i)
        if years is None or in_range(tokens, i):
            if years is not None and range_is_age(tokens, i):
                minor |= years < ADULT
            continue
        if is_limit(tokens, i):
            minor |= years <= ADULT
        elif is_months(tokens, i):
            said.append(_Said(0, i))
        elif _of_other(tokens, i):
            continue
        elif (
            is_age(tokens, i, i, years, bare=token[0].isdigit())
            or _follows(tokens, i, said)
            or goes_before(tokens, i)
            or (i > 1 and said[-1:] and said[-1].at == i - 2 and goes_before(tokens, i - 2))
        ):
            person = is_word("people", word_after(tokens, i))
            said.append(
                _Said(
                    years,
                    i,
                    of_self=word_before(tokens, i) in (SELF - MINE if person else SELF),
                    as_person=person,
                    past=is_past(tokens, i),
                    then=is_then(tokens, i),
                )
            )
    return said, minor


def _follows(tokens: tuple[str, ...], i: int, said: list[_Said]) -> bool:
    """Tell whether this number goes on a list of ages: "12, 5 and 1"."""
    if not said or not tokens[i][0].isdigit() or token_at(tokens, i + 1) not in LIST_ENDS:
        return False
    back = i - 1
    while back >= i - BACK and token_at(tokens, back) in (AND | {","}):
        back -= 1
    return back < i - 1 and any(one.at in (back, back - 1) for one in said)


def _of_other(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the age is that of a man who does harm, a groom or a parent."""
    if (value_at(tokens, i) or 0) < _YOUNGEST_OTHER:
        return False
    unit, j = token_at(tokens, i + 1), i + 2
    if token_at(tokens, j) in ("er", "এর"):
        unit, j = "er", j + 1
    genitive = unit.endswith(("ের", "er")) or is_word("aged", unit)
    old = token_at(tokens, j) in OLD
    if (genitive or old) and is_word("people", token_at(tokens, j + old)):
        return False
    if is_word("others", word_before(tokens, i)):
        return True
    if old:
        return is_word("others", token_at(tokens, j + 1))
    return genitive and any(is_word("others", token_at(tokens, j + k)) for k in (0, 1))
