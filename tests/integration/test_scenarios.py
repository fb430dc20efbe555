"""The ten scenarios through the real interface, as far as the steps so far reach.

`WAITS` are the lines of each that a later step finishes; they are printed at the end (`-s`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from shared.vocabulary import Role
from tests.support.people import Desk
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

WAITS: Final[dict[int, tuple[str, ...]]] = {
    1: ("no caregiver read from the words alone",),
    2: ("the link proposed by itself", "the shelter warned"),
    3: ("a voice note, and that its sound never leaves the centre",),
    4: ("both clocks of an offline report",),
    5: ("offers out by the age of a boy with his mother", "a court order shown on an offer"),
    6: ("WhatsApp", "an image: sealed, blurred, hashed"),
    7: ("milestones that wait on somebody",),
    8: ("voice", "the site of a camp and its child protection first"),
    9: ("a travel time in the clock", "an acknowledgement that is chased"),
    10: ("the neighbour reached by text", "the gap shown beside a place that lists little"),
}
"""Lines of each scenario that still wait, with the channel or step they wait for."""

SEEN = "দেখা হচ্ছে"
ON_DUTY = "+8801899999901"


@pytest.fixture(scope="module")
def desk(whole_stack: Stack) -> Iterator[Desk]:
    with whole_stack.client(timeout=60) as client:
        desk = Desk(whole_stack, client)
        desk.put_on_duty("coordinator:d1", way="sms", number=ON_DUTY)
        desk.put_on_duty("coordinator:a1")
        desk.put_on_duty("supervisor:focal", level="safeguarding_focal_person")
        yield desk
    print("\nscenarios: lines that still wait")
    for number, lines in WAITS.items():
        print(f"  {number}: {'; '.join(lines)}")


def closed(desk: Desk, case_id: str) -> bool:
    answer = desk.post(f"/cases/{case_id}/close", {"reason": "goals_met_and_safe"})
    assert answer.status_code in (200, 409), answer.text
    return answer.status_code == 200


async def assigned(desk: Desk, case_id: str) -> None:
    desk.done(case_id, "assign", {"worker": "c1", "supervisor": "s1"})


async def test_1_a_child_alone_at_night(desk: Desk) -> None:
    case_id, number = await desk.text("আমি ১১। আব্বু আজকেও করছে। মা জানে না। কাউকে বইলেন না। ফোন চাচার।")
    facts = desk.facts(case_id)
    assert (facts["urgency"], facts["age"]) == ("T0", 11)
    assert "child_sexual_abuse" in facts["concerns"]
    assert "medical" in facts["needs"]
    paged = [s["detail"]["to"] for s in desk.work(case_id)["steps"] if s["kind"] == "page"]
    assert paged == ["coordinator:d1"]
    await eventually(lambda: desk.texts(ON_DUTY), 30, "the page by SMS")
    assert "১১" not in str(desk.texts(ON_DUTY))
    assert desk.tasks(case_id)["triage"]["urgency"] == "T0"
    await desk.text("হ্যালো", number)  # nobody is answered twice; see test_desk
    form = {"from": number, "text": "STOP", "id": uuid4().hex}
    desk.http.post("/intake/channels/sms/external", data=form).raise_for_status()
    await eventually(lambda: desk.facts(case_id)["contact_stopped"], 30, "the stop")
    after = desk.facts(case_id)
    assert {k for k in after if after[k] != facts[k]} == {"contact_stopped"}
    assert not any(r["state"] == "assigned" for r in desk.referrals(case_id))


async def test_2_the_reporter_is_the_danger(desk: Desk) -> None:
    hers, _ = await desk.text("বাবা বিয়ে দিবে ৪৫ বছরের লোকের সাথে, পালাইছি")
    about: dict[str, Any] = {
        "persons": [{"ref": "a", "age": {"min": 16, "max": 16}, "sex": "female"}],
        "reporter": {"kind": "relative", "name": "Example Father", "phone": "01711111111"},
        "concerns": ["missing_child"],
        "narrative": "আমার মেয়ে ১৬, ৩ দিন নাই, ফেরত চাই",
    }
    his, receipt = await desk.report(**about)
    alone, unlinked = await desk.report(**about)
    assert desk.status(receipt) == desk.status(unlinked)
    desk.done(hers, "triage", {"conflict": True})
    linked = desk.done(his, "link", {"case_id": hers, "kind": "same_person"})
    assert linked["conflict"] is True
    desk.done(alone, "triage", {})
    assert desk.status(receipt) == desk.status(unlinked)
    assert SEEN in desk.status(receipt).decode()
    out = [r for r in desk.referrals(his) if r["state"] not in ("planned", "waiting")]
    assert out == []
    for verb in ("erase", "consent", "close"):
        assert desk.http.post(f"/intake/v1/cases/{his}/{verb}", json={}).status_code == 401
    said = desk.http.post("/intake/v1/receipts/messages", json={"receipt": receipt})
    assert said.json() == {"messages": []}
    undone = desk.done(his, "unlink", {"case_id": hers})
    assert undone["linked"] == []


async def test_3_a_place_without_names(desk: Desk) -> None:
    place, receipt = await desk.report(
        about="place",
        persons=[{"ref": "a", "count": 20, "count_max": 25}],
        concerns=["hazardous_child_labour"],
        places=[{"role": "event", "pcode": "BD20220024", "text": "Nazirartek"}],
    )
    before = desk.status(receipt)
    facts = desk.facts(place)
    assert (facts["about"], facts["count"], facts["count_max"]) == ("place", 20, 25)
    assert desk.tasks(place)["verify"]["level"] == "coordinator"
    assert desk.referrals(place) == []
    desk.done(place, "verify", {"finding": "substantiated", "means": "visit"})
    assert "verify" not in desk.tasks(place)
    people: list[dict[str, Any]] = [
        {"name": f"Example Child {n}", "age": {"min": 8, "max": 9}, "sex": "male"} for n in range(3)
    ]
    for person in people[:2]:
        person["household"] = "brothers"
    ids = desk.done(place, "split", {"persons": people})["new"]
    found = [desk.facts(key) for key in ids]
    left = desk.facts(place)
    assert {f["report_id"] for f in found} == {left["report_id"]}
    assert found[0]["household_id"] == found[1]["household_id"]
    assert found[2]["household_id"] is None
    assert (left["count"], left["count_max"]) == (17, 22)
    assert {(f["count"], f["count_max"]) for f in found} == {(1, None)}
    assert desk.work(place)["report"] == {"cases": 3, "places": 1}
    assert desk.work(ids[0])["report"] == {"cases": 3, "places": 1}
    assert "split" in desk.refused(ids[0], "split", {"persons": people[:2]})["detail"]
    assert before != b""
    assert SEEN in desk.status(receipt).decode()


async def test_4_a_committee_member_is_involved(desk: Desk) -> None:
    member = desk.stack.bearer(Role.COMMITTEE_MEMBER, subject=f"m-{uuid4().hex[:8]}")
    case_id, _ = await desk.report(
        member,
        channel="committee",
        narrative="চেয়ারম্যানের ভাই মেয়েদের ঢাকায় গার্মেন্টস বলে পাঠায়, ২ জন ফোন ধরে না।",
        concerns=["child_trafficking"],
        alleged=[{"relation": "brother of an official", "office": "up_chair"}],
        exclude={"kinds": ["up_chair", "police"], "providers": ["c-named"]},
        persons=[{"ref": "a", "count": 2, "sex": "female"}],
    )
    facts = desk.facts(case_id)
    assert (facts["conflict"], set(facts["excluded"])) == (True, {"up_chair", "police", "c-named"})
    assert "brother" not in str(facts)
    named = desk.stack.bearer(Role.COORDINATOR, subject="c-named")
    assert desk.http.get(f"/intake/v1/cases/{case_id}/work", headers=named).status_code == 404
    desk.refused(case_id, "contacts", {"means": "phone", "result": "reached"}, by=named)
    body = {"worker": "c-named", "supervisor": "s1"}
    assert desk.refused(case_id, "assign", body)["rule"] == "conflict_of_interest"
    other = desk.stack.bearer(Role.COMMITTEE_MEMBER, subject="m-other")
    assert desk.http.get(f"/intake/v1/cases/{case_id}", headers=other).status_code == 404


async def test_5_a_mother_with_children(desk: Desk) -> None:
    people = [
        {"ref": "m", "age": {"min": 24, "max": 24}, "sex": "female",
         "with": [{"ref": r, "as": "child", "keep_together": True} for r in ("a", "b", "c")]},
        *({"ref": r, "role": "accompanying", "age": {"min": n, "max": n}, "sex": s}
          for r, n, s in (("a", 12, "male"), ("b", 5, "female"), ("c", 1, "female"))),
    ]  # fmt: skip
    case_id, _ = await desk.report(
        persons=people,
        concerns=["adult_trafficking"],
        needs=["shelter"],
        narrative="স্বামী বেচে দিছিল, আজ রাতে থাকার জায়গা নাই।",
        consent=[{"person": "m", "given_by": "person", "allows": ["refer"], "basis": "consent"}],
    )
    facts = desk.facts(case_id)
    assert (facts["keep_together"], facts["places_needed"]) == (True, 4)
    await eventually(lambda: desk.referrals(case_id), 30, "a planned referral")
    await assigned(desk, case_id)
    await eventually(lambda: desk.tasks(case_id), 30, "a task for a person")


async def test_6_a_boy_online(desk: Desk) -> None:
    case_id, _ = await desk.text(
        "ami 15, chele. ek vai amar video rekhe taka chay, na dile sobaire dibe. morte iccha kore"
    )
    facts = desk.facts(case_id)
    assert facts["urgency"] == "T0"
    assert {"online_sexual_exploitation", "self_harm_risk"} <= set(facts["concerns"])
    assert {"mental_health", "online_content_removal"} <= set(facts["needs"])
    assert (facts["age"], facts["sex"]) == (15, "male")
    assert desk.work(case_id)["steps"][0]["kind"] == "page"


async def test_7_nine_months_in_another_country(desk: Desk) -> None:
    case_id, _ = await desk.report(
        persons=[{"ref": "a", "age": {"min": 16, "max": 16}, "sex": "female"}],
        reporter={"kind": "relative"},
        concerns=["child_trafficking"],
        needs=["repatriation"],
        places=[{"role": "now", "country": "IN"}, {"role": "home", "country": "BD"}],
        narrative="বোন ১৬, কলকাতার হোমে ৯ মাস। ঠিকানা যাচাই হয় নাই। কোর্টে সাক্ষ্য বাকি।",
    )
    await eventually(lambda: desk.referrals(case_id), 30, "a planned referral")
    assert {r["state"] for r in desk.referrals(case_id)} == {"planned"}
    await assigned(desk, case_id)
    desk.done(case_id, "assess", {"instrument": "pashe-risk-1", "answers": {"harm_goes_on": "no"}})
    due = datetime.now(UTC).date() + timedelta(days=300)
    desk.done(
        case_id,
        "plan",
        {
            "goals": [{"need": "repatriation", "who": "c1", "by": due.isoformat()}],
            "agreed_by": "person",
            "how": "spoken",
        },
    )


async def test_8_age_and_language_unknown(desk: Desk) -> None:
    case_id, _ = await desk.report(
        persons=[{"ref": "a", "age": {"min": 15, "max": 19}, "sex": "female",
                  "languages": ["rhg"]}],
        danger_now=True,
        concerns=["child_trafficking"],
    )  # fmt: skip
    facts = desk.facts(case_id)
    assert (facts["urgency"], facts["age"], facts["languages"]) == ("T0", None, ["rhg"])
    assert desk.work(case_id)["steps"][0]["detail"]["to"] == "coordinator:d1"
    body = {
        "decision": "given",
        "given_by": "third_party",
        "explained": True,
        "how": "spoken",
    }
    desk.refused(case_id, "consent", body)


async def test_9_the_persons_word_goes_to_the_focal_person(desk: Desk) -> None:
    happened = (datetime.now(UTC) - timedelta(hours=50)).isoformat()
    case_id, receipt = await desk.report(
        persons=[{"ref": "a", "age": {"min": 17, "max": 17}, "sex": "hijra"}],
        concerns=["child_sexual_exploitation"],
        needs=["medical"],
        happened={"to": happened},
        places=[{"role": "now", "pcode": "BD5010"}],
    )
    until = datetime.fromisoformat(desk.facts(case_id)["medical_until"])
    assert timedelta(hours=21) < until - datetime.now(UTC) < timedelta(hours=23)
    answer = desk.http.post(
        "/intake/v1/receipts/feedback",
        json={"receipt": receipt, "helped": "harmed", "about": "service"},
    )
    assert answer.json() == {"status": "received"}
    assert "harmed" not in desk.tasks(case_id)
    assert desk.tasks(case_id, desk.focal)["harmed"]["named"] == "supervisor:focal"


async def test_10_a_third_time(desk: Desk) -> None:
    child = {"ref": "a", "name": f"Example Girl {uuid4().hex[:6]}", "age": {"min": 13, "max": 13}}
    first, _ = await desk.report(persons=[child], concerns=["physical_violence"])
    await assigned(desk, first)
    await desk.settle(first)
    await eventually(lambda: closed(desk, first), 60, "a closing with no referral open")
    again, receipt = await desk.report(
        persons=[child],
        concerns=["physical_violence"],
        narrative="কাজের মেয়েটা ১৩, আবার মারছে। আগেও দুইবার জানাইছি।",
        reporter={"kind": "neighbour", "identity": "hidden"},
    )
    assert desk.get(f"/cases/{again}/similar")["items"][0]["case_id"] == first
    desk.done(again, "link", {"case_id": first, "kind": "same_person"})
    (before,) = desk.work(again)["previous"]
    assert (before["status"], before["reason"]) == ("closed", "goals_met_and_safe")
    desk.done(first, "reopen", {"reason": "returned_to_harm"})
    facts = desk.facts(first)
    assert (facts["status"], facts["work"]["risk"]) == ("open", "high")
    assert desk.tasks(first)["review_closing"]["level"] == "supervisor"
    back = (datetime.now(UTC) + timedelta(hours=4)).isoformat()
    visit = desk.done(again, "visits", {"who": "c1", "expected_back": back})["visit_id"]
    desk.done(again, "visit-back", {"visit_id": visit})
    assert SEEN in desk.status(receipt).decode()
    assert "police" not in str(desk.referrals(again))


@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("close", {}),
        ("close", {"reason": "because"}),
        ("handover", {}),
        ("handover", {"to": ""}),
        ("handover", {"to": "centre-b", "answer": "accepted"}),
        ("split", {"persons": []}),
        ("link", {"case_id": str(uuid4())}),
        ("reopen", {"reason": "new_incident"}),
        ("assess", {"instrument": "none", "answers": {}}),
        ("plan", {"goals": [], "agreed_by": "person", "how": "spoken"}),
        ("verify", {"finding": "perhaps", "means": "visit"}),
        ("visits", {"who": "c1", "expected_back": "2020-01-01T00:00:00Z"}),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_half_done(
    desk: Desk, step: str, body: dict[str, Any]
) -> None:
    case_id, _ = await desk.report(persons=[{"ref": "a"}], concerns=["child_labour"])
    before = desk.get(f"/cases/{case_id}")
    desk.refused(case_id, step, body)
    assert desk.get(f"/cases/{case_id}") == before
    assert desk.work(case_id)["steps"] == []


async def test_no_machine_closes_and_no_t0_without_a_supervisor(desk: Desk) -> None:
    case_id, _ = await desk.report(persons=[{"ref": "a"}], danger_now=True)
    reason = {"reason": "could_not_be_found"}
    for role, org in ((Role.PROVIDER_SYSTEM, "p1"), (Role.PARTNER, "p2"), (Role.OPERATOR, None)):
        desk.refused(case_id, "close", reason, by=desk.stack.bearer(role, org=org))
    waits = desk.post(f"/cases/{case_id}/close", reason)
    assert (waits.status_code, waits.json()["status"]) == (202, "waits_for_approval")
    assert desk.facts(case_id)["status"] == "open"


async def test_what_an_alleged_caregiver_agrees_to_counts_for_nothing(desk: Desk) -> None:
    case_id, _ = await desk.report(
        persons=[{"ref": "a", "age": {"min": 9, "max": 9}}],
        alleged=[{"relation": "father"}],
        concerns=["child_sexual_abuse"],
    )
    await assigned(desk, case_id)
    desk.done(case_id, "assess", {"instrument": "pashe-risk-1", "answers": {}})
    goal = {"need": "shelter", "who": "c1", "by": "2030-01-01"}
    plan = {"goals": [goal], "agreed_by": "caregiver", "how": "spoken"}
    assert "alleged" in desk.refused(case_id, "plan", plan)["detail"]
    desk.refused(case_id, "consent", {
        "decision": "given", "given_by": "caregiver", "giver_relation": "father",
        "how": "spoken", "explained": True, "basis": "assent_and_caregiver",
    })  # fmt: skip
    duty = {"decision": "given", "given_by": "decision_body", "basis": "legal_duty",
            "instrument": "no-such-law", "explained": True, "reason": "x"}  # fmt: skip
    desk.refused(case_id, "consent", duty, by=desk.supervisor)
