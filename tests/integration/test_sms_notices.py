"""Notices to persons, on real Kafka and PostgreSQL, with a gateway that may be hostile.

What counts is what the gateway saw: at most one SMS a notice, whatever happens around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from services.notification import person_store
from services.notification.brake import LONGEST_PAUSE
from services.notification.deliveries import Deliveries
from services.notification.limits import Limits, load_limits
from services.notification.person_notifier import Withholder
from services.notification.sending import Sending
from shared.access import TokenReader
from shared.database import make_engine
from shared.outbox import Outbox
from shared.signing import Signer
from shared.sms import Fate
from shared.sms.infobip import Infobip, InfobipSettings
from shared.vocabulary import Role
from tests.support.notices import (
    BASE,
    Centre,
    Ground,
    Hook,
    environment,
    new_ground,
    provider_name,
    publish,
    referral,
    sender,
)
from tests.support.phones import ALWAYS, OK, Desk, Gateway, Request, said
from tests.support.trial import PATIENT, SHORT, TEMPLATES, TLS, Trial, dying, live
from tests.support.wait import differences, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path


NEWS = TEMPLATES.text("news", "bn")


@pytest.fixture(scope="module")
def ground(
    streams: str, postgres_admin_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("sms") / "keys"
    with new_ground(streams, postgres_admin_dsn, folder) as made:
        yield made


@contextlib.asynccontextmanager
async def running(
    ground: Ground, log: Path, gateway: Gateway, desk: Desk, **more: str
) -> AsyncIterator[Centre]:
    """Run the service with this gateway and this intake."""
    env = environment(
        ground,
        "1",
        INTAKE_URL=desk.url,
        SMS_EXTERNAL_URL=f"{gateway.url}/send",
        **({"SMS_EXTERNAL_TIMEOUT": "30"} | more),
    )
    centre = Centre(ground, env, log)
    centre.start()
    try:
        await centre.ready()
        yield centre
    finally:
        assert centre.child is not None
        with centre.child:
            centre.child.send(signal.SIGTERM)
            await centre.child.ended(20)


def accepted(case_id: str, **changes: Any) -> dict[str, Any]:
    """Make the event that a provider accepted a referral of this case."""
    place = {"provider_id": None, "feed_seq": None}
    facts = {"type": "referral-accepted", "state": "accepted", **place, **changes}
    return referral("", 0, case_id=case_id, **facts)


async def told(centre: Centre, case_id: str, recipient: str = "person") -> list[tuple[str, str]]:
    """Return type and reason (or state) of what became known of a case's notices, in order."""
    conn = await asyncpg.connect(centre.env["DATABASE_URL"])
    rows = await conn.fetch(
        "SELECT value FROM outbox WHERE topic = 'notices' AND key = $1 ORDER BY id",
        case_id.encode(),
    )
    await conn.close()
    events = [json.loads(row["value"]) for row in rows]
    return [
        (event["type"], event["data"]["reason"] or event["data"]["state"])
        for event in events
        if event["data"].get("recipient") == recipient
    ]


async def becomes(
    centre: Centre, case_id: str, *found: tuple[str, str], within: float = 60
) -> None:
    """Wait until this, and nothing else, was told of the notices to a case's person."""

    async def look() -> bool:
        now = await told(centre, case_id)
        assert now == list(found), now
        return True

    await eventually(look, within, f"{found} of {case_id}")


# --- the way of one notice ------------------------------------------------------------------------


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway() as made:
        yield made


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Desk() as made:
        yield made


