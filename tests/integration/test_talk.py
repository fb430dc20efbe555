"""Conversations by USSD, voice and WhatsApp on a whole stack: to one report and its receipt."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from twilio.request_validator import RequestValidator

from services.intake.talk.engine import RECORDED
from shared.sms.proof import sign_twilio
from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.receiver import Receiver
    from tests.support.stack import Stack

USSD = "/intake/channels/ussd/africastalking"
VOICE = "/intake/channels/voice/twilio"
WHATSAPP = "/intake/channels/whatsapp"
RECEIPT = re.compile(r"\d{4} \d{4} \d{4} \d{4}")


def a_number() -> str:
    return f"+88017{uuid4().int % 10**8:08d}"


class Phone:
    """One phone at one origin: dials, calls, and writes, as the gateways tell of it."""

    def __init__(self, http: httpx.AsyncClient, stack: Stack) -> None:
        self.http = http
        self.stack = stack
        self.number = a_number()

    async def dial(self, session: str, path: str, **more: str) -> str:
        """Post a step of a USSD session and return the screen."""
        form = {"sessionId": session, "serviceCode": "*123#", "phoneNumber": self.number}
        answer = await self.http.post(
            USSD, data={**form, "networkCode": "99", "text": path, **more}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text

    async def call(self, call_id: str, where: str = VOICE, **fields: str) -> str:
        """Post a step of a call, signed, and return the TwiML."""
        form = {"CallSid": call_id, "From": self.number, "To": "+15005550006", **fields}
        url = f"{self.stack.origin}{where}"
        signature = RequestValidator("a test token").compute_signature(url, form)
        answer = await self.http.post(where, data=form, headers={"X-Twilio-Signature": signature})
        assert answer.status_code == 200, answer.text
        return answer.text

    async def write(self, *messages: dict[str, Any]) -> int:
        """Post WhatsApp messages, signed; return the status."""
        body = json.dumps(post_of(self.number, *messages)).encode()
        return (await self.http.post(WHATSAPP, content=body, headers=signed(body))).status_code

    async def reports(self, channel: str) -> list[dict[str, Any]]:
        """Return the stored submissions of this phone, oldest first."""
        conn = await self.stack.connect("intake")
        try:
            found = await conn.fetch(
                "SELECT submission_id, case_ids, state, report::text AS report, sender,"
                " (SELECT facts::text FROM cases c WHERE c.case_id = s.case_ids[1]) AS facts"
                " FROM submissions s WHERE channel = $1 AND sender = $2 ORDER BY seq",
                channel,
                self.mark,
            )
        finally:
            await conn.close()
        return [dict(row) for row in found]

    @property
    def mark(self) -> bytes:
        key = (self.stack.home / "keys" / "intake" / "index.key").read_text().strip()
        told = f"number\x1f{self.number}".encode()
        return hmac.new(bytes.fromhex(key), told, hashlib.sha256).digest()

    async def opened(self, channel: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many reports of this phone have a case; return the facts of each."""

        async def look() -> list[dict[str, Any]] | None:
            found = await self.reports(channel)
            return found if len(found) == count and all(r["facts"] for r in found) else None

        found = await eventually(look, 60, f"{count} opened reports by {channel}")
        return [json.loads(row["facts"]) for row in found]


def post_of(number: str, *messages: dict[str, Any]) -> dict[str, Any]:
    """Make a post of the Cloud API; a message tells what differs from a text of this number."""
    made = [
        {
            "from": number.removeprefix("+"),
            "id": f"wamid.{uuid4()}",
            "timestamp": str(int(time.time())),
            "type": "text",
            **message,
        }
        for message in messages
    ]
    contact = {"profile": {"name": "Example"}, "wa_id": number.removeprefix("+")}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": "10"},
        "contacts": [contact],
        "messages": made,
    }
    change = {"field": "messages", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}


def signed(body: bytes) -> dict[str, str]:
    digest = hmac.new(b"appsecret", body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}


@pytest.fixture
async def phone(whole_stack: Stack) -> AsyncIterator[Phone]:
    async with httpx.AsyncClient(base_url=whole_stack.origin, timeout=30) as http:
        yield Phone(http, whole_stack)


async def make_due(stack: Stack) -> None:
    """Let what is quiet have been quiet for long enough."""
    conn = await stack.connect("intake")
    await conn.execute("UPDATE talk_sessions SET due_at = now() WHERE due_at IS NOT NULL")
    await conn.close()


def receipt_in(said: str) -> str:
    found = RECEIPT.search(said)
    assert found, said
    return found[0].replace(" ", "")


