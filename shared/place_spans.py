"""Passages of a text that look like the name of a place: exact, respelt, or close.

What a passage means in its text is settled in `shared.gazetteer`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rapidfuzz import fuzz, process

from shared.name_index import ADMIN_WORDS
from shared.places import Level, all_places, district_of
from shared.spelling import fold, plain, stems

if TYPE_CHECKING:
    from shared.name_index import NameIndex

TIE: Final = 70
_FUZZY_TOP: Final = 90
_FUZZY_DISTRICT: Final = 86
_FUZZY_INSIDE: Final = 80
_FUZZY_NATIONAL: Final = 91
_FUZZY_SHORTEST: Final = 5
_FUZZY_OF_SHORT: Final = 88
_FUZZY_LATIN: Final = 6
_FUZZY_TOKENS: Final = 60
_NAME_TOKENS: Final = 4
_TOKENS: Final = 2_000
_NAMES: Final = 80  # passages settled; whoever names more places is read by a person
_GLUE: Final = frozenset(("er", "e", "te", "এর", "এ", "তে", "এবং", "in", "of"))
_BETWEEN: Final = ADMIN_WORDS | _GLUE  # what may stand between the parts of one address
_TOKEN: Final = re.compile("[A-Za-z]+(?:['’][A-Za-z]+)*|[\u0980-\u09e3\u09f0\u09f1\u200c\u200d]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, its letters only, and where it stands."""

    word: str
    start: int
    end: int


@dataclass(slots=True, eq=False)
class Span:
    """Words `first` to `last` and the places that they may name."""

    first: int
    last: int
    hits: dict[str, tuple[int, str]]  # code → score, reason
    weak: bool = False
    settled: bool = False

    def best(self, codes: list[str]) -> list[str]:
        """Return those of the codes that have the highest score of them."""
        high = max((self.hits[code][0] for code in codes), default=0)
        return [code for code in codes if self.hits[code][0] == high]

    def keep(self, codes: list[str], *, top: int | None = None) -> None:
        """Narrow to these codes, the best-scored only; settle."""
        chosen = {code: self.hits[code] for code in self.best(codes)}
        if top is not None:
            chosen = {code: (min(score, top), why) for code, (score, why) in chosen.items()}
        self.hits, self.settled = chosen, True


def list_tokens(text: str) -> list[Token]:
    """Return the words of a text in order, the first 2,000 of them."""
    return [
        Token(plain(match[0]), match.start(), match.end())
        for match, _ in zip(_TOKEN.finditer(text), range(_TOKENS), strict=False)
    ]


def find_exact(tokens: list[Token], index: NameIndex) -> list[Span]:
    """Return the first 80 passages that are names as written, with an ending, or respelt."""
    spans: list[Span] = []
    i = 0
    while i < len(tokens) and len(spans) < _NAMES:
        for size in range(min(_NAME_TOKENS, len(tokens) - i), 0, -1):
            words = [token.word for token in tokens[i : i + size]]
            word = "".join(words) in index.not_places  # such as New Market: a market first
            if hits := _look_up(words, index):
                weak = word or all(map(index.is_word, words))  # "told me her", and Meher
                spans.append(Span(i, i + size - 1, hits, weak))
                i += size
                break
            if word:
                i += size
                break
        else:
            i += 1
    return spans


def _look_up(words: list[str], index: NameIndex) -> dict[str, tuple[int, str]]:
    head, last = "".join(words[:-1]), words[-1]
    if len(words) == 1 and last in ADMIN_WORDS:
        return {}
    hits: dict[str, tuple[int, str]] = {}
    for score, reason, name in (
        (100, "exact", head + last),
        *((98, "exact with an ending", head + stem) for stem in stems(last)),
    ):
        for code in index.plain.get(name, ()):
            hits.setdefault(code, (score, index.reasons.get((name, code), reason)))
    if index.is_common(last) and all(map(index.is_common, words)):
        return hits
    for score, reason, name in (
        (94, "spelling", head + last),
        *((92, "spelling with an ending", head + stem) for stem in stems(last)),
    ):
        key = fold(name)
        if len(key) > _FUZZY_SHORTEST - 2:
            for code in index.folded.get(key, ()):
                hits.setdefault(code, (score, reason))
    return hits


