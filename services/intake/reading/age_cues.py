"""Whether a number is an age: the words that stand beside it. Pure."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Final

from services.intake.reading.words import LEXICON, fold_word, word_pattern

ADULT: Final = 18
OLDEST: Final = 110
_BARE: Final = range(5, 31)  # a number beside a person, with no word for years
_OLDEST_BARE: Final = 80  # after "I am"
BACK: Final = 3
_NUMBER: Final = re.compile(r"\d{1,3}(?:\.\d+)?")
_OR: Final = frozenset(map(fold_word, ("to", "or", "theke", "ba", "na", "থেকে", "বা", "না", "কিংবা")))
AND: Final = frozenset(map(fold_word, ("and", "ar", "আর", "ও", "o", "এবং", "ebong")))
LIST_ENDS: Final = AND | {"", ",", "|"}
_AT_AGE: Final = frozenset(map(fold_word, ("বয়সে", "boyose", "boyoshe")))
_THEN: Final = frozenset(map(fold_word, ("তখন", "tokhon", "takhon", "then")))
_OF: Final = frozenset(map(fold_word, ("er", "এর", "র", "r")))
_ONE: Final = frozenset(map(fold_word, ("এক", "ek", "one")))
OLD: Final = frozenset(("old", "olds"))
_DETERMINERS: Final = frozenset(map(fold_word, ("ta", "ti", "টা", "টি", "ke", "কে", "re", "রে")))
_NOW: Final = frozenset(map(fold_word, ("এখন", "ekhon", "akhon", "ekhn", "now")))
_ENDS: Final = frozenset(("", ",", "|"))
_IS: Final = frozenset(("is", "was", "are"))
_CHILDISH: Final = range(3, ADULT)
_ALONE: Final = range(5, ADULT + 12)
SELF: Final = frozenset(map(fold_word, ("আমি", "আমার", "ami", "amar", "i", "im", "my")))
MINE: Final = frozenset(map(fold_word, ("আমার", "amar", "amr", "my")))


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


def is_word(kind: str, token: str) -> bool:
    """Tell whether the token is a word of this kind in `lexicon/ages.toml`."""
    return bool(token) and _beside()[kind].fullmatch(token) is not None


def value_at(tokens: tuple[str, ...], i: int) -> int | None:
    """Return the number that the token says, None for another word or one too high."""
    token = tokens[i]
    if _NUMBER.fullmatch(token):
        value = int(float(token))
        return value if value <= OLDEST else None
    return _numbers().get(token)


def is_preposition(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether "at" is the English word, and not eight in Bangla."""
    after = token_at(tokens, i + 1)
    return tokens[i] == "at" and not (
        after in _ENDS or any(is_word(kind, after) for kind in ("years", "about", "months"))
    )


def token_at(tokens: tuple[str, ...], i: int) -> str:
    """Return the token there, or nothing outside the message."""
    return tokens[i] if 0 <= i < len(tokens) else ""


def word_before(tokens: tuple[str, ...], i: int) -> str:
    """Return the word before, over commas, `about` and words for age."""
    for back in range(1, BACK + 2):
        token = token_at(tokens, i - back)
        if not (
            token in (",", "am")
            or token in _DETERMINERS
            or is_word("about", token)
            or is_word("age", token)
        ):
            return token
    return ""


def word_after(tokens: tuple[str, ...], i: int) -> str:
    """Return the word after a number, over the word for years."""
    return token_at(tokens, i + 1 + is_word("years", token_at(tokens, i + 1)))


