"""Words of a message, folded, and the signals that the lexicon hears in them. Pure.

A message becomes one line of folded words, `,` between clauses and `|` between sentences; each
signal of `lexicon/signals.toml` is one regular expression over that line, without nesting of
repetitions, so that time grows with the length only.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shared import spelling
from shared.text import Language, ascii_digits, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

LEXICON: Final = Path(__file__).parents[1] / "lexicon"
READ: Final = 20_000  # characters, the longest text that a channel takes

_TOKEN: Final = re.compile(
    "[a-z]+(?:['’`][a-z]+)*|[\u0980-\u09e3\u09f0\u09f1\u200c\u200d]+|\\d+(?:[.,/:-]\\d+)*"
    "|[।|.!?;\n]|[,()৳$–—]",
)
_SENTENCE: Final = frozenset("।|.!?;\n")
_MONEY: Final = frozenset("৳$")
_FOLD_WHOLE: Final = re.compile("(?:ch|c|s)+h*(e|i|en|o|eo)$")
_FOLDS: Final = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        ("ph", "f"),
        ("vh?", "bh"),
        ("z|jh", "j"),
        ("sh+", "s"),
        ("c+h+(?:c*h+)*", "ch"),
        ("oo", "u"),
        ("ee", "i"),
        (r"(.)\1+", r"\1"),
    )
)
_NOT_AFTER: Final = frozenset(
    ("না", "নাই", "নি", "নেই", "নয়", "na", "nai", "ni", "nei", "noy", "nay"),
)
_HELPING: Final = frozenset(
    ("হয়", "করে", "হইছে", "হয়েছে", "hoy", "hoi", "kore", "hoyeche", "hoise")
)
_NOT_INSIDE: Final = re.compile("(?:Y|ে|স|ল)(?:নি|নাই|না)$|(?:[aeo]yni|reni|[aeo]yna|rena)$")
_NOT_BEFORE: Final = frozenset(
    (
        "not", "never", "no", "dont", "doesnt", "didnt", "isnt", "wasnt", "arent", "werent",
        "havent", "hasnt", "without", "nobody",
    ),
)  # fmt: skip
_REACH_OF_NOT: Final = 3
_SAFE_LENGTH: Final = 5


def fold_word(word: str) -> str:
    """Return the key of a lower-case word, Bangla or Latin."""
    if not word.isascii():
        return spelling.soften(spelling.plain(word))
    return _FOLD_WHOLE.sub(r"s\1", _fold_start(word))


def _fold_start(word: str) -> str:
    if not word.isascii():
        return spelling.soften(spelling.plain(word))
    folded = word
    for pattern, to in _FOLDS:
        folded = pattern.sub(to, folded)
    return folded


@cache
def word_pattern(word: str) -> str:
    """Return the expression for one word of a phrase; `word*` takes any ending."""
    if word == "..":
        return "(?:[^ |,]+ ){0,3}?"
    if not word.endswith("*"):
        return re.escape(word if word.isdigit() else fold_word(word)) + " "
    start = word.removesuffix("*")
    if not start:
        return "[^ |,]+ "
    whole = re.escape(fold_word(start))
    return f"(?:{re.escape(_fold_start(start))}[^ |,]*|{whole}) "


def fold_tokens(text: str) -> tuple[str, ...]:
    """Return folded words, numbers in ASCII digits, `৳`, `,` and `|` of a normalised text."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(ascii_digits(text[:READ]).lower()):
        raw = match[0]
        if raw in _SENTENCE:
            tokens.append("|")
        elif raw in _MONEY:
            tokens.append("৳")
        elif raw[0].isdigit():
            tokens.append(raw)
        elif len(raw) == 1 and raw in ",()–—":
            tokens.append(",")
        else:
            word = re.sub("['’`]", "", raw) if raw[0] <= "z" else raw
            if folded := fold_word(word):
                tokens.append(folded)
    return tuple(tokens)


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    signal: str
    pattern: re.Pattern[str]
    negatable: bool
    unless: re.Pattern[str] | None


