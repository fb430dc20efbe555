"""Whether a text is a provider's answer to a referral, and to which one: purely."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.answer_code import answer_code
from shared.text import ascii_digits, normalise
from shared.vocabulary import Reason, ReferralState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from services.intake.casework.review import Attempt

YES: Final = "yes"
NO: Final = "no"

REASONS: Final = {
    "1": Reason.NO_CAPACITY,
    "2": Reason.OUT_OF_AREA,
    "3": Reason.SERVICE_NOT_OFFERED,
    "4": Reason.NOT_ELIGIBLE_OTHER,
    "5": Reason.INSUFFICIENT_INFORMATION,
    "6": Reason.UNSAFE_TO_SERVE,
    "7": Reason.CONFLICT_OF_INTEREST,
}
"""What the digit after a no means; any other is `other`."""

MOST: Final = 40
"""Characters of an answer; whoever writes more says more than that."""

_CODE: Final = 4
_CANDRABINDU: Final = "\u0981"
_TOKEN: Final = re.compile(r"[0-9]+|[a-z]+|[\u0980-\u09e3]+")
_TWICE: Final = re.compile(r"([a-z])\1+")

# Without the candrabindu, and each Latin letter once: `haaan` is `han`.
_YES_WORDS: Final = (
    *("yes", "y", "ye", "yep", "yeah", "yah", "ya", "ok", "okay"),
    *("ha", "han", "hae", "hea", "hean", "hay", "hya", "hyan", "he", "hen", "ji", "je", "jwi"),
    *("হ্যা", "হ্যাা", "হা", "হে", "হ", "জি", "জী", "জ্বি", "জ্বী", "ইয়েস", "ওকে"),
)
_NO_WORDS: Final = (
    *("no", "n", "nope", "not", "na", "nah", "nai", "nay", "nei"),
    *("না", "নাহ", "নাহ্", "নাই", "নেই", "নো"),
)


def _folded(word: str) -> str:
    return _TWICE.sub(r"\1", normalise(word).replace(_CANDRABINDU, ""))


_WORDS: Final = {_folded(word): YES for word in _YES_WORDS} | {
    _folded(word): NO for word in _NO_WORDS
}


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says: `yes` or `no`, to which code, and after a no perhaps why."""

    answer: str
    code: str
    reason: str | None = None


def parse_answer(text: str) -> Said | None:
    """Return what a text answers, or None when it says anything else, or more.

    One word for yes or no, then the four digits (or the other way round), in Bangla or Latin
    letters and any digits; after a no one digit for the reason. Signs between them do not matter.
    """
    if len(text) > MOST:
        return None
    plain = ascii_digits(normalise(text)).casefold()
    if any(letter.isalnum() for letter in _TOKEN.sub("", plain)):
        return None
    match _TOKEN.findall(plain):
        case [one, other, *more] if len(more) < 2:  # noqa: PLR2004  (a reason is one digit)
            word, code = (other, one) if one.isdigit() else (one, other)
        case _:
            return None
    answer = _WORDS.get(_folded(word))
    if answer is None or len(code) != _CODE or not code.isdigit():
        return None
    if not more:
        return Said(answer, code)
    if answer == YES or len(more[0]) > 1 or not more[0].isdigit():
        return None
    return Said(answer, code, REASONS.get(more[0], Reason.OTHER))


def choose(
    said: Said, attempts: Collection[Attempt], given: Mapping[UUID, str]
) -> tuple[Attempt, bool] | None:
    """Return the referral that is answered, and whether the answer is new.

    `given` is what was answered before. None when no code fits, when two that wait have this code,
    or when the other answer was given already: then a person looks at the text.
    """
    fitting = [a for a in attempts if answer_code(a.referral_id) == said.code]
    waiting = [a for a in fitting if a.state == ReferralState.ASSIGNED]
    if len(waiting) > 1:
        return None
    for attempt in waiting:
        before = given.get(attempt.referral_id)
        return None if before not in (None, said.answer) else (attempt, before is None)
    return next(((a, False) for a in fitting if given.get(a.referral_id) == said.answer), None)
