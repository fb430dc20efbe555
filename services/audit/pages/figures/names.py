"""What figures are called on a screen. The English stands here, the Bangla in `locale/bn.po`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.audit.figures.counting import ALL, UNKNOWN
from services.audit.figures.person import CENTRE

if TYPE_CHECKING:
    from collections.abc import Mapping


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for a text that is translated later)
    """Mark a text for the catalogue."""
    return text


STEPS: Final[Mapping[str, str]] = {
    "cases": N_("Persons we were told about"),
    "planned": N_("Help was planned"),
    "assigned": N_("A place of help was asked"),
    "accepted": N_("A place of help said yes"),
    "contacted": N_("It spoke with the person"),
    "delivered": N_("Help was given"),
    "declined": N_("A place of help said no"),
    "failed": N_("Help was begun and failed"),
    "unserved": N_("Nobody has said yes"),
}

TABLES: Final[Mapping[str, str]] = {
    "division": N_("By division"),
    "district": N_("By district"),
    "concern": N_("By what is feared"),
    "need": N_("By kind of help"),
    "age": N_("By age in years"),
    "sex": N_("By sex"),
    "channel": N_("By the way it was told"),
    "initiative": N_("By who brought it"),
}
"""Tables under the charts, in their order."""

WAITS: Final[Mapping[str, str]] = {
    "under an hour": N_("under an hour"),
    "1 to 4 hours": N_("1 to 4 hours"),
    "4 hours to a day": N_("4 hours to a day"),
    "1 to 3 days": N_("1 to 3 days"),
    "3 to 7 days": N_("3 to 7 days"),
    "over a week": N_("over a week"),
}
"""In their order, the shortest first."""

NOT_KNOWN: Final = N_("Not known")

OWN: Final[Mapping[str, str]] = {
    ALL: N_("All"),
    UNKNOWN: NOT_KNOWN,
    "unsure": NOT_KNOWN,
    "not_said": N_("Not said"),
    CENTRE: N_("No partner"),
}
"""Groups that are called otherwise in a table than where a person is asked."""

WORDS: Final[Mapping[str, str]] = {
    "concern": "concern",
    "need": "need",
    "sex": "sex",
    "channel": "channel",
}
"""The kind of word that a table's groups are (`shared.pages.words`)."""
