"""Two women are taken for one, on the whole stack; taken back, everything is where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.vocabulary import Role
from tests.support.people import Desk
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

SAVAR = "BD30260072"
ROOM = ["work", "step", "read"]


@pytest.fixture(scope="module")
def desk(whole_stack: Stack) -> Iterator[Desk]:
    with whole_stack.client(timeout=60) as client:
        yield Desk(whole_stack, client)


async def told(desk: Desk, name: str, need: str) -> str:
    """Report a woman who tells her own story and agrees; return her case once help is asked for."""
    case_id, _ = await desk.report(
        about="people",
        reporter={"kind": "self"},
        persons=[
            {"ref": "a", "name": name, "phone": "01712345670", "sex": "female",
             "age": {"min": 16, "max": 16, "basis": "stated"}}
        ],
        places=[{"role": "now", "pcode": SAVAR}],
        concerns=["child_labour"],
        needs=[need],
        consent=[
            {"person": "a", "given_by": "person", "how": "spoken", "explained": True,
             "allows": ["refer", "share_identity"], "basis": "consent"}
        ],
    )  # fmt: skip
    await eventually(lambda: settled(desk, case_id), 60, "the referral and its notices")
    return case_id


def notices(desk: Desk, case_id: str) -> list[tuple[str, str, str]]:
    """Return a case's notices, without those to a provider's worker.

    No provider here has a worker who hears by us, so that these are none and gone within moments.
    """
    answer = desk.http.get(
        "/notification/v1/notices", params={"case_id": case_id}, headers=desk.coordinator
    )
    items = answer.raise_for_status().json()["items"]
    kept = [n for n in items if n["template"] != "answer_asked"]
    return sorted((n["notice_id"], n["template"], str(n.get("referral_id"))) for n in kept)


def settled(desk: Desk, case_id: str) -> bool:
    found = desk.referrals(case_id)
    if not found:
        return False
    [referral] = found
    if referral["state"] == "assigned":
        provider = desk.stack.bearer(Role.PROVIDER_SYSTEM, referral["provider_id"])
        path = f"/referral/v1/referrals/{referral['referral_id']}/accept"
        desk.http.post(path, json={}, headers=provider).raise_for_status()
    # one notice of what was planned, one of what was accepted
    return referral["state"] == "accepted" and len(notices(desk, case_id)) == 2


def stands(desk: Desk, case_id: str) -> dict[str, Any]:
    """Return what is of a case everywhere: referrals, notices, consents, tasks, who it is."""
    facts = desk.facts(case_id)
    referrals = desk.referrals(case_id)
    return {
        "facts": {name: value for name, value in facts.items() if name not in ROOM},
        "work": facts["work"],
        "referrals": sorted(
            (r["referral_id"], r["case_id"], r["need"], r["state"], str(r["provider_id"]))
            for r in referrals
        ),
        "notices": notices(desk, case_id),
        "consents": desk.get(f"/cases/{case_id}/consent")["items"],
        "tasks": sorted(kind for kind in desk.tasks(case_id)),
        "report": desk.get(f"/cases/{case_id}")["submission_id"],
    }


async def test_a_merge_of_two_who_are_not_the_same_is_undone_with_everything_where_it_was(
    desk: Desk,
) -> None:
    first = await told(desk, "Example Rina Mondol", "education")
    other = await told(desk, "Example Rina Mondal", "cash_assistance")
    found = {item["case_id"]: item for item in desk.get(f"/cases/{first}/similar")["items"]}
    assert found[other]["likely"] == "same_person"
    before = {key: stands(desk, key) for key in (first, other)}
    assert all(one["referrals"] and one["consents"] for one in before.values())

    desk.done(first, "merge", {"case_id": other})
    merged = {key: stands(desk, key) for key in (first, other)}
    for key in (first, other):  # nothing moved
        assert {k: v for k, v in merged[key].items() if k != "work"} == {
            k: v for k, v in before[key].items() if k != "work"
        }
    assert desk.refused(other, "assign", {"worker": "w1", "supervisor": "s1"})["case"] == first
    assert [c["case_id"] for c in desk.work(first)["previous"]] == [other]

    desk.done(first, "assign", {"worker": "w1", "supervisor": "s1"})  # while they were one
    desk.done(other, "unmerge", {"case_id": first})
    after = {key: stands(desk, key) for key in (first, other)}
    assert after[other] == before[other]
    kept = ("referrals", "notices", "consents", "report")
    assert {k: after[first][k] for k in kept} == {k: before[first][k] for k in kept}
    was, now = before[first]["facts"], after[first]["facts"]
    assert {k for k in was | now if was.get(k) != now.get(k)} <= {"worker", "supervisor"}
    assert after[first]["work"]["worker"] == "w1", "what was done since stays in its own"
    assert after[first]["work"]["merged"] == []
    desk.done(other, "different", {"case_id": first})
    assert other not in {c["case_id"] for c in desk.get(f"/cases/{first}/similar")["items"]}

    def history() -> list[str]:
        path = f"/audit/v1/cases/{other}/history"
        items = desk.http.get(path, headers=desk.supervisor).raise_for_status().json()["items"]
        return [item["type"] for item in items]

    wanted = {"cases-merged", "cases-unmerged", "cases-told-apart"}
    await eventually(lambda: wanted <= set(history()), 60, "it to stand in the history")
