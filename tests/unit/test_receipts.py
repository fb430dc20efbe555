"""Receipts: sixteen digits or six words, and nothing else."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.intake.receipts import DIGITS, Receipt, parse_receipt, sign_receipt

numbers = st.integers(0, 10**DIGITS - 1).map(Receipt)


@given(numbers)
def test_a_receipt_is_read_back_from_its_digits_and_from_its_words(receipt: Receipt) -> None:
    assert parse_receipt(receipt.shown) == receipt
    assert parse_receipt(" ".join(receipt.words)) == receipt


@given(numbers)
def test_bangla_digits_are_digits(receipt: Receipt) -> None:
    bangla = receipt.shown.translate({ord("0") + i: chr(0x09E6 + i) for i in range(10)})
    assert parse_receipt(bangla) == receipt


@given(numbers, st.integers(0, 15), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(receipt: Receipt, place: int, by: int) -> None:
    digits = list(receipt.code)
    digits[place] = str((int(digits[place]) + by) % 10)
    assert parse_receipt("".join(digits)) != receipt
    assert parse_receipt("".join(digits)) is None


@given(numbers, st.integers(0, 14))
def test_two_neighbours_changed_over_are_noticed(receipt: Receipt, place: int) -> None:
    digits = list(receipt.code)
    if digits[place] != digits[place + 1]:
        digits[place], digits[place + 1] = digits[place + 1], digits[place]
        assert parse_receipt("".join(digits)) is None


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    found = parse_receipt(text)
    assert found is None or 0 <= found.number < 10**DIGITS


def test_the_stored_digest_depends_on_the_pepper() -> None:
    receipt = Receipt(7)
    assert receipt.digest(b"a" * 32) != receipt.digest(b"b" * 32)
    assert receipt.code.encode() not in receipt.digest(b"a" * 32)


def test_a_signed_receipt_is_a_jws_that_any_library_verifies() -> None:
    seed, at = b"s" * 32, datetime(2026, 11, 25, 6, 0, 7, tzinfo=UTC)
    signed = sign_receipt(seed, Receipt(7), at, "https://example.org")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    claims = jwt.decode(signed, public, algorithms=["EdDSA"], options={"verify_iat": False})
    assert claims == {
        "iss": "https://example.org",
        "iat": int(at.timestamp()),
        "receipt_sha256": hashlib.sha256(Receipt(7).code.encode()).hexdigest(),
    }
    assert jwt.get_unverified_header(signed) == {"alg": "EdDSA", "typ": "JWT"}
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32).public_key()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(signed, other, algorithms=["EdDSA"], options={"verify_iat": False})
