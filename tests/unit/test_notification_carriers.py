"""What each way to people is told, and what is believed of its answers, by real servers."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import json
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import jwt
import pytest
from aiosmtpd.controller import Controller
from cryptography.hazmat.primitives.asymmetric import ec

from services.notification.carrier import Message
from services.notification.limits import Limits, load_limits
from services.notification.notifiers import NAMES, push, voice, whatsapp
from services.notification.notifiers import email as mail
from services.notification.policy import WAYS
from services.notification.templates import LANGUAGES, load_templates
from shared.errors import SettingsError
from shared.sms import Refused, Sent, Unknown
from tests.support.hostile_gateway import BEHAVIOURS, Hostile
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.notification.carrier import Carrier
    from shared.sms import Outcome

TEMPLATES = load_templates()
NUMBER = "+8801712345678"
KEY = "01940000-0000-7000-8000-0123456789ab"
BACK = "https://centre.example.org/notification/callbacks/twilio"
PUSH_KEY = base64.urlsafe_b64encode(
    ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big")
).decode()


def message(template: str = "look_now", language: str = "bn") -> Message:
    values = {"code": "4821", "url": "https://centre.example.org"}
    letter = TEMPLATES.letter(template, language, values) if TEMPLATES.is_letter(template) else None
    return Message(template, language, TEMPLATES.text(template, language, values), letter)


def cloud(url: str) -> whatsapp.Cloud:
    env = {"WHATSAPP_TOKEN": "t0ken", "WHATSAPP_PHONE_NUMBER_ID": "77", "WHATSAPP_GRAPH_URL": url}
    settings = whatsapp.load_settings(env | {"WHATSAPP_TEMPLATE_PREFIX": "pre_"})
    assert settings is not None
    return whatsapp.Cloud(settings)


def call(url: str, **more: str) -> voice.TwilioCall:
    env = {"VOICE_NUMBER": "+8809612000000", "TWILIO_ACCOUNT_SID": "AC1", "TWILIO_URL": url}
    settings = voice.load_settings(env | {"TWILIO_AUTH_TOKEN": "t0ken"} | more)
    assert settings is not None
    return voice.TwilioCall(settings, BACK)


def waker(_: str = "") -> push.WebPush:
    env = {"PUSH_KEY": PUSH_KEY, "PUSH_SUBJECT": "mailto:duty@example.org"}
    settings = push.load_settings(env | {"PUSH_SERVICES": "127.0.0.1,.push.example.org"})
    assert settings is not None
    return push.WebPush(settings)


async def send(carrier: Carrier, address: str, what: Message | None = None) -> Outcome:
    try:
        return await carrier.send(address, what or message(), KEY)
    finally:
        await carrier.close()


CLOUD_SAYS = json.dumps({"messages": [{"id": "wamid.1"}]})
CALL_SAYS = json.dumps({"sid": "CA1", "status": "queued"})


async def test_whatsapp_gets_a_template_and_our_key_and_no_words() -> None:
    async with Hostile(lambda _: CLOUD_SAYS) as server:
        assert await send(cloud(server.url), NUMBER, message("news")) == Sent("wamid.1", 200)
    [request] = server.got
    assert request.head.startswith("POST /77/messages ")
    assert "authorization: Bearer t0ken" in request.head
    assert json.loads(request.body) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "8801712345678",
        "type": "template",
        "template": {"name": "pre_news", "language": {"code": "bn"}},
        "biz_opaque_callback_data": KEY,
    }


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, {"messages": []}, Unknown("unexpected-answer", 200)),
        (200, {"messages": [{"id": 7}]}, Unknown("unexpected-answer", 200)),
        (200, [], Unknown("unexpected-answer", 200)),
        (400, {"error": {"code": 131026}}, Refused("bad-number", status=400)),
        (400, {"error": {"code": 132001}}, Refused("refused", status=400)),
        (400, {"error": {"code": 130429}}, Refused("busy", again=True, status=400)),
        (400, {"error": "x"}, Refused("refused", status=400)),
        (401, {"error": {"code": 190}}, Refused("refused", status=401)),
    ],
)
async def test_what_whatsapp_answers(status: int, body: Any, found: Outcome) -> None:
    async with Hostile() as server:
        server.answer = (status, json.dumps(body))
        assert await send(cloud(server.url), NUMBER) == found


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_call_says_the_recorded_line_twice(language: str) -> None:
    async with Hostile(lambda _: CALL_SAYS) as server:
        made = call(server.url, VOICE_LINES_URL="https://lines.example.org/a/")
        assert await send(made, NUMBER, message(language=language)) == Sent("CA1", 200)
    [request] = server.got
    assert request.head.startswith("POST /2010-04-01/Accounts/AC1/Calls.json ")
    form = dict(parse_qsl(request.body.decode()))
    file = f"https://lines.example.org/a/{language}/look_now.mp3"
    assert form == {
        "To": NUMBER,
        "From": "+8809612000000",
        "Twiml": f'<Response><Play loop="2">{file}</Play></Response>',
        "Timeout": "40",
        "StatusCallback": f"{BACK}?notice={KEY}",
    }


def test_without_a_recording_the_line_is_read_out_and_escaped() -> None:
    said = voice.render_line("", Message("x", "en", 'a < b & "c"', None))
    assert said == ('<Response><Say language="en-GB" loop="2">a &lt; b &amp; "c"</Say></Response>')


async def test_a_push_has_no_content_and_says_who_we_are() -> None:
    async with Hostile() as server:
        server.answer, origin = (201, ""), server.url
        assert await send(waker(), f"{origin}/push/abc") == Sent(None, 201)
    [request] = server.got
    assert request.body == b""
    headers = dict(line.split(": ", 1) for line in request.head.split("\r\n")[1:] if line)
    assert (headers["ttl"], headers["urgency"]) == ("900", "high")
    scheme, _, told = headers["authorization"].partition(" ")
    parts = dict(one.strip().split("=", 1) for one in told.split(","))
    assert scheme == "vapid"
    point = base64.urlsafe_b64decode(parts["k"] + "=")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    claims = jwt.decode(parts["t"], public, algorithms=["ES256"], audience=origin)
    assert claims["sub"] == "mailto:duty@example.org"


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_is_gone_is_no_address_any_more(status: int) -> None:
    async with Hostile() as server:
        server.answer = (status, "")
        assert await send(waker(), f"{server.url}/p") == Refused("bad-number", status=status)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://push.example.net/x",
        "https://push.example.org.evil.example/x",
        "http://10.0.0.1/x",
        "https://169.254.169.254/x",
        "file:///etc/passwd",
        "",
        "https://[::1/x",
    ],
)
async def test_a_push_goes_to_a_known_push_service_alone(endpoint: str) -> None:
    assert await send(waker(), endpoint) == Refused("bad-number")


@pytest.mark.parametrize(
    "behaviour", [b for b in BEHAVIOURS if b not in ("times out", "slow head", "slow body")]
)
async def test_a_hostile_service_is_called_at_most_once_and_by_its_name(behaviour: str) -> None:
    async with Hostile(behaviour=behaviour) as server:
        for made, where in (
            (cloud(server.url), NUMBER),
            (call(server.url), NUMBER),
            (waker(), f"{server.url}/p"),
        ):
            before = len(server.got)
            outcome = await send(made, where)
            assert len(server.got) == before + 1
            reads = made.name != "webpush"
            if behaviour in ("429", "429 for long", "503"):
                assert isinstance(outcome, Refused)
                assert outcome.again
            elif behaviour in ("400", "401"):
                assert isinstance(outcome, Refused)
                assert not outcome.again
            elif reads or behaviour in ("hangs up", "half a status", "no http", "500", "502"):
                assert isinstance(outcome, Unknown), (made.name, outcome)


# --- mail, through a real SMTP server -------------------------------------------------------------


@dataclass
class Box:
    """What a mail server took; `says` answers a command in the server's place."""

    got: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    says: dict[str, str] = field(default_factory=dict)

    async def handle_MAIL(self, *told: Any) -> str:  # noqa: N802  (the library's name)
        _, _, envelope, address, _ = told
        envelope.mail_from = address
        return self.says.get("MAIL", "250 OK")

    async def handle_RCPT(self, *told: Any) -> str:  # noqa: N802  (likewise)
        _, _, envelope, address, _ = told
        if "RCPT" not in self.says:
            envelope.rcpt_tos.append(address)
        return self.says.get("RCPT", "250 OK")

    async def handle_DATA(self, server: Any, *told: Any) -> str:  # noqa: N802  (likewise)
        _, envelope = told
        self.got.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        if self.says.get("DATA") == "hang":
            await asyncio.Event().wait()
        if self.says.get("DATA") == "gone":
            server.transport.abort()
        return self.says.get("DATA", "250 OK")


