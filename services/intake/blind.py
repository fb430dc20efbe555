"""Blind indexes: reports of one number or name are found without reading either (SAFETY 15).

A keyed hash, with a key of its own for each field, cut to four bytes: equal values have equal
marks, and so has about one in four thousand million others, so that a mark alone proves nothing.
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.intake.alike.sounds import parts_of
from shared.text import PhoneInvalid, normalise, parse_phone

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK: Final = 4
"""Bytes of a mark."""

WORD: Final = 2
"""Bytes of the mark of a word of a name."""

PHONE: Final = "p"
FINE: Final = "f"
ROUGH: Final = "r"
"""What a mark for comparing is of: a number, a word by its sound with and without its vowels."""

_NO_LETTER: Final = re.compile(r"[\W_]+")


class Marks(msgspec.Struct, frozen=True, gc=False):
    """The marks of a person's number and name; None where there is none.

    `alike` are those by which cases are compared: see `alike.features.marks_of`.
    """

    phone: bytes | None = None
    name: bytes | None = None
    alike: tuple[str, ...] = ()


NO_MARKS: Final = Marks()


class Blind:
    """Makes marks; holds one key a field, derived from the index key."""

    def __init__(self, index_key: bytes) -> None:
        """Take the 32-byte index key."""
        self._phone = _derive(index_key, b"pashe blind phone")
        self._name = _derive(index_key, b"pashe blind name")
        self._word = _derive(index_key, b"pashe blind word")

    def marks(self, fields: Mapping[str, object]) -> Marks:
        """Return the marks of what is about to be sealed of a person."""
        phone = self.phone(fields.get("phone"))
        return Marks(phone, self.name(fields.get("name")), self._alike(fields, phone))

    def alike(self, fields: Mapping[str, object]) -> tuple[str, ...]:
        """Return the marks by which a person is compared: numbers, and words by their sound.

        Each is a letter for what it is of and a keyed hash in hexadecimal; a word's is cut to two
        bytes, so that it stands for many words.
        """
        return self._alike(fields, self.phone(fields.get("phone")))

    def _alike(self, fields: Mapping[str, object], phone: bytes | None) -> tuple[str, ...]:
        contact = fields.get("safe_contact")
        number = contact.get("number") if isinstance(contact, dict) else None
        found = [f"{PHONE}{mark.hex()}" for mark in (phone, self.phone(number)) if mark is not None]
        for part in parts_of(str(fields.get("name") or "")):
            found += (
                _of_word(self._word, FINE, part.fine),
                _of_word(self._word, ROUGH, part.rough),
            )
        return tuple(dict.fromkeys(found))

    def phone(self, said: object) -> bytes | None:
        """Return the mark of a number, in whatever way it was written; None if it is none."""
        try:
            return _mark(self._phone, parse_phone(str(said))) if said else None
        except PhoneInvalid:
            return None

    def name(self, said: object) -> bytes | None:
        """Return the mark of a name, without regard to case, spaces and signs; None if empty."""
        folded = " ".join(
            sorted(_NO_LETTER.sub(" ", normalise(str(said or "")).casefold()).split())
        )
        return _mark(self._name, folded) if folded else None


@lru_cache(maxsize=4)
def blind_of(index_key: bytes) -> Blind:
    """Return the maker of marks for an index key."""
    return Blind(index_key)


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=info).derive(key)


@lru_cache(maxsize=4096)
def _of_word(key: bytes, kind: str, sound: str) -> str:
    """Return the mark of a word by one of its sounds; few words make most names."""
    return f"{kind}{_mark(key, kind + sound)[:WORD].hex()}"


def _mark(key: bytes, value: str) -> bytes:
    return hmac.digest(key, value.encode("utf-8", "replace"), "sha256")[:MARK]