async def test_a_ussd_session_becomes_a_case_and_its_receipt_is_answered(phone: Phone) -> None:
    session, path = uuid4().hex, ["1", "1", "2", "3", "সাভার ঢাকা", "1", "0"]
    screens = [await phone.dial(session, "*".join(path[:n])) for n in range(len(path) + 1)]
    assert [s[:4] for s in screens] == ["CON "] * len(path) + ["END "]
    assert "৯৯৯" in screens[2]
    number = receipt_in(screens[-1])

    again = await asyncio.gather(*(phone.dial(session, "*".join(path)) for _ in range(20)))
    assert set(again) == {screens[-1]}
    (facts,) = await phone.opened("ussd")
    assert (facts["urgency"], facts["age"], facts["channel"]) == ("T0", 18, "ussd")
    assert facts["upazila"] or facts["district"]

    asking = uuid4().hex
    await phone.dial(asking, "")
    assert await phone.dial(asking, f"4*{number}") == "END পেয়েছি"
    assert await phone.dial(asking, f"4*{number}", status="Success") == ""
    assert "মেলেনি" in await phone.dial(uuid4().hex, f"4*{number[:-1]}0{number[-1]}")
    call_id = uuid4().hex
    await phone.call(call_id)
    assert 'numDigits="16"' in await phone.call(call_id, f"{VOICE}?step=0", Digits="4")
    assert "পেয়েছি" in await phone.call(call_id, f"{VOICE}?number=1", Digits=number)
    await make_due(phone.stack)
    assert len(await phone.reports("ussd")) == 1
    assert await phone.reports("voice") == []