async def test_a_person_gets_one_neutral_text_and_nothing_of_it_names_anyone(
    ground: Ground, gateway: Gateway, desk: Desk, tmp_path: Path
) -> None:
    case_id = str(uuid4())
    env = {
        "NOTIFICATION_NOTIFIERS": "sms",
        "SMS_CALLBACK_SECRET": "proof",
        "WHATSAPP_VERIFY_TOKEN": "the agreed word",
    }
    async with running(ground, tmp_path / "log", gateway, desk, **env) as centre:
        event = accepted(case_id)
        await publish(centre, event)
        await becomes(centre, case_id, ("notice-sent", "sent"))
        assert await told(centre, case_id, "reporter") == [("notice-withheld", "never-by-machine")]
        number = desk.number(case_id)
        assert gateway.texts_to(number) == [NEWS]

        [(head, asked)] = [(h, a) for h, a in desk.got if a["case_id"] == case_id]
        notice_id = next(form["id"] for form in gateway.got if form["to"] == number)
        assert asked == {
            "case_id": case_id,
            "recipient": "person",
            "purpose": "news",
            "notice_id": notice_id,
            "referral_id": json.loads(event["value"])["data"]["referral_id"],
            "event_id": event["id"],
            "ways": ["sms", "whatsapp"],
        }
        headers = dict(line.split(": ", 1) for line in head.lower().split("\r\n")[1:] if line)
        original = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        bearer = next(v for k, v in original.items() if k.lower() == "authorization")
        seed = bytes.fromhex((ground.keys / "notification" / "signing.key").read_text().strip())
        public = Signer(seed).public
        caller = TokenReader(bytes(32), {"notification": public}).read(bearer.split()[1])
        assert (caller.role, caller.subject) == (Role.SERVICE, "notification")
        trace = json.loads(event["value"])["traceparent"].split("-")[1]
        assert headers["traceparent"].split("-")[1] == trace

        async with centre.client(Role.COORDINATOR) as client:
            shown = (await client.get(f"{BASE}/notices", params={"case_id": case_id})).json()
        found = {n["recipient"]: n for n in shown["items"]}
        assert found["person"]["notice_id"] == notice_id
        assert (found["person"]["state"], found["person"]["template"]) == ("sent", "news")
        assert found["reporter"]["state"] == "withheld"
        async with centre.client(Role.PROVIDER_SYSTEM, provider_name()) as client:
            hidden = (await client.get(f"{BASE}/notices", params={"case_id": case_id})).json()
        assert hidden["items"] == []

        back = f"{centre.url}/notification/callbacks"
        async with httpx.AsyncClient(timeout=30) as line:  # the gateway says what became of it
            codes = [
                (await line.post(f"{back}/{path}", data={"id": notice_id})).status_code
                for path in (
                    "external/guess/delivered",
                    "twilio",
                    "external/proof/lost",
                    "external/proof/delivered",
                    "external/proof/delivered",
                    "external/proof/failed",
                    "external/proof/sent",
                )
            ]
            stranger = {"id": str(uuid4())}
            codes.append(
                (await line.post(f"{back}/external/proof/failed", data=stranger)).status_code
            )
            asked = {
                "hub.mode": "subscribe",
                "hub.verify_token": "the agreed word",
                "hub.challenge": "1158201444",
            }
            agreed = await line.get(f"{back}/whatsapp", params=asked)
            guess = await line.get(f"{back}/whatsapp", params=asked | {"hub.verify_token": "x"})
        assert codes == [403, 404, 404, 204, 204, 204, 204, 204]
        assert (agreed.status_code, agreed.text) == (200, "1158201444")
        assert agreed.headers["content-type"].startswith("text/plain")
        assert (guess.status_code, "1158201444" in guess.text) == (403, False)
        await becomes(centre, case_id, ("notice-sent", "sent"), ("notice-delivered", "delivered"))

        conn = await asyncpg.connect(ground.admin)
        for table in ("person_notices", "outbox", "inbox", "timers"):
            rows = await conn.fetch(f"SELECT t::text AS row FROM notification.{table} t")
            assert not [row for row in rows if number[4:] in row["row"] or NEWS in row["row"]]
            assert not [row for row in rows if number[4:].encode().hex() in row["row"]]
        await conn.close()
    assert number[4:] not in (tmp_path / "log").read_text()


