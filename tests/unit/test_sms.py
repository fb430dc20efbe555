"""The SMS channel reads whatever a gateway sends, and drops only repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels.sms import _clean, _mark, parse_external
from shared.errors import InvalidBody

KEY = b"k" * 32
AT = datetime(2026, 11, 25, 6, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("from=%2B8801711111111&text=help", ""),
        ("", "from=%2B8801711111111&text=help"),
        ("sender=%2B8801711111111", "message=help"),
        ("", "FROM=%2B8801711111111&Text=help"),
    ],
)
def test_names_and_places_of_the_fields_may_differ(query: str, body: str) -> None:
    found = parse_external(query.encode(), body.encode())
    assert (found["from"], found["text"]) == ("+8801711111111", "help")


def test_bangla_comes_through() -> None:
    body = urlencode({"from": "01711111111", "text": "সাহায্য চাই"})
    assert parse_external(b"", body.encode())["text"] == "সাহায্য চাই"


def test_latin_1_bytes_are_read_and_not_refused() -> None:
    body = b"from=1&text=" + quote_from_bytes("é help".encode("latin-1")).encode()
    assert parse_external(b"", body)["text"] == "é help"


def test_an_empty_text_is_silence_and_kept() -> None:
    assert parse_external(b"", b"from=01711111111&text=")["text"] == ""


def test_neither_sender_nor_text_is_an_error() -> None:
    with pytest.raises(InvalidBody):
        parse_external(b"", b"hello=world")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(query: bytes, body: bytes) -> None:
    try:
        found = parse_external(query, body)
    except InvalidBody:
        return
    assert set(found) == {"from", "text", "time", "id"}


@given(st.text(max_size=200))
def test_cleaned_texts_hold_no_control_signs(text: str) -> None:
    assert all(c >= " " or c in "\n\t" for c in _clean(text))


def message(**fields: str) -> dict[str, str]:
    return {"from": "1", "text": "help", "time": "", "id": "", **fields}


def test_repeats_have_the_same_mark_and_others_do_not() -> None:
    told = message(time="2026-11-25T06:00:00Z")
    assert _mark(KEY, told, AT) == _mark(KEY, told, AT + timedelta(hours=3))
    assert _mark(KEY, told, AT) != _mark(KEY, message(time="2026-11-25T06:00:01Z"), AT)
    assert _mark(KEY, told, AT) != _mark(KEY, {**told, "from": "2"}, AT)
    assert _mark(KEY, message(id="x"), AT) == _mark(KEY, message(id="x", text="other"), AT)
    assert _mark(KEY, message(), AT) == _mark(KEY, message(), AT + timedelta(seconds=60))
    assert _mark(KEY, message(), AT) != _mark(KEY, message(), AT + timedelta(hours=1))