def goes_before(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether an age follows on a list: "১১ ও ১৩ বছরের", "two sisters, 9 and 13"."""
    j = i + 2
    if token_at(tokens, i + 1) not in AND or j >= len(tokens) or value_at(tokens, j) is None:
        return False
    if is_word("years", token_at(tokens, j + 1)):
        return is_age(tokens, j, j, 0, bare=False)
    return (
        tokens[i][0].isdigit()
        and int(float(tokens[i])) in _CHILDISH
        and not is_word("units", token_at(tokens, j + 1))
        and (
            is_word("people", word_before(tokens, i)) or is_word("several", word_before(tokens, i))
        )
    )


def is_past(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the age is that at some event: "১৬ বছর বয়সে", "at the age of 16"."""
    return (
        token_at(tokens, i + 2) in _AT_AGE
        or token_at(tokens, i + 1) in _AT_AGE
        or is_then(tokens, i)
    )


def is_then(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether "then" stands before: the age is that of long ago."""
    return any(token_at(tokens, i - back) in _THEN for back in range(1, BACK + 1))


def in_range(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the number is one end of a range, or beside another number."""
    for step in (1, -1):
        joint, other = token_at(tokens, i + step), i + 2 * step
        if joint in _OR and 0 <= other < len(tokens) and value_at(tokens, other) is not None:
            return True
    if tokens[i] in _ONE or token_at(tokens, i - 1) in _ONE:
        return False
    follows, precedes = i + 1 < len(tokens), i > 0
    return (follows and value_at(tokens, i + 1) is not None) or (
        precedes and value_at(tokens, i - 1) is not None
    )


def range_is_age(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the range counts years of age."""
    if _is_cued(tokens, i - (i > 0 and value_at(tokens, i - 1) is not None)):
        return True
    return any(
        value_at(tokens, j) is not None and is_word("years", token_at(tokens, j + 1))
        for j in range(i, min(i + 3, len(tokens)))
    ) and not is_word("time", token_at(tokens, i + 2))


def is_limit(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether this is "under 18" or "১৮ বছরের নিচে"."""
    j = i + 1 + (is_word("years", token_at(tokens, i + 1)) or token_at(tokens, i + 1) in _OF)
    than = 2 if token_at(tokens, i - 1) == "than" else 1
    return is_word("under", token_at(tokens, j)) or is_word("under", token_at(tokens, i - than))


def is_months(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether the number counts the months of a baby."""
    unit, after = token_at(tokens, i + 1), token_at(tokens, i + 2)
    if not is_word("months", unit) or not tokens[i][0].isdigit():
        return False
    aged = any(is_word("age", token_at(tokens, i - back)) for back in (1, 2))
    return (
        aged
        or is_word("baby", word_before(tokens, i))
        or after in OLD
        or (unit[-1] in "রr" and is_word("people", after))
    )


def is_age(tokens: tuple[str, ...], i: int, last: int, years: int, *, bare: bool) -> bool:
    """Tell whether the number is an age; `bare` numbers need a person beside them."""
    before, after = token_at(tokens, i - 1), token_at(tokens, last + 1)
    cue = _is_cued(tokens, i)
    if is_word("years", after):
        beyond = token_at(tokens, last + 2)
        if is_word("aged", beyond) or cue:
            return True
        return not (is_word("since", before) or is_word("time", beyond))
    counts = is_word("units", after) and not is_word("people", after)
    if counts or cue or is_word("aged", after):
        return not counts
    said_of_self = bare and years <= _OLDEST_BARE and word_before(tokens, i) in SELF - MINE
    near = years in _CHILDISH and is_word("near", before)
    if years not in _BARE and not (said_of_self or near):
        return False
    of_person = is_word("people", word_before(tokens, i)) and before != "|"
    if not bare:
        return of_person and after in LIST_ENDS
    if is_word("before", before):
        return False
    return (
        of_person
        or after in ("f", "m")
        or _stands_alone(tokens, i, years)
        or _follows_name(tokens, i, years)
    )


def _stands_alone(tokens: tuple[str, ...], i: int, years: int) -> bool:
    """Tell whether the number is a clause of its own: "rina, 15, from ...", not all of it."""
    before, after = token_at(tokens, i - 1), token_at(tokens, i + 1)
    if before in _NOW and not is_word("units", after):
        return True
    last = word_before(tokens, i)
    if before in _IS and after in LIST_ENDS and years in _CHILDISH:
        return any(is_word("people", token) for token in tokens[max(i - 6, 0) : i])
    if before not in _ENDS or after not in _ENDS or years not in _ALONE:
        return False
    if (
        (is_word("before", last) and last != "clas")
        or last[:1].isdigit()
        or token_at(tokens, i + 2)[:1].isdigit()
    ):
        return False
    return sum(token not in _ENDS for token in tokens) > BACK


def _follows_name(tokens: tuple[str, ...], i: int, years: int) -> bool:
    """Tell whether a name stands between the child and its age: "my son arif 9 went"."""
    name = token_at(tokens, i - 1)
    return (
        years in _CHILDISH
        and is_word("kin", token_at(tokens, i - 2))
        and name not in _ENDS
        and not name[0].isdigit()
        and not any(is_word(kind, name) for kind in ("people", "units", "time", "others", "before"))
    )


def _is_cued(tokens: tuple[str, ...], i: int) -> bool:
    """Tell whether a word for age stands before, with at most words like "about" between."""
    for back in range(1, BACK + 1):
        token = token_at(tokens, i - back)
        if is_word("age", token):
            return True
        if not (token == "," or token in SELF or is_word("about", token)):
            return False
    return False