async def test_what_is_not_sent_says_why(
    ground: Ground, gateway: Gateway, desk: Desk, tmp_path: Path
) -> None:
    reasons = [
        "no-safe-contact",
        "contact-stopped",
        "expired",
        "no-number",
        "erased",
        "no-case",
        "no-safe-way",
    ]
    cases = {reason: str(uuid4()) for reason in reasons}
    for reason, case_id in cases.items():
        desk.answers[case_id] = {"decision": "withheld", "reason": reason, "urgency": "T1"}
    test, old, danger, evening, away = [str(uuid4()) for _ in range(5)]
    soon = datetime.now(UTC) + timedelta(hours=6, minutes=30)
    desk.answers[evening] = {
        "decision": "contact",
        "number": "+8801799999999",
        "language": "en",
        "days": [],
        "hours": [f"{soon:%H:00}-{soon + timedelta(hours=1):%H:59}"],
        "urgency": "T2",
        "consent": True,
    }
    # within the hour in Dhaka, or up to an hour ahead: either is what safe hours mean
    async with running(ground, tmp_path / "log", gateway, desk) as centre:
        await publish(
            centre,
            *(accepted(case_id) for case_id in cases.values()),
            accepted(test, test=True),
            accepted(old, at=datetime.now(UTC) - timedelta(days=8)),
            accepted(danger, urgency="T0"),
            accepted(evening),
        )
        for reason, case_id in cases.items():
            await becomes(centre, case_id, ("notice-withheld", reason))
        await becomes(centre, test, ("notice-withheld", "test"))
        await becomes(centre, old, ("notice-withheld", "stale"))
        await becomes(centre, danger, ("notice-withheld", "danger-now"))

        async def planned() -> dict[str, Any]:
            async with centre.client(Role.SUPERVISOR) as client:
                found = (await client.get(f"{BASE}/notices", params={"case_id": evening})).json()
            person: dict[str, Any] = next(n for n in found["items"] if n["recipient"] == "person")
            return person

        async def settled() -> bool:
            notice = await planned()
            if notice["state"] == "sent":
                return True
            due = datetime.fromisoformat(notice["due_at"])
            return notice["state"] == "waiting" and due.astimezone(UTC).minute == 0

        await eventually(settled, what="the notice at its safe hour, or waiting for it")
        assert not [case for _, asked in desk.got if (case := asked["case_id"]) in (test, old)]

        desk.down = True
        await publish(centre, accepted(away))
        await eventually(
            lambda: [a for _, a in desk.got if a["case_id"] == away], what="the question to intake"
        )
        assert await told(centre, away) == []
        desk.down = False
        await becomes(centre, away, ("notice-sent", "sent"))
    assert [form["to"] for form in gateway.got if form["to"] == desk.number(away)] != []
    assert max(gateway.taken.values()) == 1


# --- a hostile gateway, inside this process ------------------------------------------------------


@pytest.fixture
async def trial(ground: Ground, gateway: Gateway, desk: Desk) -> AsyncIterator[Trial]:
    engine = make_engine(ground.environment()["DATABASE_URL"], size=12, name="trial")
    async with engine.begin() as conn:  # what an earlier test left is nobody's any more
        await conn.exec_driver_sql("DELETE FROM person_notices")
    made = Trial(engine, gateway, desk)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    await engine.dispose()


async def hang(_: dict[str, str]) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


def answering(*answers: bytes) -> Callable[[dict[str, str]], Awaitable[bytes]]:
    """Answer with these, one after the other; the last one for ever."""
    left = list(answers)

    async def answer(_: dict[str, str]) -> bytes:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


@pytest.mark.parametrize(
    ("answer", "found", "requests"),
    [
        (answering(OK), ("sent", None, 1), 1),
        (hang, ("unknown", "timeout", 1), 1),
        (answering(b""), ("unknown", "protocol", 1), 1),
        (answering(b"HTTP/1.1 20"), ("unknown", "protocol", 1), 1),
        (answering(said(500)), ("unknown", "server-error", 1), 1),
        (answering(said(302, "location: /other")), ("unknown", "redirect", 1), 1),
        (answering(said(400)), ("failed", "refused", 1), 1),
        (answering(said(403)), ("failed", "refused", 1), 1),
        (answering(said(429, "retry-after: 3"), OK), ("sent", None, 2), 2),
        (answering(said(503), said(429), OK), ("sent", None, 3), 3),
        (answering(said(503), said(500)), ("unknown", "server-error", 2), 2),
    ],
)
async def test_a_hostile_gateway_gets_each_notice_at_most_once(
    trial: Trial,
    answer: Callable[[dict[str, str]], Awaitable[bytes]],
    found: tuple[str, str | None, int],
    requests: int,
) -> None:
    trial.gateway.answer = answer
    trial.patience = SHORT if answer is hang else PATIENT
    trial.start("a")
    ids = await trial.add(str(uuid4()))

    async def look() -> bool:
        await trial.skip_pause()
        now = await trial.states(*ids)
        assert now == [found], now
        return True

    await eventually(look, 60, f"the state {found}")
    trial.at += timedelta(hours=1)
    trial.workers[0].wake()
    trial.gateway.answer = None
    [after] = await trial.add(str(uuid4()))  # when this one is sent, the first would have been too
    await trial.become([after], ("sent", None, 1))
    assert len([form for form in trial.gateway.got if form["id"] == ids[0]]) == requests
    assert trial.gateway.taken[ids[0]] <= 1


async def test_nobody_at_the_gateways_address_makes_it_wait_and_not_unknown(trial: Trial) -> None:
    async with Gateway() as gone:
        url = gone.url
    trial.start("a", url)
    ids = await trial.add(str(uuid4()))
    await trial.become(ids, ("waiting", None, 1))


