"""Who is on duty, how a page reaches them, what harm is before whom, and care for workers.

On a whole stack. Each test has a district of its own, so that nobody else's roster is in its way.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.intake.casework.digest import KIND as DIGEST
from services.intake.casework.paging import PAGE_TIMER
from services.intake.casework.paging_store import page_now
from services.intake.casework.store import open_tasks
from services.intake.casework.tasks import SUPERVISOR, Task
from services.notification.templates import load_templates
from shared.access import service_token
from shared.database import make_engine
from shared.timers import schedule
from shared.vocabulary import Role
from tests.support.people import Desk
from tests.support.processes import Child
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support.stack import Stack

LOOK = {"দয়া করে এখনই দেখুন। আপনার অপেক্ষায় আছে।", "Please look now. Something waits for you."}


@pytest.fixture(scope="module")
def desk(whole_stack: Stack) -> Iterator[Desk]:
    with whole_stack.client(timeout=60) as client:
        yield Desk(whole_stack, client)


def number() -> str:
    return f"+88018{uuid4().int % 10**8:08d}"


@contextmanager
def on_duty(desk: Desk, *entries: dict[str, Any]) -> Iterator[None]:
    """Put people on the roster, the first of them first, and take them off again."""
    begin, made = datetime.now(UTC), []
    for n, entry in enumerate(entries):
        body = {
            "level": "coordinator",
            "begins": (begin - timedelta(hours=9 - n)).isoformat(),
            "ends": (begin + timedelta(hours=9)).isoformat(),
        } | entry
        answer = desk.post("/duty", body, by=desk.supervisor)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["duty_id"])
    try:
        yield
    finally:
        for key in made:
            desk.http.delete(f"/intake/v1/duty/{key}", headers=desk.supervisor)


async def in_danger(desk: Desk, district: str, **more: Any) -> str:
    places = [{"role": "now", "pcode": district}]
    body: dict[str, Any] = {"danger_now": True, "places": places, "concerns": ["child_labour"]}
    case_id, _ = await desk.report(persons=[{"ref": "a"}], **(body | more))
    return case_id


def pages(desk: Desk, case_id: str) -> list[Any]:
    steps = desk.work(case_id)["steps"]
    return [step["detail"]["to"] for step in steps if step["kind"] == "page"]


async def test_a_page_is_a_neutral_sms_and_who_cannot_be_reached_is_passed_over(
    desk: Desk,
) -> None:
    mine, district = number(), "BD2003"
    people = (
        {"person": "coordinator:by-call", "district": district, "way": "call", "number": number()},
        {"person": "coordinator:by-sms", "district": district, "way": "sms", "number": mine},
    )
    with on_duty(desk, *people):
        first = await in_danger(desk, district)
        await eventually(lambda: len(desk.texts(mine)) == 1, 30, "the page by SMS")
        assert pages(desk, first) == ["coordinator:by-call", "coordinator:by-sms"]
        failed = desk.tasks(first)["page_not_sent"]
        assert (failed["level"], failed["detail"]) == ("supervisor", "no-gateway")
        await in_danger(desk, district)  # minutes later is no repetition
        await eventually(lambda: len(desk.texts(mine)) == 2, 30, "the second page")
    assert set(desk.texts(mine)) <= LOOK
    shown = json.dumps(desk.get("/duty")) + json.dumps(desk.get(f"/cases/{first}"))
    assert mine not in shown
    assert mine not in json.dumps(desk.work(first))
    notices = desk.http.get(
        "/notification/v1/notices",
        params={"case_id": first, "state": "sent"},
        headers=desk.coordinator,
    )
    (row,) = notices.json()["items"]
    assert (row["recipient"], row["notifier"], row["referral_id"]) == ("on_duty", "page", None)


async def test_a_page_that_fails_late_or_twice_pages_nobody_more(desk: Desk) -> None:
    numbers, district = (number(), number()), "BD2012"
    people = (
        {"person": "coordinator:by-call", "district": district, "way": "call"},
        {"person": "coordinator:by-sms", "district": district, "way": "sms"},
        {"person": "coordinator:at-desk", "district": district},
    )
    entries = [
        one | ({"number": numbers[n]} if n < len(numbers) else {}) for n, one in enumerate(people)
    ]
    with on_duty(desk, *entries):
        case_id = await in_danger(desk, district)
        await eventually(lambda: len(desk.texts(numbers[1])) == 1, 30, "the page by SMS")
        steps = [s for s in desk.work(case_id)["steps"] if s["kind"] == "page"]
        first, second = (UUID(step["step_id"]) for step in steps)
        assert [meant(desk, case_id, page) for page in (first, second)] == list(numbers)

        engine = make_engine(desk.stack.environment("intake")["DATABASE_URL"], size=1, name="late")
        try:
            for _ in range(2):  # the first page failed already: it is told again, and late
                assert await pages_next(engine, case_id, first) is False
            assert pages(desk, case_id) == ["coordinator:by-call", "coordinator:by-sms"]
            assert await pages_next(engine, case_id, second) is True
        finally:
            await engine.dispose()
        await eventually(lambda: len(pages(desk, case_id)) == 3, 30, "the third page")
    assert pages(desk, case_id)[-1] == "coordinator:at-desk"


async def test_a_supervisor_hears_once_a_shift_how_much_waits_and_nothing_at_t0(
    desk: Desk,
) -> None:
    mine, other, district = number(), number(), "BD2013"
    entry = {"level": "supervisor", "district": district, "way": "call"}
    people = (
        entry | {"person": "supervisor:has-two", "number": mine},
        entry | {"person": "supervisor:has-one", "number": other},
        entry | {"person": "supervisor:elsewhere", "number": other, "district": "BD2022"},
        entry | {"person": "supervisor:has-two", "number": mine},
        {"level": "supervisor", "district": district, "person": "supervisor:at-desk"},
    )
    places = [{"role": "home", "pcode": district}]
    case_id, _ = await desk.report(
        persons=[{"ref": "a"}], places=places, exclude={"providers": ["has-one"]}
    )
    assert desk.facts(case_id)["district"] == district
    waits = [
        Task("reassign", urgency="T1", level=SUPERVISOR),
        Task("reassign", UUID(int=1), "T3", SUPERVISOR),
        Task("reassign", UUID(int=2), "T0", SUPERVISOR),
        Task("triage", urgency="T1"),
    ]
    engine = make_engine(desk.stack.environment("intake")["DATABASE_URL"], size=1, name="digest")
    with on_duty(desk, *people):
        try:
            async with engine.begin() as conn:
                named = [(UUID(case_id), task, None) for task in waits]
                await open_tasks(conn, named, datetime.now(UTC))
                await schedule(conn, DIGEST, "intake", datetime.now(UTC))

            async def is_set_again() -> bool:
                async with engine.connect() as conn:
                    due = await conn.exec_driver_sql(
                        "SELECT due_at FROM timers WHERE kind = $1", (DIGEST,)
                    )
                    return bool((row := due.first()) and row.due_at > datetime.now(UTC))

            await eventually(is_set_again, 30, "the next shift")
        finally:
            await engine.dispose()
        words = {"count": "২", "soon": "১"}
        text = load_templates().text("digest", "bn", words)
        await eventually(lambda: desk.texts(mine) == [text], 30, "the digest")
    assert desk.texts(other) == []


async def pages_next(engine: AsyncEngine, case_id: str, page: UUID) -> bool:
    """Hear that a page was not sent; say whether the next one goes out at once."""
    async with engine.begin() as conn:
        await page_now(conn, PAGE_TIMER, [(UUID(case_id), page)], datetime.now(UTC))
        late = await conn.exec_driver_sql(
            "SELECT due_at > now() FROM timers WHERE kind = $1 AND subject = $2",
            (PAGE_TIMER, case_id),
        )
        return not late.scalar_one()


def meant(desk: Desk, case_id: str, page: UUID) -> str | None:
    """Return the number that a page goes to, as notification is told it."""
    keys = desk.stack.home / "keys" / "notification"
    seed = bytes.fromhex((keys / "signing.key").read_text().strip())
    body = {
        "case_id": case_id,
        "recipient": "on_duty",
        "purpose": "look_now",
        "notice_id": str(uuid4()),
        "event_id": str(page),
        "ways": ["sms", "call"],
    }
    head = {"authorization": f"Bearer {service_token(seed, 'notification')}"}
    answer = desk.http.post("/intake/v1/contacts/resolve", json=body, headers=head)
    found: str | None = answer.raise_for_status().json().get("number")
    return found


async def test_who_took_it_is_not_paged_any_more(desk: Desk) -> None:
    mine, district = number(), "BD2015"
    at_desk = {"person": "coordinator:at-desk", "district": district}
    by_sms = {"person": "coordinator:next", "district": district, "way": "sms", "number": mine}
    with on_duty(desk, at_desk, by_sms):
        case_id = await in_danger(desk, district)
        task = desk.tasks(case_id)["triage"]["task_id"]
        assert desk.post(f"/tasks/{task}/claim").status_code == 200
        await fire_pages(desk.stack, [case_id])
        await eventually(lambda: not timers(desk, case_id), 20, "no page that waits")
    assert pages(desk, case_id) == ["coordinator:at-desk"]
    assert desk.texts(mine) == []


def timers(desk: Desk, case_id: str) -> list[Any]:
    return [d for d in desk.work(case_id)["due"] if d["kind"] == "case-page"]


async def fire_pages(stack: Stack, cases: list[str]) -> None:
    """Let a quarter of an hour pass for these pages."""
    conn = await stack.connect("intake")
    try:
        await conn.execute(
            "UPDATE intake.timers SET due_at = now() WHERE kind = 'case-page'"
            " AND subject = ANY($1::text[])",
            cases,
        )
    finally:
        await conn.close()


@pytest.mark.slow
async def test_two_processes_page_each_once_and_go_on(desk: Desk, tmp_path: Path) -> None:
    district, port = "BD2019", free_port()
    people = [{"person": f"coordinator:t{n}", "district": district} for n in range(3)]
    more = {"HTTP_PORT": str(port), "REPLICA": "second", "PYTHONUNBUFFERED": "1"}
    env = desk.stack.environment("intake") | more
    with Child("services.intake.main", env, tmp_path / "intake.log"), on_duty(desk, *people):
        await eventually(lambda: is_ready(port), 60, "the second intake")
        cases = [await in_danger(desk, district) for _ in range(8)]
        expected: list[Any] = []
        for name in ("coordinator:t0", "coordinator:t1", "coordinator:t2", None, "coordinator:t0"):
            if expected:
                await fire_pages(desk.stack, cases)
            expected.append(name)

            def done(wanted: tuple[Any, ...] = tuple(expected)) -> bool:
                found = [tuple(pages(desk, case_id)) for case_id in cases]
                assert all(len(f) <= len(wanted) for f in found), found
                return found == [wanted] * len(cases)

            await eventually(done, 30, f"page {len(expected)}")
        told = desk.http.get(
            f"/audit/v1/cases/{cases[0]}/history", headers=desk.coordinator
        ).json()["items"]
        assert [t["type"] for t in told].count("duty-paged") <= len(expected)
        assert "nobody_on_duty" in desk.tasks(cases[0])


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_report_is_answered_with_the_lines_that_are_open_and_no_promise(desk: Desk) -> None:
    def answer(**body: Any) -> dict[str, Any]:
        made = desk.http.post("/intake/v1/reports", json={"channel": "web"} | body)
        assert made.status_code == 201
        found: dict[str, Any] = made.json()
        return found

    burning, calm = answer(danger_now=True), answer(narrative="Invented.")
    assert "999" in [line["number"] for line in burning["open_lines"]]
    assert burning["open_lines"] == calm["open_lines"]
    shown = desk.http.get("/intake/v1/help").json()
    assert [line["number"] for line in shown["lines"]] == [
        line["number"] for line in burning["open_lines"]
    ]
    assert answer()["on_duty"] is shown["on_duty"]
    with on_duty(desk, {"person": "coordinator:everywhere"}):
        assert answer()["on_duty"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"way": "sms"},
        {"way": "call", "number": "12"},
        {"way": "pigeon"},
        {"way": "push"},
        {"way": "push", "push": {"endpoint": "http://push.example.org/1"}},
        {"way": "sms", "number": "01812345678", "push": {"endpoint": "https://push.example.org"}},
        {"way": "sms", "number": "01111111111"},
        {"level": "boss"},
        {"ends": "2020-01-01T00:00:00Z"},
        {"district": "nowhere"},
    ],
)
def test_a_roster_entry_that_cannot_be_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    entry = {"person": "x", "level": "coordinator", "begins": "2026-01-01T00:00:00Z"}
    answer = desk.post(
        "/duty", entry | {"ends": "2030-01-01T00:00:00Z"} | wrong, by=desk.supervisor
    )
    assert answer.status_code == 422
    assert "01111111111" not in answer.text


async def test_harm_is_there_for_the_focal_person_alone(desk: Desk) -> None:
    case_id, receipt = await desk.report(persons=[{"ref": "a"}], concerns=["child_labour"])
    focal = desk.stack.bearer(Role.SUPERVISOR, subject="focal-1")
    others = [desk.coordinator, desk.supervisor, desk.stack.bearer(Role.OPERATIONS)]
    person = {"person": "supervisor:focal-1", "level": "safeguarding_focal_person"}
    begins, ends = "2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
    mine = desk.post("/duty", person | {"begins": begins, "ends": ends}, by=focal)
    assert mine.status_code == 403, "nobody makes themself the focal person"
    with on_duty(desk, person):
        said = {"receipt": receipt, "helped": "harmed", "about": "staff", "text": "He shouted."}
        desk.http.post("/intake/v1/receipts/feedback", json=said).raise_for_status()
        desk.done(case_id, "feedback", {"helped": "harmed", "text": "He shouted again."})
        more = {"receipt": receipt, "text": "আরও বলতে চাই।"}
        desk.http.post("/intake/v1/receipts/messages", json=more).raise_for_status()
        before = desk.get(f"/cases/{case_id}")
        words = f"/intake/v1/submissions/{before['submission_id']}/messages"

        def seen(by: dict[str, str]) -> list[dict[str, Any]]:
            query = {"case_id": case_id, "limit": "200"}
            answer = desk.http.get("/intake/v1/tasks", params=query, headers=by)
            items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
            return [t for t in items if t["level"] == "safeguarding_focal_person"]

        (task,) = seen(focal)
        assert (task["kind"], task["named"]) == ("harmed", "supervisor:focal-1")
        for by in others:
            assert seen(by) == []
        for by in others[:2]:
            for verb in ("claim", "done"):
                answer = desk.post(f"/tasks/{task['task_id']}/{verb}", by=by)
                assert answer.status_code == 404
            work = desk.http.get(f"/intake/v1/cases/{case_id}/work", headers=by).json()
            notes = desk.http.get(
                f"/intake/v1/cases/{case_id}/notes", params={"reason": "care"}, headers=by
            ).json()
            case = desk.http.get(f"/intake/v1/cases/{case_id}", headers=by).json()
            history = desk.http.get(f"/audit/v1/cases/{case_id}/history", headers=by).json()
            query = {"reason": "care", "also": "reporter"}
            persons = desk.http.get(
                f"/intake/v1/cases/{case_id}/persons", params=query, headers=by
            ).json()
            messages = desk.http.get(words, params={"reason": "care"}, headers=by).json()
            assert [m["kind"] for m in messages["items"]] == ["words"]
            for shown in (work, notes, case, history, persons, messages):
                assert "harm" not in json.dumps(shown)
                assert "shouted" not in json.dumps(shown)
        assert desk.get(f"/cases/{case_id}")["facts"] == before["facts"]
        notes = desk.http.get(
            f"/intake/v1/cases/{case_id}/notes", params={"reason": "care"}, headers=focal
        ).json()
        assert "shouted again" in json.dumps(notes)
        items = desk.http.get(words, params={"reason": "care"}, headers=focal).json()["items"]
        assert [m["kind"] for m in items] == ["feedback", "words"]
        assert items[0]["said"]["text"] == "He shouted."
        assert items[1]["said"] == "আরও বলতে চাই।"
        desk.done(case_id, "close", {"reason": "person_declined"})
        assert [t["state"] for t in seen(focal)] == ["open"], "closing does not end it"
        assert desk.post(f"/tasks/{task['task_id']}/done", by=focal).status_code == 200


async def test_too_many_heavy_cases_are_refused_until_a_supervisor_says_why(desk: Desk) -> None:
    worker = f"w-{uuid4().hex[:8]}"
    body = {"worker": worker, "supervisor": "s1"}
    warned = []
    for _ in range(4):
        case_id, _ = await desk.report(persons=[{"ref": "a"}], concerns=["child_sexual_abuse"])
        warned.append("many_heavy_cases" in desk.done(case_id, "assign", body)["warnings"])
    assert warned == [False, False, True, True]
    fifth, _ = await desk.report(persons=[{"ref": "a"}], concerns=["child_sexual_abuse"])
    before = desk.get(f"/cases/{fifth}")
    for by, reason in ((desk.coordinator, "no other"), (desk.supervisor, None)):
        refused = desk.refused(fifth, "assign", body | {"reason": reason}, by=by)
        assert (refused["rule"], refused["day"]) == ("exposure", 4)
    assert desk.get(f"/cases/{fifth}") == before
    light, _ = await desk.report(persons=[{"ref": "a"}], concerns=["child_labour"])
    assert desk.done(light, "assign", body)["warnings"] == []
    why = body | {"reason": "Nobody else speaks the language."}
    assert desk.done(fifth, "assign", why, by=desk.supervisor)["warnings"] == ["exposure_override"]
    (step,) = desk.work(fifth)["steps"]
    assert (step["detail"]["reasons"], step["by"]) == (["exposure_override"], "supervisor:s1")
    load = {item["who"]: item for item in desk.get("/caseload")["items"]}[worker]
    assert (load["heavy_this_week"], load["open_cases"]) == (5, 6)


async def test_whoever_is_close_to_a_named_one_loses_sight_at_once(desk: Desk) -> None:
    mark = uuid4().hex[:6]
    member, kin, cousin = f"m-{mark}", f"kin-{mark}", f"cousin-{mark}"
    tie = {"one": member, "other": kin}
    assert desk.post("/ties", tie).status_code == 403
    assert desk.post("/ties", {"one": kin, "other": kin}, by=desk.supervisor).status_code == 422
    made = desk.post("/ties", tie, by=desk.supervisor)
    assert made.status_code == 201
    as_kin = desk.stack.bearer(Role.COORDINATOR, subject=kin)
    as_cousin = desk.stack.bearer(Role.COORDINATOR, subject=cousin)
    case_id, _ = await desk.report(persons=[{"ref": "a"}], concerns=["child_labour"])
    told, _ = await desk.report(persons=[{"ref": "a"}], exclude={"providers": [member]})

    def sees(by: dict[str, str], case_id: str) -> int:
        return desk.http.get(f"/intake/v1/cases/{case_id}", headers=by).status_code

    assert (sees(as_kin, case_id), sees(as_kin, told)) == (200, 404)
    desk.done(case_id, "assign", {"worker": kin, "supervisor": "s1"})
    task = desk.post(f"/cases/{case_id}/triage", {"excluded": [member]})
    assert task.json()["facts"]["excluded"] == [member, kin]
    assert (sees(as_kin, case_id), sees(as_cousin, case_id)) == (404, 200)
    assert desk.tasks(case_id)["reassign"]["level"] == "supervisor"
    desk.post("/ties", {"one": cousin, "other": member}, by=desk.supervisor)
    assert (sees(as_cousin, case_id), sees(as_cousin, told)) == (404, 404)
    held = desk.http.get("/intake/v1/ties", headers=desk.supervisor).json()["items"]
    for item in held:
        if mark in item["one"] + item["other"]:
            path = f"/intake/v1/ties/{item['tie_id']}"
            assert desk.http.delete(path, headers=desk.supervisor).status_code == 204
            assert desk.http.delete(path, headers=desk.supervisor).status_code == 404