async def test_a_step_that_failed_is_taken_anew_while_the_gateway_waits(phone: Phone) -> None:
    """The lock of the sender is held until the first try has given up."""
    who = [phone.mark.hex()]
    conn = await phone.stack.connect("intake")
    await conn.execute("SELECT pg_advisory_lock(hashtextextended($1, 7108))", *who)

    async def waiting() -> bool:
        return bool(await conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async def gave_up() -> bool:
        return not await waiting()

    asked = asyncio.create_task(phone.dial(uuid4().hex, "1*1"))
    await eventually(waiting, 20, "the step to wait for the lock")
    await eventually(gave_up, 20, "its first try to end")
    assert not asked.done()
    await conn.execute("SELECT pg_advisory_unlock(hashtextextended($1, 7108))", *who)
    assert (await asked).startswith("CON ")
    await conn.close()


async def test_a_session_that_drops_is_a_report_and_can_be_gone_on_with(phone: Phone) -> None:
    first = uuid4().hex
    for path in ("", "2", "2*2", "2*2*2"):
        await phone.dial(first, path)
    assert await phone.dial(first, "2*2*2", status="Incomplete") == ""
    (facts,) = await phone.opened("ussd")
    assert facts["urgency"] is None

    second = uuid4().hex
    start = await phone.dial(second, "")
    assert start == await Phone(phone.http, phone.stack).dial(uuid4().hex, "")
    asked = await phone.dial(second, "3")
    assert asked.startswith("CON How old?")
    for path in ("3*2", "3*2*Savar", "3*2*Savar*2"):
        await phone.dial(second, path)
    words = "3*2*Savar*2*They lock him in, right now he is beaten, come fast"
    receipt = receipt_in(await phone.dial(second, words))
    assert receipt == receipt_in(await phone.dial(second, words))
    assert await phone.dial(uuid4().hex, f"4*{receipt}") == "END পেয়েছি"

    (report,) = await phone.reports("ussd")
    conn = await phone.stack.connect("intake")
    kinds = await conn.fetch(
        "SELECT kind FROM messages WHERE submission_id = $1", report["submission_id"]
    )
    tasks = await conn.fetch("SELECT kind FROM tasks WHERE case_id = $1", report["case_ids"][0])
    await conn.close()
    assert [row["kind"] for row in kinds] == ["words"]
    assert "new_words" in {row["kind"] for row in tasks}
    assert json.loads(report["facts"])["district"], "the place became a fact of the case"

    other = Phone(phone.http, phone.stack)
    assert (await other.dial(uuid4().hex, "3")).startswith("CON কখন?"), "nothing is gone on with"


async def test_a_call_is_walked_through_and_one_without_a_digit_is_a_report(phone: Phone) -> None:
    call_id = uuid4().hex
    assert "<Gather" in await phone.call(call_id)
    said = await phone.call(call_id, f"{VOICE}?step=0", Digits="1")
    said = await phone.call(call_id, f"{VOICE}?step=1", Digits="1")
    assert "৯ ৯ ৯" in said
    assert said == await phone.call(call_id, f"{VOICE}?step=1", Digits="1")
    await phone.call(call_id, f"{VOICE}?step=2", Digits="1")
    assert "<Record" in await phone.call(call_id, f"{VOICE}?step=3", Digits="2")
    told = {"RecordingUrl": "https://x.example.org/r1", "RecordingDuration": "9", "Digits": "#"}
    await phone.call(call_id, f"{VOICE}?step=4", **told)
    await phone.call(call_id, f"{VOICE}?step=5", Digits="1")
    said = await phone.call(call_id, f"{VOICE}?step=6", **told)
    assert said.endswith("<Hangup/></Response>")
    assert said.count("<Say") == 2 * (1 + 16), "the receipt is said twice, digit by digit"
    assert said == await phone.call(call_id, f"{VOICE}?step=6", **told)
    (facts,) = await phone.opened("voice")
    assert (facts["urgency"], facts["about"]) == ("T0", "person")

    silent = Phone(phone.http, phone.stack)
    call_id = uuid4().hex
    await silent.call(call_id)
    for again in (1, 2):
        await silent.call(call_id, f"{VOICE}?step=0&silent={again}")
    await silent.call(call_id, f"{VOICE}/ended", CallStatus="completed")
    await silent.opened("voice")
    assert len(await silent.reports("voice")) == 1


async def test_what_went_quiet_is_stored_by_itself(phone: Phone) -> None:
    await phone.dial(uuid4().hex, "")
    await make_due(phone.stack)
    await phone.opened("ussd")


async def test_whatsapp_messages_are_one_report_and_each_gets_one_reply(
    phone: Phone, graph: Receiver
) -> None:
    opening = {"id": f"wamid.{uuid4()}", "text": {"body": "amar bon k niye geche"}}
    assert set(await asyncio.gather(*(phone.write(opening) for _ in range(20)))) == {200}

    def replies() -> list[dict[str, Any]]:
        bodies = [json.loads(r.body) for r in graph.received]
        return [b for b in bodies if b.get("to") == phone.number.removeprefix("+")]

    await eventually(lambda: len(replies()) == 1, 20, "one reply")
    assert replies()[0]["type"] == "interactive"
    await phone.opened("whatsapp")
    button = {"type": "list_reply", "list_reply": {"id": "1", "title": "এখনই"}}
    await phone.write({"type": "interactive", "interactive": button})
    await eventually(lambda: len(replies()) == 2, 20, "the next question")
    assert "৯৯৯" in json.dumps(replies()[1], ensure_ascii=False)
    await phone.write(
        {"type": "image", "image": {"id": "m1", "caption": "dekhen"}},
        {"type": "unsupported"},
        {"type": "text", "text": {"body": "নম্বর"}},
    )
    await make_due(phone.stack)

    async def danger() -> bool:
        found = [r for r in await phone.reports("whatsapp") if r["facts"]]
        return [json.loads(r["facts"])["urgency"] for r in found] == ["T0"]

    await eventually(danger, 30, "what was answered later is a fact of the one case")
    await eventually(
        lambda: any(RECEIPT.search(json.dumps(b)) for b in replies()), 20, "the receipt, asked for"
    )
    assert not any(RECORDED in json.dumps(b) for b in replies())


async def test_a_business_scoped_id_can_report_and_be_answered(
    phone: Phone, graph: Receiver
) -> None:
    scoped = f"BD.{uuid4().int % 10**9}"
    message = {"from": None, "from_user_id": scoped, "text": {"body": "bhoy lagche"}}
    assert await phone.write(message) == 200
    await eventually(
        lambda: any(json.loads(r.body).get("recipient") == scoped for r in graph.received),
        20,
        "a reply to the id",
    )


async def test_what_is_not_signed_is_refused_before_it_is_read(phone: Phone) -> None:
    body = json.dumps(post_of(phone.number, {"text": {"body": "help"}})).encode()
    good = signed(body)["X-Hub-Signature-256"]
    flipped = good[:-1] + ("0" if good[-1] != "0" else "1")
    for signature, told in ((flipped, body), (good, body + b" "), ("", body), (flipped, b"{")):
        answer = await phone.http.post(
            WHATSAPP, content=told, headers={"X-Hub-Signature-256": signature}
        )
        assert answer.status_code == 403
    asked = {"hub.mode": "subscribe", "hub.challenge": "12345"}
    word = {"hub.verify_token": "an agreed word"}
    assert (await phone.http.get(WHATSAPP, params=asked | word)).text == "12345"
    assert (await phone.http.get(WHATSAPP, params=asked)).status_code == 403
    form = {"CallSid": "CA1", "From": phone.number, "Digits": "1"}
    url = f"{phone.stack.origin}{VOICE}?step=0"
    signature = sign_twilio("a test token", url, list(form.items()))
    twilio = RequestValidator("a test token")
    assert twilio.validate(url, form, signature)
    for where, fields in ((f"{VOICE}?step=1", form), (f"{VOICE}?step=0", {**form, "Digits": "2"})):
        assert not twilio.validate(f"{phone.stack.origin}{where}", fields, signature)
        refused = await phone.http.post(
            where,
            content=urlencode(fields),
            headers={
                "X-Twilio-Signature": signature,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        assert refused.status_code == 403
    assert (await phone.http.post(f"{USSD}/wrong", data={"sessionId": "1"})).status_code == 403
    assert await phone.reports("whatsapp") == []


async def test_the_desk_sees_whose_voice_is_to_be_heard(phone: Phone) -> None:
    headers = phone.stack.bearer(Role.COORDINATOR)
    found = await phone.http.get(
        "/intake/v1/submissions", params={"channel": "voice"}, headers=headers
    )
    assert all(RECORDED not in json.dumps(item) for item in found.json()["items"])