async def test_a_gateway_that_hangs_makes_few_notices_unknown_and_then_is_left_alone(
    trial: Trial,
) -> None:
    trial.gateway.answer = hang
    trial.patience = SHORT
    trial.start("a")
    ids = await trial.add(*(str(uuid4()) for _ in range(20)))

    async def unknown() -> int:
        return [state for state, _, _ in await trial.states(*ids)].count("unknown")

    await eventually(unknown, 30, "the first unknown ones")

    async def calm() -> bool:
        states = [state for state, _, _ in await trial.states(*ids)]
        return "in_flight" not in states and states.count("unknown") >= 3

    await eventually(calm, 30, "the brake")
    assert await unknown() <= 8  # two rounds of the lane at most
    trial.gateway.answer = None
    trial.at += LONGEST_PAUSE  # two rounds pause for more than half of that

    async def all_told() -> bool:
        trial.workers[0].wake()
        return {state for state, _, _ in await trial.states(*ids)} == {"sent", "unknown"}

    await eventually(all_told, 60, "the rest")
    assert max(trial.gateway.taken.values()) == 1


async def test_two_replicas_send_each_notice_once(trial: Trial) -> None:
    trial.start("a")
    trial.start("b")
    ids = await trial.add(*(str(uuid4()) for _ in range(80)))
    await trial.become(ids, *[("sent", None, 1)] * 80)
    assert sorted(trial.gateway.taken) == sorted(ids)
    assert set(trial.gateway.taken.values()) == {1}


async def test_the_same_text_reaches_a_phone_once_in_ten_minutes(trial: Trial) -> None:
    cases = [str(uuid4()) for _ in range(12)]
    for case in cases:
        trial.desk.numbers[case] = "+8801711111111"  # a family with one phone
    trial.start("a")
    trial.start("b")
    ids = await trial.add(*cases)

    async def ended() -> bool:
        states = [(state, reason) for state, reason, _ in await trial.states(*ids)]
        wanted = [("sent", None), *[("withheld", "repeated")] * 11]
        assert Counter(states) == Counter(wanted), differences(states, wanted)
        return True

    await eventually(ended, 60, "one sent and eleven withheld")
    other = await trial.add(cases[0], template="how_are_you")
    await trial.become(other, ("sent", None, 1))
    assert len(trial.gateway.texts_to("+8801711111111")) == 2
    trial.at += timedelta(minutes=11)
    again = await trial.add(cases[1])
    await trial.become(again, ("sent", None, 1))

    async def blank() -> bool:
        async with trial.engine.begin() as conn:
            await person_store.forget_marks(conn, trial.clock() + timedelta(minutes=11))
            left = await conn.exec_driver_sql(
                "SELECT count(*) FROM person_notices"
                " WHERE notifier = $1 AND recipient_mark IS NOT NULL",
                (trial.notifier,),
            )
            return bool(left.scalar_one() == 0)

    await eventually(blank, what="the marks to be blanked")


async def kill(worker: asyncio.Task[None]) -> None:
    """End a worker as if its process had been killed: what it had not stored never is."""
    under_way = [t for t in asyncio.all_tasks() if "Teller._work" in str(t.get_coro())]
    for task in (*under_way, worker):
        task.cancel()
    await asyncio.gather(*under_way, worker, return_exceptions=True)


@pytest.mark.long
async def test_workers_that_die_again_and_again_send_nothing_twice(trial: Trial) -> None:
    rng = random.Random(5)
    ids = await trial.add(*(str(uuid4()) for _ in range(100)))
    for life in range(20):
        worker = trial.start(f"life {life}")
        last = len(trial.gateway.got) + rng.randint(1, 5)

        async def busy(last: int = last) -> bool:
            return len(trial.gateway.got) >= last

        await eventually(busy, what="some requests", every=0.002)
        await kill(worker)
        trial.workers.clear()
        trial.at += timedelta(minutes=1)  # every lease has run out
    trial.start("the last")

    async def ended() -> bool:
        states = {state for state, _, _ in await trial.states(*ids)}
        assert states <= {"sent", "unknown"}, states
        return True

    await eventually(ended, 60, "the end of all")
    lost = [state for state, _, _ in await trial.states(*ids)].count("unknown")
    print(f"20 deaths, 100 notices: {100 - lost} sent, {lost} unknown, none twice")
    assert max(trial.gateway.taken.values()) == 1