@cache
def _entries(*, loose: bool) -> tuple[_Entry, ...]:
    """Compile the lexicon; `loose` lets Latin words be read as Bangla that look like English."""
    with (LEXICON / "signals.toml").open("rb") as file:
        rows = tomllib.load(file)["entry"]
    entries = []
    for row in rows:
        banglish = row.get("banglish", ())
        if not loose:
            banglish = [phrase for phrase in banglish if _is_safe(phrase)]
        phrases = (*row.get("bn", ()), *banglish, *row.get("en", ()))
        unless = _any_of(row["unless"]) if "unless" in row else None
        entries.append(
            _Entry(row["id"], row["signal"], _any_of(phrases), row.get("negatable", False), unless)
        )
    return tuple(entries)


def _any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted({_phrase_pattern(p) for p in phrases}, key=len, reverse=True)
    return re.compile("(?<= )(?:" + "|".join(longest_first) + ")")


def _is_safe(phrase: str) -> bool:
    words = phrase.replace("*", "").split()
    return len("".join(words)) >= _SAFE_LENGTH and not set(words) <= words_of("en")


def _phrase_pattern(phrase: str) -> str:
    return "".join(word_pattern(word) for word in phrase.lower().split())


def find_signals(tokens: tuple[str, ...], language: Language) -> dict[str, tuple[str, ...]]:
    """Return the signals heard, each with the ids of the entries that raised it."""
    line = " " + " ".join(tokens) + " "
    found: dict[str, list[str]] = {}
    for entry in _entries(loose=language == "banglish"):
        if any(_is_meant(entry, line, match) for match in entry.pattern.finditer(line)):
            found.setdefault(entry.signal, []).append(entry.id)
    return {signal: tuple(ids) for signal, ids in found.items()}


def _is_meant(entry: _Entry, line: str, match: re.Match[str]) -> bool:
    if entry.unless is not None and entry.unless.match(line, match.start()):
        return False
    return not (entry.negatable and _is_negated(line, match))


def _is_negated(line: str, match: re.Match[str]) -> bool:
    after = line[match.end() : match.end() + 40].split(" ")
    helped = after[0] in _HELPING_FOLDED
    if _NOT_FOLDED.isdisjoint(after[helped : helped + 1]):
        pass
    elif not "".join(after[helped + 1 : helped + 2]).endswith(_CONDITIONAL):
        return True
    if _NOT_INSIDE.search(after[0]) or _NOT_INSIDE.search(match[0].rstrip()):
        return True
    before = re.split("[|,]", line[max(match.start() - 60, 0) : match.start()])[-1].split()
    return not _NOT_BEFORE_FOLDED.isdisjoint(before[-_REACH_OF_NOT:])


_CONDITIONAL: Final = ("লে", "le")  # "না নিলে", "na dile": if not, something follows
_NOT_FOLDED: Final = frozenset(map(fold_word, _NOT_AFTER))
_HELPING_FOLDED: Final = frozenset(map(fold_word, _HELPING))
_NOT_BEFORE_FOLDED: Final = frozenset(map(fold_word, _NOT_BEFORE))


@dataclass(frozen=True, slots=True)
class Rule:
    """Signals that together mean something: all groups of `all`, nothing of `none`."""

    id: str
    concern: str | None
    urgency: str
    all: tuple[frozenset[str], ...]
    none: frozenset[str]

    def holds(self, signals: frozenset[str]) -> bool:
        """Tell whether the rule applies to these signals."""
        return self.none.isdisjoint(signals) and not any(g.isdisjoint(signals) for g in self.all)


@cache
def load_rules() -> tuple[Rule, ...]:
    """Return the rules of `lexicon/rules.toml`; a danger has no concern of its own."""
    with (LEXICON / "rules.toml").open("rb") as file:
        tables = tomllib.load(file)
    return tuple(
        Rule(
            id=row["id"],
            concern=row.get("concern"),
            urgency=row.get("urgency", "T0"),
            all=tuple(frozenset(group.split("|")) for group in row["all"]),
            none=frozenset(row.get("none", ())),
        )
        for row in (*tables["rule"], *tables["danger"])
    )
