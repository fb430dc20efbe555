"""Where it happens and where home is, from the places that a message names. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from shared.gazetteer import ACCEPT, Mention, list_mentions
from shared.places import Level, ancestors, coarse, district_of, find

_READ: Final = 3_000
# "bari", "from" or "village home" just before a place, or "er meye" just after, says home.
_HOME_BEFORE: Final = re.compile(
    r"(?:(?:বাড়ি|বাড়ী|বাড়ির|ঠিকানা|গ্রামের বাড়ি|দেশের বাড়ি|গ্রাম|bari|barir|bari hoilo|thikana|desher bari"
    r"|home|hometown|native|address|village|(?:am|is|are|we|she|he|her|his|our|come|comes) from)"
    r"(?: (?:is|at|in|হলো|হল|হচ্ছে|holo|hocche|amar|আমার|তার|ওর))*\W*)$",
    re.IGNORECASE,
)
_HOME_AFTER: Final = re.compile(
    r"^\W{0,2}(?:এ |তে |e |te |er )?(?:আমার |আমাদের |তার |ওর |amar |amader |tar )?"
    r"(?:বাড়ি|বাড়ী|গ্রামের বাড়ি|bari)(?!\w)",
    re.IGNORECASE,
)
_EVENT_AFTER: Final = re.compile(
    r"^(?:\s(?:e|te|তে|এ|এর|er)(?!\w)|\s(?:কাজ|আটক|আটকে|থাকে|থাকি|আছে|আছি|kaj|atke|thake|thaki"
    r"|ache|achi|hotel|হোটেল))",
    re.IGNORECASE,
)
_EVENT_BEFORE: Final = re.compile(r"(?:^|\W)(?:in|at|near|inside|to)\s+(?:the\s+)?$", re.IGNORECASE)
# A place that is part of a name: "Sylhet Ali", "her name is Bhola", "ভোলা নামে এক ছেলে".
_NAME_BEFORE: Final = re.compile(
    r"(?:(?<!\w)(?:mr|mrs|md|mohammad|mst|মোঃ|মোছাঃ|(?:my|her|his|amar|tar|or|আমার|তার|ওর)"
    r" (?:name|nam|নাম))\W+(?:is\s+)?)$",
    re.IGNORECASE,
)
_NAME_AFTER: Final = re.compile(
    r"^i?\s+(?:ali|begum|khatun|akter|akhter|mia|miah|uddin|hossain|islam|rahman|name|naame|namer"
    r"|আলী|আলি|বেগম|খাতুন|আক্তার|মিয়া|উদ্দিন|হোসেন|নামে|নামের)(?!\w)",
    re.IGNORECASE,
)
_ENDINGS: Final = ("ে", "তে", "য়", "ের", "য়ে")
_BEFORE: Final = 40


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
    mentions = [m for m in list_mentions(head) if not _is_name(head, m)]
    sure = [(mention, code) for mention in mentions if (code := _sure(mention))]
    homes = [code for mention, code in sure if _is_home(head, mention)]
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


def _is_name(text: str, mention: Mention) -> bool:
    before = text[max(mention.start - _BEFORE, 0) : mention.start]
    return bool(_NAME_BEFORE.search(before) or _NAME_AFTER.match(text[mention.end :]))


def _is_home(text: str, mention: Mention) -> bool:
    before = text[max(mention.start - _BEFORE, 0) : mention.start]
    return bool(_HOME_BEFORE.search(before) or _HOME_AFTER.match(text[mention.end :]))


def _is_event(text: str, mention: Mention) -> bool:
    named, after = text[mention.start : mention.end], text[mention.end : mention.end + _BEFORE]
    before = text[max(mention.start - _BEFORE, 0) : mention.start]
    return bool(
        (named.endswith(_ENDINGS[:3]) and mention.candidates[0].score in (98, 92))
        or _EVENT_AFTER.match(after)
        or _EVENT_BEFORE.search(before),
    )
