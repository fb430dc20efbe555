"""What a notice says: its template, with what may stand in the places of a text about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.notification.carrier import Message
from services.notification.templates import LANGUAGES
from shared.answer_code import answer_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.notification.person_store import PersonNotice
    from services.notification.templates import Templates


MOST: Final = 99
"""The largest count that is said: three digits in a row may be a helpline."""

_BANGLA: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")


@dataclass(frozen=True, slots=True)
class Words:
    """Makes messages; `public_url` is where the centre is seen by providers."""

    templates: Templates
    public_url: str

    def message(self, notice: PersonNotice, template: str, language: str) -> Message:
        """Return what is said in a language."""
        values = self._values(notice, language)
        letter = None
        if self.templates.is_letter(template):
            letter = self.templates.letter(template, language, values)
        text = self.templates.text(template, language, values)
        return Message(template, language, text, letter)

    def texts(self, notice: PersonNotice) -> frozenset[str]:
        """Return what a notice may have said."""
        return frozenset(
            self.templates.text(notice.template, one, self._values(notice, one))
            for one in LANGUAGES
        )

    def _values(self, notice: PersonNotice, language: str) -> Mapping[str, str]:
        return {
            "code": answer_code(notice.referral_id) if notice.referral_id else "",
            "url": self.public_url,
            "count": render_count(notice.waiting, language),
            "soon": render_count(notice.soon, language),
        }


def render_count(number: int | None, language: str) -> str:
    """Render a count as a neutral text may hold it, in the digits of its language."""
    said = f"{MOST}+" if (number or 0) > MOST else str(number or 0)
    return said.translate(_BANGLA) if language == "bn" else said
