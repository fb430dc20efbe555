"""Two languages, Bangla first: texts from `.po` files, digits, dates and places.

A template says `{{ _("Back") }}` in English; `locale/bn.po` beside the templates has the Bangla.
The files are read at the start, as they are: nothing is compiled.
"""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from gettext import GNUTranslations, NullTranslations
from typing import TYPE_CHECKING, Final, Literal

from babel.dates import format_date as babel_date
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from shared.clock import DHAKA
from shared.places import ancestors, district_of, find

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Language = Literal["bn", "en"]

LANGUAGES: Final[tuple[Language, ...]] = ("bn", "en")
NAMES: Final = {"bn": "বাংলা", "en": "English"}

_BANGLA: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")


def other(language: Language) -> Language:
    """Return the other language."""
    return "en" if language == "bn" else "bn"


def language_of(value: str | None) -> Language | None:
    """Return the language that a text names, None for anything else."""
    return next((one for one in LANGUAGES if one == value), None)


def load_texts(folders: Iterable[Path], language: Language) -> NullTranslations:
    """Return the texts of `locale/<language>.po` in these folders together; later ones win.

    English is what the templates say: it has no file.
    """
    if language == "en":
        return NullTranslations()
    whole = Catalog(locale=language)
    for folder in folders:
        file = folder / "locale" / f"{language}.po"
        if not file.is_file():
            continue
        with file.open("rb") as opened:
            for message in read_po(opened, locale=language):
                if message.id and message.string:
                    whole[message.id] = message
    packed = io.BytesIO()
    write_mo(packed, whole)
    packed.seek(0)
    return GNUTranslations(packed)


def digits(value: object, language: Language) -> str:
    """Return a value's text with the digits of the language."""
    text = str(value)
    return text.translate(_BANGLA) if language == "bn" else text


def show_date(value: date | datetime, language: Language) -> str:
    """Return a day, `২৯ নভেম্বর ২০২৬`; a time is taken to Dhaka first."""
    if isinstance(value, datetime):
        value = _here(value).date()
    return digits(babel_date(value, "d MMMM y", locale=language), language)


def show_months(first: date, language: Language) -> str:
    """Return a quarter by its first day, `জুলাই–সেপ্টেম্বর ২০২৬`."""
    months = (first, first.replace(month=first.month + 2))
    named = "–".join(babel_date(one, "LLLL", locale=language) for one in months)
    return digits(f"{named} {first.year}", language)


def show_time(value: datetime, language: Language) -> str:
    """Return a day and an hour in Dhaka, `২৯ নভেম্বর ২০২৬, ১৪:০৫`."""
    here = _here(value)
    return f"{show_date(here, language)}, {digits(here.strftime('%H:%M'), language)}"


def _here(value: datetime) -> datetime:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(DHAKA)


def show_whole_place(pcode: str, language: Language) -> str:
    """Return a place with what it lies in, up to its district: `কেরাণীগঞ্জ, ঢাকা`."""
    district = district_of(pcode)
    chain = ancestors(pcode)
    named = chain[: chain.index(district) + 1] if district else chain[:1]
    return ", ".join(show_place(code, language) for code in named)


def show_place(pcode: str | None, language: Language) -> str:
    """Return a place's name, empty where there is none of this code."""
    place = find(pcode) if pcode else None
    if place is None:
        return ""
    return place.name_bn if language == "bn" else place.name_en