@asynccontextmanager
async def post(box: Box, seconds: float = 20) -> AsyncIterator[mail.Smtp]:
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        env = {
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(controller.port),
            "EMAIL_FROM": "centre@example.org",
            "EMAIL_SECURITY": "none",
        }
        settings = mail.load_settings(env)
        assert settings is not None
        yield mail.Smtp(replace(settings, timeout=timedelta(seconds=seconds)))
    finally:
        controller.stop()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_mail_is_read_back_from_a_real_server_as_it_was_written(language: str) -> None:
    box = Box()
    async with post(box) as smtp:
        found = await send(smtp, "worker@example.org", message("answer_asked", language))
    assert found == Sent(KEY)
    [(sender, recipients, content)] = box.got
    assert (sender, recipients) == ("centre@example.org", ["worker@example.org"])
    read = email.message_from_bytes(content, policy=email.policy.default)
    letter = message("answer_asked", language).letter
    assert letter is not None
    assert read["Subject"] == letter.subject
    assert read.get_content().strip() == letter.body
    assert read.get_content_type() == "text/plain"
    assert read["Message-ID"] == f"<{KEY}@example.org>"
    assert read["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("says", "found", "seen"),
    [
        ({"RCPT": "550 no such user"}, Refused("bad-number", status=550), 0),
        ({"RCPT": "450 later"}, Refused("busy", again=True, status=450), 0),
        ({"MAIL": "530 not you"}, Refused("refused", status=530), 0),
        ({"DATA": "554 no"}, Refused("refused", status=554), 1),
        ({"DATA": "451 later"}, Refused("busy", again=True, status=451), 1),
        ({"DATA": "gone"}, Unknown("connection"), 1),
        ({"DATA": "hang"}, Unknown("timeout"), 1),
    ],
)
async def test_what_a_mail_server_says(says: dict[str, str], found: Outcome, seen: int) -> None:
    box = Box(says=says)
    async with post(box, 1.5 if says.get("DATA") == "hang" else 20) as smtp:
        assert await send(smtp, "worker@example.org", message("answer_asked")) == found
    assert len(box.got) == seen


