"""What WhatsApp posts: read leniently, verified over the raw bytes, whoever the sender is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels.whatsapp.reading import read_messages, verify
from shared.errors import Forbidden

NUMBER = "8801700000001"


def post(message: dict[str, Any], contact: dict[str, Any] | None = None) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "contacts": [] if contact is None else [contact],
        "messages": [{"id": "wamid.1", "timestamp": "1795581600", "from": NUMBER} | message],
    }
    return {"entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"type": "text", "text": {"body": "help"}}, ("help",)),
        ({"type": "text", "text": {"body": "ক\u0000খ"}}, ("কখ",)),
        ({"type": "button", "button": {"payload": "yes", "text": "Yes"}}, ("Yes",)),
        (
            {
                "type": "interactive",
                "interactive": {"type": "list_reply", "list_reply": {"id": "2", "title": "পরে"}},
            },
            ("2",),
        ),
        (
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "r1", "title": "Y"}},
            },
            ("Y",),
        ),
        (
            {
                "type": "interactive",
                "interactive": {"type": "nfm_reply", "nfm_reply": {"response_json": '{"a": 1}'}},
            },
            ('{"a": 1}',),
        ),
        (
            {"type": "image", "image": {"id": "m1", "caption": "c"}},
            ("recorded:whatsapp:m1", "c"),
        ),
        ({"type": "voice", "voice": {"id": "m2"}}, ("recorded:whatsapp:m2",)),
        ({"type": "location", "location": {"latitude": 23.7, "longitude": 90.4}}, ("23.7 90.4",)),
        ({"type": "unsupported", "errors": [{"code": 131051}]}, ("",)),
        ({"type": "of_next_year"}, ("",)),
        ({"type": 7, "7": "x"}, ("",)),
        ({}, ("",)),
    ],
)
def test_every_kind_of_message_is_a_message(message: dict[str, Any], parts: tuple[str]) -> None:
    (read,) = read_messages(post(message))
    assert read.parts == parts


@pytest.mark.parametrize(
    ("message", "contact", "sender"),
    [
        ({}, None, f"+{NUMBER}"),
        ({"from": f"+{NUMBER}"}, None, f"+{NUMBER}"),
        ({"from_user_id": "BD.77"}, None, f"+{NUMBER}"),
        ({"from": None, "from_user_id": "BD.77"}, None, "BD.77"),
        ({"from": "BD.77"}, None, "BD.77"),
        ({"from": None}, {"wa_id": NUMBER}, f"+{NUMBER}"),
        ({"from": None}, {"wa_id": "BD.77"}, "BD.77"),
        ({"from": None}, {"user_id": "BD.77"}, "BD.77"),
        ({"from": None}, None, ""),
        ({"from": {"a": 1}}, None, ""),
    ],
)
def test_whoever_wrote_is_found(
    message: dict[str, Any], contact: dict[str, Any] | None, sender: str
) -> None:
    (read,) = read_messages(post(message, contact))
    assert read.sender == sender


def test_messages_come_in_the_order_of_their_times_also_in_milliseconds() -> None:
    body = post({"id": "b", "timestamp": "1795581602000"})
    value = body["entry"][0]["changes"][0]["value"]
    value["messages"] += [
        {"id": "a", "timestamp": "1795581601"},
        {"id": "none", "timestamp": "x" * 40},
    ]
    value["statuses"] = [{"id": "wamid.9", "status": "delivered"}]
    assert [m.message_id for m in read_messages(body)] == ["none", "a", "b"]


VECTOR = b'{"object":"whatsapp_business_account","entry":[]}'
SIGNED = "sha256=09eceea024af6e6343b760cc9bd3ae7c056938dd636e24e92109eb8219500384"


def test_the_signature_is_over_the_raw_bytes_and_no_bit_may_flip() -> None:
    verify("appsecret", SIGNED, VECTOR)
    flipped = [VECTOR[:i] + bytes([VECTOR[i] ^ 1]) + VECTOR[i + 1 :] for i in range(len(VECTOR))]
    for body in (*flipped, VECTOR + b" ", b""):
        with pytest.raises(Forbidden):
            verify("appsecret", SIGNED, body)
    for signature in (None, "", SIGNED[7:], SIGNED.upper(), SIGNED[:-1], "sha256=é"):
        with pytest.raises(Forbidden):
            verify("appsecret", signature, VECTOR)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["entry", "changes", "value", "messages", "contacts", "type", "text", "from", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_nothing_that_is_posted_raises(payload: object) -> None:
    read_messages(json.loads(json.dumps(payload)))
    read_messages({"entry": [{"changes": [{"value": {"messages": [payload]}}]}]})
