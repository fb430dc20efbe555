"""What gateways say later of a message: proved first, read leniently, believed only so far."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from twilio.request_validator import RequestValidator

from services.notification.callbacks import Proofs, load_proofs
from services.notification.hearing import (
    Heard,
    hear_external,
    hear_infobip,
    hear_twilio,
    hear_whatsapp,
)
from shared.errors import Forbidden, NotFound
from shared.sms import Fate

KEY = UUID("01940000-0000-7000-8000-0123456789ab")
QUERY = {"notice": str(KEY)}
SENT, DELIVERED, FAILED = Fate.SENT, Fate.DELIVERED, Fate.FAILED


@pytest.mark.parametrize(
    ("query", "form", "found"),
    [
        (QUERY, {"MessageStatus": "sent"}, [Heard(KEY, SENT)]),
        (QUERY, {"MessageStatus": "delivered"}, [Heard(KEY, DELIVERED)]),
        (
            QUERY,
            {"MessageStatus": "undelivered", "ErrorCode": "30006"},
            [Heard(KEY, FAILED, "bad-number")],
        ),
        (QUERY, {"MessageStatus": "failed"}, [Heard(KEY, FAILED, "undelivered")]),
        (QUERY, {"MessageStatus": "of-tomorrow"}, []),
        (QUERY, {"CallStatus": "completed"}, [Heard(KEY, DELIVERED, way="call")]),
        (QUERY, {"CallStatus": "no-answer"}, [Heard(KEY, FAILED, "no-answer", "call")]),
        (QUERY, {"CallStatus": "ringing"}, []),
        (QUERY, {}, []),
        ({}, {"MessageStatus": "delivered"}, []),
        ({"notice": "1"}, {"MessageStatus": "delivered"}, []),
    ],
)
def test_twilio_speaks_of_the_notice_in_our_own_url(
    query: dict[str, str], form: dict[str, str], found: list[Heard]
) -> None:
    assert hear_twilio(query, form) == found


def _result(group: str, **more: Any) -> dict[str, Any]:
    return {"messageId": str(KEY), "to": "8801712345678", "status": {"groupName": group}, **more}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"results": [_result("DELIVERED")]}, [Heard(KEY, DELIVERED)]),
        ({"results": [_result("PENDING")]}, [Heard(KEY, SENT)]),
        ({"results": [_result("EXPIRED")]}, [Heard(KEY, FAILED, "undelivered")]),
        (
            {"results": [_result("UNDELIVERABLE", error={"permanent": True})]},
            [Heard(KEY, FAILED, "bounced")],
        ),
        ({"results": [_result("UNDELIVERABLE", error="x")]}, [Heard(KEY, FAILED, "undelivered")]),
        ({"results": [_result("DELIVERED"), 7, {}]}, [Heard(KEY, DELIVERED)]),
        ({"results": [_result("DELIVERED") | {"status": ["DELIVERED"]}]}, []),
        ({"results": {"messageId": str(KEY)}}, []),
        ([], []),
        (None, []),
    ],
)
def test_infobip_tells_a_batch(body: Any, found: list[Heard]) -> None:
    assert hear_infobip(body) == found


@pytest.mark.parametrize(
    ("status", "fields", "found"),
    [
        ("delivered", {"id": str(KEY)}, [Heard(KEY, DELIVERED)]),
        ("sent", {"uuid": str(KEY)}, [Heard(KEY, SENT)]),
        ("failed", {"id": str(KEY)}, [Heard(KEY, FAILED, "undelivered")]),
        ("bounced", {"id": str(KEY)}, [Heard(KEY, FAILED, "bounced")]),
        ("delivered", {"id": "12"}, []),
        ("delivered", {}, []),
    ],
)
def test_an_external_gateway_says_it_in_the_path(
    status: str, fields: dict[str, str], found: list[Heard]
) -> None:
    assert hear_external(status, fields) == found


def _whatsapp(*statuses: Any) -> dict[str, Any]:
    return {"entry": [{"changes": [{"field": "messages", "value": {"statuses": list(statuses)}}]}]}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            _whatsapp({"status": "read", "biz_opaque_callback_data": str(KEY)}),
            [Heard(KEY, DELIVERED, way="whatsapp")],
        ),
        (
            _whatsapp(
                {
                    "status": "failed",
                    "biz_opaque_callback_data": str(KEY),
                    "errors": [{"code": 131026, "title": "x"}],
                }
            ),
            [Heard(KEY, FAILED, "bad-number", "whatsapp")],
        ),
        (
            _whatsapp({"status": "failed", "biz_opaque_callback_data": str(KEY), "errors": "x"}),
            [Heard(KEY, FAILED, "undelivered", "whatsapp")],
        ),
        (_whatsapp({"status": "sent"}, None), []),
        ({"entry": [{"changes": [{"value": {"messages": [{}]}}]}]}, []),
        ({"entry": "x"}, []),
    ],
)
def test_whatsapp_gives_our_key_back(body: Any, found: list[Heard]) -> None:
    assert hear_whatsapp(body) == found


PROOFS = Proofs("of-twilio", "a secret", "of-whatsapp", "agreed")
URL = f"https://centre.example.org/notification/callbacks/twilio?{urlencode(QUERY)}"
FORM = {"MessageStatus": "delivered", "To": "+8801712345678"}


def signed(token: str) -> str:
    """Sign as Twilio's own library does."""
    validator: Any = RequestValidator
    signature: str = validator(token).compute_signature(URL, FORM)
    return signature


def test_what_the_public_library_of_twilio_signs_is_believed_and_nothing_else() -> None:
    signature = signed("of-twilio")
    PROOFS.check_twilio(URL, signature, FORM.items())
    for url, said, form in (
        (URL.replace("ab", "ac"), signature, FORM),
        (URL, signature, FORM | {"MessageStatus": "failed"}),
        (URL, "", FORM),
        (URL, None, FORM),
        (URL, signed("another"), FORM),
    ):
        with pytest.raises(Forbidden):
            PROOFS.check_twilio(url, said, form.items())


def test_a_secret_in_the_path_and_a_signature_over_the_body_are_checked() -> None:
    PROOFS.check_secret("a secret")
    body = b'{"entry": []}'
    digest = hmac.new(b"of-whatsapp", body, hashlib.sha256).hexdigest()
    PROOFS.check_whatsapp(f"sha256={digest}", body)
    for said in ("another", ""):
        with pytest.raises(Forbidden):
            PROOFS.check_secret(said)
    for signature, changed in ((f"sha256={digest}", body + b" "), ("", body)):
        with pytest.raises(Forbidden):
            PROOFS.check_whatsapp(signature, changed)


def test_whatsapp_is_answered_when_it_knows_the_agreed_word() -> None:
    PROOFS.check_agreed("subscribe", "agreed")
    for mode, said in (("subscribe", "another"), ("subscribe", ""), ("unsubscribe", "agreed")):
        with pytest.raises(Forbidden):
            PROOFS.check_agreed(mode, said)


def test_a_gateway_that_is_not_set_up_is_not_there() -> None:
    none = load_proofs({})
    with pytest.raises(NotFound):
        none.check_secret("")
    with pytest.raises(NotFound):
        none.check_twilio(URL, "", [])
    with pytest.raises(NotFound):
        none.check_whatsapp("sha256=", b"")
    with pytest.raises(NotFound):
        none.check_agreed("subscribe", "")
    assert "of-twilio" not in repr(PROOFS)