@pytest.mark.parametrize(
    "address", ["worker@example.org\r\nBcc: all@example.org", "a b", "", "worker@", "\u0995@\u0996"]
)
async def test_an_address_that_is_none_reaches_no_server(address: str) -> None:
    box = Box()
    async with post(box) as smtp:
        outcome = await send(smtp, address, message("answer_asked"))
    assert isinstance(outcome, Refused)
    assert not outcome.again
    assert box.got == []


async def test_what_is_no_letter_is_no_mail_and_nobody_there_is_tried_again() -> None:
    async with post(Box()) as smtp:
        assert await send(smtp, "worker@example.org", message("look_now")) == Refused("malformed")
    settings = mail.SmtpSettings("127.0.0.1", free_port(), "centre@example.org", "none")
    found = await send(mail.Smtp(settings), "worker@example.org", message("answer_asked"))
    assert found == Refused("connection", again=True)


async def test_a_mail_server_without_tls_gets_nothing() -> None:
    box = Box()
    async with post(box) as smtp:
        settings = mail.SmtpSettings(
            "127.0.0.1", smtp._settings.port, "centre@example.org", "starttls"
        )
        found = await send(mail.Smtp(settings), "worker@example.org", message("answer_asked"))
    assert isinstance(found, Refused)
    assert box.got == []


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "env"),
    [
        (whatsapp.load_settings, {"WHATSAPP_TOKEN": "a b\n", "WHATSAPP_PHONE_NUMBER_ID": "1"}),
        (whatsapp.load_settings, {"WHATSAPP_TOKEN": "t", "WHATSAPP_PHONE_NUMBER_ID": "1/2"}),
        (voice.load_settings, {"VOICE_NUMBER": "+8809612000000"}),
        (push.load_settings, {"PUSH_KEY": "x"}),
        (push.load_settings, {"PUSH_KEY": "%%%"}),
        (push.load_settings, {"PUSH_KEY": secrets.token_urlsafe(16), "PUSH_SUBJECT": "mailto:a"}),
        (push.load_settings, {"PUSH_KEY": PUSH_KEY}),
        (mail.load_settings, {"EMAIL_HOST": "mail.example.org"}),
        (mail.load_settings, {"EMAIL_HOST": "m", "EMAIL_FROM": "Centre <c@example.org>"}),
        (
            mail.load_settings,
            {"EMAIL_HOST": "m", "EMAIL_FROM": "c@example.org", "EMAIL_SECURITY": "none"},
        ),
        (
            mail.load_settings,
            {"EMAIL_HOST": "m", "EMAIL_FROM": "c@example.org", "EMAIL_SECURITY": "some"},
        ),
        (
            mail.load_settings,
            {"EMAIL_HOST": "m", "EMAIL_FROM": "c@example.org", "EMAIL_PORT": "99999"},
        ),
    ],
)
def test_a_setting_that_is_wrong_stops_the_start(load: Any, env: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        load(env)
    assert load({}) is None


def test_every_notifier_to_people_has_a_way_and_limits(tmp_path: Path) -> None:
    people = set(NAMES) - {"webhook", "kafka"}
    assert people <= set(WAYS)
    assert people <= set(load_limits())
    assert load_limits()["sms"] == Limits(3000, 4, 10)
    wrong = tmp_path / "limits.toml"
    wrong.write_text("[sms]\nper_hour = 0\n", "utf-8")
    with pytest.raises(SettingsError):
        load_limits(wrong)
