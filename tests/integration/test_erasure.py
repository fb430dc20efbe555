"""After an erasure the database tells nothing of a person, and no key opens what is left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from sqlalchemy import text

from services.intake import daily
from services.intake.casework.review import Attempt, ClosingReason
from services.intake.casework.service import Casework
from services.intake.erasure.listing import show_erasure, write_list
from services.intake.erasure.retention import kept_for, list_due, load_retention
from services.intake.erasure.rules import Proposal
from services.intake.erasure.service import Erased
from services.intake.keys.rotation import EPOCH, GRACE, check_keys
from services.intake.vault import SealedField, Subject, VaultError
from shared.erasure import AGAIN, blank_events, make_blanker
from shared.erasure_list import append_lines, catch_up, list_path, read_list
from shared.errors import Conflict, Forbidden, NotFound, SettingsError
from shared.timers import TimerLoop
from tests.support.room import COORDINATOR, SUPERVISOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shared.access import Caller

AGREED = {
    "given_by": "person",
    "basis": "consent",
    "allows": ["refer", "share_identity"],
    "expires_at": "2027-01-01T00:00:00Z",
}


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


def person(ref: str) -> dict[str, Any]:
    return {"ref": ref, "name": f"Canary {ref}", "age": {"min": 20, "max": 20}}


async def report(room: Room, *refs: str) -> list[UUID]:
    return await room.report(
        reporter={"kind": "neighbour", "name": "Canary Reporter", "phone": "01712345678"},
        persons=[person(ref) for ref in refs],
        alleged=[{"relation": "employer", "name": "Canary Alleged"}],
        consent=[AGREED | {"person": ref} for ref in refs],
        needs=["legal_aid"],
        narrative="Canary words",
    )


async def ask(
    room: Room, case_id: UUID, caller: Caller, *, shared: bool = False, subject: str = "case"
) -> Erased | Proposal:
    wish = Proposal(caller.subject, "person", "document", shared, subject)
    async with room.engine.begin() as conn:
        return await room.erasures.erase(conn, case_id, wish, caller, room.now)


async def erase(room: Room, case_id: UUID, **more: Any) -> Erased:
    assert isinstance(await ask(room, case_id, COORDINATOR, **more), Proposal)
    done = await ask(room, case_id, SUPERVISOR, **more)
    assert isinstance(done, Erased)
    return done


async def send_all(room: Room) -> None:
    """Let the relay have sent everything."""
    async with room.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE outbox SET sent_at = now()")


async def kept(room: Room, case_id: UUID) -> set[str]:
    rows = await room.rows(
        "SELECT kind, ref, wrapped_key IS NOT NULL AS there FROM subjects WHERE submission_id ="
        " (SELECT submission_id FROM cases WHERE case_id = :c)",
        c=case_id,
    )
    return {row.kind + (row.ref or "") for row in rows if row.there}


async def holds(room: Room, needle: bytes) -> list[str]:
    """Return the relations in whose files some bytes are, read from the disk."""
    conn = await asyncpg.connect(room.database.admin)
    try:
        await conn.execute("CHECKPOINT")
        rows = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'intake'::regnamespace"
            " AND relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) IS NOT NULL"
            " AND position($1::bytea IN pg_read_binary_file(pg_relation_filepath(oid))) > 0",
            needle,
        )
        return [row["relname"] for row in rows]
    finally:
        await conn.close()


async def rewrite(room: Room) -> None:
    conn = await asyncpg.connect(room.database.admin)
    try:
        for table in ("subjects", "sealed", "cases", "submissions", "outbox", "consents"):
            await conn.execute(f"VACUUM (FULL) intake.{table}")
    finally:
        await conn.close()


async def test_the_wrapped_key_and_the_ciphertext_are_gone_from_the_files(room: Room) -> None:
    (case_id,) = await report(room, "a")
    (other,) = await report(room, "b")
    query = (
        "SELECT s.wrapped_key, f.ciphertext FROM subjects s JOIN sealed f USING (subject_id)"
        " WHERE s.case_id = :c"
    )
    secrets = await room.rows(query, c=case_id)
    lasting = await room.rows(query, c=other)
    assert len(secrets) >= 5
    assert all([await holds(room, bytes(row.wrapped_key)) == ["subjects"] for row in secrets])
    await erase(room, case_id)
    await rewrite(room)
    for row in secrets:
        assert await holds(room, bytes(row.wrapped_key)) == []
        assert await holds(room, bytes(row.ciphertext)) == []
    assert await holds(room, bytes(lasting[0].wrapped_key)) == ["subjects"]


async def test_what_was_copied_before_opens_with_no_key_that_is_left(room: Room) -> None:
    (case_id,) = await report(room, "a")
    rows = await room.rows(
        "SELECT s.*, f.field, f.ciphertext, f.version FROM subjects s JOIN sealed f"
        " USING (subject_id) WHERE s.case_id = :c",
        c=case_id,
    )
    await erase(room, case_id)
    for row in rows:
        empty = Subject(
            row.subject_id, row.case_id, row.kind, row.ref, b"", bytes(row.commitment), b""
        )
        with pytest.raises(VaultError):
            room.vault.open(empty, SealedField(row.field, bytes(row.ciphertext), row.version))
    (left,) = await room.rows(
        "SELECT count(*) AS n FROM subjects WHERE wrapped_key IS NOT NULL OR commitment <> ''"
    )
    assert left.n == 0


async def test_what_is_left_of_a_case_says_nothing_and_its_events_are_blank(room: Room) -> None:
    (case_id,) = await report(room, "a")
    await room.refer(case_id, Attempt(uuid4(), "legal_aid", 1, "accepted", None, "T2", 1, "p1"))
    async with room.engine.begin() as conn:
        await conn.exec_driver_sql(
            'INSERT INTO parked (consumer, topic, partition, "offset", key, value, headers, reason)'
            " SELECT 'x', 'cases', 1, 1, key, value, '[[\"type\", \"case-created\"]]', 'bug'"
            " FROM outbox WHERE topic = 'cases' LIMIT 1"
        )
    await send_all(room)
    await erase(room, case_id)
    timers = TimerLoop(room.engine, [make_blanker(room.clock)], clock=room.clock)
    assert await timers.round() == 1
    rows = await room.rows("SELECT type, value, signature FROM outbox ORDER BY id")
    assert [(r.type, bool(r.value)) for r in rows] == [
        ("report-submitted", False),
        ("case-created", False),
        ("case-erased", True),
    ]
    (parked,) = await room.rows("SELECT value, state, headers::text FROM parked")
    assert tuple(parked) == (None, "void", "[]")
    facts = await room.facts(case_id)
    assert facts["status"] == "erased"
    assert (facts["age"], facts["needs"], facts["consent"]["given"]) == (None, [], False)
    for table in ("consents", "case_referrals", "sealed"):
        assert await room.rows(f"SELECT 1 FROM {table}") == []
    (submission,) = await room.rows("SELECT report::text, reading, sender FROM submissions")
    assert tuple(submission) == ("{}", None, None)
    (waiting,) = await room.rows("SELECT kind FROM timers")
    assert waiting.kind == "blank-events"
    assert [t.state for t in await room.rows("SELECT state FROM tasks")] == ["done"]


async def test_what_was_not_sent_yet_is_blanked_later_and_the_looking_ends(room: Room) -> None:
    (case_id,) = await report(room, "a")
    await erase(room, case_id)
    timers = TimerLoop(room.engine, [make_blanker(room.clock)], clock=room.clock)
    assert await timers.round() == 1
    assert all(row.value for row in await room.rows("SELECT value FROM outbox"))
    await send_all(room)
    for pause in AGAIN:
        room.now += pause
        assert await timers.round() == 1
    blank = await room.rows("SELECT type FROM outbox WHERE value = ''")
    assert len(blank) == 2
    room.now += timedelta(days=400)
    assert await timers.round() == 0
    async with room.engine.begin() as conn:
        assert await blank_events(conn, str(case_id)) == 0


async def test_one_person_is_erased_without_the_other(room: Room) -> None:
    first, second = await report(room, "a", "b")
    done = await erase(room, first)
    assert done.report_remains
    assert await kept(room, first) == {"personb", "reporter", "alleged"}
    (row,) = await room.rows("SELECT report FROM submissions")
    assert "'ref': 'a'" not in str(row.report)
    async with room.engine.begin() as conn:
        told = await room.disclosures.read_persons(
            conn, second, "safety", ["reporter"], COORDINATOR, room.now
        )
    assert told["persons"][0]["name"] == "Canary b"
    assert told["reporter"]["name"] == "Canary Reporter"
    assert not (await erase(room, second)).report_remains
    assert await kept(room, first) == set()


async def test_the_report_itself_goes_too_when_that_is_asked(room: Room) -> None:
    first, _ = await report(room, "a", "b")
    assert not (await erase(room, first, shared=True)).report_remains
    assert await kept(room, first) == {"personb"}


async def test_a_reporter_is_erased_alone_and_the_case_goes_on(room: Room) -> None:
    (case_id,) = await report(room, "a")
    await send_all(room)
    await erase(room, case_id, subject="reporter")
    assert await kept(room, case_id) == {"persona", "alleged"}
    (row,) = await room.rows("SELECT report::text, sender, message_id FROM submissions")
    assert '"reporter": {}' in row.report
    assert (row.sender, row.message_id) == (None, None)
    told = (await room.events(case_id))[-1]
    assert (told["type"], told["data"]["reason"]) == ("subject-erased", "reporter")
    assert (await room.facts(case_id))["status"] == "open"
    assert await room.rows("SELECT 1 FROM timers WHERE kind = 'blank-events'") == []
    await erase(room, case_id, subject="alleged")
    assert await kept(room, case_id) == {"persona"}
    await erase(room, case_id)
    assert await kept(room, case_id) == set()


async def test_an_answer_goes_with_the_report_that_it_answered_and_not_before(room: Room) -> None:
    (case_id,) = await report(room, "a")
    (answer,) = await room.report(reporter={"phone": "01712345678"}, narrative="Canary answer")
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE submissions SET state = 'answer', sender = '\\x01', answers = (SELECT"
                " submission_id FROM cases WHERE case_id = :c) WHERE submission_id ="
                " (SELECT submission_id FROM cases WHERE case_id = :a)"
            ),
            {"c": case_id, "a": answer},
        )
        await conn.execute(
            text("UPDATE cases SET status = 'no_case', facts = NULL WHERE case_id = :a"),
            {"a": answer},
        )
        assert await list_due(conn, room.now + timedelta(days=4000)) == []
    assert await kept(room, answer) == {"reporter"}
    await erase(room, case_id)
    assert await kept(room, answer) == set()
    assert await room.rows("SELECT 1 FROM submissions WHERE sender IS NOT NULL") == []
    assert await room.rows("SELECT 1 FROM sealed") == []


async def test_a_reporter_who_is_the_person_is_not_erased_without_the_case(room: Room) -> None:
    (case_id,) = await room.report(
        reporter={"kind": "self", "name": "Canary Self"}, needs=["legal_aid"]
    )
    with pytest.raises(Conflict) as caught:
        await ask(room, case_id, COORDINATOR, subject="reporter")
    assert caught.value.members["why"] == "reporter_is_person"


async def test_a_hold_of_one_case_keeps_what_its_report_shares(room: Room) -> None:
    first, second = await report(room, "a", "b")
    async with room.engine.begin() as conn:
        await room.erasures.hold(conn, second, "court_order", SUPERVISOR, room.now)
    for more in ({"shared": True}, {"subject": "reporter"}, {"subject": "alleged"}):
        with pytest.raises(Conflict) as caught:
            await ask(room, first, COORDINATOR, **more)
        assert caught.value.members["why"] == "legal_hold"
    await erase(room, first)
    assert await kept(room, first) == {"personb", "reporter", "alleged"}


async def look(room: Room, case_id: UUID, **more: Any) -> dict[str, Any]:
    async with room.engine.begin() as conn:
        place, _ = await room.erasures.lock(conn, case_id, COORDINATOR, room.now)
        return await show_erasure(conn, place, case_id, "case", shared=False, held=False, **more)


async def test_a_dry_run_says_what_would_go_and_an_erasure_when_it_is_complete(room: Room) -> None:
    key = room.vault.ring.newest
    await check_keys(room.engine, room.vault, room.now)
    (case_id,) = await report(room, "a")
    before = await look(room, case_id)
    assert before["status"] == "not_asked"
    assert before["would_erase"]["kinds"] == ["person", "reporter", "alleged"]
    assert (before["would_erase"]["keys"], before["would_erase"]["consents"]) == (3, 1)
    assert await kept(room, case_id) == {"persona", "reporter", "alleged"}
    await ask(room, case_id, COORDINATOR)
    assert (await look(room, case_id))["status"] == "waits_for_approval"
    await erase(room, case_id)
    done = await look(room, case_id)
    assert (done["status"], done["complete"]) == ("erased", False)
    assert done["complete_by"] == room.now + EPOCH + GRACE
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE key_fingerprints SET destroyed_at = :at WHERE fingerprint = :k"),
            {"at": room.now + timedelta(days=3), "k": key},
        )
    done = await look(room, case_id)
    assert (done["complete"], done["complete_by"]) == (True, room.now + timedelta(days=3))


async def test_a_database_that_is_put_back_learns_what_was_erased_from_the_list(
    room: Room, tmp_path: Path
) -> None:
    first, second = await report(room, "a", "b")
    (other,) = await report(room, "c")
    path = tmp_path / "kept" / "erasures.jsonl"
    await erase(room, first)
    await erase(room, other, subject="reporter")
    await erase(room, other, subject="alleged")
    assert await write_list(room.engine, path) == 3
    assert await write_list(room.engine, path) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Canary" not in path.read_text()
    lines = read_list(path)
    assert {(line.case_id, line.subject) for line in lines} == {
        (first, "case"),
        (other, "reporter"),
        (other, "alleged"),
    }
    assert await catch_up(room.engine, room.erasures.again, path) == 0, "it knows them all"
    async with open_room(room.postgres) as back:  # the same reports, before any erasure
        one, two = await report(back, "a", "b")
        (three,) = await report(back, "c")
        names = {first: one, second: two, other: three}
        moved = tmp_path / "moved.jsonl"
        append_lines(moved, [msgspec.structs.replace(x, case_id=names[x.case_id]) for x in lines])
        with moved.open("ab") as file:
            file.write(b'{"case_id"')  # a write that was cut off, and then the next one
        assert len(read_list(moved)) == 3
        append_lines(moved, [msgspec.structs.replace(lines[0], case_id=uuid4())])
        assert await catch_up(back.engine, back.erasures.again, moved) == 4
        assert await kept(back, one) == {"personb", "reporter", "alleged"}
        assert await kept(back, three) == {"personc"}
        assert (await back.facts(one))["status"] == "erased"
        assert (await back.events(one))[-1]["type"] == "case-erased"
        assert (await back.events(one))[-1]["actor"] == "service:intake.restore"
        assert await catch_up(back.engine, back.erasures.again, moved) == 0


def test_a_list_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "erasures.jsonl"
    path.write_text("no list\n")
    with pytest.raises(SettingsError, match="put a whole copy back"):
        read_list(path)
    assert read_list(tmp_path / "none") == []
    assert list_path({}) is None


async def test_never_under_a_hold_and_never_by_one_person(room: Room) -> None:
    (case_id,) = await report(room, "a")
    await ask(room, case_id, SUPERVISOR)
    with pytest.raises(Forbidden):
        await ask(room, case_id, SUPERVISOR)
    async with room.engine.begin() as conn:
        await room.erasures.hold(conn, case_id, "court_order", SUPERVISOR, room.now)
        await room.erasures.hold(conn, case_id, "complaint", SUPERVISOR, room.now)
    with pytest.raises(Conflict):
        await ask(room, case_id, COORDINATOR)
    async with room.engine.begin() as conn:
        await room.erasures.lift(conn, case_id, SUPERVISOR, room.now)
    with pytest.raises(NotFound):
        async with room.engine.begin() as conn:
            await room.erasures.lift(conn, case_id, SUPERVISOR, room.now)
    assert isinstance(await erase(room, case_id), Erased)
    with pytest.raises(Conflict):
        await ask(room, case_id, COORDINATOR)
    with pytest.raises(Conflict):
        async with room.engine.begin() as conn:
            await room.erasures.hold(conn, case_id, "court_order", SUPERVISOR, room.now)


async def close(room: Room, case_id: UUID, reason: str) -> None:
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE cases SET status = 'closed', changed_at = :at,"
                " facts = facts || jsonb_build_object('reason', CAST(:r AS text))"
                " WHERE case_id = :c"
            ),
            {"at": room.now, "r": reason, "c": case_id},
        )


async def days(room: Room, number: int) -> None:
    """Let days pass, and the timer of the day fire until nothing is left to do."""
    await daily.begin(room.engine, room.now)
    room.now += timedelta(days=number)
    loop = TimerLoop(room.engine, [daily.make_timer(room.erasures, room.clock)], clock=room.clock)
    while await loop.round():
        pass


async def test_what_was_kept_long_enough_is_asked_for_and_a_supervisor_erases_it(
    room: Room,
) -> None:
    (old,) = await report(room, "a")
    (held,) = await report(room, "b")
    (young,) = await report(room, "c")
    for case_id, reason in ((old, "duplicate"), (held, "duplicate"), (young, "died")):
        await close(room, case_id, reason)
    async with room.engine.begin() as conn:
        await room.erasures.hold(conn, held, "complaint", SUPERVISOR, room.now)
        assert await list_due(conn, room.now + timedelta(days=89)) == []
        due = await list_due(conn, room.now + timedelta(days=91))
    assert {(d.case_id, d.kind, d.held, d.alone) for d in due} == {
        (old, "closed", False, False),
        (held, "closed", True, False),
    }
    await days(room, 91)
    assert await kept(room, old) == {"persona", "reporter", "alleged"}, "no machine erased it"
    (task,) = await room.rows("SELECT case_id, level, detail FROM tasks WHERE state <> 'done'")
    assert tuple(task) == (old, "supervisor", "retention")
    wish = Proposal(SUPERVISOR.subject, "retention", "order")
    async with room.engine.begin() as conn:
        done = await room.erasures.erase(conn, old, wish, SUPERVISOR, room.now)
    assert isinstance(done, Erased)
    assert await kept(room, old) == set()
    await days(room, 1)
    assert await kept(room, held) == {"personb", "reporter", "alleged"}
    assert await kept(room, young) == {"personc", "reporter", "alleged"}
    (line,) = await room.rows(
        "SELECT asked_by, approved_by FROM erasures WHERE case_id = :c", c=old
    )
    assert tuple(line) == ("retention", "s1")


async def test_a_question_that_was_put_aside_is_asked_again_later(room: Room) -> None:
    (old,) = await report(room, "a")
    await close(room, old, "duplicate")
    await days(room, 91)

    async def asked() -> list[str]:
        rows = await room.rows("SELECT state FROM tasks WHERE kind = 'approve_erasure'")
        return sorted(row.state for row in rows)

    (task,) = await room.rows("SELECT task_id FROM tasks WHERE kind = 'approve_erasure'")
    async with room.engine.begin() as conn:
        await Casework(room.outbox).end(conn, task.task_id, "not_now", SUPERVISOR, room.now)
    await days(room, 89)
    assert await asked() == ["done"]
    await days(room, 2)
    assert await asked() == ["done", "open"]


async def test_trials_and_noise_go_by_themselves_and_never_under_a_hold(room: Room) -> None:
    (trial,) = await room.report(narrative="Canary trial", persons=[person("a")], test=True)
    (kept_trial,) = await room.report(narrative="Canary", persons=[person("a")], test=True)
    (noise,) = await report(room, "a")
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE cases SET status = 'no_case', facts = NULL WHERE case_id = :c"),
            {"c": noise},
        )
        await room.erasures.hold(conn, kept_trial, "complaint", SUPERVISOR, room.now)
    await days(room, 29)
    assert "persona" in await kept(room, trial)
    await days(room, 2)
    assert await kept(room, trial) == set()
    assert "persona" in await kept(room, kept_trial)
    assert "persona" in await kept(room, noise)
    await days(room, 60)
    assert await kept(room, noise) == set()
    assert await room.rows("SELECT 1 FROM tasks WHERE kind = 'approve_erasure'") == []


def test_each_reason_of_a_closing_has_its_time_and_an_unknown_one_the_longest() -> None:
    rules = load_retention()["closed"]
    assert {str(reason) for reason in ClosingReason} == set(rules["days"])
    longest = timedelta(days=max(rules["days"].values()))
    assert kept_for("closed", "unheard_of") == kept_for("closed") == longest
