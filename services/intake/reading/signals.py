"""The signals that the lexicon hears in a message, and the rules that combine them. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from services.intake.reading.moods import Mood, Moods, load_context, read_moods
from services.intake.reading.words import LEXICON, compile_phrases, fold_word
from shared.text import Language, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES: Final = ("signals.toml", "danger.toml")
_NOT_AFTER: Final = frozenset(
    map(fold_word, ("না", "নাই", "নি", "নেই", "নয়", "na", "nai", "ni", "nei", "noy", "nay")),
)
_HELPING: Final = frozenset(
    map(fold_word, ("হয়", "করে", "হইছে", "হয়েছে", "hoy", "hoi", "kore", "hoyeche", "hoise")),
)
_NOT_INSIDE: Final = re.compile("(?:Y|ে|স|ল)(?:নি|নাই|না)$|(?:[aeo]yni|reni|[aeo]yna|rena)$")
_NOT_BEFORE: Final = frozenset(
    map(
        fold_word,
        (
            "not", "never", "no", "dont", "doesnt", "didnt", "isnt", "wasnt", "arent", "werent",
            "havent", "hasnt", "without", "nobody",
        ),
    ),
)  # fmt: skip
_CONDITIONAL: Final = ("লে", "le")  # "না নিলে", "na dile": if not, something follows
_REACH_OF_NOT: Final = 3
_SAFE_LENGTH: Final = 5


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    signal: str
    pattern: re.Pattern[str]
    negatable: bool
    unless: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Heard:
    """The signals of a message with the entries that raised them; `live` ones are of this hour."""

    signals: dict[str, tuple[str, ...]]
    live: frozenset[str]


@cache
def _entries(*, loose: bool) -> tuple[_Entry, ...]:
    """Compile the lexicon; `loose` lets Latin words be read as Bangla that look like English."""
    entries = []
    for row in _load_rows("entry"):
        banglish = row.get("banglish", ())
        if not loose:
            banglish = [phrase for phrase in banglish if _is_safe(phrase)]
        phrases = (*row.get("bn", ()), *banglish, *row.get("en", ()))
        entries.append(
            _Entry(
                row["id"],
                row["signal"],
                compile_phrases(phrases),
                row.get("negatable", False),
                compile_phrases(row["unless"]) if "unless" in row else None,
            ),
        )
    return tuple(entries)


def _load_rows(table: str, files: tuple[str, ...] = _FILES) -> list[dict[str, Any]]:
    loaded = (tomllib.loads((LEXICON / name).read_text(encoding="utf-8")) for name in files)
    return list(chain.from_iterable(tables.get(table, ()) for tables in loaded))


def _is_safe(phrase: str) -> bool:
    words = phrase.replace("*", "").split()
    return len("".join(words)) >= _SAFE_LENGTH and not set(words) <= words_of("en")


def hear(tokens: tuple[str, ...], language: Language) -> Heard:
    """Return what is heard; what is only supposed or told of is not, what is over is not live."""
    line, moods = read_moods(" " + " ".join(tokens) + " ")
    context = load_context()
    found: dict[str, list[str]] = {}
    live: set[str] = set()
    for entry in _entries(loose=language == "banglish"):
        kept = entry.signal in context
        for mood in _list_moods(entry, line, moods):
            if mood is Mood.UNREAL and not kept:
                continue
            ids = found.setdefault(entry.signal, [])
            if entry.id not in ids:
                ids.append(entry.id)
            if kept or mood is Mood.LIVE:
                live.add(entry.signal)
                break
    return Heard({signal: tuple(ids) for signal, ids in found.items()}, frozenset(live))


def _list_moods(entry: _Entry, line: str, moods: Moods) -> Iterator[Mood]:
    """Yield the mood of each place where the entry is meant."""
    for match in entry.pattern.finditer(line):
        if _is_meant(entry, line, match):
            yield moods.at(match.start())


def _is_meant(entry: _Entry, line: str, match: re.Match[str]) -> bool:
    if entry.unless is not None and entry.unless.match(line, match.start()):
        return False
    return not (entry.negatable and _is_negated(line, match))


def _is_negated(line: str, match: re.Match[str]) -> bool:
    after = line[match.end() : match.end() + 40].split(" ")
    helped = after[0] in _HELPING
    if _NOT_AFTER.isdisjoint(after[helped : helped + 1]):
        pass
    elif not "".join(after[helped + 1 : helped + 2]).endswith(_CONDITIONAL):
        return True
    if _NOT_INSIDE.search(after[0]) or _NOT_INSIDE.search(match[0].rstrip()):
        return True
    before = re.split("[|,]", line[max(match.start() - 60, 0) : match.start()])[-1].split()
    return not _NOT_BEFORE.isdisjoint(before[-_REACH_OF_NOT:])


@dataclass(frozen=True, slots=True)
class Rule:
    """Signals that together mean something.

    All groups of `all`, at least `least` groups of `of`, nothing of `none`.
    """

    id: str
    concern: str | None
    urgency: str
    all: tuple[frozenset[str], ...]
    none: frozenset[str]
    of: tuple[frozenset[str], ...] = ()
    least: int = 0

    def holds(self, signals: frozenset[str]) -> bool:
        """Tell whether the rule applies to these signals."""
        if not self.none.isdisjoint(signals) or any(g.isdisjoint(signals) for g in self.all):
            return False
        return sum(not group.isdisjoint(signals) for group in self.of) >= self.least


@cache
def load_rules() -> tuple[Rule, ...]:
    """Return the rules of the lexicon; a danger has no concern of its own."""
    files = ("rules.toml", "danger.toml")
    return tuple(
        Rule(
            id=row["id"],
            concern=row.get("concern"),
            urgency=row.get("urgency", "T0"),
            all=tuple(frozenset(group.split("|")) for group in row["all"]),
            none=frozenset(row.get("none", ())),
            of=tuple(frozenset(group.split("|")) for group in row.get("of", ())),
            least=row.get("least", 0),
        )
        for row in (*_load_rows("rule", files), *_load_rows("danger", files))
    )
