"""Which places a text names: exact names first, districts first, then spellings inside them.

A name that several places bear stays a tie until the text names what they lie in: 742 names of
unions repeat nationally. Pure after the first call, which builds the index; safe in threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.name_index import ADMIN_WORDS, name_index
from shared.place_spans import (
    TIE,
    Span,
    Token,
    districts_in,
    find_close_districts,
    find_close_inside,
    find_exact,
    is_near,
    level_of,
    list_tokens,
    middle_of,
)
from shared.places import Candidate, Level, all_places, ancestors, district_of

ACCEPT: Final = 80  # below: ask
_LONE_UNION: Final = 65
_SAID_EXACTLY: Final = 98


@dataclass(frozen=True, slots=True)
class Mention:
    """One passage that names a place; several candidates are a tie."""

    start: int
    end: int
    candidates: tuple[Candidate, ...]


def resolve(text: str) -> tuple[Candidate, ...]:
    """Return every candidate of every mention, best first; ties share their score."""
    found = [candidate for mention in list_mentions(text) for candidate in mention.candidates]
    return tuple(sorted(found, key=lambda candidate: (-candidate.score, candidate.start)))


def list_mentions(text: str) -> tuple[Mention, ...]:
    """Return the places named in a normalised text, in order; a parent gives way to its child."""
    index = name_index()
    tokens = list_tokens(text)
    spans = find_exact(tokens, index)
    _settle_districts(spans, tokens)
    spans += find_close_districts(spans, tokens, index)
    _settle_inside(spans, tokens)
    spans += find_close_inside(spans, tokens, index)
    _settle_rest(spans, tokens)
    kept = sorted((span for span in spans if span.hits), key=lambda span: span.first)
    _widen_districts(kept, tokens)
    parents = [span for span in kept if _is_parent(span, kept)]
    return tuple(_mention(span, parents, tokens) for span in kept if span not in parents)


def _settle_districts(spans: list[Span], tokens: list[Token]) -> None:
    """A name with a district beside it is what lies in that district; else it is a district."""
    named = [districts_in(span) for span in spans]
    for i, span in enumerate(spans):
        if not named[i]:
            continue
        inside = [
            code
            for j, other in enumerate(spans)
            if j != i and named[j] and is_near(span, other, tokens)
            for code in middle_of(list(span.hits))
            if district_of(code) in named[j] - named[i]
        ]
        span.keep(inside or sorted(named[i]))
    for span in spans:
        divisions = [code for code in span.hits if level_of(code) is Level.DIVISION]
        if divisions and not span.settled:
            span.keep(divisions)
    for span in spans:
        if span.settled and len(span.hits) == 1 and _says(span, tokens, ("bibhag", "বিভাগ")):
            code, hit = next(iter(span.hits.items()))
            division = ancestors(code)[1]
            if all_places()[code].name_en == all_places()[division].name_en:
                span.hits = {division: hit}


def _says(span: Span, tokens: list[Token], words: tuple[str, ...]) -> bool:
    beside = tokens[span.last + 1 : span.last + 2]
    return any(token.word.startswith(words) or token.word == "division" for token in beside)


def _settle_inside(spans: list[Span], tokens: list[Token]) -> None:
    """Settle what lies in a place that the text names: upazilas anywhere, unions beside it."""
    for levels in ("middle", "union"):
        for span in spans:
            if span.settled:
                continue
            anchors = [other for other in spans if other is not span and other.settled]
            codes = list(span.hits) if levels == "union" else middle_of(list(span.hits))
            inside = {
                code
                for code in codes
                for other in anchors
                if set(ancestors(code)[1:]) & set(other.hits)
                and ((levels == "middle" and not span.weak) or is_near(span, other, tokens))
            }
            if inside:
                span.keep(sorted(inside))
        for span in spans:  # a name that one upazila alone bears names its district too
            middle = span.best(middle_of(list(span.hits)))
            if not span.settled and not span.weak and len(middle) == 1:
                _settle_alone(span, middle[0], spans, tokens)


def _settle_alone(span: Span, code: str, spans: list[Span], tokens: list[Token]) -> None:
    """Settle a name that one upazila bears, unless a union beside its own district bears it too.

    With a district's name beside it that is a division's as well ("Nazirpur, Barishal") both hold.
    """
    beside = {
        district: other
        for other in spans
        if other.settled and other is not span and is_near(span, other, tokens)
        for district in districts_in(other)
    }
    unions = [union for union in span.hits if district_of(union) in beside and union != code]
    if not unions:
        span.keep([code])
    elif any(ancestors(code)[-2] == ancestors(district)[1] for district in beside):
        span.hits = dict.fromkeys([code, *unions], (TIE, "an upazila or a union"))
        span.settled = True
    else:
        span.keep(unions)


def _widen_districts(spans: list[Span], tokens: list[Token]) -> None:
    """Read "Teknaf, Chattogram" as the division when the place beside is in another district."""
    for span in spans:
        code = next(iter(span.hits))
        if len(span.hits) > 1 or level_of(code) is not Level.DISTRICT:
            continue
        division = ancestors(code)[1]
        if all_places()[code].name_en != all_places()[division].name_en:
            continue
        for other in spans:
            chains = [ancestors(part) for part in other.hits]
            if (
                other is not span
                and is_near(span, other, tokens)
                and all(division in chain[1:] for chain in chains)
                and not all(code in chain for chain in chains)
            ):
                span.hits = {division: span.hits[code]}
                break


def _settle_rest(spans: list[Span], tokens: list[Token]) -> None:
    """What no context settles is a tie, or a union to be asked about, or only a word."""
    for span in spans:
        if span.settled:
            continue
        middle = span.best(middle_of(list(span.hits)))
        if span.weak and not _admin_beside(span, tokens):
            span.hits = {}
        elif middle:
            span.keep(middle, top=None if len(middle) == 1 else TIE)
        elif max(score for score, _ in span.hits.values()) < _SAID_EXACTLY:
            span.hits = {}
        else:
            span.keep(list(span.hits), top=_LONE_UNION)


def _admin_beside(span: Span, tokens: list[Token]) -> bool:
    beside = tokens[max(span.first - 1, 0) : span.first] + tokens[span.last + 1 : span.last + 2]
    return any(token.word in ADMIN_WORDS for token in beside)


def _is_parent(span: Span, spans: list[Span]) -> bool:
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


def _mention(span: Span, parents: list[Span], tokens: list[Token]) -> Mention:
    """Make the mention; it covers what the same address says of its upazila or district."""
    first, last = span.first, span.last
    for parent in sorted(parents, key=lambda other: -other.first):
        if parent.last < first and is_near(parent, Span(first, last, {}), tokens):
            first = parent.first
    for parent in parents:
        if parent.first > last and is_near(parent, Span(first, last, {}), tokens):
            last = parent.last
    start, end = tokens[first].start, tokens[last].end
    many = len(span.hits) > 1
    candidates = tuple(
        Candidate(code, level_of(code), min(score, TIE) if many else score, reason, start, end)
        for code, (score, reason) in sorted(span.hits.items())
    )
    return Mention(start, end, candidates)
