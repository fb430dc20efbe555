"""Text at the edge: one normal form, digits, telephone numbers, language."""

from __future__ import annotations

import unicodedata
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.text import (
    PhoneInvalid,
    ascii_digits,
    detect_language,
    is_clean,
    normalise,
    parse_phone,
)

ANY_TEXT = st.text(st.characters(codec=None), max_size=200)
COMPOSING = st.text(
    st.sampled_from("aকষড\u09bc\u09cd\u0301\u200b\u200c\u200d\ufeff\u2066\u037e 😀")
)


@settings(deadline=None)  # the first call loads data
@given(ANY_TEXT | COMPOSING)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)


def test_every_two_and_three_signs_of_bangla_are_nfc() -> None:
    block = [chr(code) for code in range(0x0980, 0x0A00)]
    hot = [*"\u09bc\u09be\u09c7\u09cd\u09d7\u09dc\u09dd\u09df\u09fe", "ড", "।", "a"]
    for text in map("".join, [*product(block, block), *product(hot, block, hot)]):
        assert normalise(text) == unicodedata.normalize("NFC", text), ascii(text)


def test_bangla_letters_with_a_nukta_have_one_form() -> None:
    assert normalise("\u09dc\u09dd\u09df") == normalise("ড\u09bcঢ\u09bcয\u09bc")


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("a\u200bb\ufeff\u2060c\u200f", "abc"),
        ("a\u200db", "ab"),
        ("\u200dক", "ক"),
        ("র\u200d্যাব", "র\u200d্যাব"),
        ("ক্\u200cষ", "ক্\u200cষ"),
        ("a\x00b", "a\x00b"),
    ],
)
def test_only_invisible_characters_go(given_text: str, kept: str) -> None:
    assert normalise(given_text) == unicodedata.normalize("NFC", kept)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x\udfffy"])
def test_nul_and_lone_surrogates_are_not_clean(text: str) -> None:
    assert not is_clean(text)


def test_an_emoji_is_clean() -> None:
    assert is_clean("😀 সাহায্য")


def test_digits_of_every_script_become_ascii() -> None:
    assert ascii_digits("০১২৩৪৫৬৭৮৯ ०९ ٣ 7") == "0123456789 09 3 7"


@pytest.mark.parametrize(
    "text",
    [
        "+8801712345678",
        "01712345678",
        "8801712345678",
        "008801712345678",
        "০১৭১২৩৪৫৬৭৮",
        "+৮৮০ ১৭১২-৩৪৫৬৭৮",
        "+88 01712-345678",
        "+880 (0)1712 345678",
        "০১৭১২ ৩৪৫ ৬৭৮",
        "01712\u2011345678",
        "01712\u200b345678",
    ],
)
def test_a_mobile_number_has_one_form_however_it_is_written(text: str) -> None:
    assert parse_phone(text) == "+8801712345678"


@pytest.mark.parametrize("text", ["+919876543210", "+91 98765-43210", "+97 1501 2345 67"])
def test_a_number_of_another_country_stays(text: str) -> None:
    assert parse_phone(text) == "+" + "".join(filter(str.isdigit, text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "999",
        "1098",
        "১০৯৮",
        "01112345678",
        "+8801112345678",
        "01212345678",
        "0171234567",
        "017123456789",
        "1712345678",
        "+8802955555",
        "+1234567",
        "+1234567890123456",
        "919876543210",
        "call me 01712345678",
        "0171234567a",
        "+01712345678",
    ],
)
def test_what_is_no_number_is_refused_without_an_echo(text: str) -> None:
    with pytest.raises(PhoneInvalid) as refused:
        parse_phone(text)
    assert not text or text not in str(refused.value)


@settings(deadline=None)  # the first call loads data
@given(ANY_TEXT)
def test_a_number_is_read_or_refused(text: str) -> None:
    try:
        number = parse_phone(text)
    except PhoneInvalid:
        return
    assert number.startswith("+")
    assert parse_phone(number) == number


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("আমার বোনকে দালাল নিয়ে গেছে", "bn"),
        ("১০৯৮", "bn"),
        ("আমার ভাইয়ের passport রেখে দিছে", "bn"),
        ("amar bon ke dalal niye gese", "banglish"),
        ("pls help, amar meye ke dhore niye geche", "banglish"),
        ("dubai te atka achi", "banglish"),
        ("The agent took my passport", "en"),
        ("help", "en"),
        ("STOP", "en"),
        ("", ""),
        (".", ""),
        ("4821 7730", ""),
        ("৳ 200", ""),
        ("😢😢", ""),
    ],
)
def test_the_language_of_a_message(text: str, language: str) -> None:
    assert detect_language(text) == language


@settings(deadline=None)  # the first call loads data
@given(ANY_TEXT)
def test_every_text_has_a_language_or_none(text: str) -> None:
    assert detect_language(text) in {"bn", "banglish", "en", ""}
