"""A helpline's calls on a whole stack: none is lost, none that says nothing burns, all can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.stack import Stack

CALLS = "/intake/v1/helpline/calls"


class Room:
    """An operator, another helpline's operator, and the desk."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self.stack, self.http = stack, http
        self.operator = stack.bearer(Role.OPERATOR, subject="operator-1")
        self.other = stack.bearer(Role.OPERATOR, subject="operator-2")
        self.desk = stack.bearer(Role.COORDINATOR, subject="c1")

    def take(self, **body: Any) -> dict[str, Any]:
        answer = self.http.post(CALLS, json=body, headers=self.operator)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def save(self, call: dict[str, Any], **body: Any) -> httpx.Response:
        return self.http.put(f"{CALLS}/{call['call_id']}", json=body, headers=self.operator)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(f"/intake/v1{path}", params=query, headers=self.desk)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stored(self, call: dict[str, Any]) -> dict[str, Any]:
        """Return a call as the desk's list of submissions has it.

        The list leaves out what is newer than any transaction still open, so a call may be late.
        """
        after = None
        while True:
            query = {"channel": "helpline", "limit": 200, **({"after": after} if after else {})}
            page = self.get("/submissions", **query)
            for item in page["items"]:
                if item["submission_id"] == call["call_id"]:
                    return dict(item)
            assert page["items"], "the call is not listed"
            after = page["next"]

    async def reaches(self, call: dict[str, Any], state: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.stored(call)
            return found if found["state"] == state else None

        return dict(await eventually(look, 20, f"a call that is {state}"))

    def facts(self, case_id: str) -> dict[str, Any]:
        return dict(self.get(f"/cases/{case_id}")["facts"])

    def tasks(self, case_id: str) -> list[dict[str, Any]]:
        return list(self.get("/tasks", case_id=case_id)["items"])


@pytest.fixture
def room(whole_stack: Stack) -> Iterator[Room]:
    with whole_stack.client(timeout=20) as http:
        yield Room(whole_stack, http)


def new_number() -> str:
    return f"017{uuid4().int % 10**8:08d}"


async def test_a_call_in_one_request_is_a_case_with_what_the_call_says(room: Room) -> None:
    call = room.take(
        helpline="1098",
        number=new_number(),
        caller="in_danger",
        languages=["rhg"],
        told=["stay where people are"],
        came_from={"helpline": "109", "reference": "H-77"},
        report={"about": "people", "persons": [{"ref": "a", "age": {"min": 9, "max": 9}}]},
    )
    assert (call["state"], call["kept_apart"], len(call["receipt"])) == ("ended", False, 19)
    await room.reaches(call, "opened")
    facts = room.facts(call["case_ids"][0])
    assert (facts["urgency"], facts["languages"], facts["age"]) == ("T0", ["rhg"], 9)
    found = room.http.post(
        "/intake/v1/reports/find",
        json={"system": "helpline.109", "value": "H-77"},
        headers=room.operator,
    )
    assert [i["case_ids"] for i in found.json()["items"]] == [call["case_ids"]]


async def test_a_call_is_stored_from_the_first_ring_and_saved_as_it_is_typed(room: Room) -> None:
    number = new_number()
    call = room.take(open=True, number=number)
    assert call["state"] == "open"
    assert "receipt" not in call
    await room.reaches(call, "call")
    saved = room.save(call, open=True, revision=2, number=number, report={"narrative": "ek meye"})
    assert saved.status_code == 200
    old = room.save(call, open=True, revision=1, report={"narrative": ""})
    assert (old.status_code, old.json()["revision"]) == (409, 2)
    other = room.http.put(f"{CALLS}/{call['call_id']}", json={}, headers=room.other)
    assert other.status_code == 404
    ended = room.save(
        call, revision=3, number=number, report={"concerns": ["child_labour"], "about": "people"}
    )
    assert ended.status_code == 200
    assert ended.json()["receipt"]
    await room.reaches(call, "opened")
    assert room.facts(ended.json()["case_ids"][0])["concerns"] == ["child_labour"]
    again = room.save(call, revision=4)
    assert (again.status_code, again.json()["state"]) == (409, "ended")


async def test_a_capture_that_broke_off_is_opened_with_what_was_typed(room: Room) -> None:
    call = room.take(
        open=True, caller="child_alone", report={"about": "people", "narrative": "Where is Ma"}
    )

    async def let_time_pass() -> None:
        conn = await room.stack.connect("intake")
        try:
            await conn.execute(
                "UPDATE submissions SET open_at = now() WHERE submission_id = $1::uuid",
                call["call_id"],
            )
        finally:
            await conn.close()

    await let_time_pass()
    found = await room.reaches(call, "opened")
    assert room.facts(found["case_id"])["urgency"] == "T1"


@pytest.mark.parametrize("kind", ["silent", "prank", "test", "hang_up", "wrong_number"])
async def test_a_call_that_says_nothing_is_kept_apart_and_can_be_made_a_report(
    room: Room, kind: str
) -> None:
    call = room.take(kind=kind, number=new_number(), report={"narrative": "somebody breathes"})
    assert call["kept_apart"]
    assert "case_ids" not in call
    found = await room.reaches(call, "no_case")
    assert (found["case_id"], found["call"]["kind"]) == (None, kind)
    refused = room.http.post(f"{CALLS}/{call['call_id']}/report", headers=room.other)
    assert refused.status_code == 404
    made = room.http.post(f"{CALLS}/{call['call_id']}/report", headers=room.operator)
    assert made.status_code == 200, made.text
    await room.reaches(call, "opened")
    assert room.facts(made.json()["case_ids"][0])["channel"] == "helpline"
    again = room.http.post(f"{CALLS}/{call['call_id']}/report", headers=room.operator)
    assert again.status_code == 409


async def test_the_third_silent_call_of_a_number_in_a_day_comes_before_a_person(
    room: Room,
) -> None:
    number = new_number()
    for _ in range(2):
        await room.reaches(room.take(kind="silent", number=number), "no_case")
    third = room.take(kind="silent", number=f"+88{number}")
    found = await room.reaches(third, "opened")
    (task,) = room.tasks(found["case_id"])
    assert (task["kind"], task["urgency"], task["detail"]) == ("triage", "T1", "silent_calls")
    await room.reaches(room.take(kind="silent", number=number), "no_case")
    await room.reaches(room.take(kind="silent"), "no_case")


async def test_a_call_offered_to_another_helpline_stays_ours_until_it_accepts(room: Room) -> None:
    call = room.take(offer_to="109", report={"about": "people", "concerns": ["physical_violence"]})
    found = await room.reaches(call, "opened")
    case_id = found["case_id"]
    work = room.facts(case_id)["work"]
    assert (work["handover"], work["handed_to"]) == ("offered", "109")
    assert "handover_answer" in [t["kind"] for t in room.tasks(case_id)]
    answer = {"to": "109", "answer": "accepted", "by": "operator-9", "reference": "H-5"}
    heard = room.http.post(f"/intake/v1/cases/{case_id}/handover", json=answer, headers=room.desk)
    assert heard.status_code == 200, heard.text
    assert room.facts(case_id)["work"]["handover"] == "accepted"
    assert room.facts(case_id)["status"] == "open"


async def test_the_number_lies_nowhere_in_clear(room: Room) -> None:
    number = new_number()
    call = room.take(number=number, kind="silent")
    await room.reaches(call, "no_case")

    async def look() -> list[Any]:
        conn = await room.stack.connect("intake")
        try:
            return list(
                await conn.fetch(
                    "SELECT s.sender, s::text AS whole, f.ciphertext FROM submissions s"
                    " JOIN subjects j USING (submission_id) JOIN sealed f USING (subject_id)"
                    " WHERE s.submission_id = $1::uuid",
                    call["call_id"],
                )
            )
        finally:
            await conn.close()

    rows = await look()
    assert rows
    assert rows[0]["sender"] is not None
    for row in rows:
        assert number[1:] not in row["whole"]
        assert number[1:].encode() not in row["ciphertext"]
