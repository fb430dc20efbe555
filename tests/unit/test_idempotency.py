"""Idempotency keys: what is kept of them opens nothing without the key itself."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from shared.errors import InvalidBody
from shared.idempotency import MAX_KEY, Key


def test_the_same_key_opens_what_it_sealed() -> None:
    sealed = Key.of("abc", scope="a POST /x", body=b"1").close(b"answer")
    assert Key.of("abc", scope="a POST /x", body=b"2").open(sealed) == b"answer"


def test_another_key_or_scope_opens_nothing_and_looks_up_nothing() -> None:
    key = Key.of("abc", scope="a POST /x", body=b"1")
    sealed = key.close(b"answer")
    for other in (
        Key.of("abd", scope="a POST /x", body=b"1"),
        Key.of("abc", scope="b POST /x", body=b"1"),
    ):
        assert other.digest != key.digest
        with pytest.raises(InvalidTag):
            other.open(sealed)


def test_neither_key_nor_answer_can_be_seen_in_what_is_stored() -> None:
    key = Key.of("a-very-visible-key", scope="s", body=b"body")
    stored = key.digest + key.body + key.close(b"a-very-visible-answer")
    assert b"visible" not in stored


def test_two_seals_of_one_answer_differ() -> None:
    key = Key.of("abc", scope="s", body=b"")
    assert key.close(b"answer") != key.close(b"answer")


@pytest.mark.parametrize("value", ["", "x" * (MAX_KEY + 1), "\u0985", "a\x00", "a\nb"])
def test_a_key_that_is_no_printable_ascii_is_refused_without_echo(value: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        Key.of(value, scope="s", body=b"")
    assert not value or value not in str(caught.value)
