"""Consent as it is kept: recorded, changed, taken back, ended by itself, and what each tells."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from services.intake.casework.review import Attempt
from services.intake.consent.api import DecisionIn
from services.intake.consent.decide import ConsentRefused
from services.intake.consent.expiry import make_timer
from services.intake.consent.of_age import ask_at_18
from services.intake.triage import Triage
from shared.access import Caller
from shared.errors import Conflict, NotFound
from shared.timers import TimerLoop
from shared.vocabulary import Role
from tests.support.room import AT, COORDINATOR, SUPERVISOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.intake.consent.decide import Outcome

CANARY = "Canary Witness"
PROVIDER = Caller("w1", Role.PROVIDER_WORKER, "p1")


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


def person(age: int = 20, **more: Any) -> dict[str, Any]:
    return {"ref": "a", "name": "Canary Person", "age": {"min": age, "max": age}} | more


def body(**fields: Any) -> DecisionIn:
    known = {"decision": "given", "given_by": "person", "explained": True, "witness": CANARY}
    return DecisionIn.model_validate(known | fields)


async def record(
    room: Room, case_id: UUID, one: DecisionIn, caller: Caller = COORDINATOR
) -> Outcome:
    private = {"witness": one.witness, "giver_relation": one.giver_relation, "reason": one.reason}
    async with room.engine.begin() as conn:
        made, _ = await room.consents.record(
            conn, case_id, one.wish(), private, caller=caller, version=None, at=room.now
        )
    return made


async def disclosed(room: Room, case_id: UUID, need: str = "legal_aid") -> dict[str, Any]:
    referral_id = uuid4()
    await room.refer(case_id, Attempt(referral_id, need, 1, "accepted", None, "T2", 1, "p1"))
    async with room.engine.begin() as conn:
        return await room.disclosures.disclose(conn, referral_id, PROVIDER, room.now)


async def kinds(room: Room, case_id: UUID) -> list[str]:
    return [event["type"] for event in await room.events(case_id)]


async def test_a_recorded_consent_counts_at_once_and_its_words_are_sealed(room: Room) -> None:
    (case_id,) = await room.report(persons=[person()], needs=["legal_aid"])
    with pytest.raises(Conflict):
        await disclosed(room, case_id)
    both = ["refer", "share_identity"]
    await record(room, case_id, body(allows=both, purposes=["legal_aid"], fields=["name"]))
    told = await disclosed(room, case_id)
    assert told["person"] == {"name": "Canary Person"}
    with pytest.raises(Conflict):
        await disclosed(room, case_id, "shelter")
    events = await room.events(case_id)
    assert [e["type"] for e in events] == ["case-created", "consent-given", "identity-disclosed"]
    assert events[1]["data"]["consent"] == {
        "given": True,
        "purposes": ["legal_aid"],
        "share_identity": True,
        "basis": "consent",
        "grants": [],
    }
    for table in ("consents", "cases", "submissions", "outbox", "subjects", "sealed"):
        rows = await room.rows(f"SELECT t::text AS shown FROM {table} t")
        shown = "".join(row.shown for row in rows)
        assert CANARY not in shown
        assert CANARY.encode().hex() not in shown


async def test_a_withdrawal_stops_disclosures_at_once(room: Room) -> None:
    (case_id,) = await room.report(persons=[person()], needs=["legal_aid"])
    await record(room, case_id, body(allows=["refer", "share_identity"]))
    assert await disclosed(room, case_id)
    await record(room, case_id, body(decision="withdrawn", purposes=["shelter"]))
    assert await disclosed(room, case_id)
    await record(room, case_id, body(decision="withdrawn"))
    with pytest.raises(Conflict):
        await disclosed(room, case_id)
    withdrawn = [e for e in await room.events(case_id) if e["type"] == "consent-withdrawn"]
    assert [e["data"]["consent"]["given"] for e in withdrawn] == [True, False]
    assert {e["data"]["reason"] for e in withdrawn} == {"withdrawn"}
    assert (await room.facts(case_id))["reason"] is None
    with pytest.raises(ConsentRefused):
        await record(room, case_id, body(decision="withdrawn"))


async def test_the_end_of_a_consent_is_a_withdrawal(room: Room) -> None:
    ends = (AT + timedelta(days=1)).isoformat()
    agreed = {
        "person": "a",
        "given_by": "person",
        "basis": "consent",
        "allows": ["refer", "share_identity"],
        "expires_at": ends,
    }
    (case_id,) = await room.report(persons=[person()], needs=["legal_aid"], consent=[agreed])
    assert await disclosed(room, case_id)
    timers = TimerLoop(room.engine, [make_timer(room.outbox, room.clock)], clock=room.clock)
    assert await timers.round() == 0
    room.now = AT + timedelta(days=1)
    with pytest.raises(Conflict):  # the gate itself does not wait for the timer
        await disclosed(room, case_id)
    assert await timers.round() == 1
    assert (await room.facts(case_id))["consent"]["given"] is False
    last = (await room.events(case_id))[-1]
    assert (last["type"], last["actor"], last["data"]["reason"]) == (
        "consent-withdrawn",
        "service:intake.consent",
        "expired",
    )
    assert await timers.round() == 0


async def test_what_is_taken_back_has_no_timer_left(room: Room) -> None:
    (case_id,) = await room.report(persons=[person()], needs=["legal_aid"])
    made = await record(room, case_id, body())
    (timer,) = await room.rows("SELECT subject, payload FROM timers")
    assert timer.subject == str(made.added[0].consent_id)
    await record(room, case_id, body(decision="withdrawn"))
    assert await room.rows("SELECT 1 FROM timers") == []


async def test_a_case_without_a_person_gets_one_to_seal_under(room: Room) -> None:
    (case_id,) = await room.report(about="people", narrative="Canary words", needs=["legal_aid"])
    adult = body(given_by="decision_body", basis="best_interest", purposes=["legal_aid"])
    with pytest.raises(ConsentRefused):
        await record(room, case_id, adult, SUPERVISOR)
    await record(room, case_id, adult.model_copy(update={"reason": "Canary reason"}), SUPERVISOR)
    (row,) = await room.rows(
        "SELECT field FROM sealed JOIN subjects USING (subject_id) WHERE kind = 'person'"
    )
    assert row.field.startswith("consent:")


async def test_whoever_the_case_excludes_records_nothing(room: Room) -> None:
    alleged = {"relation": "employer", "provider_id": "p9"}
    (case_id,) = await room.report(
        persons=[person()], exclude={"providers": ["c9"]}, alleged=[alleged]
    )
    with pytest.raises(NotFound):
        await record(room, case_id, body(), Caller("c9", Role.COORDINATOR))


async def test_a_relation_that_is_alleged_in_any_words_is_refused(room: Room) -> None:
    child = person(4, lives_with_alleged="no")
    alleged = [{"relation": "খালু", "name": "Canary Alleged"}]
    (case_id,) = await room.report(persons=[child], alleged=alleged)
    by = {"given_by": "caregiver", "basis": "consent"}
    with pytest.raises(ConsentRefused, match="does not count"):
        await record(room, case_id, body(giver_relation="খালু", **by))
    assert (await record(room, case_id, body(giver_relation="খালা", **by))).added


async def triaged(room: Room, case_id: UUID, age: int) -> dict[str, Any]:
    async with room.engine.begin() as conn:
        await room.intake.triage_in(conn, case_id, Triage(age=age), COORDINATOR, None, room.now)
    return await room.facts(case_id)


async def test_a_person_who_turns_out_to_be_a_child_has_not_consented(room: Room) -> None:
    (case_id,) = await room.report(persons=[person(20)], needs=["legal_aid"])
    await record(room, case_id, body(allows=["refer", "share_identity"]))
    assert (await triaged(room, case_id, 17))["consent"]["given"] is True
    facts = await triaged(room, case_id, 13)
    assert (facts["consent"]["given"], facts["age"]) == (False, 13)
    assert (await kinds(room, case_id))[-3:] == [
        "case-triaged",
        "consent-withdrawn",
        "case-triaged",
    ]
    assert await room.rows("SELECT 1 FROM timers WHERE kind = 'consent-expiry'") == []
    with pytest.raises(Conflict):
        await disclosed(room, case_id)


BESIDE = {"giver_relation": "mother", "basis": "assent_and_caregiver"}
MOTHER = BESIDE | {"given_by": "caregiver", "allows": ["refer", "share_identity"]}


async def asked(room: Room) -> list[tuple[str, str]]:
    rows = await room.rows("SELECT kind, state FROM tasks ORDER BY opened_at, state")
    return [(row.kind, row.state) for row in rows]


async def look(room: Room) -> int:
    async with room.engine.begin() as conn:
        return await ask_at_18(conn, room.now)


async def test_who_turns_18_is_asked_again_and_no_service_is_cut(room: Room) -> None:
    (case_id,) = await room.report(persons=[person(17)], needs=["legal_aid"])
    (own,) = await room.report(persons=[person(17)], needs=["legal_aid"])
    await record(room, case_id, body(**MOTHER, expires_at="2029-01-01T00:00:00Z"))
    await record(room, own, body(expires_at="2029-01-01T00:00:00Z"))
    room.now = AT + timedelta(days=364)
    assert await look(room) == 0
    room.now = AT + timedelta(days=366)
    assert await look(room) == 1, "who consented as a person is not asked again"
    assert await look(room) == 0
    assert await asked(room) == [("ask_again_at_18", "open")]
    assert (await triaged(room, case_id, 18))["consent"]["given"] is True
    assert await disclosed(room, case_id)
    assert "consent-withdrawn" not in await kinds(room, case_id)
    await record(room, case_id, body(decision="changed", allows=["refer", "share_identity"]))
    assert await asked(room) == [("ask_again_at_18", "done")]


async def test_an_age_that_was_told_wrongly_is_no_birthday(room: Room) -> None:
    (case_id,) = await room.report(persons=[person(10)], needs=["legal_aid"])
    await record(room, case_id, body(**MOTHER))
    assert (await triaged(room, case_id, 22))["consent"]["given"] is False
    assert await asked(room) == []


async def test_a_person_who_comes_of_age_before_anyone_looked_keeps_the_service(
    room: Room,
) -> None:
    (case_id,) = await room.report(persons=[person(17)], needs=["legal_aid"])
    await record(room, case_id, body(**MOTHER))
    assert (await triaged(room, case_id, 18))["consent"]["given"] is True
    assert await asked(room) == [("ask_again_at_18", "open")]
