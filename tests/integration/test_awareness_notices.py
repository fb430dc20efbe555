"""Notices of awareness on a real PostgreSQL and a gateway: asked for, sent once, stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from services.intake.awareness import subscribers
from services.intake.awareness.asking import Ask, parse_ask
from services.intake.awareness.messages import Messages, make_message, text_of
from services.intake.awareness.sending import LOST_AFTER, Sender
from services.intake.casework.numbers import Numbers
from services.intake.channels.sms.replies import words_of
from services.intake.preparing import number_index
from services.intake.talks import save_talks
from shared.clock import day_of
from shared.erasure_list import CASE, Line
from shared.errors import InvalidBody
from shared.sms import load_sms_settings, make_gateway
from tests.integration.test_sms_channel import SECRETS, Gate, gate_of
from tests.support.dying import dying
from tests.support.phones import OK, Gateway, said
from tests.support.room import COORDINATOR, Room, open_room
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from services.intake.awareness.messages_store import Message

NOON = datetime(2026, 11, 29, 6, tzinfo=UTC)
DHAKA, KURIGRAM = "BD3026", "BD5549"
DAY = timedelta(days=1)
KEPT = {"number_index", "number", "district", "language", "since"}
"""All that is kept of somebody who asked."""


@dataclass(slots=True)
class Centre:
    """Who asked, and the process that sends; `room.now` is the time."""

    room: Room
    gateway: Gateway
    messages: Messages

    @property
    def numbers(self) -> Numbers:
        return Numbers(self.room.secrets.pepper)

    def sender(self) -> Sender:
        made = make_gateway(load_sms_settings({"SMS_EXTERNAL_URL": f"{self.gateway.url}/send"}))
        assert made is not None
        return Sender(self.room.engine, self.numbers, made, self.room.clock)

    async def ask(self, *numbers: str, district: str | None = DHAKA, language: str = "bn") -> None:
        async with self.room.engine.begin() as conn:
            for number in numbers:
                index = number_index(self.room.secrets.index, number)
                sealed = self.numbers.seal(subscribers.seal_id(index), number)
                ask = Ask(language, district)
                await subscribers.begin(conn, index, sealed, ask, day_of(self.room.now))

    async def stop(self, number: str) -> None:
        index = number_index(self.room.secrets.index, number)
        async with self.room.engine.begin() as conn:
            await save_talks(conn, {}, [(index, uuid4())], [], self.room.now)

    async def plan(self, of: str = "online", *places: str) -> Message:
        message = make_message(of, places, COORDINATOR.actor, self.room.now)
        async with self.room.engine.begin() as conn:
            await self.messages.plan(conn, message, self.room.now)
        return message

    async def send(self) -> int:
        """Send all that is due now; return how many were tried."""
        sender, tried = self.sender(), 0
        while await sender.round():
            tried += 1
        return tried

    async def states(self, message: Message) -> list[str]:
        rows = await self.room.rows(
            "SELECT state FROM awareness_sendings WHERE message_id = :m ORDER BY state",
            m=message.message_id,
        )
        return [row.state for row in rows]


@pytest.fixture
async def centre(postgres_admin_dsn: str) -> AsyncIterator[Centre]:
    async with open_room(postgres_admin_dsn) as room, Gateway() as gateway:
        room.now = NOON
        yield Centre(room, gateway, Messages(room.engine))


@pytest.fixture(autouse=True, scope="module")
def places_are_known() -> None:
    """Read a place before a gateway waits for it: the index takes a while the first time."""
    assert parse_ask("খবর চাই সাভার", day_of(NOON)) == Ask("bn", DHAKA)


def phone(n: int) -> str:
    return f"+88017110000{n:02}"


async def test_who_asks_by_the_keyword_is_kept_and_nothing_else_of_them(
    postgres_admin_dsn: str,
) -> None:
    async with open_room(postgres_admin_dsn) as room, gate_of(room, SECRETS) as gate:
        number = "01711000011"
        begun = words_of("notices_begun", "bn")
        assert await gate.said("খবর চাই", number) == begun
        assert await gate.said("খবর চাই সাভার", number) == begun
        assert await gate.said("NEWS", number) == words_of("notices_begun", "en")
        (kept,) = await room.rows("SELECT * FROM awareness_subscribers")
        assert set(kept.keys()) == KEPT
        assert (kept.district, kept.language) == (DHAKA, "en")
        index = number_index(room.secrets.index, "+8801711000011")
        assert kept.number_index == index
        assert b"1711000011" not in kept.number
        opened = Numbers(room.secrets.pepper).open(subscribers.seal_id(index), kept.number)
        assert opened == "+8801711000011"
        assert await gate.stored("telerivet") == [], "it is no report"

        first = await gate.telerivet("KHOBOR CHAI", "01711000012", "SM7")
        again = await gate.telerivet("KHOBOR CHAI", "01711000012", "SM7")
        assert [len(one.json()["messages"]) for one in (first, again)] == [1, 0]

        others = [
            "খবর চাই দাও",
            "খবর চাই সাভার আমাকে বাঁচান",
            "খবর চাই?",
            "আমার খবর চাই",
            "খবর",
            "NEWS nowhere",
        ]
        for text in others:
            assert await gate.said(text, "01711000013") != begun
        assert await gate.said("খবর চাই", "+14155550100") != begun, "no mobile number of Bangladesh"
        assert await gate.stored("telerivet") == [*others, "খবর চাই"], "nothing is lost"
        assert len(await room.rows("SELECT 1 FROM awareness_subscribers")) == 2


async def open_all(gate: Gate) -> None:
    rows = await gate.room.rows("SELECT submission_id FROM submissions WHERE state = 'received'")
    for row in rows:
        async with gate.room.engine.begin() as conn:
            await gate.room.intake.open_in(conn, row.submission_id, gate.room.now)


async def test_a_stop_forgets_the_number_and_it_cannot_ask_again(postgres_admin_dsn: str) -> None:
    async with open_room(postgres_admin_dsn) as room, gate_of(room, SECRETS) as gate:
        number = "01711000021"
        await gate.said("খবর চাই", number)
        assert await gate.said("বন্ধ", number) is None
        await open_all(gate)
        assert await room.rows("SELECT 1 FROM awareness_subscribers") == []
        assert len(await room.rows("SELECT 1 FROM stopped_numbers")) == 1
        assert await gate.said("খবর চাই", number) is None
        assert await room.rows("SELECT 1 FROM awareness_subscribers") == []
        assert len(await room.rows("SELECT 1 FROM submissions")) == 2, "it goes the ordinary way"

        other = "01711000022"
        await gate.said("NEWS", other)
        await gate.said("stop news", other)
        assert await room.rows("SELECT 1 FROM awareness_subscribers") == []
        assert len(await room.rows("SELECT 1 FROM submissions")) == 3, "a person can read it"
        assert len(await room.rows("SELECT 1 FROM stopped_numbers")) == 1, "the notices alone"


async def test_who_asked_there_gets_it_once_in_their_language(centre: Centre) -> None:
    await centre.ask(phone(1), phone(2))
    await centre.ask(phone(3), language="en")
    await centre.ask(phone(4), district=KURIGRAM)
    await centre.ask(phone(5), district=None)
    message = await centre.plan("online", "BD30")
    assert await centre.send() == 3
    got = {form["to"]: form["text"] for form in centre.gateway.got}
    bangla, english = text_of("online", "bn"), text_of("online", "en")
    assert got == {phone(1): bangla, phone(2): bangla, phone(3): english}
    assert await centre.states(message) == ["sent"] * 3
    assert await centre.send() == 0

    centre.room.now += 6 * DAY
    assert await centre.states(await centre.plan("brick-kilns")) == ["planned"] * 2
    assert await centre.states(await centre.plan("job-offers")) == [], "one is planned already"
    await centre.send()
    centre.room.now += DAY + timedelta(hours=1)
    assert len(await centre.states(await centre.plan("school-end"))) == 3, "seven days later"
    await centre.send()
    centre.room.now += 8 * DAY
    assert len(await centre.states(await centre.plan("online"))) == 2, "not the same set so soon"
    await centre.send()
    centre.room.now += 91 * DAY
    assert len(await centre.states(await centre.plan("online"))) == 5
    assert max(centre.gateway.taken.values()) == 1
    (row,) = await centre.room.rows(
        "SELECT count(*) AS kept FROM awareness_sendings WHERE changed_at < :old"
        " AND number_index IS NOT NULL",
        old=centre.room.now - 90 * DAY,
    )
    assert row.kept == 0, "to whom is forgotten after 90 days"


async def test_notices_wait_for_the_day_and_are_dropped_when_they_are_late(centre: Centre) -> None:
    await centre.ask(phone(1), phone(2))
    centre.room.now = datetime(2026, 11, 29, 12, tzinfo=UTC)  # 18:00 in Dhaka
    message = await centre.plan()
    for hours, tried in ((0, 0), (9, 0), (15.9, 0)):
        centre.room.now = datetime(2026, 11, 29, 12, tzinfo=UTC) + timedelta(hours=hours)
        assert await centre.send() == tried
    centre.room.now = datetime(2026, 11, 30, 4, tzinfo=UTC)  # 10:00
    assert await centre.sender().round()
    centre.room.now += 3 * DAY
    assert await centre.send() == 0
    assert await centre.states(message) == ["failed", "sent"]


async def test_who_stops_meanwhile_or_is_erased_gets_nothing(centre: Centre) -> None:
    await centre.ask(phone(1), phone(2), phone(3))
    message = await centre.plan()
    await centre.stop(phone(2))
    await centre.send()
    assert {form["to"] for form in centre.gateway.got} == {phone(1), phone(3)}
    assert await centre.states(message) == ["sent", "sent"]
    await centre.stop(phone(1))
    assert await centre.states(message) == ["sent", "sent"], "that something was sent stays"
    assert len(await centre.room.rows("SELECT 1 FROM awareness_subscribers")) == 1
    (row,) = await centre.room.rows(
        "SELECT count(number_index) AS known FROM awareness_sendings WHERE state = 'sent'"
    )
    assert row.known == 1, "but not to whom"


async def hang(_: dict[str, str]) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


async def test_killed_in_mid_sending_it_is_unknown_and_never_sent_again(centre: Centre) -> None:
    await centre.ask(phone(1))
    message = await centre.plan()
    centre.gateway.answer = hang
    dead = asyncio.create_task(centre.sender().round())
    await eventually(lambda: centre.gateway.got, 30, "the request")
    dead.cancel()
    with suppress(asyncio.CancelledError):
        await dead
    centre.gateway.answer = None
    assert await centre.states(message) == ["sending"]
    assert await centre.send() == 0
    centre.room.now += LOST_AFTER + timedelta(seconds=1)
    assert await centre.send() == 0
    assert await centre.states(message) == ["unknown"]
    centre.room.now += DAY
    assert await centre.send() == 0
    assert len(centre.gateway.got) == 1
    assert await centre.states(await centre.plan("job-offers")) == [], "it may have come"


async def test_a_process_that_dies_at_any_wait_sends_nothing_twice(centre: Centre) -> None:
    centre.room.now = datetime(2026, 11, 29, 4, tzinfo=UTC)  # 10:00 in Dhaka
    await centre.ask(phone(1))
    await centre.plan()
    steps = await dying(centre.sender().round(), at=0)
    assert steps > 5
    for n, (point, waits) in enumerate(
        [(point, waits) for point in range(1, steps + 1) for waits in (True, False)]
    ):
        number = phone(10 + n)
        await centre.ask(number)
        message = await centre.plan()
        await dying(centre.sender().round(), point, waits)
        centre.room.now += LOST_AFTER + timedelta(seconds=1)
        await centre.send()
        (state,) = await centre.states(message)
        texts = len(centre.gateway.texts_to(number))
        assert state in ("sent", "unknown"), (point, waits, state)
        assert texts == 1 or (state == "unknown" and texts == 0), (point, waits, texts)


async def test_what_a_gateway_says_counts(centre: Centre) -> None:
    await centre.ask(phone(1))
    message = await centre.plan()
    answers = [said(503), OK]

    async def answer(_: dict[str, str]) -> bytes:
        return answers.pop(0)

    centre.gateway.answer = answer
    assert await centre.send() == 1
    assert await centre.states(message) == ["planned"], "it was not sent, and is tried again"
    centre.room.now += timedelta(minutes=1)
    assert await centre.send() == 1
    assert await centre.states(message) == ["sent"]

    await centre.ask(phone(2))
    answers[:] = [said(500)]
    other = await centre.plan("job-offers")
    assert await centre.send() == 1
    assert await centre.states(other) == ["unknown"]


async def test_small_numbers_are_hidden_and_reports_stand_beside(centre: Centre) -> None:
    await centre.ask(*(phone(n) for n in range(5)))
    await centre.ask(*(phone(n) for n in range(5, 9)), district=KURIGRAM)
    await centre.ask(phone(9), district=None)
    asking = await centre.messages.count()
    assert asking["BD30"] == 5
    assert [code for code, people in asking.items() if people is not None] == ["BD30"]
    message = await centre.plan("online", DHAKA)
    few = await centre.plan("online", KURIGRAM)
    await centre.send()
    for n in range(5):
        centre.room.now = NOON + timedelta(minutes=n)
        places = [{"role": "now", "pcode": "BD30260038"}]
        await centre.room.report(persons=[{"ref": "a"}], places=places, needs=["education"])
    centre.room.now += 30 * DAY
    shown = {one.message.message_id: one for one in await centre.messages.list(centre.room.now)}
    many, hidden = shown[message.message_id], shown[few.message_id]
    assert many.states == {"planned": None, "sent": 5, "failed": None, "unknown": None}
    assert (many.before, many.after, many.whole) == (None, 5, True)
    assert set(hidden.states.values()) == {None}
    assert (hidden.before, hidden.after) == (None, None)
    with pytest.raises(InvalidBody):
        await centre.plan("online", "BD30260072")


async def erase(room: Room, case_id: UUID) -> None:
    line = Line(case_id=case_id, subject=CASE, at=room.now, by="s1", asked_by="s1")
    async with room.engine.begin() as conn:
        await room.erasures.again(conn, line)


async def test_erasing_who_reported_forgets_that_the_number_asked(
    postgres_admin_dsn: str,
) -> None:
    async with open_room(postgres_admin_dsn) as room, gate_of(room, SECRETS) as gate:
        number = "01711000031"
        await gate.said("খবর চাই", number)
        await gate.said("সাভারে একটা বাচ্চা দিয়ে কাজ করায়", number)
        await open_all(gate)
        (row,) = await room.rows("SELECT case_ids FROM submissions")
        assert len(await room.rows("SELECT 1 FROM awareness_subscribers")) == 1
        await erase(room, row.case_ids[0])
        assert await room.rows("SELECT 1 FROM awareness_subscribers") == []
