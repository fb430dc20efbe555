"""What a message only supposes, plays or tells of a time gone by. Pure.

"If somebody is locked in, whom do I call?" tells of nobody; "two years ago he strangled me" is
true and is not this hour. What is unreal is not heard at all; what is past or over is heard, and
raises no danger. `lexicon/moods.toml` has the words.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from services.intake.reading.words import LEXICON, compile_phrases, fold_word

if TYPE_CHECKING:
    from collections.abc import Iterator

_SENTENCE: Final = re.compile(r"[^|]+")
_CLAUSE: Final = re.compile("[^,]+")
_SINCE_BEFORE: Final = frozenset(map(fold_word, ("since", "from", "for")))
_SINCE_AFTER: Final = frozenset(
    map(
        fold_word,
        ("থেকে", "থেইকা", "ধরে", "ধইরা", "যাবত", "theke", "thika", "dhore", "dhoira", "jabot"),
    ),
)
_NOT: Final = frozenset(map(fold_word, ("না", "নাই", "নেই", "নয়", "na", "nai", "nei", "noy")))


class Mood(Enum):
    """How a part of a message is meant."""

    LIVE = auto()
    PAST = auto()
    UNREAL = auto()


@dataclass(frozen=True, slots=True)
class Moods:
    """The moods of a line of folded words: `starts` ascending, one mood from each on."""

    starts: tuple[int, ...] = (0,)
    moods: tuple[Mood, ...] = (Mood.LIVE,)

    def at(self, position: int) -> Mood:
        """Return the mood at a position of the line."""
        return self.moods[bisect_right(self.starts, position) - 1]


@cache
def _load() -> dict[str, Any]:
    return tomllib.loads((LEXICON / "moods.toml").read_text(encoding="utf-8"))


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    rows = [row for row in _load()["mood"] if row["kind"] == kind]
    return compile_phrases(
        phrase for row in rows for language in ("bn", "banglish", "en") for phrase in row[language]
    )


@cache
def load_context() -> frozenset[str]:
    """Return the signals of who and where, heard in whatever mood."""
    return frozenset(_load()["context"])


def read_moods(line: str) -> tuple[str, Moods]:
    """Return the line with its idioms blanked, and the mood of each part of it."""
    line = _pattern("idiom").sub(lambda match: "_ " * match[0].count(" "), line)
    if _pattern("told").search(line) and not _pattern("own").search(line):
        return line, Moods(moods=(Mood.UNREAL,))
    if _pattern("laughed").search(line) and not _pattern("pleads").search(line):
        return line, Moods(moods=(Mood.PAST,))
    sentences = [match.span() for match in _SENTENCE.finditer(line)]
    parts = [part for start, end in sentences for part in _read_sentence(line, start, end)]
    ended = _find_end_of_it(line, sentences)
    moods = (Mood.PAST if start < ended and mood is Mood.LIVE else mood for start, mood in parts)
    return line, Moods((0, *(start for start, _ in parts)), (Mood.LIVE, *moods))


def _read_sentence(line: str, start: int, end: int) -> Iterator[tuple[int, Mood]]:
    if _pattern("supposed").search(line, start, end) and not _pattern("own").search(
        line, start, end
    ):
        yield start, Mood.UNREAL
        return
    for clause in _CLAUSE.finditer(line, start, end):
        span = clause.span()
        past = _is_past(line, *span) and not _pattern("again").search(line, *span)
        yield clause.start(), Mood.PAST if past else Mood.LIVE


def _is_past(line: str, start: int, end: int) -> bool:
    """Tell whether a time gone by is named, and not as that since when it goes on."""
    return any(
        _SINCE_BEFORE.isdisjoint(line[start : past.start()].split()[-1:])
        and _SINCE_AFTER.isdisjoint(line[past.end() : end].split()[:1])
        for past in _pattern("past").finditer(line, start, end)
    )


def _find_end_of_it(line: str, sentences: list[tuple[int, int]]) -> int:
    """Return up to where the message tells of what is over now."""
    return max(
        (
            end
            for start, end in sentences
            for over in _pattern("over").finditer(line, start, end)
            if _NOT.isdisjoint(line[over.end() :][:9].split(" ")[:1])
            and not _pattern("again").search(line, over.end(), end)
        ),
        default=0,
    )
