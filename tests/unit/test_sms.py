"""The SMS channel reads whatever a gateway sends, and drops only repeats."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels.sms import _mark
from services.intake.channels.sms.gateways import Told, read_twilio
from services.intake.channels.sms.inbound import Inbound, clean, make_inbound
from services.intake.channels.sms.mapper import load_mappers
from services.intake.report import ExternalRef
from shared.errors import Forbidden, InvalidBody
from shared.sms.proof import sign_twilio

EXTERNAL = load_mappers({})["external"]
KEY = b"k" * 32
AT = datetime(2026, 11, 25, 6, 4, tzinfo=UTC)


def read_external(query: bytes, body: bytes) -> Inbound:
    (found,) = EXTERNAL.read(Told("http://test", query, {}, body))
    return found


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
    found = read_external(query.encode(), body.encode())
    assert (found.sender, found.text) == ("+8801711111111", "help")


def test_bangla_comes_through() -> None:
    body = urlencode({"from": "01711111111", "text": "সাহায্য চাই"})
    assert read_external(b"", body.encode()).text == "সাহায্য চাই"


def test_latin_1_bytes_are_read_and_not_refused() -> None:
    body = b"from=1&text=" + quote_from_bytes("é help".encode("latin-1")).encode()
    assert read_external(b"", body).text == "é help"


def test_an_empty_text_is_silence_and_kept() -> None:
    assert read_external(b"", b"from=01711111111&text=").text == ""


def test_neither_sender_nor_text_is_an_error() -> None:
    with pytest.raises(InvalidBody):
        read_external(b"", b"hello=world")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(query: bytes, body: bytes) -> None:
    try:
        found = read_external(query, body)
    except InvalidBody:
        return
    assert len(found.sender) <= 200


@given(st.text(max_size=200))
def test_cleaned_texts_hold_no_control_signs(text: str) -> None:
    assert all(c >= " " or c in "\n\t" for c in clean(text))


@pytest.mark.parametrize("odd", ["\ud800", "\0", "x" * 500])
def test_a_message_is_stored_whatever_its_gateway_says_beside_it(odd: str) -> None:
    told = make_inbound("1", "help", "", odd, refs=(("httpsms-media", f"http://x/{odd}"),))
    assert len(_mark(KEY, told, AT)) == 32
    assert ExternalRef(system="httpsms-media", value=told.refs[0][1][:200])


def message(**fields: str) -> Inbound:
    told: dict[str, Any] = {"sender": "1", "text": "help", **fields}
    return Inbound(**told)


def test_repeats_have_the_same_mark_and_others_do_not() -> None:
    told = message(time="2026-11-25T06:00:00Z")
    assert _mark(KEY, told, AT) == _mark(KEY, told, AT + timedelta(hours=3))
    assert _mark(KEY, told, AT) != _mark(KEY, message(time="2026-11-25T06:00:01Z"), AT)
    assert _mark(KEY, told, AT) != _mark(KEY, message(sender="2", time=told.time), AT)
    assert _mark(KEY, message(message_id="x"), AT) == _mark(
        KEY, message(message_id="x", text="other"), AT
    )
    assert _mark(KEY, message(), AT) == _mark(KEY, message(), AT + timedelta(seconds=60))
    assert _mark(KEY, message(), AT) != _mark(KEY, message(), AT + timedelta(hours=1))


TWILIO_URL = "https://intake.example.org/sms/twilio"
TWILIO_BODY = (
    b"AccountSid=AC0000000000000000000000000000000b&Body=%E0%A6%B8%E0%A6%BE%E0%A6%B9%E0%A6%BE"
    b"%E0%A6%AF%E0%A7%8D%E0%A6%AF&From=%2B8801700000001&MessageSid=SM0000000000000000000000000000000a"
    b"&NumMedia=0&NumSegments=1&To=%2B15005550006"
)
TWILIO_SIGNATURE = "8y0/qVS4f1CARWP8eKT4qcRZIjI="


def test_twilios_known_answer() -> None:
    (found,) = read_twilio("12345", TWILIO_URL, TWILIO_SIGNATURE, TWILIO_BODY)
    assert (found.text, found.number) == ("সাহায্য", "+8801700000001")
    assert found.message_id == "SM0000000000000000000000000000000a"


@pytest.mark.parametrize(
    ("token", "url", "signature", "body"),
    [
        ("12346", TWILIO_URL, TWILIO_SIGNATURE, TWILIO_BODY),
        ("12345", TWILIO_URL + "/", TWILIO_SIGNATURE, TWILIO_BODY),
        ("12345", TWILIO_URL, TWILIO_SIGNATURE[:-2] + "J=", TWILIO_BODY),
        ("12345", TWILIO_URL, "é", TWILIO_BODY),
        ("12345", TWILIO_URL, None, TWILIO_BODY),
        ("12345", TWILIO_URL, TWILIO_SIGNATURE, TWILIO_BODY + b"&more=1"),
    ],
)
def test_a_wrong_signature_is_refused_before_anything_is_read(
    token: str, url: str, signature: str | None, body: bytes
) -> None:
    with pytest.raises(Forbidden):
        read_twilio(token, url, signature, body)


def test_a_long_text_that_came_as_base64_is_read() -> None:
    text = "amar bon er boyos baro, oke dhaka niye geche kaj dibe bole, ekhon phone dhore na"
    fields = [("Body", b64encode(text.encode()).decode()), ("MessageSid", "SM1"), ("From", "+1")]
    body = urlencode(fields).encode()
    (found,) = read_twilio("t", TWILIO_URL, sign_twilio("t", TWILIO_URL, fields), body)
    assert found.text == text
    assert found.number is None