async def test_what_a_dead_replica_had_in_flight_is_unknown_and_stays_so(trial: Trial) -> None:
    trial.gateway.answer = hang
    dead = trial.start("a")
    ids = await trial.add(str(uuid4()))
    await eventually(lambda: trial.gateway.got, 30, "the request")
    await kill(dead)
    await trial.become(ids, ("in_flight", None, 1))
    trial.gateway.answer = None
    trial.start("b")
    [other] = await trial.add(str(uuid4()))
    await trial.become([other], ("sent", None, 1))
    await trial.become(ids, ("in_flight", None, 1))  # its lease has not run out
    trial.at += timedelta(minutes=1)  # now it has
    await trial.become(ids, ("unknown", "interrupted", 1))
    assert trial.gateway.taken[ids[0]] == 1


async def die_everywhere(trial: Trial, rounds: int) -> str:
    """Let the process die at every point where the telling of a notice waits, and go on after it.

    Each point dies twice: with what it waited for undone, and done. What the next life does first,
    giving up what it finds in flight, dies too, at one of its points after the other.
    """
    await trial.add(str(uuid4()))
    steps = await dying(live(trial.teller("a")), at=0)
    assert steps > 10, steps
    deaths, ended = 0, Counter[str]()
    for point in range(1, rounds * steps + 1):
        for waits in (True, False):
            [notice] = await trial.add(str(uuid4()))
            for life in (
                dying(live(trial.teller("a")), (point - 1) % steps + 1, waits),
                dying(trial.teller("a").free_mine(), point % 12 + 1, waits),
            ):
                await life
                deaths += life.died
            await trial.teller("a").free_mine()
            await live(trial.teller("a"))
            [(state, _, _)] = await trial.states(notice)
            assert state in ("sent", "unknown"), (point, waits, state)
            assert state == "unknown" or trial.gateway.taken[notice] == 1, (point, waits)
            ended[state] += 1
    twice = sum(count > 1 for count in trial.gateway.taken.values())
    assert twice == 0
    return f"{deaths} deaths at {steps} points: {dict(ended)}, sent twice {twice}"


@pytest.mark.timeout(180)
@pytest.mark.slow
async def test_a_process_that_dies_anywhere_sends_nothing_twice(trial: Trial) -> None:
    print(await die_everywhere(trial, rounds=1))


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_thousand_deaths_at_every_step_send_nothing_twice(trial: Trial) -> None:
    trial.limits = Limits(100_000, 4, 10)
    said = await die_everywhere(trial, rounds=8)
    print(said)
    assert int(said.split()[0]) >= 1000


class Memory(Gateway):
    """A gateway as Infobip is: it knows each message by its key, and can be asked."""

    fate = "PENDING"

    async def reply(self, request: Request) -> bytes:
        if request.head.startswith("GET"):
            key = parse_qs(urlsplit(request.head.split(" ")[1]).query)["messageId"][0]
            found = [{"messageId": key, "status": {"groupName": self.fate}}] * self.taken[key]
            return said(200, body=json.dumps({"results": found}))
        [message] = json.loads(request.body)["messages"]
        [sent] = message["destinations"]
        self.taken[sent["messageId"]] += 1
        if self.answer is not None:
            return await self.answer(sent)
        status = {"messageId": sent["messageId"], "status": {"groupName": "PENDING"}}
        return said(200, body=json.dumps({"messages": [status]}))


async def test_a_gateway_that_can_be_asked_says_what_a_dead_process_did(
    trial: Trial, desk: Desk
) -> None:
    async with Memory() as memory:
        trial.gateway = memory
        trial.make = lambda url, patience: Infobip(
            InfobipSettings(url, "key", "INFO", patience), None, TLS
        )
        memory.answer = hang
        dead = trial.start("a")
        ids = await trial.add(str(uuid4()))
        await eventually(lambda: memory.taken, 30, "the request")
        await kill(dead)
        trial.workers.clear()
        [lost] = await trial.add(str(uuid4()))  # in flight as well, but it never left
        async with trial.engine.begin() as conn:
            await conn.exec_driver_sql(
                "UPDATE person_notices SET state = 'in_flight', in_flight_at = now(), holder = 'a',"
                " leased_until = now() WHERE notice_id = CAST($1 AS uuid)",
                (lost,),
            )
        memory.answer = None
        trial.start("a")
        both = [*ids, lost]
        await trial.become(both, ("unknown", "interrupted", 1), ("unknown", "interrupted", 0))
        trial.at += timedelta(minutes=1)  # now it is asked
        await trial.become(both, ("sent", None, 1), ("unknown", "interrupted", 0))
        trial.at += timedelta(minutes=4)  # and again, of what is still not known
        memory.fate = "UNDELIVERABLE"
        memory.taken[lost] = 1
        await trial.become(both, ("sent", None, 1), ("failed", "undelivered", 0))
        assert memory.taken[ids[0]] == 1


