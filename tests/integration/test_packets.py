"""A case handed over with consent: packets, answers, numbers of other offices, the notice."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyrage
import pytest

from services.intake.casework import handover
from services.intake.casework.stages import Asked, Entry, Stages
from services.intake.consent.api import DecisionIn
from services.intake.consent.store import consents_of
from services.intake.disclosure.look_ups import LookUps
from services.intake.disclosure.search import Search
from services.intake.packets.alerts import Alerts
from services.intake.packets.connectors import FileDrop
from services.intake.packets.service import Packets
from services.intake.packets.store import list_packets
from shared.access import Caller
from shared.errors import Conflict, NotFound, Unavailable
from shared.vocabulary import Role
from tests.support.room import COORDINATOR, SUPERVISOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TO = "helpline-1098"
NAMED = Caller("c9", Role.COORDINATOR)


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


def packets(room: Room, drop: FileDrop | None = None) -> Packets:
    stages = Stages(room.vault, room.outbox)
    connectors = {drop.key: drop} if drop else {}
    return Packets(stages, room.disclosures, room.secrets.index, connectors)


async def case(room: Room, *, agreed: bool = True, **more: Any) -> UUID:
    """Report a woman who tells her own story and agrees that one centre learns it."""
    consent = {
        "person": "a",
        "given_by": "person",
        "how": "spoken",
        "explained": True,
        "basis": "consent",
        "allows": ["refer", "share_identity"],
        "providers": [TO, "nrm"],
    }
    body: dict[str, Any] = {
        "about": "people",
        "reporter": {"kind": "self", "name": "Canary Rina", "phone": "01712345678"},
        "persons": [
            {"ref": "a", "name": "Canary Rina", "age": {"min": 22, "max": 22, "basis": "stated"}}
        ],
        "concerns": ["forced_labour"],
        "needs": ["legal_aid"],
        "narrative": "Canary words.",
        "external_refs": [{"system": "nrm", "value": "NRM-77"}],
        "consent": [consent] if agreed else [],
    }
    (case_id,) = await room.report(**body | more)
    return case_id


async def offer(room: Room, case_id: UUID, to: str = TO) -> None:
    async with room.engine.begin() as conn:
        await Stages(room.vault, room.outbox).take(
            conn,
            Asked(case_id, COORDINATOR, room.now),
            Entry("handover", {"to": to}),
            lambda f: handover.offer(case_id, f, to),
        )


async def make(
    room: Room, case_id: UUID, form: str = "htcds-json", to: str = TO, **more: Any
) -> tuple[UUID, bytes]:
    caller = more.pop("caller", COORDINATOR)
    maker = packets(room, more.pop("way", None))
    async with room.engine.begin() as conn:
        packet_id, made = await maker.make(conn, Asked(case_id, caller, room.now), to, form, **more)
    return packet_id, made.raw


async def test_what_was_agreed_to_goes_and_every_packet_is_an_event(room: Room) -> None:
    case_id = await case(room)
    await offer(room, case_id)
    for form in ("htcds-csv", "htcds-json", "primero", "fhir", "pdf"):
        _, raw = await make(room, case_id, form)
        if form != "pdf":
            assert b"Canary" in raw
            assert b"Rina" in raw
        event = (await room.events(case_id))[-1]
        assert event["type"] == "packet-made"
        assert (event["data"]["step"]["kind"], event["data"]["step"]["to"]) == (form, TO)
        assert len(event["data"]["step"]["sha256"]) == 64
        assert "anary" not in json.dumps(event)
        assert "narrative" in event["data"]["read"]["fields"]
    async with room.engine.connect() as conn:
        assert len(await list_packets(conn, case_id)) == 5
        assert len(await consents_of(conn, case_id)) == 1
    rows = await room.rows("SELECT p::text AS shown FROM packets p")
    assert "anary" not in "".join(row.shown for row in rows)


async def test_without_an_offer_or_a_consent_for_them_nothing_goes(room: Room) -> None:
    case_id = await case(room)
    with pytest.raises(Conflict, match="offer"):
        await make(room, case_id)
    await offer(room, case_id, "somebody-else")
    with pytest.raises(Conflict, match="agreed"):
        await make(room, case_id, to="somebody-else")
    silent = await case(room, agreed=False)
    await offer(room, silent)
    with pytest.raises(Conflict, match="agreed"):
        await make(room, silent)
    assert await room.rows("SELECT 1 FROM packets") == []


async def test_a_consent_that_ended_or_a_conflict_stops_it(room: Room) -> None:
    case_id = await case(room, exclude={"providers": ["c9"]})
    await offer(room, case_id)
    with pytest.raises(NotFound):
        await make(room, case_id, caller=NAMED)
    async with room.engine.begin() as conn:
        await conn.exec_driver_sql(
            "UPDATE consents SET expires_at = $1", (room.now + timedelta(days=1),)
        )
    await make(room, case_id)
    room.now += timedelta(days=2)
    with pytest.raises(Conflict, match="agreed"):
        await make(room, case_id)


async def test_a_yes_moves_the_responsibility_and_their_number_finds_the_case(room: Room) -> None:
    case_id = await case(room)
    await offer(room, case_id)
    packet_id, _ = await make(room, case_id)
    asked = Asked(case_id, COORDINATOR, room.now)
    for said, state in (("received", "offered"), ("accepted", "accepted")):
        async with room.engine.begin() as conn:
            await packets(room).answer(conn, asked, packet_id, said, "n1", None)
        assert (await room.facts(case_id))["work"]["handover"] == state
    async with room.engine.begin() as conn:
        await packets(room).note_reference(conn, asked, "police.gd", "GD 12/2026")
    search = Search(room.outbox, room.secrets, LookUps(b"k", room.clock))
    async with room.engine.begin() as conn:
        found = await search.by_reference(conn, COORDINATOR, "police.gd", "GD 12/2026", room.now)
        assert [one["case_id"] for one in found] == [case_id]
        assert await search.by_reference(conn, COORDINATOR, "police.gd", "GD 13", room.now) == []
    _, raw = await make(room, case_id, "fhir")
    assert b"GD 12/2026" in raw
    assert b"NRM-77" in raw
    assert "GD 12" not in json.dumps(await room.events(case_id))
    async with room.engine.begin() as conn:
        with pytest.raises(NotFound):
            await packets(room).answer(conn, asked, UUID(int=9), "accepted", "n1", None)


async def test_a_consent_taken_back_asks_to_tell_whoever_holds_a_packet(room: Room) -> None:
    case_id = await case(room)
    await offer(room, case_id)
    await make(room, case_id)
    said = {"decision": "withdrawn", "given_by": "person", "explained": True}
    wish = DecisionIn.model_validate(said).wish()
    async with room.engine.begin() as conn:
        await room.consents.record(
            conn, case_id, wish, {}, caller=COORDINATOR, version=None, at=room.now
        )
    rows = await room.rows("SELECT kind FROM tasks WHERE state <> 'done'")
    assert "tell_receiver" in {row.kind for row in rows}
    with pytest.raises(Conflict, match="agreed"):
        await make(room, case_id)


async def test_the_drop_is_sealed_and_a_folder_that_is_full_leaves_nothing_half_done(
    room: Room, tmp_path: Path
) -> None:
    mine = pyrage.x25519.Identity.generate()
    case_id = await case(room)
    await offer(room, case_id, "nrm")
    drop = FileDrop("nrm", tmp_path, mine.to_public())
    packet_id, raw = await make(room, case_id, to="nrm", way=drop, drop=True)
    (file,) = (tmp_path / "out").iterdir()
    assert file.name.startswith(str(packet_id))
    assert pyrage.decrypt(file.read_bytes(), [mine]) == raw
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(Unavailable):
        await make(
            room, case_id, to="nrm", way=FileDrop("nrm", blocked, mine.to_public()), drop=True
        )
    assert len(await room.rows("SELECT 1 FROM packets")) == 1
    with pytest.raises(Conflict, match="no way"):
        await make(room, case_id, to="nrm", drop=True)


async def test_a_notice_names_the_child_and_nobody_who_reported(room: Room) -> None:
    (case_id,) = await room.report(
        about="people",
        reporter={"kind": "relative", "name": "Canary Uncle", "phone": "01812345678"},
        persons=[{"ref": "a", "name": "Canary Mim", "age": {"min": 9, "max": 9}}],
        concerns=["missing_child"],
    )
    alerts = Alerts(Stages(room.vault, room.outbox))
    said = {
        "reporter_danger": "not_known",
        "checked": "Canary checked",
        "basis": "best_interest",
        "last_seen": "an invented market",
        "seen_at": room.now,
        "description": None,
    }
    asked = Asked(case_id, SUPERVISOR, room.now)
    async with room.engine.begin() as conn:
        with pytest.raises(Conflict):
            await alerts.make(conn, asked, said)
    async with room.engine.begin() as conn:
        _, made = await alerts.make(conn, asked, said | {"reporter_danger": "yes"})
    assert made.raw.startswith(b"%PDF-")
    assert (await room.facts(case_id))["work"]["alert"] == "out"
    types = [event["type"] for event in await room.events(case_id)]
    assert types[-2:] == ["missing-alert-made", "person-data-read"]
    async with room.engine.begin() as conn:
        await alerts.take_down(conn, asked, "Canary found at home")
    assert (await room.facts(case_id))["work"]["alert"] is None
    assert "anary" not in json.dumps(await room.events(case_id))
