"""What a careful reader concludes from a short message in Bangla, Banglish or English.

Pure and total: `read` takes any string and never raises. What is not said stays unknown, and a
wrong certainty is worse than `unsure`. A reading helps a person to look first where it burns; no
reading decides a release, and noise is kept (it only sinks in the queue).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from services.intake.reading.age import Age, read_age
from services.intake.reading.count import is_plural, read_count
from services.intake.reading.people import read_sex, speaks_of_self
from services.intake.reading.places import Whereabouts, read_places
from services.intake.reading.signals import hear, load_rules
from services.intake.reading.tokens import READ, fold_tokens
from services.intake.reading.words import fold_word
from services.intake.receipts import parse_receipt
from shared.text import Language, ascii_digits, detect_language, normalise
from shared.vocabulary import Concern, Sex, Urgency

if TYPE_CHECKING:
    from datetime import date

Command = Literal["stop", "receipt_request", "receipt_code"]
Noise = Literal["advertising", "empty"]

_RECEIPT: Final = re.compile(r"\d(?:[\s.,/–-]{0,3}\d){15}")
_RECEIPT_WORDS: Final = re.compile(
    r"(?:code|receipt|number|my|is|status|নম্বর|নাম্বার|নম্বরঃ|রসিদ|কোড|আমার|গোপন|nombor|nomber|amar)",
)
_STOP: Final = frozenset(
    map(
        fold_word,
        (
            "stop",
            "stopall",
            "quit",
            "cancel",
            "unsubscribe",
            "off",
            "স্টপ",
            "বন্ধ",
            "বন্দ",
            "বাতিল",
            "bondho",
            "bondo",
            "bandho",
            "bandh",
            "batil",
            "থামান",
            "থামুন",
            "থামাও",
            "thaman",
            "thamun",
            "thamao",
        ),
    ),
)
_STOP_ENDINGS: Final = frozenset(
    map(
        fold_word,
        (
            "করুন", "করেন", "করো", "কর", "korun", "koren", "koro", "please", "sms", "messages",
            "message", "all", "মেসেজ", "এসএমএস", "wrong", "number", "রং", "নাম্বার", "ভুল", "নম্বর",
            "vul", "nombor", "now", "texting", "me", "it", "দয়া", "করে", "doya", "kore",
        ),
    ),
)  # fmt: skip
_ASK_RECEIPT: Final = frozenset(
    map(
        fold_word,
        (
            "নম্বর", "নাম্বার", "রসিদ", "কোড", "nombor", "nomber", "number", "receipt", "code",
            "rosid", "nambar", "namber",
        ),
    ),
)  # fmt: skip
_ASK_WORDS: Final = frozenset(
    map(
        fold_word,
        (
            "আমার", "গোপন", "দিন", "দেন", "চাই", "amar", "gopon", "din", "den", "chai", "my",
            "please", "send", "আমাকে", "দাও", "a", "the", "secret", "want", "i",
        ),
    ),
)  # fmt: skip
_SAYS_NOTHING: Final = re.compile(r"[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\xbf।॥\u2000-\u206f\s]*")
_ADVERTS: Final = 2
_COMMAND_WORDS: Final = 6


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood; `reasons` are ids of lexicon entries and rules, never words of people.

    `place` ends at the upazila, or at the district (for a metropolitan thana too: `place_detail`
    has the thana or union). Every `place*` is None when the text leaves a choice; the choices are
    then in `place_ties`. `count` is the least and the most persons said.
    """

    language: Language
    concerns: tuple[Concern, ...] = ()
    urgency: Urgency | None = None
    age: int | None = None
    child: bool | None = None
    sex: Sex | None = None
    place: str | None = None
    place_home: str | None = None
    place_event: str | None = None
    place_detail: str | None = None
    place_ties: tuple[str, ...] = ()
    abroad: bool = False
    count: tuple[int, int] | None = None
    several: bool = False
    possible_conflict: tuple[str, ...] = ()
    family_alleged: bool = False
    self_harm: bool = False
    tell_nobody: bool = False
    name_hidden: bool = False
    shared_phone: bool = False
    noise: Noise | None = None
    command: Command | None = None
    reasons: tuple[str, ...] = ()