async def test_too_much_to_one_number_waits_and_what_is_full_waits_for_all(trial: Trial) -> None:
    trial.limits = Limits(per_hour=4, recipient_per_hour=2, repeat_minutes=0)
    cases = [str(uuid4()) for _ in range(3)]
    for case in cases:
        trial.desk.numbers[case] = "+8801722222222"
    trial.start("a")
    crowd = await trial.add(*cases)
    others = await trial.add(*(str(uuid4()) for _ in range(3)))

    async def count(ids: list[str]) -> Counter[str]:
        return Counter(state for state, _, _ in await trial.states(*ids))

    async def settled() -> bool:
        both = await count([*crowd, *others])
        assert both == {"sent": 4, "waiting": 2}, both
        return True

    await eventually(settled, 60, "four sent, two waiting")
    assert (await count(crowd))["sent"] <= 2
    trial.at += timedelta(minutes=61)
    await trial.become([*crowd, *others], *[("sent", None, 1)] * 6)
    assert len(trial.gateway.texts_to("+8801722222222")) == 3


async def test_what_another_notifier_must_send_is_given_to_it_and_never_forgotten(
    trial: Trial,
) -> None:
    case = str(uuid4())
    trial.desk.answers[case] = {
        "decision": "contact",
        "way": "whatsapp",
        "number": "+8801733333333",
        "hours": ALWAYS,
        "urgency": "T1",
        "consent": True,
    }
    trial.start("a")
    [notice] = await trial.add(case)

    async def row() -> tuple[str, str, str | None]:
        async with trial.engine.connect() as conn:
            rows = await conn.exec_driver_sql(
                "SELECT notifier, state, reason FROM person_notices"
                " WHERE notice_id = CAST($1 AS uuid)",
                (notice,),
            )
            found = rows.one()
        return found.notifier, found.state, found.reason

    async def given() -> bool:
        return await row() == ("whatsapp", "waiting", None)

    await eventually(given, 60, "the notice in the other notifier's hands")
    assert trial.gateway.texts_to("+8801733333333") == []  # never by SMS in its place
    trial.at += timedelta(hours=7)  # and that notifier does not run

    async def owned() -> bool:
        return await row() == ("whatsapp", "withheld", "unserved")

    await eventually(owned, 60, "the notice withheld, with an owner")


async def test_a_provider_gets_its_code_or_the_other_way_or_is_none_of_ours(
    trial: Trial,
) -> None:
    trial.notifier, trial.limits = "provider", load_limits()["provider"]
    told, refused, by_system, early = (str(uuid4()) for _ in range(4))
    for case in (told, refused):
        trial.desk.answers[case] = {
            "decision": "contact",
            "way": "sms",
            "number": trial.desk.number(case),
            "urgency": "T1",
        }
    for case, reason in ((by_system, "no-worker"), (early, "not-yet")):
        trial.desk.answers[case] = {"decision": "withheld", "reason": reason}

    async def answer(form: dict[str, str]) -> bytes:
        return said(400) if form["to"] == trial.desk.number(refused) else OK

    trial.gateway.answer = answer
    trial.start("a")
    ids = await trial.add(told, refused, by_system, early, template="answer_asked")

    async def rows() -> list[tuple[str, str, int]]:
        async with trial.engine.connect() as conn:
            found = await conn.exec_driver_sql(
                "SELECT notice_id::text AS id, notifier, state, tries FROM person_notices"
            )
            known = {row.id: (row.notifier, row.state, row.tries) for row in found}
        return [known.get(one, ("", "", 0)) for one in ids]

    async def settled() -> bool:
        now = await rows()
        assert now[:3] == [("provider", "sent", 0), ("email", "waiting", 0), ("", "", 0)], now
        assert now[3][:2] == ("provider", "waiting")
        assert now[3][2] >= 1
        return True

    await eventually(settled, 60, "each on its way")
    asked = {a["case_id"]: a["ways"] for _, a in trial.desk.got}
    assert asked[told] == ["sms", "email"]
    [text] = trial.gateway.texts_to(trial.desk.number(told))
    assert re.search(r"\b\d{4}\b", text)
    assert len(trial.gateway.texts_to(trial.desk.number(refused))) == 1

    trial.desk.answers[refused] = {"decision": "withheld", "reason": "no-worker"}
    trial.notifier = "email"
    trial.start("b")  # it was tried by SMS, so its end is never forgotten
    await trial.become([ids[1]], ("withheld", "no-worker", 1))


