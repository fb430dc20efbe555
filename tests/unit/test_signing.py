"""Signatures are RFC 8032's, whichever library makes them."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.signing import Signer, verify, verify_header


def test_the_third_vector_of_the_rfc() -> None:
    signer = Signer(
        bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    )
    public = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    assert signer.public.hex() == public
    assert signer.sign(bytes.fromhex("af82")).hex() == (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_another_library_signs_and_verifies_the_same(seed: bytes, value: bytes) -> None:
    other = Ed25519PrivateKey.from_private_bytes(seed)
    signer = Signer(seed)
    signature = signer.sign(value)
    assert signature == other.sign(value)
    assert verify(signer.public, value, signature)
    assert verify_header(signer.public, value, signer.header(value))
    assert not verify(signer.public, value + b"x", signature)


@pytest.mark.parametrize("public", [b"", b"p" * 31, b"p" * 33, b"\x00" * 32])
def test_a_key_that_is_none_verifies_nothing(public: bytes) -> None:
    assert not verify(public, b"value", Signer(b"s" * 32).sign(b"value"))


@pytest.mark.parametrize("signature", [b"", b"s" * 63, b"s" * 64, b"s" * 65])
def test_a_signature_that_is_none_proves_nothing(signature: bytes) -> None:
    public = Signer(b"s" * 32).public
    assert not verify(public, b"value", signature)
    assert not verify_header(public, b"value", base64.urlsafe_b64encode(signature))
