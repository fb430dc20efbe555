"""Signed links: only what was made here is looked up, and only our own answers are orders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.referral.api_links import REASONS, facts_of, order_in
from services.referral.links import LETTERS, LinkSigner
from services.referral.referral import Summary
from shared.vocabulary import Reason
from tests.support.referrals import AT, referral

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
    for code, _, _ in REASONS:
        no = order_in({"answer": "decline", "reason": str(code)})
        assert no is not None
        assert (no.verb, no.reason) == ("decline", code)
    assert {code for code, _, _ in REASONS} <= set(Reason)


def test_what_is_shown_is_what_a_provider_must_know() -> None:
    told = Summary(age_band="12-14", sex="female", languages=["rhg"], support=["step_free"])
    lines = facts_of(referral(summary=told, respond_by=AT, need="legal_aid"))
    shown = {english: value for _, english, value in lines}
    assert shown["Need"] == "legal aid"
    assert shown["Support"] == "step free"
    assert "Answer before" in shown