async def test_notices_to_providers_without_a_worker_are_sifted_out_many_at_once(
    trial: Trial,
) -> None:
    trial.notifier, trial.limits = "provider", load_limits()["provider"]
    ids = await trial.add(*(str(uuid4()) for _ in range(40)), template="answer_asked")

    async def referrals() -> dict[str, str]:
        async with trial.engine.connect() as conn:
            rows = await conn.exec_driver_sql(
                "SELECT notice_id::text AS id, referral_id::text AS referral FROM person_notices"
            )
            return {row.id: row.referral for row in rows}

    about = await referrals()
    trial.desk.moot = {about[one] for one in ids[:35]}
    trial.desk.later = {about[one] for one in ids[35:38]}
    trial.start("a")
    await eventually(lambda: len(trial.gateway.got) == 2, 60, "those who have a worker told")

    async def left() -> bool:
        return set(await referrals()) == set(ids[35:])

    await eventually(left, 60, "those without a worker forgotten")
    await trial.become(ids[35:], *[("waiting", None, 0)] * 3, *[("sent", None, 1)] * 2)
    assert [len(asked) for asked in trial.desk.sifted] == [40]
    assert len(trial.desk.got) == 2, "nobody else was asked for one by one"
    trial.desk.later.clear()
    trial.at += timedelta(seconds=6)
    await trial.become(ids[35:], *[("sent", None, 1)] * 5)
    assert sorted(trial.desk.sifted[-1]) == sorted(about[one] for one in ids[35:38])


async def test_what_a_gateway_says_late_is_not_said_of_the_way_that_has_it_since(
    trial: Trial,
) -> None:
    trial.notifier = "email"
    [notice] = await trial.add(str(uuid4()), template="answer_asked")
    async with trial.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE person_notices SET state = 'sent', attempt = 2")
    deliveries = Deliveries(trial.engine, Outbox("notification", Signer(b"s" * 32)), trial.clock)
    assert await deliveries.hear(UUID(notice), Fate.FAILED, "sms", "undelivered") is False
    await trial.become([notice], ("sent", None, 2))
    assert await deliveries.hear(UUID(notice), Fate.FAILED, "email") is True
    await trial.become([notice], ("failed", "undelivered", 2))


async def test_a_notifier_that_lost_its_carrier_ends_what_it_had_in_flight(trial: Trial) -> None:
    trial.notifier = "voice"
    mine, left, waits = await trial.add(*(str(uuid4()) for _ in range(3)))
    async with trial.engine.begin() as conn:
        for notice, holder, lease in ((mine, "a", "1 hour"), (left, "dead", "0 s")):
            await conn.exec_driver_sql(
                "UPDATE person_notices SET state = 'in_flight', in_flight_at = now(), attempt = 1,"
                " holder = $2, leased_until = now() + CAST($3 AS text)::interval"
                " WHERE notice_id = CAST($1 AS uuid)",
                (notice, holder, lease),
            )
    sending = Sending(
        trial.engine,
        Outbox("notification", Signer(b"s" * 32)),
        "voice",
        "a",
        timedelta(),
        clock=trial.clock,
        limits=trial.limits,
    )
    trial.tasks.append(asyncio.create_task(Withholder(sending, lambda: None).run()))
    unknown = ("unknown", "interrupted", 1)
    await trial.become([mine, left, waits], unknown, unknown, ("withheld", "no-gateway", 0))


# --- kill -9 around the send ----------------------------------------------------------------------

POINTS = ("asking", "taken", "answered")


@dataclass(slots=True)
class Killer:
    """Kills the service while it asks intake, while the gateway has it, and after its answer."""

    centre: Centre
    armed: str = ""

    def strike(self, point: str) -> bool:
        if self.armed != point:
            return False
        self.armed = ""
        self.centre.kill()
        return True

    async def asked(self, _: dict[str, Any]) -> None:
        self.strike("asking")

    async def take(self, _: dict[str, str]) -> bytes:
        if self.strike("taken"):
            await asyncio.Event().wait()
        asyncio.get_running_loop().call_soon(self.strike, "answered")  # after it is written
        return OK

    async def kill(self, point: str, case_id: str) -> None:
        """Let the service die at this point of telling a case's person, and start it again."""
        self.armed = point
        await publish(self.centre, accepted(case_id))
        assert self.centre.child is not None
        await eventually(lambda: not self.armed, 20, f"the kill {point}")
        with self.centre.child as dead:
            await dead.ended(10)
        self.centre.start()
        await self.centre.ready()


