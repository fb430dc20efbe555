"""Answers are taken out of a part of a filled form; what nobody took is still there at the end."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from services.intake.report import MAX_LIST
from shared.clock import DHAKA
from shared.text import ascii_digits

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Collection, Iterator

    from services.intake.channels.openrosa.instances import Element

SHORT: Final = 200
_OLDEST: Final = 120
_YEARS: Final = range(1900, 2200)


class Part:
    """A form, a group or one of a repeat. What is asked for and does not fit stays."""

    def __init__(self, element: Element) -> None:
        """Take the element, which is emptied."""
        self._element = element

    def text(self, name: str, longest: int = SHORT) -> str | None:
        """Take a text that is not too long."""
        return self.passing(name, lambda said: 0 < len(said) <= longest)

    def one(self, name: str, allowed: Collection[str]) -> str | None:
        """Take a choice that is one of these."""
        return self.passing(name, lambda said: said in allowed)

    def fitting(self, name: str, pattern: re.Pattern[str]) -> str | None:
        """Take a text of a form, its digits in any script."""
        found = self.passing(name, lambda said: bool(pattern.fullmatch(ascii_digits(said))))
        return None if found is None else ascii_digits(found)

    def passing(self, name: str, passes: Callable[[str], bool]) -> str | None:
        """Take a text that passes."""
        found = self._element.first(name)
        if found is None or found.children or not passes(said := found.text.strip()):
            return None
        self._element.children.remove(found)
        return said

    def several(self, name: str, fits: Callable[[str], object]) -> list[str]:
        """Take those of several choices that fit."""
        found = self._element.first(name)
        if found is None or found.children:
            return []
        said = list(dict.fromkeys(found.text.split()))
        known = [word for word in said if fits(word)][:MAX_LIST]
        found.text = " ".join(word for word in said if word not in known)
        return known

    def number(self, name: str) -> int | None:
        """Take an age in whole years."""
        found = self.passing(name, _is_age)
        return None if found is None else int(ascii_digits(found))

    def time(self, name: str) -> str | None:
        """Take a time of the phone's clock; one without an offset is of Dhaka."""
        found = self.passing(name, _is_time)
        if found is None:
            return None
        at = datetime.fromisoformat(found)
        return (at if at.tzinfo else at.replace(tzinfo=DHAKA)).isoformat()

    def day(self, name: str) -> str | None:
        """Take a day, as its begin in Dhaka."""
        found = self.passing(name, lambda said: _is_time(said, date))
        return found and datetime.fromisoformat(found).replace(tzinfo=DHAKA).isoformat()

    def part(self, name: str) -> Part:
        """Give a group; where there is none, an answer may stand in this part itself."""
        found = self._element.first(name)
        return self if found is None else Part(found)

    def parts(self, name: str) -> list[Part]:
        """Give those of a repeat that say something."""
        found = [one for one in self._element.children if one.name == name]
        return [Part(one) for one in found if any(_lines(one))][:MAX_LIST]

    def left(self) -> str:
        """Tell what is left, a line for each answer, its name before it; no `meta`."""
        there = [child for child in self._element.children if child.name != "meta"]
        return "\n".join(line for child in there for line in _lines(child))


def _is_age(said: str) -> bool:
    digits = ascii_digits(said)
    return digits.isdecimal() and len(digits) <= len(str(_OLDEST)) and int(digits) <= _OLDEST


def _is_time(said: str, kind: type[date] = datetime) -> bool:
    try:
        return kind.fromisoformat(said).year in _YEARS
    except ValueError:
        return False


def _lines(element: Element) -> Iterator[str]:
    said = element.text.strip()
    if said:
        yield f"{element.name}: {said}"
    for child in element.children:
        yield from _lines(child)
