"""Every text of a page is there in both languages; none holds a word that no screen holds."""

from __future__ import annotations

import re

import pytest

from shared.pages.words import KINDS
from shared.vocabulary import Channel, Concern, Need, Reason, ReferralState, Sex, Urgency
from tests.support.glossary import forbidden
from tests.support.screens import codes_in
from tests.support.texts import Room, list_rooms, missing, unused

ROOMS = list_rooms()
BANGLA = re.compile("[\u0980-\u09ff]")
TAG = re.compile(r"\{[%{#].*?[%}#]\}|<[^>]+>", re.DOTALL)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_text_has_its_bangla_and_no_text_is_left_over(room: Room) -> None:
    assert not missing(room), "python -m tests.support.texts"
    assert not unused(room), "python -m tests.support.texts"
    for text, said in room.has().items():
        for one in (said,) if isinstance(said, str) else said:
            assert set(re.findall(r"%\(\w+\)s", str(text))) >= set(re.findall(r"%\(\w+\)s", one))
            assert BANGLA.search(one) or not re.search("[A-Za-z]", one.replace("%(", "")), text


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_no_text_holds_a_word_that_no_screen_holds(room: Room) -> None:
    public = "public" in room.name
    for text, said in room.has().items():
        for one in (text, said):
            for part in (one,) if isinstance(one, str) else one:
                assert not forbidden(part, room.name, public=public), part
    for file in room.folder.rglob("*"):
        if file.suffix == ".html":
            # What is said outside of the catalogue would be said in one language only.
            plain = TAG.sub(" ", file.read_text("utf-8"))
            assert not forbidden(plain, room.name, public=public), file.name
            assert not BANGLA.search(plain), f"{file.name}: this text is not in the catalogue"
        if file.suffix == ".md":
            assert not forbidden(file.read_text("utf-8"), room.name, public=public), file.name


def test_a_forbidden_word_is_found_in_any_spelling_and_only_as_a_word() -> None:
    assert forbidden("A new Ticket came") == ["ticket"]
    assert forbidden("ticketing, misleading, a leading thought") == []
    assert forbidden("তার কেসটি") == ["কেস"]
    assert forbidden("a parked message", "services/notification/pages/operations") == []
    assert forbidden("your case", public=True) == ["case"]
    assert forbidden("the case") == []


def test_a_code_word_in_a_bangla_text_is_found_and_a_name_is_none() -> None:
    assert codes_in("এখন planned, no_answer") == ["no_answer", "planned"]
    assert codes_in("এসএমএস, Kafka, WhatsApp, Shift, j নিচে") == []


def test_every_code_that_is_shown_has_a_name() -> None:
    for kind, codes in {
        "channel": Channel,
        "concern": Concern,
        "need": Need,
        "reason": Reason,
        "sex": Sex,
        "state": ReferralState,
        "urgency": Urgency,
    }.items():
        assert set(KINDS[kind]) == {str(code) for code in codes}, kind
