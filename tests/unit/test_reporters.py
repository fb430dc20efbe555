"""What a receipt reveals, who is reached, and who guesses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.intake.contacts.resolve import Reach, Withheld, resolve_contact
from services.intake.reporters.guessing import network_of
from services.intake.reporters.status import Answer, Said, answer_of

AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
SAFE: dict[str, Any] = {"allowed": True, "channel": "sms", "number": "01712345678"}


@pytest.mark.parametrize(
    ("seen", "said", "answer"),
    [
        (False, [], Answer.RECEIVED),
        (True, [], Answer.LOOKED_AT),
        (False, [Said("in", "words")], Answer.RECEIVED),
        (True, [Said("out", "question")], Answer.QUESTION),
        (True, [Said("out", "question"), Said("in", "words")], Answer.LOOKED_AT),
        (True, [Said("out", "question"), Said("in", "feedback")], Answer.QUESTION),
        (True, [Said("out", "end")], Answer.ENDED),
        (True, [Said("out", "end"), Said("in", "words")], Answer.LOOKED_AT),
    ],
)
def test_a_receipt_reveals_one_of_four_words(
    *, seen: bool, said: list[Said], answer: Answer
) -> None:
    assert answer_of(seen=seen, said=said) is answer


@pytest.mark.parametrize(
    ("contact", "phone", "reason"),
    [
        (None, "01712345678", "no-safe-contact"),
        ({"allowed": False, "number": "01712345678"}, None, "no-safe-contact"),
        ({**SAFE, "channel": "voice"}, None, "no-safe-way"),
        ({**SAFE, "valid_until": "2026-11-25T05:59:00Z"}, None, "expired"),
        ({**SAFE, "valid_until": "2026-11-25T05:59:00"}, None, "expired"),
        ({**SAFE, "number": "no number"}, None, "no-number"),
        ({"allowed": True}, None, "no-number"),
    ],
)
def test_nobody_is_reached_who_did_not_say_how(
    contact: dict[str, Any] | None, phone: str | None, reason: str
) -> None:
    assert resolve_contact(contact, phone, AT) == Withheld(reason)


def test_who_said_how_is_reached_so_and_a_phone_counts_as_shared() -> None:
    found = resolve_contact({**SAFE, "days": ["mo"], "hours": ["18:00-20:00"]}, None, AT)
    assert found == Reach("+8801712345678", "sms", ["mo"], ["18:00-20:00"], shared_phone=True)
    own = resolve_contact({"allowed": True, "shared_phone": False}, "০১৭১২৩৪৫৬৭৮", AT)
    assert own == Reach("+8801712345678", shared_phone=False)


def test_the_way_that_was_said_is_the_only_one() -> None:
    chat = {**SAFE, "channel": "WhatsApp"}
    both = ("sms", "whatsapp")
    found = resolve_contact(chat, None, AT, both)
    assert isinstance(found, Reach)
    assert found.way == "whatsapp"
    assert resolve_contact(chat, None, AT) == Withheld("no-safe-way")  # never SMS in its place
    assert resolve_contact({**SAFE, "channel": "call"}, None, AT, both) == Withheld("no-safe-way")


def test_a_household_is_one_whichever_of_its_addresses_it_uses() -> None:
    one = network_of("2001:db8:1:2::9")
    assert one == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::9")
    assert (network_of("192.0.2.9"), network_of("a mark")) == ("192.0.2.9", "a mark")
