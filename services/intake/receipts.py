"""Receipts that work on a feature phone: sixteen digits with check digits, or six common words.

Fourteen random digits and two check digits (ISO/IEC 7064, MOD 97-10) make the code; the same number
in base 256 makes six words. Only an HMAC under a pepper is stored (DECISIONS 19).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from shared.signing import Signer
from shared.text import ascii_digits, normalise

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

DIGITS: Final = 14
WORDS: Final = 6


@cache
def _word_list() -> tuple[str, ...]:
    words = tuple(Path(__file__).with_name("words.txt").read_text("utf-8").split())
    if len(words) != 256 or len(set(words)) != 256:  # noqa: PLR2004  (one word a byte)
        message = "words.txt must hold 256 different words"
        raise ValueError(message)
    return words


def _check(body: int) -> int:
    return 98 - body * 100 % 97


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt's number, 0 to 10¹⁴ − 1; it proves nothing about a person, only about a report."""

    number: int

    @classmethod
    def new(cls) -> Receipt:
        """Draw a receipt from the system's random source (46 bits)."""
        return cls(secrets.randbelow(10**DIGITS))

    @classmethod
    def of(cls, pepper: bytes, mark: bytes) -> Receipt:
        """Draw the receipt of a conversation: each time the same, for who has the pepper."""
        told = hmac.digest(pepper, b"pashe receipt of a conversation" + mark, "sha256")
        return cls(int.from_bytes(told, "big") % 10**DIGITS)

    @property
    def code(self) -> str:
        """Sixteen ASCII digits, the last two being check digits."""
        return f"{self.number:0{DIGITS}d}{_check(self.number):02d}"

    @property
    def shown(self) -> str:
        """The code in four groups, as people read it out."""
        code = self.code
        return f"{code[:4]} {code[4:8]} {code[8:12]} {code[12:]}"

    @property
    def words(self) -> list[str]:
        """The same number as six common Bangla words."""
        return [_word_list()[byte] for byte in self.number.to_bytes(WORDS, "big")]

    def digest(self, pepper: bytes) -> bytes:
        """The only form that is stored: HMAC-SHA256 of the code under the pepper."""
        return hmac.digest(pepper, self.code.encode(), "sha256")


def parse_receipt(text: str) -> Receipt | None:
    """Read sixteen digits (Bangla or ASCII, any grouping) or six words; None if it is neither."""
    plain = "".join(c for c in ascii_digits(text) if c not in " -\u00a0\t")
    if plain.isascii() and plain.isdigit() and len(plain) == DIGITS + 2:
        number, check = int(plain[:DIGITS]), int(plain[DIGITS:])
        return Receipt(number) if _check(number) == check else None
    words = normalise(text).split()
    if len(words) != WORDS:
        return None
    positions = {word: i for i, word in enumerate(_word_list())}
    try:
        raw = bytes(positions[word] for word in words)
    except KeyError:
        return None
    number = int.from_bytes(raw, "big")
    return Receipt(number) if number < 10**DIGITS else None


def sign_receipt(
    seed: bytes, receipt: Receipt, received_at: datetime, issuer: str, event: UUID | None = None
) -> str:
    """Sign that a report with this receipt was received then (JWS, EdDSA); it names nobody.

    `event` is the id of the report's first event, by which it is found in the history.
    """
    claims: dict[str, str | int] = {
        "iss": issuer,
        "iat": int(received_at.timestamp()),
        "receipt_sha256": hashlib.sha256(receipt.code.encode()).hexdigest(),
    }
    if event is not None:
        claims["event"] = str(event)
    signed = _HEADER + b"." + _base64url(msgspec.json.encode(claims))
    return (signed + b"." + _base64url(_signer(seed).sign(signed))).decode("ascii")


def _base64url(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


_HEADER: Final = _base64url(b'{"alg":"EdDSA","typ":"JWT"}')


@cache
def _signer(seed: bytes) -> Signer:
    """Load a key once: that costs as much as a signature."""
    return Signer(seed)
