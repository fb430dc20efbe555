"""Other people than those of the ten scenarios, through the real interface; all are invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from shared.vocabulary import Role
from tests.support.people import Desk
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def desk(whole_stack: Stack) -> Iterator[Desk]:
    with whole_stack.client(timeout=60) as client:
        yield Desk(whole_stack, client)


async def test_a_mother_with_a_baby_asks_only_for_advice(desk: Desk) -> None:
    people = [
        {"ref": "m", "age": {"min": 22, "max": 22}, "sex": "female",
         "with": [{"ref": "b", "as": "child", "keep_together": True}]},
        {"ref": "b", "role": "accompanying", "age": {"min": 0, "max": 0}},
    ]  # fmt: skip
    case_id, receipt = await desk.report(
        about="service_wanted",
        persons=people,
        reporter={"kind": "self"},
        concerns=["unsure"],
        needs=["information"],
        narrative="শুধু জানতে চাই, কোথায় গেলে কাগজ পাব।",
    )
    facts = desk.facts(case_id)
    assert (facts["needs"], facts["urgency"], facts["about"]) == (["information"], None, "person")
    assert (facts["keep_together"], facts["places_needed"]) == (True, 2)
    desk.done(case_id, "assign", {"worker": "c1", "supervisor": "s1"})
    await eventually(lambda: desk.referrals(case_id), 30, "what follows")
    assert {r["need"] for r in desk.referrals(case_id)} == {"information"}
    desk.done(case_id, "contacts", {"means": "phone", "result": "reached", "text": "Invented."})
    closed = desk.done(case_id, "close", {"reason": "person_declined"})
    assert closed["status"] == "closed"
    kinds = [d["kind"] for d in desk.work(case_id)["due"]]
    assert kinds == ["case-check"], "one look after the end, and nothing else"
    assert "এখন শেষ" not in desk.status(receipt).decode(), "a receipt tells nothing of a closing"


async def test_a_worker_of_17_turns_18_while_referred(desk: Desk) -> None:
    case_id, _ = await desk.report(
        persons=[{"ref": "a", "age": {"min": 17, "max": 17, "basis": "document"}, "sex": "male"}],
        concerns=["hazardous_child_labour"],
        needs=["legal_aid"],
        consent=[
            {"person": "a", "given_by": "caregiver", "how": "spoken", "explained": True,
             "allows": ["refer"], "basis": "assent_and_caregiver"}
        ],
    )  # fmt: skip
    await eventually(lambda: desk.referrals(case_id), 30, "a referral")
    before = [(r["referral_id"], r["state"]) for r in desk.referrals(case_id)]
    desk.done(case_id, "triage", {"age": 18})
    assert desk.tasks(case_id)["ask_again_at_18"]["level"] == "coordinator"
    assert [(r["referral_id"], r["state"]) for r in desk.referrals(case_id)] == before
    given = {"decision": "changed", "given_by": "person", "how": "spoken", "explained": True,
             "basis": "consent"}  # fmt: skip
    desk.done(case_id, "consent", given)
    assert desk.facts(case_id)["consent"]["given"] is True
    assert "ask_again_at_18" not in desk.tasks(case_id)


async def test_a_committee_member_reports_a_neighbour_who_is_the_own_brother(desk: Desk) -> None:
    who = f"m-{uuid4().hex[:8]}"
    member = desk.stack.bearer(Role.COMMITTEE_MEMBER, subject=who)
    case_id, receipt = await desk.report(
        member,
        channel="committee",
        persons=[{"ref": "a", "age": {"min": 12, "max": 12}, "sex": "female"}],
        alleged=[{"relation": "neighbour", "near_person": True}],
        concerns=["child_labour"],
    )

    def sees() -> tuple[int, int]:
        one = desk.http.get(f"/intake/v1/cases/{case_id}", headers=member).status_code
        answer = desk.http.get("/intake/v1/cases", params={"limit": 200}, headers=member)
        return one, len(answer.json()["items"])

    await eventually(lambda: sees() == (200, 1), what="a case below every open transaction")
    triaged = desk.done(case_id, "triage", {"excluded": [who], "conflict": True})
    assert triaged["facts"]["excluded"] == [who]
    assert sees() == (404, 0)
    more = {"receipt": receipt, "text": "আরও বলতে চাই।"}
    assert desk.http.post("/intake/v1/receipts/messages", json=more).status_code == 200
    assert "new_words" in desk.tasks(case_id)
    assert [r for r in desk.referrals(case_id) if r["state"] not in ("planned", "waiting")] == []
    history = desk.http.get(f"/audit/v1/cases/{case_id}/history", headers=member)
    assert history.status_code in (403, 404)


async def test_a_place_with_about_twenty_children(desk: Desk) -> None:
    told, _ = await desk.report(
        about="place",
        narrative="ইটভাটায় প্রায় ২০ জন বাচ্চা কাজ করে, মালিক মারে।",
        places=[{"role": "event", "pcode": "BD3026"}],
    )
    facts = desk.facts(told)
    assert (facts["about"], facts["count"]) == ("place", 20)
    assert "verify" in desk.tasks(told)
    assert desk.referrals(told) == []
    by_text, _ = await desk.text("সাভারে ইটভাটায় ২০-২৫ জন বাচ্চা কাজ করে")
    facts = desk.facts(by_text)
    assert (facts["count"], facts["count_max"]) == (20, 25)
    assert "verify" not in desk.tasks(by_text), "nobody read yet that it is a place"
    desk.done(by_text, "triage", {"about": "place"})
    assert desk.tasks(by_text)["verify"]["state"] == "open"
    desk.done(by_text, "verify", {"finding": "substantiated", "means": "visit"})
    desk.done(by_text, "triage", {"urgency": "T1"})
    assert "verify" not in desk.tasks(by_text), "it was looked at"
    people = [{"name": f"Example Child {n}", "age": {"min": 9, "max": 9}} for n in range(25)]
    assert len(desk.done(by_text, "split", {"persons": people})["new"]) == 25
    left = desk.facts(by_text)
    assert (left["about"], left["count"], left["count_max"]) == ("place", 0, None)
    assert desk.work(by_text)["report"] == {"cases": 25, "places": 1}


async def test_the_same_boy_is_reported_by_three_people(desk: Desk) -> None:
    boy = {"ref": "a", "name": f"Example Boy {uuid4().hex[:8]}", "age": {"min": 10, "max": 10}}
    reports: list[tuple[str, str]] = []
    for kind in ("teacher", "neighbour", "relative"):
        body: dict[str, Any] = {"reporter": {"kind": kind}, "concerns": ["child_labour"]}
        reports.append(await desk.report(persons=[boy], needs=["education"], **body))
    (first, _), (second, _), (third, receipt) = reports
    found = [item["case_id"] for item in desk.get(f"/cases/{third}/similar")["items"]]
    assert set(found[:2]) == {first, second}, "the likeliest first"
    for other in (first, second):
        desk.done(third, "link", {"case_id": other, "kind": "same_person"})
    assert "linked already" in desk.refused(first, "link", {"case_id": third})["detail"]
    assert {c["case_id"] for c in desk.work(third)["previous"]} == {first, second}
    for other in (first, second):
        assert desk.done(other, "close", {"reason": "duplicate"})["status"] == "closed"
        assert desk.work(other)["due"] == [], "there is nobody else to look after"
    assert desk.facts(third)["status"] == "open"
    assert len({desk.status(code) for _, code in reports}) == 1
    assert receipt != reports[0][1]
