"""Where it happens and where home is, from the places that a message names. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.intake.reading.words import LEXICON
from shared.gazetteer import ACCEPT, Mention, list_mentions
from shared.places import Level, ancestors, coarse, district_of, find

_READ: Final = 3_000
_ENDINGS: Final = ("ে", "তে", "য়", "ের", "য়ে")
_BESIDE: Final = 40


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """P-codes, cut to upazila or district; `detail` may be a thana or union."""

    place: str | None = None
    home: str | None = None
    event: str | None = None
    detail: str | None = None
    ties: tuple[str, ...] = ()


def read_places(text: str) -> Whereabouts:
    """Return where it happens and where home is; two places with no word between are a tie."""
    head = text[:_READ]
    mentions = [m for m in list_mentions(head) if not _says("name", head, m)]
    sure = [(mention, code) for mention in mentions if (code := _sure(mention))]
    homes = [code for mention, code in sure if _says("home", head, mention)]
    events = [code for m, code in sure if code not in homes and _is_event(head, m)]
    plain = [code for _, code in sure if code not in homes and code not in events]
    main = events or plain or homes
    chosen = _one(main) or (_one(plain) if not _one(events) else None)
    ties = [c.pcode for m in mentions if not _sure(m) for c in m.candidates]
    if chosen is None:
        ties += main
    return Whereabouts(
        place=_cut(chosen),
        home=_cut(_one(homes)),
        event=_cut(_one(events)),
        detail=chosen,
        ties=tuple(dict.fromkeys(ties)),
    )


def _sure(mention: Mention) -> str | None:
    """Return the one place meant; for ties inside one district, the district."""
    best = mention.candidates[0]
    if len(mention.candidates) == 1:
        return best.pcode if best.score >= ACCEPT else None
    districts = {district_of(candidate.pcode) for candidate in mention.candidates}
    return districts.pop() if len(districts) == 1 else None


def _one(codes: list[str]) -> str | None:
    """Return the only place, or what all of them lie in down to a district."""
    if len(set(codes)) <= 1:
        return codes[0] if codes else None
    districts = {district_of(code) for code in codes}
    return districts.pop() if len(districts) == 1 else None


def _cut(code: str | None) -> str | None:
    if code is None:
        return None
    place = find(coarse(code))
    if place is None or place.level in (Level.DIVISION, Level.COUNTRY):
        return None
    if place.level is Level.UPAZILA:
        return place.pcode
    return next((c for c in ancestors(place.pcode) if c == district_of(c)), None)


@cache
def _beside(says: str) -> tuple[tuple[re.Pattern[str], ...], tuple[re.Pattern[str], ...]]:
    """Return what says it before a place and after a place."""
    with (LEXICON / "places.toml").open("rb") as file:
        rows = [row for row in tomllib.load(file)["row"] if row["says"] == says]
    before, after = (
        tuple(re.compile(row[side], re.IGNORECASE) for row in rows if side in row)
        for side in ("before", "after")
    )
    return before, after


def _says(says: str, text: str, mention: Mention) -> bool:
    before, after = _beside(says)
    head = text[max(mention.start - _BESIDE, 0) : mention.start]
    tail = text[mention.end : mention.end + _BESIDE]
    return any(p.search(head) for p in before) or any(p.match(tail) for p in after)


def _is_event(text: str, mention: Mention) -> bool:
    named = text[mention.start : mention.end]
    at_it = named.endswith(_ENDINGS[:3]) and mention.candidates[0].score in (98, 92)
    return at_it or _says("event", text, mention)
