"""Signed links: only what was made here is looked up, and only our own answers are orders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.referral.api_links import order_in
from services.referral.links import LETTERS, LinkSigner
from services.referral.pages.provider.words import NO
from shared.vocabulary import Reason

SIGNER = LinkSigner(b"k" * 32)


def test_a_link_is_known_by_its_nonce_in_either_case_and_only_with_our_key() -> None:
    link, nonce = SIGNER.make()
    assert len(link) == LETTERS
    assert SIGNER.nonce_of(link) == nonce == SIGNER.nonce_of(link.upper())
    assert LinkSigner(b"x" * 32).nonce_of(link) is None


def test_every_changed_letter_is_no_link() -> None:
    link, _ = SIGNER.make()
    for place in range(LETTERS):
        other = "a" if link[place] != "a" else "b"
        assert SIGNER.nonce_of(link[:place] + other + link[place + 1 :]) is None


@given(st.text(max_size=40))
def test_any_text_is_no_link(text: str) -> None:
    assert SIGNER.nonce_of(text) is None


@pytest.mark.parametrize(
    "form", [{}, {"answer": "deliver"}, {"answer": "decline"}, {"answer": "decline", "reason": "x"}]
)
def test_a_form_that_is_none_of_ours_orders_nothing(form: dict[str, str]) -> None:
    assert order_in(form) is None


def test_a_form_orders_yes_or_no_with_a_reason() -> None:
    yes = order_in({"answer": "accept"})
    assert yes is not None
    assert yes.verb == "accept"
    for code in NO:
        no = order_in({"answer": "decline", "reason": str(code)})
        assert no is not None
        assert (no.verb, no.reason) == ("decline", code)
    assert set(NO) <= set(Reason)
