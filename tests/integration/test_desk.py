"""The desk, receipts and texts on a whole stack: what needs a person comes before one."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from services.intake.channels.sms.replies import words_of
from shared.access import service_token
from shared.clock import new_event_id, now
from shared.events import NOTICES, Draft, NoticeFacts, encode, headers_of
from shared.sms.proof import sign_twilio
from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

LOST = "amar bon k niye geche"
DANGER = "আমার মেয়েকে এখন মারতেছে, বাঁচান, সাভার"


@pytest.fixture
def stack(whole_stack: Stack) -> Stack:
    return whole_stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client(timeout=20) as client:
        yield client


class Desk:
    """A coordinator and a supervisor with their tokens."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self.http = http
        self.coordinator = stack.bearer(Role.COORDINATOR, subject="c1")
        self.supervisor = stack.bearer(Role.SUPERVISOR, subject="s1")

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query, headers=self.coordinator)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: object = None, *, boss: bool = False) -> httpx.Response:
        headers = self.supervisor if boss else self.coordinator
        return self.http.post(path, json={} if body is None else body, headers=headers)

    def tasks(self, case_id: str, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/intake/v1/tasks", case_id=case_id, **query)[
            "items"
        ]
        return found

    def case(self, case_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/intake/v1/cases/{case_id}")
        return found

    def texts_of(self, number: str) -> list[dict[str, Any]]:
        """Return the newest submissions that came by SMS and are open already, newest last."""
        items, after, mark = [], None, letters(number)
        while True:
            query = {"channel": "sms", "limit": 200, **({"after": after} if after else {})}
            page = self.get("/intake/v1/submissions", **query)
            items += page["items"]
            if not page["items"]:
                return [i for i in items if i["message_id"] and i["message_id"].startswith(mark)]
            after = page["next"]


@pytest.fixture
def desk(stack: Stack, http: httpx.Client) -> Desk:
    return Desk(stack, http)


def letters(number: str) -> str:
    """Write a number in letters: an id that is made of a number is not kept."""
    return "".join("abcdefghij"[int(digit)] for digit in number.removeprefix("+"))


def new_number() -> str:
    return f"+88017{uuid4().int % 10**8:08d}"


def send(http: httpx.Client, number: str, text: str, mark: str | None = None) -> None:
    form = {"from": number, "text": text, "id": f"{letters(number)}-{mark or uuid4()}"}
    answer = http.post("/intake/channels/sms/external", data=form)
    assert answer.json() == {"status": "received"}


def outbox(stack: Stack, number: str) -> list[str]:
    """Return what the file outbox sent to a number."""
    file = stack.home / "sms" / "sms.jsonl"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [m["text"] for line in lines if (m := json.loads(line))["number"] == number]


async def replied(stack: Stack, number: str, count: int) -> str:
    await eventually(lambda: len(outbox(stack, number)) >= count, 10, "a reply")
    found = outbox(stack, number)
    assert len(found) == count
    return found[-1]


async def opened(desk: Desk, number: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until so many texts of a number were read, and return them."""

    def look() -> list[dict[str, Any]] | None:
        found = [t for t in desk.texts_of(number) if t["state"] != "received"]
        return found if len(found) >= count else None

    found: list[dict[str, Any]] = await eventually(look, 15, "the texts to be read")
    return found


async def test_a_text_gets_one_reply_and_its_answer_fills_the_case(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    number = new_number()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: send(http, number, LOST, "once-1"), range(8)))
    assert await replied(stack, number, 1) == (
        "Peyechi. Kon elaka? Ekhoni hole 1, pore hole 2 likhun."
    )
    (first,) = await opened(desk, number)
    before = desk.case(first["case_id"])["facts"]
    assert (before["district"], before["urgency"]) == (None, None)
    send(http, number, "savar 1")
    assert await replied(stack, number, 2)
    _, answer = await opened(desk, number, 2)
    assert (answer["state"], answer["case_id"]) == ("answer", None)
    after = desk.case(first["case_id"])["facts"]
    assert (after["district"], after["urgency"]) == ("BD3026", "T0")


async def test_danger_is_before_a_person_at_once_until_one_has_looked(
    http: httpx.Client, desk: Desk
) -> None:
    number = new_number()
    send(http, number, DANGER)
    (first,) = await opened(desk, number)
    assert [t["kind"] for t in desk.tasks(first["case_id"], kind="triage")] == ["triage"]
    assert desk.post(f"/intake/v1/cases/{first['case_id']}/triage").status_code == 200
    assert desk.tasks(first["case_id"], kind="triage") == []


async def test_a_stop_ends_messages_to_the_number_and_nothing_else(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    number = new_number()
    send(http, number, DANGER)
    await replied(stack, number, 1)
    (first,) = await opened(desk, number)
    before = desk.case(first["case_id"])["facts"]
    assert before["urgency"] in ("T0", "T1")
    send(http, number, "বন্ধ")
    await opened(desk, number, 2)
    after = desk.case(first["case_id"])["facts"]
    assert {k for k in after if after[k] != before[k]} == {"contact_stopped"}
    assert [t["kind"] for t in desk.tasks(first["case_id"], kind="contact_stopped")] == [
        "contact_stopped"
    ]
    send(http, number, "ওরা আবার আসছে")
    third = (await opened(desk, number, 3))[-1]
    assert third["case_id"] is not None
    assert len(outbox(stack, number)) == 1


async def test_a_receipt_is_told_on_request_and_reveals_four_words(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    number = new_number()
    send(http, number, LOST)
    await replied(stack, number, 1)
    send(http, number, "nombor")
    told = await replied(stack, number, 2)
    code = re.sub(r"\D", "", told)
    assert len(code) == 16

    def status() -> str:
        answer = http.post("/intake/v1/receipts/status", json={"receipt": code})
        assert answer.headers["cache-control"] == "no-store"
        return str(answer.json()["status"])

    assert status() == "received"
    (first, *_) = await opened(desk, number, 2)
    submission = first["submission_id"]
    assert desk.post(f"/intake/v1/cases/{first['case_id']}/triage").status_code == 200
    assert status() == "looked_at"
    question = {"text": "কোন এলাকা?"}
    assert desk.post(f"/intake/v1/submissions/{submission}/question", question).status_code == 200
    assert status() == "question"
    send(http, number, f"{code[:4]} {code[4:8]} {code[8:12]} {code[12:]}")
    assert await replied(stack, number, 3) in (
        "আপনার জন্য একটি প্রশ্ন আছে",
        "There is a question for you",
    )
    said = http.post(
        "/intake/v1/receipts/messages", json={"receipt": code, "text": "সাভার, তাকে মারতেছে এখন"}
    )
    assert [m["text"] for m in said.json()["messages"]] == ["কোন এলাকা?"]
    assert status() == "looked_at"
    assert [t["kind"] for t in desk.tasks(first["case_id"], kind="new_words")] == ["new_words"]
    assert desk.post(f"/intake/v1/submissions/{submission}/end").status_code == 200
    assert status() == "ended"


async def test_harm_goes_to_the_safeguarding_focal_person(http: httpx.Client, desk: Desk) -> None:
    headers = {"idempotency-key": str(uuid4())}
    made = http.post(
        "/intake/v1/reports",
        json={"channel": "web", "concerns": ["child_labour"], "persons": [{"ref": "a"}]},
        headers=desk.coordinator | headers,
    ).json()
    case_id = made["case_ids"][0]
    await eventually(
        lambda: (
            desk.http.get(f"/intake/v1/cases/{case_id}", headers=desk.coordinator)
            .json()
            .get("facts")
        ),
        15,
        "the case",
    )
    body = {"words": made["words"], "helped": "harmed", "about": "staff"}
    answer = http.post("/intake/v1/receipts/feedback", json=body)
    assert answer.json() == {"status": "received"}
    assert desk.tasks(case_id, kind="harmed") == [], "before the focal person alone: test_duty"


@pytest.mark.parametrize(
    ("receipt", "status"),
    [("1234567890123456", 422), ("not a receipt", 422), ("", 422), ("x" * 300, 422)],
)
def test_what_is_no_receipt_is_refused_without_an_echo(
    http: httpx.Client, receipt: str, status: int
) -> None:
    answer = http.post("/intake/v1/receipts/status", json={"receipt": receipt})
    assert answer.status_code == status
    assert not receipt or receipt not in answer.text


def test_twilio_gets_its_reply_in_the_answer_once(stack: Stack, http: httpx.Client) -> None:
    fields = [("MessageSid", f"SM{uuid4().hex}"), ("From", new_number()), ("Body", LOST)]
    url = f"{stack.origin}/intake/channels/sms/twilio"
    headers = {
        "x-twilio-signature": sign_twilio("a test token", url, fields),
        "content-type": "application/x-www-form-urlencoded",
    }
    body = urlencode(fields).encode()
    first = http.post(url, content=body, headers=headers)
    again = http.post(url, content=body, headers=headers)
    assert "<Message>Peyechi. Kon elaka?" in first.text
    assert again.text == "<Response></Response>"
    forged = {**headers, "x-twilio-signature": b64encode(b"0" * 20).decode()}
    assert http.post(url, content=body, headers=forged).status_code == 403


async def test_a_person_closes_a_case_and_at_t1_two_do(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    number = new_number()
    send(http, number, DANGER)
    (first,) = await opened(desk, number)
    path = f"/intake/v1/cases/{first['case_id']}/close"
    assert desk.post(path).status_code == 422
    assert desk.post(path, {"reason": "because"}).status_code == 422
    reason = {"reason": "could_not_be_found"}
    machine = http.post(path, json=reason, headers=stack.bearer(Role.PROVIDER_SYSTEM, "p1"))
    assert machine.status_code == 403
    proposed = desk.post(path, reason)
    assert (proposed.status_code, proposed.json()["status"]) == (202, "waits_for_approval")
    assert [t["level"] for t in desk.tasks(first["case_id"], kind="approve_closing")] == [
        "supervisor"
    ]
    closed = desk.post(path, reason, boss=True)
    assert (closed.status_code, closed.json()["status"]) == (200, "closed")
    assert desk.tasks(first["case_id"]) == []
    assert desk.post(path, reason, boss=True).status_code == 409


async def test_tasks_are_named_claimed_and_done_by_persons(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    shift = {
        "person": "coordinator:on-duty",
        "level": "coordinator",
        "begins": "2026-01-01T00:00:00Z",
        "ends": "2036-01-01T00:00:00Z",
    }
    assert desk.post("/intake/v1/duty", shift).status_code == 403
    entry = desk.post("/intake/v1/duty", shift, boss=True)
    assert entry.status_code == 201
    made = http.post(
        "/intake/v1/reports",
        json={"channel": "web", "about": "place", "concerns": ["hazardous_child_labour"]},
        headers=desk.coordinator,
    ).json()
    case_id = made["case_ids"][0]
    (task,) = await eventually(lambda: desk.tasks(case_id), 15, "the task")
    assert (task["kind"], task["named"]) == ("verify", "coordinator:on-duty")
    path = f"/intake/v1/tasks/{task['task_id']}"
    assert desk.post(f"{path}/claim").json()["state"] == "claimed"
    taken = desk.post(f"{path}/claim", boss=True)
    assert (taken.status_code, taken.json()["held_by"]) == (409, "coordinator:c1")
    assert desk.post(f"{path}/done", {"outcome": "visited"}).json()["outcome"] == "visited"
    assert desk.tasks(case_id) == []
    assert [t["ended_by"] for t in desk.tasks(case_id, state="done")] == ["coordinator:c1"]
    gone = http.delete(f"/intake/v1/duty/{entry.json()['duty_id']}", headers=desk.supervisor)
    assert gone.status_code == 204


async def test_what_is_parked_comes_before_a_person(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    number = new_number()
    send(http, number, LOST)
    (first,) = await opened(desk, number)
    producer = AIOKafkaProducer(**stack.kafka_login().client())
    await producer.start()
    try:
        await producer.send_and_wait("notices", b"{", key=first["case_id"].encode())
    finally:
        await producer.stop()
    (task,) = await eventually(lambda: desk.tasks(first["case_id"], kind="parked"), 15, "a task")
    assert task["detail"] == "intake.desk: unreadable"


def resolve(stack: Stack, http: httpx.Client, case_id: str, token: str) -> httpx.Response:
    body = {
        "case_id": case_id,
        "recipient": "person",
        "purpose": "news",
        "notice_id": str(uuid4()),
    }
    return http.post(
        "/intake/v1/contacts/resolve", json=body, headers={"authorization": f"Bearer {token}"}
    )


async def bounce(stack: Stack, case_id: str) -> None:
    """Tell the desk that a text to a case's person came back."""
    facts = NoticeFacts(
        notice_id=uuid4(),
        notifier="sms",
        about_event=uuid4(),
        about_type="referral-accepted",
        state="failed",
        recipient="person",
        reason="bounced",
    )
    draft = Draft(NOTICES, "notice-failed", case_id, facts, id=new_event_id())
    _, value = encode(
        draft,
        source="/notification",
        sequence=1,
        at=now(),
        actor="service:notification.sms",
        traceparent=None,
    )
    producer = AIOKafkaProducer(**stack.kafka_login().client())
    await producer.start()
    try:
        await producer.send_and_wait(
            NOTICES,
            value,
            key=case_id.encode(),
            headers=headers_of("notice-failed", 1, (), None, b"signature"),
        )
    finally:
        await producer.stop()


async def test_only_notification_learns_a_number_and_only_a_safe_one(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    number = new_number()
    contact = {"allowed": True, "channel": "sms", "number": number, "hours": ["18:00-20:00"]}
    made = http.post(
        "/intake/v1/reports",
        json={
            "channel": "web",
            "concerns": ["child_labour"],
            "persons": [{"ref": "a", "safe_contact": contact}, {"ref": "b"}],
        },
        headers=desk.coordinator,
    ).json()
    reached, other = made["case_ids"]
    seed = bytes.fromhex((stack.home / "keys" / "notification" / "signing.key").read_text().strip())
    token = service_token(seed, "notification")

    def answer(case_id: str) -> dict[str, Any] | None:
        found = resolve(stack, http, case_id, token)
        assert found.status_code == 200
        return None if found.json().get("reason") == "no-case" else found.json()

    found = await eventually(lambda: answer(reached), 15, "the case")
    assert (found["decision"], found["number"], found["hours"]) == (
        "contact",
        number,
        ["18:00-20:00"],
    )
    assert found["shared_phone"] is True
    withheld = answer(other)
    assert withheld is not None
    assert (withheld["decision"], withheld["reason"]) == ("withheld", "no-safe-contact")
    await bounce(stack, reached)
    (task,) = await eventually(lambda: desk.tasks(reached, kind="contact_bounced"), 20, "a task")
    unsafe = answer(reached)
    assert unsafe is not None
    assert unsafe["reason"] == "contact-unchecked"
    path = f"/intake/v1/tasks/{task['task_id']}"
    assert desk.post(f"{path}/claim").status_code == 200
    assert desk.post(f"{path}/done", {"outcome": "checked"}).status_code == 200
    checked = answer(reached)
    assert checked is not None
    assert checked["decision"] == "contact"
    send(http, number, "stop")
    await opened(desk, number)
    stopped = answer(reached)
    assert stopped is not None
    assert stopped["reason"] == "contact-stopped"
    for wrong in (
        service_token(bytes(32), "notification"),
        service_token(seed, "referral"),
        stack.bearer(Role.SUPERVISOR)["authorization"].removeprefix("Bearer "),
    ):
        assert resolve(stack, http, reached, wrong).status_code in (401, 403)
    history = http.get(
        f"/audit/v1/cases/{reached}/history", headers=stack.bearer(Role.AUDITOR)
    ).json()
    assert "person-data-read" in json.dumps(history)


async def test_guessing_receipts_is_slowed(stack: Stack) -> None:
    """Ten wrong receipts from one address a minute; reports go on being taken."""
    async with httpx.AsyncClient(
        base_url=stack.url("intake"), headers={"x-forwarded-for": "192.0.2.9"}
    ) as client:
        codes = []
        for number in range(12):
            body = f"{10**13 + number:014d}"
            code = f"{body}{98 - int(body) * 100 % 97:02d}"
            codes.append(
                (
                    await client.post("/intake/v1/receipts/status", json={"receipt": code})
                ).status_code
            )
        assert set(codes) <= {404, 429}
        assert codes[-1] == 429
        report = await client.post("/intake/v1/reports", json={"channel": "web"})
        assert report.status_code == 201


ODD = {
    "ten thousand characters": ("ক" * 10_000, "ask_place_and_when"),
    "emoji only": ("😢🙏", "ask_place_and_when"),
    "a receipt with wrong check digits": ("1234567890123456", "no_such_number"),
    "a place that exists five times": ("রামপুরে মেয়েটাকে আটকে রাখছে", "ask_place"),
    "an age of 999": ("amar meyer boyos 999", "ask_place_and_when"),
    "silence": ("", "ask_words"),
}


async def test_an_odd_text_is_kept_with_what_is_certain_and_answered_politely(
    stack: Stack, http: httpx.Client, desk: Desk
) -> None:
    sent = {}
    for name, (text, kind) in ODD.items():
        number = new_number()
        send(http, number, text)
        sent[name] = (number, kind)
    number = new_number()
    body = b"from=" + number.replace("+", "%2B").encode() + b"&id=" + number[1:].encode()
    latin = http.post(
        "/intake/channels/sms/external",
        content=body + b"&text=au secours \xe9\xe8",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert latin.json() == {"status": "received"}
    for name, (number, kind) in sent.items():
        assert await replied(stack, number, 1) in [
            words_of(kind, one) for one in ("bn", "banglish", "en")
        ], name
        (found,) = await opened(desk, number)
        reading = found["reading"]
        assert (reading["place"], reading["age"]) == (None, None), name
        assert set(reading["concerns"]) <= {"unsure"}, name


async def test_a_committees_batch_is_stored_once_and_what_is_heavy_is_for_a_person(
    desk: Desk, stack: Stack, http: httpx.Client
) -> None:
    mine = stack.bearer(Role.COMMITTEE_MEMBER, subject=f"m-{uuid4().hex[:8]}")
    other = stack.bearer(Role.COMMITTEE_MEMBER, subject=f"m-{uuid4().hex[:8]}")
    report, words, heavy = (str(uuid4()) for _ in range(3))
    item = {"id": report, "report": {"about": "people", "narrative": LOST}}
    add = {"adds_to": report, "base_version": 1}
    items: list[Any] = [
        item,
        {"id": "not one", "report": {"narrative": "x"}},
        {"id": words, **add, "text": "she was seen again"},
        {"id": heavy, **add, "danger_now": True, "safe_contact": {"allowed": False}},
    ]

    def send(*some: Any, headers: dict[str, str] = mine) -> list[dict[str, Any]]:
        answer = http.post(
            "/intake/v1/committee/batches", json={"items": list(some)}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        told: list[dict[str, Any]] = answer.json()["items"]
        return told

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: send(*items), range(4)))
    results = [sorted(one[n]["result"] for one in told) for n in range(4)]
    once = ["repeated"] * 3 + ["stored"]
    assert results == [once, ["refused"] * 4, once, once]
    (made,) = (one[0] for one in told if one[0]["result"] == "stored")
    (decided,) = (one[3] for one in told if one[3]["result"] == "stored")
    assert {"risk", "safe_contact"} <= set(decided["to_decide"])

    changed = send(
        {"id": report, "report": {"narrative": "another"}},
        {"id": words, **add, "text": "another"},
        {"id": str(uuid4()), **add, "base_version": 9, "text": "ahead"},
        {"id": str(uuid4()), **add, "text": "late"},
    )
    assert [one["result"] for one in changed] == ["refused"] * 3 + ["stored"]
    assert changed[3]["to_decide"] == ["version"]
    (not_own,) = send({"id": str(uuid4()), **add, "text": "x"}, headers=other)
    assert (not_own["result"], not_own["reason"]) == ("refused", "no own report has this id")

    case_id = made["case_ids"][0]
    tasks = desk.tasks(case_id, kind="addition")
    assert {task["about"] for task in tasks} >= {heavy}
    (task,) = (task for task in tasks if task["about"] == heavy)
    assert task["urgency"] == "T0"

    sealed = f"/intake/v1/submissions/{desk.case(case_id)['submission_id']}/messages"
    why = {"reason": "deciding"}
    assert http.get(sealed, params=why, headers=mine).status_code == 403
    assert http.get(sealed, headers=desk.coordinator).status_code == 422
    shown = http.get(sealed, params=why, headers=desk.coordinator).json()["items"]
    said = {one["addition"]: one["said"] for one in shown}
    assert said[words]["text"] == "she was seen again"
    assert (said[heavy]["danger_now"], said[heavy]["base_version"]) == (True, 1)

    def read() -> bool:
        path, auditor = f"/audit/v1/cases/{case_id}/history", stack.bearer(Role.AUDITOR)
        return "person-data-read" in http.get(path, headers=auditor).text

    await eventually(read, 20, "the reading in the history")
    own = http.get("/intake/v1/committee/reports", headers=mine).json()["items"]
    assert [(o["id"], o["version"], o["case_id"], o["stub"]) for o in own] == [
        (report, 4, case_id, True)
    ]
    assert set(own[0]) == {"id", "version", "case_id", "submission_id", "status", "stub"}
    assert http.get("/intake/v1/committee/reports", headers=other).json()["items"] == []