SENT, LOST = ("notice-sent", "sent"), ("notice-failed", "interrupted")


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_killed_at_any_step_a_person_gets_at_most_one_text(
    ground: Ground, gateway: Gateway, desk: Desk, tmp_path: Path
) -> None:
    killed: dict[str, list[str]] = {point: [] for point in POINTS}
    env = {"NOTIFICATION_NOTIFIERS": "sms"}
    async with running(ground, tmp_path / "log", gateway, desk, **env) as centre:
        killer = Killer(centre)
        desk.before, gateway.answer = killer.asked, killer.take
        for point in POINTS * 2:
            case_id = str(uuid4())
            killed[point].append(case_id)
            await killer.kill(point, case_id)

            async def ended(case: str = case_id, at: str = point) -> bool:
                allowed = {"asking": [SENT], "taken": [LOST], "answered": [SENT, LOST]}[at]
                found = await told(centre, case)
                assert len(found) == 1, found
                assert found[0] in allowed, found
                return True

            await eventually(ended, 40, f"the end of what was killed while {point}")
    counts = {
        point: [len(gateway.texts_to(desk.number(case))) for case in cases]
        for point, cases in killed.items()
    }
    print(f"texts seen by the gateway, a kill -9 each: {counts}")
    assert counts == {point: [1, 1] for point in POINTS}
    assert set(gateway.taken.values()) == {1}


# --- isolation ------------------------------------------------------------------------------------


async def _latencies(centre: Centre, count: int, pause: float = 0.1) -> list[float]:
    """Return the milliseconds from publishing to the webhook of `count` events, one by one.

    Ten times a second an event is published beside, about which a person is to be told.
    """
    provider, found = provider_name(), []

    async def accept() -> None:
        while True:
            await send(accepted(str(uuid4())))
            await asyncio.sleep(pause)

    async with Hook() as hook, sender(centre) as send:
        await centre.subscribe(provider, hook.url)
        await send(referral(provider, 1))
        await eventually(lambda: hook.got, what="the first webhook")
        beside = asyncio.create_task(accept())
        for seq in range(2, count + 2):
            record = referral(provider, seq)
            began = time.monotonic()
            await send(record)

            async def arrived(wanted: int = seq) -> bool:
                return len(hook.got) >= wanted

            await eventually(arrived, what="the webhook", every=0.005)
            found.append((hook.got[-1].at - began) * 1000)
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    return found


BY_MAIL = {
    "decision": "contact",
    "way": "email",
    "address": "worker@example.org",
    "urgency": "T1",
}


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Run a server that takes connections and never says a word; give its port."""
    writers = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
        assert writers, "nobody came"
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def never(_: dict[str, Any]) -> None:
    await asyncio.Event().wait()


@pytest.mark.long
@pytest.mark.timeout(480)
async def test_a_gateway_that_hangs_or_a_stopped_sms_notifier_delays_no_webhook(
    ground: Ground, gateway: Gateway, desk: Desk, tmp_path: Path
) -> None:
    figures: dict[str, list[float]] = {}
    env = {"SMS_EXTERNAL_TIMEOUT": "2"}
    async with running(ground, tmp_path / "all", gateway, desk, **env) as centre:
        figures["all well"] = await _latencies(centre, 80)
        await publish(centre, *(accepted(str(uuid4())) for _ in range(1500)))
        figures["1,500 notices at once"] = await _latencies(centre, 80)
        gateway.answer = hang
        figures["gateway hangs"] = await _latencies(centre, 80)
        desk.before, gateway.answer = never, None
        figures["intake hangs"] = await _latencies(centre, 80)
        assert gateway.got
    desk.before, desk.otherwise = None, BY_MAIL
    async with silent_server() as port:
        env = {
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(port),
            "EMAIL_SECURITY": "none",
            "EMAIL_FROM": "centre@example.org",
        }
        async with running(ground, tmp_path / "mail", gateway, desk, **env) as centre:
            figures["mail server hangs"] = await _latencies(centre, 80)
    env = {"NOTIFICATION_NOTIFIERS": "webhook"}
    async with running(ground, tmp_path / "webhook", gateway, desk, **env) as centre:
        figures["sms stopped"] = await _latencies(centre, 80)
    for name, values in figures.items():
        p50, p99 = statistics.median(values), sorted(values)[int(len(values) * 0.99) - 1]
        print(f"webhook latency, {name}: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    well = statistics.median(figures["all well"])
    for name, values in figures.items():
        assert statistics.median(values) < well + 250, name  # not the seconds of what hangs
