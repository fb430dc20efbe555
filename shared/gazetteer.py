"""Which places a text names: exact names first, districts first, then spellings inside them.

A name that several places bear stays a tie until the text names what they lie in: 742 names of
unions repeat nationally. Pure after the first call, which builds the index; safe in threads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rapidfuzz import fuzz, process

from shared.name_index import ADMIN_WORDS, NameIndex, name_index
from shared.places import Candidate, Level, all_places, ancestors, district_of
from shared.spelling import fold, plain, stems

ACCEPT: Final = 80  # below: ask
_TIE: Final = 70
_LONE_UNION: Final = 65
_FUZZY_TOP: Final = 90
_FUZZY_DISTRICT: Final = 86
_FUZZY_INSIDE: Final = 80
_FUZZY_NATIONAL: Final = 91
_FUZZY_SHORTEST: Final = 5
_FUZZY_TOKENS: Final = 60
_NAME_TOKENS: Final = 4
_TOKENS: Final = 2_000
_NEAR: Final = 0  # words between the parts of one address

_TOKEN: Final = re.compile("[A-Za-z]+(?:['’][A-Za-z]+)*|[\u0980-\u09e3\u09f0\u09f1\u200c\u200d]+")


@dataclass(frozen=True, slots=True)
class Mention:
    """One passage that names a place; several candidates are a tie."""

    start: int
    end: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    start: int
    end: int


@dataclass(slots=True, eq=False)
class _Span:
    first: int
    last: int
    hits: dict[str, tuple[int, str]]  # code → score, reason
    weak: bool = False
    settled: bool = False

    def keep(self, codes: list[str], *, top: int | None = None) -> None:
        """Narrow to these codes, the best-scored only; settle."""
        best = max((self.hits[code][0] for code in codes), default=0)
        chosen = {code: self.hits[code] for code in codes if self.hits[code][0] == best}
        if top is not None:
            chosen = {code: (min(score, top), why) for code, (score, why) in chosen.items()}
        self.hits, self.settled = chosen, True


def resolve(text: str) -> tuple[Candidate, ...]:
    """Return every candidate of every mention, best first; ties share their score."""
    found = [candidate for mention in list_mentions(text) for candidate in mention.candidates]
    return tuple(sorted(found, key=lambda candidate: (-candidate.score, candidate.start)))


def list_mentions(text: str) -> tuple[Mention, ...]:
    """Return the places named in a normalised text, in order; a parent gives way to its child."""
    index = name_index()
    tokens = [
        _Token(plain(match[0]), match.start(), match.end())
        for match, _ in zip(_TOKEN.finditer(text), range(_TOKENS), strict=False)
    ]
    spans = _exact(tokens, index)
    _settle_districts(spans, tokens)
    spans += _fuzzy_districts(spans, tokens, index)
    _settle_inside(spans, tokens)
    spans += _fuzzy_inside(spans, tokens, index)
    _settle_rest(spans, tokens)
    kept = sorted((span for span in spans if span.hits), key=lambda span: span.first)
    parents = [span for span in kept if _is_parent(span, kept)]
    return tuple(_mention(span, parents, tokens) for span in kept if span not in parents)


def _exact(tokens: list[_Token], index: NameIndex) -> list[_Span]:
    spans: list[_Span] = []
    i = 0
    while i < len(tokens):
        for size in range(min(_NAME_TOKENS, len(tokens) - i), 0, -1):
            words = [token.word for token in tokens[i : i + size]]
            if hits := _look_up(words, index):
                weak = size == 1 and index.is_word(words[0])
                spans.append(_Span(i, i + size - 1, hits, weak))
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
    if len(words) == 1 and index.is_common(last):
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


def _level(code: str) -> Level:
    return all_places()[code].level


def _districts(span: _Span) -> set[str]:
    return {code for code in span.hits if _level(code) is Level.DISTRICT}


def _middle(codes: list[str]) -> list[str]:
    return [c for c in codes if _level(c) in (Level.UPAZILA, Level.CITY_CORPORATION, Level.THANA)]


def _near(one: _Span, other: _Span, tokens: list[_Token]) -> bool:
    """Tell whether two passages are parts of one address."""
    left, right = (one, other) if one.first < other.first else (other, one)
    between = tokens[left.last + 1 : right.first]
    return sum(token.word not in ADMIN_WORDS for token in between) <= _NEAR


def _settle_districts(spans: list[_Span], tokens: list[_Token]) -> None:
    """A name with a district beside it is what lies in that district; else it is a district."""
    named = [_districts(span) for span in spans]
    for i, span in enumerate(spans):
        if not named[i]:
            continue
        inside = [
            code
            for j, other in enumerate(spans)
            if j != i and named[j] and _near(span, other, tokens)
            for code in _middle(list(span.hits))
            if district_of(code) in named[j] - named[i]
        ]
        span.keep(inside or sorted(named[i]))
    for span in spans:
        divisions = [code for code in span.hits if _level(code) is Level.DIVISION]
        if divisions and not span.settled:
            span.keep(divisions)
    for span in spans:
        if span.settled and len(span.hits) == 1 and _says(span, tokens, ("bibhag", "বিভাগ")):
            code, hit = next(iter(span.hits.items()))
            division = ancestors(code)[1]
            if all_places()[code].name_en == all_places()[division].name_en:
                span.hits = {division: hit}


def _says(span: _Span, tokens: list[_Token], words: tuple[str, ...]) -> bool:
    beside = tokens[span.last + 1 : span.last + 2]
    return any(token.word.startswith(words) or token.word == "division" for token in beside)


def _settle_inside(spans: list[_Span], tokens: list[_Token]) -> None:
    """Settle what lies in a place that the text names: upazilas anywhere, unions beside it."""
    for levels in ("middle", "union"):
        for span in spans:
            if span.settled:
                continue
            anchors = [other for other in spans if other is not span and other.settled]
            codes = list(span.hits) if levels == "union" else _middle(list(span.hits))
            inside = {
                code
                for code in codes
                for other in anchors
                if set(ancestors(code)[1:]) & set(other.hits)
                and ((levels == "middle" and not span.weak) or _near(span, other, tokens))
            }
            if inside:
                span.keep(sorted(inside))
        for span in spans:  # a name that one upazila alone bears names its district too
            middle = _middle(list(span.hits))
            if not span.settled and not span.weak and len(middle) == 1:
                span.keep(middle)


def _settle_rest(spans: list[_Span], tokens: list[_Token]) -> None:
    """What no context settles is a tie, or a union to be asked about, or only a word."""
    for span in spans:
        if span.settled:
            continue
        middle = _middle(list(span.hits))
        if span.weak and not _admin_beside(span, tokens):
            span.hits = {}
        elif middle:
            span.keep(middle, top=None if len(middle) == 1 else _TIE)
        else:
            span.keep(list(span.hits), top=_LONE_UNION)


def _admin_beside(span: _Span, tokens: list[_Token]) -> bool:
    beside = tokens[max(span.first - 1, 0) : span.first] + tokens[span.last + 1 : span.last + 2]
    return any(token.word in ADMIN_WORDS for token in beside)


def _free(spans: list[_Span], tokens: list[_Token], index: NameIndex) -> list[int]:
    taken = {i for span in spans for i in range(span.first, span.last + 1)}
    return [
        i
        for i, token in enumerate(tokens)
        if i not in taken
        and len(token.word) >= _FUZZY_SHORTEST
        and token.word not in ADMIN_WORDS
        and not index.is_common(token.word)
    ][:_FUZZY_TOKENS]


def _closest(
    word: str, names: dict[str, tuple[str, ...]], cutoff: int
) -> dict[str, tuple[int, str]]:
    """Return the codes whose name is closest to the word, all of them when they tie."""
    best: dict[str, tuple[int, str]] = {}
    high = 0.0
    for form in (word, *stems(word)):
        key = fold(form)
        if len(key) < _FUZZY_SHORTEST - 1:
            continue
        for name, score, _ in process.extract(
            key, names.keys(), scorer=fuzz.ratio, score_cutoff=max(high, cutoff), limit=5
        ):
            if name[0] != key[0]:  # people mistake the middle of a name, hardly its first letter
                continue
            if score > high:
                high, best = score, {}
            hit = (min(_FUZZY_TOP, int(score)), "close spelling")
            best.update(dict.fromkeys(names[name], hit))
    return best


def _fuzzy_districts(spans: list[_Span], tokens: list[_Token], index: NameIndex) -> list[_Span]:
    found = []
    for i in _free(spans, tokens, index):
        if hits := _closest(tokens[i].word, index.districts, _FUZZY_DISTRICT):
            found.append(_Span(i, i, hits, settled=True))
    return found


def _fuzzy_inside(spans: list[_Span], tokens: list[_Token], index: NameIndex) -> list[_Span]:
    """Match spellings inside the named districts, and unique close ones anywhere."""
    settled = [span for span in spans if span.settled and span.hits]
    districts = sorted({d for span in settled for code in span.hits if (d := district_of(code))})
    found = []
    for i in _free(spans, tokens, index):
        span = _Span(i, i, {}, settled=True)
        for district in districts:
            span.hits |= _closest(tokens[i].word, index.middle_of(district), _FUZZY_INSIDE)
            if not span.hits and any(_near(span, other, tokens) for other in settled):
                span.hits |= _closest(tokens[i].word, index.unions_of(district), _FUZZY_INSIDE)
        if not districts and len(tokens[i].word) > _FUZZY_SHORTEST:
            span.hits = _closest(tokens[i].word, index.middle, _FUZZY_NATIONAL)
        if span.hits:
            many = len(span.hits) > 1
            span.keep(list(span.hits), top=_TIE if many else None)
            found.append(span)
    return found


def _is_parent(span: _Span, spans: list[_Span]) -> bool:
    """Tell whether another passage names a part of this place, or the same place before."""
    if len(span.hits) != 1:
        return False
    code = next(iter(span.hits))
    for other in spans:
        if other is span:
            continue
        if all(code in ancestors(part)[1:] for part in other.hits):
            return True
        if set(other.hits) == {code} and other.first < span.first:
            return True
    return False


def _mention(span: _Span, parents: list[_Span], tokens: list[_Token]) -> Mention:
    """Make the mention; it covers what the same address says of its upazila or district."""
    first, last = span.first, span.last
    for parent in sorted(parents, key=lambda other: -other.first):
        if parent.last < first and _near(parent, _Span(first, last, {}), tokens):
            first = parent.first
    for parent in parents:
        if parent.first > last and _near(parent, _Span(first, last, {}), tokens):
            last = parent.last
    start, end = tokens[first].start, tokens[last].end
    many = len(span.hits) > 1
    candidates = tuple(
        Candidate(code, _level(code), min(score, _TIE) if many else score, reason, start, end)
        for code, (score, reason) in sorted(span.hits.items())
    )
    return Mention(start, end, candidates)
