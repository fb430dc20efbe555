"""Standard Webhooks 1.0: the published vectors, and what a receiver must refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.notification.signature import (
    headers_of,
    make_secret,
    parse_secret,
    render_secret,
    sign,
    verify,
)

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "standard_webhooks.json").read_text("utf-8")
)
BODY = VECTOR["body"].encode()
AT = VECTOR["timestamp"]


def _headers() -> dict[str, str]:
    return {
        "webhook-id": VECTOR["id"],
        "webhook-timestamp": str(AT),
        "webhook-signature": VECTOR["v1"],
    }


def test_the_vector_is_signed_as_published() -> None:
    assert sign(parse_secret(VECTOR["secret"]), VECTOR["id"], AT, BODY) == VECTOR["v1"]
    assert headers_of(parse_secret(VECTOR["secret"]), VECTOR["id"], AT, BODY) == _headers()


def test_the_vector_verifies_also_beside_signatures_of_other_versions() -> None:
    both = _headers() | {"webhook-signature": f"{VECTOR['v1a']} v2,x {VECTOR['v1']}"}
    assert verify(VECTOR["secret"], both, BODY, AT)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(AT + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": VECTOR["v1a"]},
        {"webhook-signature": VECTOR["v1"].replace("v1,", "v0,")},
        {"webhook-id": "a.b"},
    ],
)
def test_a_changed_header_is_refused(change: dict[str, str]) -> None:
    assert not verify(VECTOR["secret"], _headers() | change, BODY, AT)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(name: str) -> None:
    headers = {key: value for key, value in _headers().items() if key != name}
    assert not verify(VECTOR["secret"], headers, BODY, AT)


def test_another_body_is_refused() -> None:
    assert not verify(VECTOR["secret"], _headers(), BODY + b" ", AT)


@pytest.mark.parametrize(("off", "taken"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_a_message_is_taken_within_five_minutes(off: int, *, taken: bool) -> None:
    assert verify(VECTOR["secret"], _headers(), BODY, AT + off) is taken


def test_an_id_with_a_dot_is_never_signed() -> None:
    with pytest.raises(ValueError, match="no dot"):
        sign(b"k" * 32, "a.b", AT, BODY)


def test_a_made_secret_comes_back_from_its_text() -> None:
    key = make_secret()
    assert len(key) == 32
    assert parse_secret(render_secret(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "whsec_AAEC",
        "whsec_!!!!",
        "whsec_" + "A" * 92,
    ],
)
def test_a_secret_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        parse_secret(text)
