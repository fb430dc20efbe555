"""The SMS channel on a real PostgreSQL: what gateways are answered, and what is stored of it."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest

from services.intake import channels
from services.intake.casework.numbers import Numbers
from services.intake.casework.review import Attempt
from services.intake.casework.shown import Board
from services.intake.channels.sms.replies import Replies, words_of
from services.intake.committer import Committer
from services.intake.contacts.workers_store import WorkerNumber, keep_numbers
from services.intake.preparing import number_index
from services.intake.proof_of_work import work_from
from services.intake.receipts import parse_receipt
from services.intake.seals import Seals
from services.intake.submissions import SubmissionStore
from shared.answer_code import answer_code
from shared.database import make_engine
from shared.http import make_app
from shared.sms.proof import sign_twilio
from tests.support.room import Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

BASE = "/intake/channels/sms"
SECRETS = {
    "TWILIO_AUTH_TOKEN": "a test token",
    "INFOBIP_SECRET": "invented",
    "AFRICASTALKING_SECRET": "invented",
    "TELERIVET_SECRET": "S",
}
PARTS = """
[parts]
sender = ["from"]
text = ["text"]
reference = ["ref"]
part = ["part"]
parts = ["of"]
"""
LOST = "amar bon k niye geche"
SAVAR = "সাভারে একটা বাচ্চা দিয়ে কাজ করায়"
SPOKEN = ("bn", "banglish", "en")
BANGLA = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")


@dataclass(slots=True)
class Gate:
    """The channel as a gateway sees it, and the database behind it."""

    room: Room
    http: httpx.AsyncClient

    async def telerivet(self, text: str, number: str, message_id: str = "") -> httpx.Response:
        fields = {
            "event": "incoming_message",
            "id": message_id or uuid4().hex,
            "content": text,
            "from_number": number,
            "secret": "S",
        }
        return await self.http.post(f"{BASE}/telerivet", data=fields)

    async def said(self, text: str, number: str) -> str | None:
        """Send a text by Telerivet and return the reply in the answer."""
        answer = await self.telerivet(text, number)
        assert answer.status_code == 200, answer.text
        messages = answer.json()["messages"]
        assert len(messages) < 2
        return str(messages[0]["content"]) if messages else None

    async def stored(self, gateway: str) -> list[str]:
        """Return the narratives that came by a gateway, in order."""
        rows = await self.room.rows(
            "SELECT submission_id FROM submissions WHERE gateway = :g ORDER BY seq", g=gateway
        )
        return [await self._narrative(row.submission_id) for row in rows]

    async def _narrative(self, submission_id: Any) -> str:
        async with self.room.engine.begin() as conn:
            found = await self.room.intake.load(conn, [submission_id])
        narrator = found.unopened[submission_id].narrator
        if narrator is None:
            return ""
        return str(self.room.vault.open(narrator, narrator.fields[0]))


@asynccontextmanager
async def gate_of(
    room: Room, env: Mapping[str, str], engine: AsyncEngine | None = None
) -> AsyncIterator[Gate]:
    store = SubmissionStore(engine or room.engine, room.outbox)
    committer = Committer(store, lambda: None)
    service: Any = SimpleNamespace(
        settings=SimpleNamespace(service="intake"), tokens=None, started=True
    )
    service.flow, service.outbox = room.engine, room.outbox
    service.waker = SimpleNamespace(wake=lambda: None)
    desk = channels.Desk(
        committer.door(),
        store,
        room.vault,
        room.secrets,
        Replies(room.engine, room.vault, room.secrets, None),
        work_from(b"k" * 32, lambda: 0, {}),
        Board(),
        env,
        service,
        Seals(lambda: [b"k" * 32]),
    )
    app = make_app(service, "intake", "a room")
    opened = channels.open_channels(desk, ("sms",), alone=True)
    app.fences |= opened.fences
    for router in opened.routers:
        app.include_router(router)
    running = asyncio.create_task(committer.run())
    transport = httpx.ASGITransport(app=app)
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", timeout=60
        ) as client:
            yield Gate(room, client)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


@pytest.fixture
async def gate(room: Room, tmp_path: Path) -> AsyncIterator[Gate]:
    described = tmp_path / "gateways.toml"
    described.write_text(PARTS, "utf-8")
    async with gate_of(room, SECRETS | {"SMS_GATEWAYS": str(described)}) as made:
        yield made


async def test_the_same_message_fifty_times_at_once_is_one_report(gate: Gate) -> None:
    one = {"messageId": "817", "from": "8801700000001", "text": SAVAR}
    body = json.dumps({"results": [one, one]}).encode()
    by_infobip = [gate.http.post(f"{BASE}/infobip/invented", content=body) for _ in range(50)]
    by_telerivet = [gate.telerivet(LOST, "01700000002", "SM1") for _ in range(50)]
    answers = await asyncio.gather(*by_infobip, *by_telerivet)
    assert {answer.status_code for answer in answers} == {200}
    assert await gate.stored("infobip") == [SAVAR]
    assert await gate.stored("telerivet") == [LOST]
    replies = [a.json()["messages"] for a in answers[50:]]
    assert len([r for r in replies if r]) == 1, "one reply to one message"


async def test_whatever_is_written_is_stored_and_answered_politely(gate: Gate) -> None:
    said = ["", "😢", "ক" * 10_000, "é".encode("latin-1"), "Avgvi †g‡q‡K wb‡q †M‡Q", "STOP"]
    for sender in ("01700000003", "bKash", ""):
        for text in said:
            form = {"id": uuid4().hex, "text": text, "from": sender, "date": "2026-11-25 04:40:00"}
            answer = await gate.http.post(
                f"{BASE}/africastalking/invented", content=urlencode(form).encode()
            )
            assert answer.status_code == 200, answer.text
    kept = [s if isinstance(s, str) else "é" for s in said]
    assert await gate.stored("africastalking") == kept * 3
    rows = await gate.room.rows("SELECT count(*) AS n FROM cases")
    assert rows[0].n == len(kept) * 3


async def test_a_conversation_asks_nothing_twice_gives_the_number_and_its_answer(
    gate: Gate,
) -> None:
    number = "01700000004"
    asked = words_of("ask_place_and_when", "banglish")
    assert await gate.said(LOST, number) == asked
    given = await gate.said("নম্বর", number)
    assert given is not None
    receipt = parse_receipt("".join(re.findall(r"\d", given)))
    assert receipt is not None
    code = receipt.code
    spellings = (
        code,
        receipt.shown.translate(BANGLA),
        f"{code[:6]}-{code[6:9]}.{code[9:]}",
        " ".join(receipt.words),
        f"আমার নম্বর {code}",
    )
    for spelling in spellings:
        answer = await gate.said(spelling, number)
        assert answer in [words_of("status_received", one) for one in SPOKEN], spelling
    wrong = await gate.said(f"{code[:-1]}{(int(code[-1]) + 1) % 10}", number)
    assert wrong in [words_of("no_such_number", one) for one in SPOKEN]
    for stop in ("STOP", "বন্ধ", "বন্ধ করুন", "bondho koro", "Stop all", "থামাও"):
        assert await gate.said(stop, "01700000005") is None, stop


async def test_only_what_cannot_be_answered_at_once_is_answered_later(gate: Gate) -> None:
    one = {"messageId": "9", "from": "8801700000006", "text": LOST}
    await gate.http.post(f"{BASE}/infobip/invented", content=json.dumps({"results": [one]}))
    await gate.said(LOST, "01700000007")
    room = gate.room
    found = await room.rows("SELECT submission_id, received_at FROM submissions ORDER BY seq")
    for row in found:
        async with room.engine.begin() as conn:
            await room.intake.open_in(conn, row.submission_id, row.received_at)
    replies = await room.rows("SELECT gateway, state, kind FROM replies ORDER BY gateway")
    assert [(r.gateway, r.state, r.kind) for r in replies] == [
        ("infobip", "planned", "ask_place_and_when"),
        ("telerivet", "sent", "ask_place_and_when"),
    ]


async def test_parts_out_of_order_are_one_report(gate: Gate) -> None:
    parts = ["সাভারে একটা বাচ্চা ", "দিয়ে কাজ ", "করায়"]
    forms = [
        {"from": "01700000008", "text": text, "ref": "7", "part": str(n), "of": "3"}
        for n, text in enumerate(parts, 1)
    ]
    answers = await asyncio.gather(
        *(gate.http.post(f"{BASE}/parts", data=form) for form in reversed(forms))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert await gate.stored("parts") == [SAVAR]


async def test_what_is_not_proved_is_403_and_what_is_not_there_404(gate: Gate) -> None:
    for path in ("infobip", "infobip/wrong", "africastalking/wrong", "telerivet", "twilio"):
        assert (await gate.http.post(f"{BASE}/{path}", content=b"{")).status_code == 403, path
    for path in ("httpsms", "nobody", "infobip/a/b"):
        assert (await gate.http.post(f"{BASE}/{path}", data={"a": "1"})).status_code == 404, path
    assert (await gate.http.get(f"{BASE}/telerivet")).status_code == 404
    url, fields = f"http://test{BASE}/twilio?a=1", [("MessageSid", "SM9"), ("Body", LOST)]
    signed = {"x-twilio-signature": sign_twilio("a test token", url, fields)}
    answer = await gate.http.post(f"{BASE}/twilio?a=1", data=dict(fields), headers=signed)
    assert answer.status_code == 200
    assert "<Message>" in answer.text
    assert (await gate.http.post(f"{BASE}/twilio", data=dict(fields), headers=signed)).is_error


async def test_while_the_database_is_away_a_gateway_is_asked_to_come_again(room: Room) -> None:
    nowhere = make_engine("postgresql://nobody@127.0.0.1:1/none", size=1, name="nowhere")
    try:
        async with gate_of(room, SECRETS, nowhere) as gate:
            answer = await gate.telerivet(LOST, "01700000009", "SM7")
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
        async with gate_of(room, SECRETS) as gate:
            assert (await gate.telerivet(LOST, "01700000009", "SM7")).status_code == 200
            assert await gate.stored("telerivet") == [LOST]
    finally:
        await nowhere.dispose()


# --- Answers of providers' workers ----------------------------------------------------------------

ASKED_OF, WORKER, OTHER = "example-shelter", "+8801712000001", "+8801712000002"


async def asked(room: Room, provider: str = ASKED_OF, **more: Any) -> tuple[UUID, UUID, str]:
    """Let a provider have a referral, and its worker a number; return case, referral and code."""
    (case_id,) = await room.report(**more)
    key = uuid4()
    known = Attempt(key, "shelter", 1, "assigned", None, "T1", 1, provider)
    await room.refer(case_id, known)
    number_id, box = uuid4(), Numbers(room.secrets.pepper)
    index = number_index(room.secrets.index, WORKER)
    kept = WorkerNumber(number_id, index, box.seal(number_id, WORKER), WORKER[-2:])
    async with room.engine.begin() as conn:
        await keep_numbers(conn, provider, [kept], "coordinator:x")
    return case_id, key, answer_code(key)


async def answers(room: Room, case_id: UUID) -> list[dict[str, Any]]:
    rows = await room.rows(
        "SELECT value FROM outbox WHERE key = :k AND topic = 'submissions' ORDER BY id",
        k=str(case_id).encode(),
    )
    told = [json.loads(row.value) for row in rows]
    return [one for one in told if one["type"] == "provider-answered"]


async def test_a_worker_answers_by_keyword_once_and_nothing_is_a_report(gate: Gate) -> None:
    case_id, key, code = await asked(gate.room)
    said, thanks = f"হ্যাঁ {code.translate(BANGLA)}", words_of("answer_taken", "bn")
    first = await gate.telerivet(said, WORKER, "m1")
    assert first.json()["messages"][0]["content"] == thanks
    assert (await gate.telerivet(said, WORKER, "m1")).json()["messages"] == []
    assert await gate.said(f"yes {code}", WORKER) == words_of("answer_taken", "en")
    (told,) = await answers(gate.room, case_id)
    data = {"referral_id": str(key), "provider_id": ASKED_OF, "answer": "yes", "reason": None}
    assert told["data"] == data
    assert told["actor"] == "provider_worker:sms"
    assert WORKER[-10:] not in json.dumps(told)
    assert await gate.stored("telerivet") == []


async def test_two_at_once_are_one_answer_and_the_other_is_kept(gate: Gate) -> None:
    case_id, _, code = await asked(gate.room)
    said = [f"yes {code}", f"no {code} 1"] * 2
    replies = await asyncio.gather(*(gate.said(text, WORKER) for text in said))
    assert len(await answers(gate.room, case_id)) == 1
    words = [words_of(kind, "en") for kind in ("answer_taken", "no_such_code")]
    assert sorted(replies, key=str) == sorted([*words, *words], key=str)
    assert len(await gate.stored("telerivet")) == 2


async def test_what_fits_nothing_and_other_numbers_are_texts_like_all_others(gate: Gate) -> None:
    case_id, key, code = await asked(gate.room)
    wrong = f"no {(int(code) + 1) % 10000:04d}"
    assert await gate.said(wrong, WORKER) == words_of("no_such_code", "en")
    assert await gate.said(f"yes {code}", OTHER) not in (
        words_of("answer_taken", "en"),
        words_of("no_such_code", "en"),
    )
    assert await gate.said(LOST, WORKER) is not None
    assert await gate.stored("telerivet") == [wrong, f"yes {code}", LOST]
    await gate.room.refer(case_id, Attempt(key, "shelter", 1, "withdrawn", None, "T1", 2, ASKED_OF))
    assert await gate.said(f"yes {code}", WORKER) == words_of("no_such_code", "en")
    assert await answers(gate.room, case_id) == []


async def test_a_provider_that_the_case_excludes_answers_nothing(gate: Gate) -> None:
    case_id, _, code = await asked(gate.room, exclude={"providers": [ASKED_OF]})
    assert await gate.said(f"yes {code}", WORKER) == words_of("no_such_code", "en")
    assert await answers(gate.room, case_id) == []
    assert await gate.stored("telerivet") == [f"yes {code}"]
