"""Standard Webhooks 1.0: published vectors, the public library, what a receiver must refuse."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.notification.signature import (
    Keys,
    headers_of,
    parse_public,
    parse_secret,
    sign,
    sign_as_ourselves,
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


def _keys() -> Keys:
    return Keys(parse_secret(VECTOR["secret"]), bytes.fromhex(VECTOR["ed25519_seed_hex"]))


def test_the_vector_is_signed_as_published() -> None:
    keys = _keys()
    assert sign(keys.shared, VECTOR["id"], AT, BODY) == VECTOR["v1"]
    assert sign_as_ourselves(keys.seed, VECTOR["id"], AT, BODY) == VECTOR["v1a"]
    assert (keys.secret, keys.public) == (VECTOR["secret"], VECTOR["public"])
    both = _headers() | {"webhook-signature": f"{VECTOR['v1']} {VECTOR['v1a']}"}
    assert headers_of(keys, VECTOR["id"], AT, BODY) == both


LIBRARY: dict[str, Any] = {  # of the public library's own tests (standard-webhooks, MIT)
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "timestamp": 1614265330,
    "body": '{"test": 2432232314}',
    "v1": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_librarys_own_vector_passes_here() -> None:
    key, stamp, body = LIBRARY["secret"], LIBRARY["timestamp"], LIBRARY["body"]
    signed = sign(parse_secret(key), LIBRARY["id"], stamp, body.encode())
    theirs = Webhook(key).sign(LIBRARY["id"], datetime.fromtimestamp(stamp, UTC), body)
    assert signed == theirs == LIBRARY["v1"]
    headers = {
        "webhook-id": LIBRARY["id"],
        "webhook-timestamp": str(stamp),
        "webhook-signature": LIBRARY["v1"],
    }
    assert verify(key, headers, body.encode(), stamp)


def test_the_public_library_verifies_what_we_sign_and_nothing_else() -> None:
    keys, at = Keys.fresh(), int(datetime.now(UTC).timestamp())
    headers = headers_of(keys, "0199", at, BODY)
    assert Webhook(keys.secret).verify(BODY, headers) == json.loads(BODY)
    for wrong in (
        (BODY + b" ", headers, keys),
        (BODY, headers | {"webhook-id": "0198"}, keys),
        (BODY, headers, Keys.fresh()),
        (BODY, headers_of(keys, "0199", at - 301, BODY), keys),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong[2].secret).verify(wrong[0], wrong[1])


def test_another_implementation_of_ed25519_verifies_ours() -> None:
    keys, at = Keys.fresh(), 1_795_581_600
    ours = headers_of(keys, "0199", at, BODY)["webhook-signature"].split()[1]
    raw = base64.b64decode(ours.removeprefix("v1a,"))
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys.public.removeprefix("whpk_")))
    public.verify(raw, f"0199.{at}.".encode() + BODY)
    with pytest.raises(InvalidSignature):
        public.verify(raw, f"0198.{at}.".encode() + BODY)


def test_the_public_key_alone_is_enough_to_verify_and_forges_nothing() -> None:
    keys = Keys.fresh()
    headers = headers_of(keys, "0199", AT, BODY)
    assert verify(keys.public, headers, BODY, AT)
    assert verify(keys.secret, headers, BODY, AT)
    assert not verify(keys.public, headers, BODY + b" ", AT)
    assert not verify(keys.public, headers, BODY, AT + 301)
    assert not verify(Keys.fresh().public, headers, BODY, AT)
    shared_alone = headers | {"webhook-signature": headers["webhook-signature"].split()[0]}
    assert not verify(keys.public, shared_alone, BODY, AT)


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
    keys = Keys.fresh()
    assert len(keys.shared) == len(keys.seed) == 32
    assert parse_secret(keys.secret) == keys.shared
    assert Keys.unpack(keys.pack()) == keys
    assert keys.secret not in repr(keys)


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


@pytest.mark.parametrize("text", ["whpk_", "whpk_AAEC", "whpk_!!!!", "whpk_" + "A" * 88])
def test_a_public_key_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whpk_"):
        parse_public(text)