def read(text: str, *, today: date) -> Reading:
    """Read one message; `today` is the local day, for a date of birth. Never raises."""
    clean = normalise(text[:READ])
    language = detect_language(clean)
    tokens = fold_tokens(clean)
    if command := _command(clean, tokens):
        return Reading(language, command=command, reasons=(f"command:{command}",))
    heard_words = hear(tokens, language)
    signals = heard_words.signals
    person = not {"child", "maybe_child", "sibling"}.isdisjoint(signals)
    others = person and not ("husband" in signals and speaks_of_self(tokens))
    age = read_age(tokens, clean, today, others=others)
    is_child = _is_child(age, signals)
    heard = frozenset(signals) | {_maturity(is_child)}
    concerns, urgency, rules = _apply_rules(heard, heard_words.live | {_maturity(is_child)})
    noise = None if person or age.at else _noise(clean, tokens, signals, concerns)
    where = read_places(clean) if noise is None else Whereabouts()
    return Reading(
        language,
        concerns=concerns or (Concern.UNSURE,),
        urgency=None if noise else urgency,
        age=None if _is_of_another(age, signals) else age.years,
        child=is_child,
        sex=None if noise else read_sex(tokens, age.at, own=age.own, child=person, mixed=age.mixed),
        place=where.place,
        place_home=where.home,
        place_event=where.event,
        place_detail=where.detail,
        place_ties=where.ties,
        abroad="abroad" in signals,
        count=read_count(tokens),
        several=is_plural(tokens),
        possible_conflict=_conflicts(signals),
        family_alleged=_family_alleged(heard, concerns),
        self_harm=Concern.SELF_HARM_RISK in concerns,
        tell_nobody="tell_nobody" in signals,
        name_hidden="name_hidden" in signals,
        shared_phone="shared_phone" in signals,
        noise=noise,
        reasons=(*(entry for ids in signals.values() for entry in ids), *rules),
    )


def _is_child(age: Age, signals: dict[str, tuple[str, ...]]) -> bool | None:
    if age.minor:
        return True
    if age.adult and not _is_of_another(age, signals):
        return False
    if "child" in signals or "child_marriage_word" in signals:
        return True
    if "adult" in signals and not {"maybe_child", "stranger"} <= signals.keys():
        return False
    return True if "maybe_child" in signals else None


def _is_of_another(age: Age, signals: dict[str, tuple[str, ...]]) -> bool:
    """Tell whether a grown-up's age is that of somebody beside a pupil."""
    return age.adult and not age.own and "class-at-school" in signals.get("child", ())


def _maturity(is_child: bool | None) -> str:  # noqa: FBT001  (three values: yes, no, not said)
    return {True: "is_child", False: "is_adult", None: "age_open"}[is_child]


def _apply_rules(
    heard: frozenset[str], live: frozenset[str]
) -> tuple[tuple[Concern, ...], Urgency | None, tuple[str, ...]]:
    """Apply the rules: danger needs what is live."""
    applied = [r for r in load_rules() if r.holds(live if r.urgency == Urgency.T0 else heard)]
    concerns = dict.fromkeys(Concern(rule.concern) for rule in applied if rule.concern)
    urgency = min((Urgency(rule.urgency) for rule in applied), default=None)
    return tuple(concerns), urgency, tuple(f"rule:{rule.id}" for rule in applied)


def _noise(
    text: str,
    tokens: tuple[str, ...],
    signals: dict[str, tuple[str, ...]],
    concerns: tuple[Concern, ...],
) -> Noise | None:
    if not any(token not in (",", "|") for token in tokens) and _SAYS_NOTHING.fullmatch(text):
        return "empty"
    if concerns or "advert" not in signals or "plea" in signals:
        return None
    return "advertising" if _count_adverts(tokens) >= _ADVERTS else None


def _count_adverts(tokens: tuple[str, ...]) -> int:
    return sum("advert" in hear((token,), "en").signals or token == "৳" for token in set(tokens))


def _conflicts(signals: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    kinds = ("police", "up_chair", "ctc_member", "official")
    return tuple(kind for kind in kinds if f"conflict_{kind}" in signals)


def _family_alleged(heard: frozenset[str], concerns: tuple[Concern, ...]) -> bool:
    """Tell whether the harm may come from home: then no caregiver is asked or told."""
    at_home = {Concern.CHILD_SEXUAL_ABUSE, Concern.CHILD_MARRIAGE, Concern.PHYSICAL_VIOLENCE}
    at_home |= {Concern.NEGLECT}
    return "family" in heard and not at_home.isdisjoint(concerns)


def _command(text: str, tokens: tuple[str, ...]) -> Command | None:
    words = [token for token in tokens if token not in (",", "|")]
    digits = ascii_digits(text).strip()
    if _RECEIPT.search(digits):
        rest = _RECEIPT_WORDS.sub("", _RECEIPT.sub("", digits).lower())
        if not any(char.isalnum() for char in rest):
            return "receipt_code"
    if parse_receipt(text) is not None:
        return "receipt_code"
    if not 0 < len(words) <= _COMMAND_WORDS:
        return None
    if words[0] in _STOP and all(word in _STOP_ENDINGS | _STOP for word in words):
        return "stop"
    last_is_stop = words[-1] in _STOP or (len(words) > 1 and words[-2] in _STOP)
    if last_is_stop and all(word in _STOP_ENDINGS | _STOP for word in words):
        return "stop"
    if not _ASK_RECEIPT.isdisjoint(words) and all(w in _ASK_RECEIPT | _ASK_WORDS for w in words):
        return "receipt_request"
    return None