def level_of(code: str) -> Level:
    """Return how large the place is."""
    return all_places()[code].level


def districts_in(span: Span) -> set[str]:
    """Return the districts that the passage may name."""
    return {code for code in span.hits if level_of(code) is Level.DISTRICT}


def middle_of(codes: list[str]) -> list[str]:
    """Return the upazilas, city corporations and thanas among the codes."""
    return [c for c in codes if level_of(c) in (Level.UPAZILA, Level.CITY_CORPORATION, Level.THANA)]


def is_near(one: Span, other: Span, tokens: list[Token]) -> bool:
    """Tell whether two passages are parts of one address."""
    left, right = (one, other) if one.first < other.first else (other, one)
    return all(tokens[i].word in _BETWEEN for i in range(left.last + 1, right.first))


def _free(spans: list[Span], tokens: list[Token], index: NameIndex) -> list[int]:
    taken = {i for span in spans for i in range(span.first, span.last + 1)}
    return [
        i
        for i, token in enumerate(tokens)
        if i not in taken
        and len(token.word) >= _FUZZY_SHORTEST
        and token.word not in ADMIN_WORDS
        and not any(index.is_common(form) for form in (token.word, *stems(token.word)))
    ][:_FUZZY_TOKENS]


def _closest(
    word: str, names: dict[str, tuple[str, ...]], cutoff: int
) -> dict[str, tuple[int, str]]:
    """Return the codes whose name is closest to the word, all of them when they tie."""
    best: dict[str, tuple[int, str]] = {}
    high = 0.0
    for form in (word, *stems(word)):
        key = fold(form)
        if len(key) < (_FUZZY_LATIN if key.isascii() else _FUZZY_SHORTEST - 1):
            continue
        least = max(high, cutoff, _FUZZY_OF_SHORT if len(key) < _FUZZY_LATIN else 0)
        for name, score, _ in process.extract(
            key, names.keys(), scorer=fuzz.ratio, score_cutoff=least, limit=5
        ):
            if name[0] != key[0]:  # people mistake the middle of a name, hardly its first letter
                continue
            if score > high:
                high, best = score, {}
            hit = (min(_FUZZY_TOP, int(score)), "close spelling")
            best.update(dict.fromkeys(names[name], hit))
    return best


def find_close_districts(spans: list[Span], tokens: list[Token], index: NameIndex) -> list[Span]:
    """Return the words that are close to the name of a district."""
    return [
        Span(i, i, hits, settled=True)
        for i in _free(spans, tokens, index)
        if (hits := _closest(tokens[i].word, index.districts, _FUZZY_DISTRICT))
    ]


def find_close_inside(spans: list[Span], tokens: list[Token], index: NameIndex) -> list[Span]:
    """Match spellings inside the named districts, and unique close ones anywhere."""
    settled = [span for span in spans if span.settled and span.hits]
    districts = sorted({d for span in settled for code in span.hits if (d := district_of(code))})
    done = any(middle_of(list(span.hits)) for span in settled)
    found = []
    for i in _free(spans, tokens, index):
        span = Span(i, i, {}, settled=True)
        if done and not any(is_near(span, other, tokens) for other in settled):
            continue
        for district in districts:
            span.hits |= _closest(tokens[i].word, index.middle_of(district), _FUZZY_INSIDE)
            if not span.hits and any(is_near(span, other, tokens) for other in settled):
                span.hits |= _closest(tokens[i].word, index.unions_of(district), _FUZZY_INSIDE)
        if not districts and len(tokens[i].word) > _FUZZY_SHORTEST:
            span.hits = _closest(tokens[i].word, index.middle, _FUZZY_NATIONAL)
        if span.hits:
            many = len(span.hits) > 1
            span.keep(list(span.hits), top=TIE if many else None)
            found.append(span)
    return found
