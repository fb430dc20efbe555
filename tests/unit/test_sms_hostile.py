"""The gateways for SMS out: what each is told, and what is believed of what it answers.

The server is real and on loopback; what counts is what it got: one request a message, ever.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from shared.errors import SettingsError
from shared.sms import (
    Asks,
    Fate,
    Question,
    Refused,
    Sent,
    Unknown,
    load_sms_settings,
    make_gateway,
)
from shared.sms.infobip import Infobip
from shared.sms.twilio import PAGES, Twilio
from tests.support.certificates import make_certificate
from tests.support.hostile_gateway import BEHAVIOURS, Hostile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shared.sms import Gateway, Outcome
    from tests.support.phones import Request

NUMBER = "+8801712345678"
KEY = "01940000-0000-7000-8000-0123456789ab"
TEXT = "একটা খবর আছে।"
BACK = "https://centre.example.org/notification/callbacks"


def twilio_says(request: Request) -> str:
    del request
    return json.dumps({"sid": "SM1", "status": "queued", "error_code": None})


def infobip_says(request: Request) -> str:
    [message] = json.loads(request.body)["messages"]
    key = message["destinations"][0]["messageId"]
    return json.dumps({"messages": [{"messageId": key, "status": {"groupName": "PENDING"}}]})


def ssl_says(request: Request) -> str:
    del request
    return json.dumps({"status": "SUCCESS", "status_code": 200, "smsinfo": []})


@dataclass(frozen=True)
class Kind:
    """A gateway, its settings at a URL, and how it says yes."""

    name: str
    env: Callable[[str], dict[str, str]]
    good: Callable[[Request], str]

    def make(self, url: str, seconds: str = "30") -> Gateway:
        env = {"SMS_TIMEOUT": seconds, "SMS_EXTERNAL_TIMEOUT": seconds, "SMS_CALLBACK_SECRET": "s3"}
        made = make_gateway(load_sms_settings(env | self.env(url)), BACK)
        assert made is not None
        return made


KINDS = (
    Kind(
        "external",
        lambda url: {"SMS_EXTERNAL_URL": f"{url}/send", "SMS_EXTERNAL_CHECK": "ok"},
        lambda _: "ok",
    ),
    Kind(
        "twilio",
        lambda url: {
            "SMS_GATEWAY": "twilio",
            "TWILIO_URL": url,
            "TWILIO_ACCOUNT_SID": "AC0001",
            "TWILIO_AUTH_TOKEN": "of-the-account",
            "TWILIO_SENDER": "+8809612000000",
        },
        twilio_says,
    ),
    Kind(
        "infobip",
        lambda url: {
            "SMS_GATEWAY": "infobip",
            "INFOBIP_URL": url,
            "INFOBIP_KEY": "of-the-account",
            "INFOBIP_SENDER": "INFO",
        },
        infobip_says,
    ),
    Kind(
        "sslwireless",
        lambda url: {
            "SMS_GATEWAY": "sslwireless",
            "SSLWIRELESS_URL": url,
            "SSLWIRELESS_TOKEN": "of-the-account",
            "SSLWIRELESS_SENDER": "MASK",
        },
        ssl_says,
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}


async def send(gateway: Gateway, text: str = TEXT) -> Outcome:
    try:
        return await gateway.send(NUMBER, text, KEY)
    finally:
        await gateway.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_message_is_one_request_and_is_sent(kind: Kind) -> None:
    async with Hostile(kind.good) as server:
        outcome = await send(kind.make(server.url))
    assert isinstance(outcome, Sent), outcome
    assert len(server.got) == 1


async def test_each_gateway_is_told_in_its_own_form() -> None:
    heads, bodies = {}, {}
    for kind in KINDS:
        async with Hostile(kind.good) as server:
            await send(kind.make(server.url))
        [request] = server.got
        heads[kind.name], bodies[kind.name] = request.head, request.body.decode()
    assert heads["twilio"].startswith("POST /2010-04-01/Accounts/AC0001/Messages.json ")
    account = base64.b64encode(b"AC0001:of-the-account").decode()
    assert f"authorization: Basic {account}" in heads["twilio"]
    assert dict(parse_qsl(bodies["twilio"])) == {
        "To": NUMBER,
        "From": "+8809612000000",
        "Body": TEXT,
        "StatusCallback": f"{BACK}/twilio?notice={KEY}",
    }
    assert heads["infobip"].startswith("POST /sms/3/messages ")
    assert "authorization: App of-the-account" in heads["infobip"]
    assert json.loads(bodies["infobip"]) == {
        "messages": [
            {
                "sender": "INFO",
                "destinations": [{"to": "8801712345678", "messageId": KEY}],
                "content": {"text": TEXT},
                "webhooks": {
                    "delivery": {
                        "url": f"{BACK}/infobip/s3",
                        "intermediateReport": True,
                        "contentType": "application/json",
                    }
                },
            }
        ]
    }
    assert heads["sslwireless"].startswith("POST /api/v3/send-sms ")
    assert json.loads(bodies["sslwireless"]) == {
        "api_token": "of-the-account",
        "sid": "MASK",
        "msisdn": "8801712345678",
        "sms": TEXT,
        "csms_id": KEY.replace("-", "")[-20:],
    }


NOBODY_KNOWS = {
    "times out": "timeout",
    "hangs up": "protocol",
    "half a status": "protocol",
    "no http": "protocol",
    "500": "server-error",
    "502": "server-error",
    "redirect": "redirect",
    "wrong body": "unexpected-answer",
    "empty body": "unexpected-answer",
    "slow head": "timeout",
    "slow body": "unexpected-answer",
    "10 MB": "unexpected-answer",
    "endless": "unexpected-answer",
    "deep json": "unexpected-answer",
}
NOT_SENT = {
    "429": (True, timedelta(seconds=3)),
    "429 for long": (True, timedelta(days=1)),
    "503": (True, None),
    "400": (False, None),
    "401": (False, None),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_what_a_hostile_gateway_does_is_called_by_its_name(behaviour: str) -> None:
    seconds = "1.5" if NOBODY_KNOWS.get(behaviour) == "timeout" else "30"
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Hostile(k.good, behaviour)) for k in KINDS]
        outcomes = await asyncio.gather(
            *(send(k.make(s.url, seconds)) for k, s in zip(KINDS, servers, strict=True))
        )
        assert [len(server.got) for server in servers] == [1] * len(KINDS)
    for kind, outcome in zip(KINDS, outcomes, strict=True):
        if behaviour in NOBODY_KNOWS:
            assert isinstance(outcome, Unknown), (kind.name, outcome)
            assert outcome.reason == NOBODY_KNOWS[behaviour], kind.name
        else:
            assert isinstance(outcome, Refused), (kind.name, outcome)
            assert (outcome.again, outcome.after) == NOT_SENT[behaviour], kind.name
        assert NUMBER[1:] not in repr(outcome)


async def test_a_gateway_with_a_bad_certificate_gets_nothing(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path, "gateway.example.org"))
    for kind in KINDS:
        async with Hostile(kind.good, tls=context) as server:
            outcome = await send(kind.make(server.url))
            assert outcome == Refused("connection", again=True), kind.name
            assert server.got == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_nobody_there_is_tried_again_and_a_broken_text_is_not(kind: Kind) -> None:
    async with Hostile() as server:
        gone = server.url
    assert await send(kind.make(gone)) == Refused("connection", again=True)
    async with Hostile(kind.good) as server:
        assert await send(kind.make(server.url), "\ud800") == Refused("malformed")
        assert server.got == []


@pytest.mark.parametrize(
    ("name", "status", "body", "outcome"),
    [
        ("twilio", 201, {"sid": "SM1", "status": "failed", "error_code": 30006}, "bad-number"),
        ("twilio", 201, {"sid": "SM1", "status": "undelivered"}, "refused"),
        ("twilio", 201, {"sid": "SM1", "status": "of-tomorrow"}, None),
        ("twilio", 201, {"status": "queued"}, None),
        ("twilio", 201, [], None),
        ("twilio", 400, {"code": 21211}, "bad-number"),
        ("twilio", 400, {"code": 21610}, "opted-out"),
        ("twilio", 400, {"code": 21408}, "refused"),
        ("twilio", 400, {"code": []}, "refused"),
        ("infobip", 200, {"messages": [{"messageId": "other"}]}, None),
        ("infobip", 200, {"messages": "none"}, None),
        ("infobip", 200, {"messages": [{"messageId": KEY, "status": "PENDING"}]}, None),
        (
            "infobip",
            200,
            {"messages": [{"messageId": KEY, "status": {"groupName": "REJECTED"}}]},
            "refused",
        ),
        ("sslwireless", 200, {"status": "FAILED", "status_code": 4001}, "refused"),
        ("sslwireless", 200, {"status": "MAYBE"}, None),
        ("sslwireless", 200, {"status": ["SUCCESS"]}, None),
    ],
)
async def test_what_an_answer_says_of_the_message(
    name: str, status: int, body: Any, outcome: str | None
) -> None:
    async with Hostile() as server:
        server.answer = (status, json.dumps(body))
        found = await send(BY_NAME[name].make(server.url))
    if outcome is None:
        assert found == Unknown("unexpected-answer", status)
    else:
        assert found == Refused(outcome, status=status)


# --- asking ---------------------------------------------------------------------------------------

SINCE = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
QUESTION = Question(KEY, SINCE, frozenset({TEXT, "There is some news."}), NUMBER)
MESSAGE = {
    "sid": "SM1",
    "to": NUMBER,
    "body": TEXT,
    "direction": "outbound-api",
    "status": "delivered",
    "date_created": format_datetime(SINCE + timedelta(seconds=2)),
}


async def ask(name: str, body: object, status: int = 200) -> tuple[Fate | None, Request]:
    async with Hostile() as server:
        server.answer = (status, json.dumps(body))
        gateway = BY_NAME[name].make(server.url)
        found = await gateway.ask(QUESTION)
        await gateway.close()
    [request] = server.got
    return found, request


@pytest.mark.parametrize(
    ("changes", "fate"),
    [
        ({}, Fate.DELIVERED),
        ({"status": "queued"}, Fate.SENT),
        ({"status": "undelivered"}, Fate.FAILED),
        ({"status": "of-tomorrow"}, None),
        ({"body": "Something else"}, None),
        ({"to": "+8801712345679"}, None),
        ({"direction": "inbound"}, None),
        ({"date_created": format_datetime(SINCE - timedelta(minutes=2))}, None),
        ({"date_created": format_datetime(SINCE + timedelta(minutes=6))}, None),
        ({"date_created": "yesterday"}, None),
        ({"date_created": None}, None),
    ],
)
async def test_twilio_is_asked_without_the_number_and_found_by_it_here(
    changes: dict[str, object], fate: Fate | None
) -> None:
    found, request = await ask("twilio", {"messages": ["?", MESSAGE | changes]})
    assert found == fate
    assert request.head.split(" ")[1] == "/2010-04-01/Accounts/AC0001/Messages.json?PageSize=25"
    assert NUMBER[4:] not in request.head


OTHER = MESSAGE | {"to": "+8801712345679"}
LIST = "/2010-04-01/Accounts/AC0001/Messages.json"


@pytest.mark.parametrize(
    ("first", "after", "requests", "fate"),
    [
        (OTHER, f"{LIST}?Page=1", 2, Fate.DELIVERED),
        (OTHER, None, 1, None),
        (OTHER, "@elsewhere.example.org/", 1, None),
        (OTHER, "/2010-04-01/Accounts/AC0002/Messages.json?Page=1", 1, None),
        (
            OTHER | {"date_created": format_datetime(SINCE - timedelta(hours=2))},
            f"{LIST}?Page=1",
            1,
            None,
        ),
    ],
)
async def test_twilio_is_asked_for_the_next_page_until_it_is_too_old(
    first: dict[str, object], after: str | None, requests: int, fate: Fate | None
) -> None:
    async with Hostile() as server:
        server.good = lambda request: json.dumps(
            {"messages": [MESSAGE]}
            if "Page=1" in request.head
            else {"messages": [first], "next_page_uri": after}
        )
        gateway = BY_NAME["twilio"].make(server.url)
        assert await gateway.ask(QUESTION) == fate
        await gateway.close()
    assert len(server.got) == requests


async def test_twilio_is_asked_for_so_many_pages_and_no_more() -> None:
    async with Hostile() as server:
        server.good = lambda _: json.dumps({"messages": [OTHER], "next_page_uri": f"{LIST}?Page=1"})
        gateway = BY_NAME["twilio"].make(server.url)
        assert await gateway.ask(QUESTION) is None
        await gateway.close()
    assert len(server.got) == PAGES


@pytest.mark.parametrize(
    ("body", "fate"),
    [
        ({"results": [{"messageId": KEY, "status": {"groupName": "DELIVERED"}}]}, Fate.DELIVERED),
        ({"results": [{"messageId": KEY, "status": {"groupName": "PENDING"}}]}, Fate.SENT),
        ({"results": [{"messageId": KEY, "status": {"groupName": "EXPIRED"}}]}, Fate.FAILED),
        ({"results": [{"messageId": "other", "status": {"groupName": "DELIVERED"}}]}, None),
        ({"results": []}, None),
        ([], None),
    ],
)
async def test_infobip_is_asked_by_our_own_key(body: object, fate: Fate | None) -> None:
    found, request = await ask("infobip", body)
    assert found == fate
    assert request.head.split(" ")[1] == f"/sms/3/logs?messageId={KEY}"


@pytest.mark.parametrize("name", ["twilio", "infobip"])
@pytest.mark.parametrize("status", [404, 500, 302])
async def test_what_is_no_answer_leaves_it_unknown(name: str, status: int) -> None:
    found, _ = await ask(name, {"messages": [MESSAGE]}, status)
    assert found is None


async def test_the_file_outbox_knows_what_stands_in_it(tmp_path: Path) -> None:
    gateway = make_gateway(load_sms_settings({"SMS_OUTBOX_DIR": str(tmp_path)}))
    assert gateway is not None
    assert gateway.asks is Asks.KEY
    assert await gateway.ask(QUESTION) is None
    await gateway.send(NUMBER, TEXT, KEY)
    assert await gateway.ask(QUESTION) is Fate.SENT
    assert await gateway.ask(Question("another", SINCE)) is None


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("twilio", {"TWILIO_ACCOUNT_SID": ""}),
        ("twilio", {"TWILIO_ACCOUNT_SID": "AC/../x"}),
        ("twilio", {"TWILIO_AUTH_TOKEN": ""}),
        ("twilio", {"TWILIO_SENDER": "a\nb"}),
        ("twilio", {"TWILIO_URL": "http://api.example.org"}),
        ("infobip", {"INFOBIP_URL": ""}),
        ("infobip", {"INFOBIP_KEY": ""}),
        ("sslwireless", {"SSLWIRELESS_TOKEN": ""}),
        ("sslwireless", {"SSLWIRELESS_SENDER": ""}),
        ("sslwireless", {"SMS_TIMEOUT": "0"}),
        ("sslwireless", {"SMS_GATEWAY": "pigeon"}),
        ("sslwireless", {"SMS_GATEWAY": "file"}),
    ],
)
def test_a_setting_that_is_missing_or_wrong_stops_the_start(
    name: str, change: dict[str, str]
) -> None:
    env = BY_NAME[name].env("https://sms.example.org") | change
    with pytest.raises(SettingsError):
        load_sms_settings(env)


def test_no_account_shows_its_secret() -> None:
    for kind in KINDS:
        shown = repr(load_sms_settings(kind.env("https://sms.example.org")))
        assert "of-the-account" not in shown


async def test_without_a_secret_infobip_is_told_of_no_callback() -> None:
    for made in (
        make_gateway(load_sms_settings(BY_NAME["infobip"].env("https://x.example.org")), BACK),
        make_gateway(load_sms_settings(BY_NAME["twilio"].env("https://x.example.org"))),
    ):
        assert isinstance(made, Infobip | Twilio)
        assert made._callback is None
        await made.close()
