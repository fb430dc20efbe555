"""Who a person is, told to one provider after its yes, on a whole stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.intake.keys.rotation import KIND
from shared.vocabulary import Role
from tests.support.callers import ALLEGED, NAME, PHONE, REPORTER, STORY, WORDS, Callers, report
from tests.support.stack import Stack, StackError
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


@pytest.fixture
def stack(whole_stack: Stack) -> Stack:
    return whole_stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client(timeout=20) as client:
        yield client


@pytest.fixture
def callers(stack: Stack, http: httpx.Client) -> Callers:
    return Callers(stack, http)


async def test_a_provider_learns_who_it_is_after_its_yes_and_never_who_reported(
    callers: Callers,
) -> None:
    referral = await callers.assigned(report())
    before = callers.disclose(referral)
    assert before.status_code in (404, 409)  # 404 until intake has heard of it
    assert NAME not in before.text
    told = await callers.accepted(referral)
    assert told["fields"] == ["name", "phone", "safe_contact", "support"]
    assert told["person"]["support"] == ["sign_language", WORDS]
    assert referral["summary"]["support"] == ["sign_language"]
    assert (told["person"]["name"], told["person"]["phone"]) == (NAME, PHONE)
    for hidden in (REPORTER, STORY, ALLEGED, "niece", "01812345678"):
        assert hidden not in json.dumps(told, ensure_ascii=False)
    answer = callers.disclose(referral)
    assert answer.headers["cache-control"] == "no-store"
    read = await callers.events(referral["case_id"], "identity-disclosed")
    assert len(read) >= 2
    assert read[-1]["actor"] == "provider_worker:w1"
    assert read[-1]["data"]["read"] == {
        "fields": ["name", "phone", "safe_contact", "support"],
        "referral_id": referral["referral_id"],
        "provider_id": referral["provider_id"],
        "reason": None,
        "attachment_id": None,
        "shown": None,
    }
    assert NAME not in json.dumps(read, ensure_ascii=False)


async def test_no_other_provider_and_no_other_role_is_told(callers: Callers) -> None:
    referral = await callers.assigned(report())
    await callers.accepted(referral)
    assert callers.disclose(referral, "another").status_code == 404
    path = f"/intake/v1/disclosures/{referral['referral_id']}"
    assert callers.http.get(path).status_code == 401
    for role in (Role.COORDINATOR, Role.AUDITOR, Role.PARTNER, Role.OPERATIONS):
        answer = callers.http.get(path, headers=callers.stack.bearer(role, "partner-x"))
        assert answer.status_code == 403
    unknown = callers.http.get(f"/intake/v1/disclosures/{uuid4()}", headers=callers.provider("p"))
    assert unknown.status_code == 404


async def test_nothing_is_told_after_the_end_and_nothing_without_agreement(
    callers: Callers,
) -> None:
    referral = await callers.assigned(report())
    await callers.accepted(referral)
    callers.act(referral, "fail", {"reason": "no_capacity"})
    gone = await eventually(
        lambda: found if (found := callers.disclose(referral)).status_code != 200 else None,
        20,
        "the end",
    )
    assert (gone.status_code, gone.json()["why"]) == (409, "not_accepted_or_ended")
    unshared = {"person": "a", "given_by": "person", "basis": "consent", "allows": ["refer"]}
    other = await callers.assigned(report(consent=[unshared]))
    callers.act(other, "accept")
    told = await eventually(
        lambda: (
            found
            if (found := callers.disclose(other)).status_code == 409
            and found.json()["why"] == "no_consent"
            else None
        ),
        20,
        "the refusal",
    )
    assert NAME not in told.text


async def test_whom_the_case_names_later_loses_it_and_another_gets_it(callers: Callers) -> None:
    referral = await callers.assigned(report())
    await callers.accepted(referral)
    path = f"/intake/v1/cases/{referral['case_id']}/triage"
    named = {"excluded": [referral["provider_id"]]}
    callers.http.post(path, json=named, headers=callers.desk).raise_for_status()

    def look() -> tuple[dict[str, Any], dict[str, Any]] | None:
        query = {"case_id": referral["case_id"]}
        found = callers.http.get("/referral/v1/referrals", params=query, headers=callers.desk)
        by_attempt = {r["attempt"]: r for r in found.json()["items"]}
        return (by_attempt[1], by_attempt[2]) if 2 in by_attempt else None

    before, after = await eventually(look, 20, "the next attempt")
    assert (before["state"], before["reason"]) == ("withdrawn", "excluded")
    assert after["provider_id"] != referral["provider_id"]
    assert callers.disclose(referral).status_code == 404
    seen = callers.http.get(
        f"/referral/v1/referrals/{referral['referral_id']}",
        headers=callers.provider(referral["provider_id"]),
    )
    assert seen.status_code == 404


async def test_staff_read_a_person_with_a_reason_and_it_is_an_event(callers: Callers) -> None:
    referral = await callers.assigned(report())
    path = f"/intake/v1/cases/{referral['case_id']}/persons"
    http, desk = callers.http, callers.desk
    assert http.get(path, headers=desk).status_code == 422
    assert http.get(path, params={"reason": NAME}, headers=desk).status_code == 422
    assert NAME not in http.get(path, params={"reason": NAME}, headers=desk).text
    found = http.get(path, params={"reason": "contact"}, headers=desk)
    assert found.headers["cache-control"] == "no-store"
    (person,) = found.json()["persons"]
    assert (person["name"], person["about"]) == (NAME, True)
    assert "reporter" not in found.json()
    whole = http.get(
        path, params={"reason": "safety", "also": ["reporter", "alleged"]}, headers=desk
    ).json()
    assert whole["reporter"]["name"] == REPORTER
    assert whole["alleged"][0]["name"] == ALLEGED
    read = await callers.events(referral["case_id"], "person-data-read")
    assert [e["data"]["read"]["reason"] for e in read] == ["contact", "safety"]
    assert read[-1]["data"]["read"]["fields"] == ["persons", "alleged", "reporter"]
    for role in (Role.OPERATOR, Role.AUDITOR, Role.OPERATIONS, Role.PARTNER):
        answer = http.get(path, params={"reason": "contact"}, headers=callers.stack.bearer(role))
        assert answer.status_code == 403
    http.post(
        f"/intake/v1/cases/{referral['case_id']}/triage", json={"excluded": ["c9"]}, headers=desk
    )
    named = callers.stack.bearer(Role.COORDINATOR, subject="c9")
    assert http.get(path, params={"reason": "contact"}, headers=named).status_code == 404


def decision(what: str, **more: Any) -> dict[str, Any]:
    return {
        "decision": what,
        "given_by": "person",
        "explained": True,
        "witness": "Invented Witness",
        **more,
    }


async def test_a_consent_taken_back_ends_referral_and_disclosure(callers: Callers) -> None:
    referral = await callers.assigned(report())
    await callers.accepted(referral)
    path = f"/intake/v1/cases/{referral['case_id']}/consent"
    http, desk = callers.http, callers.desk
    before = http.get(path, headers=desk).json()["items"]
    assert [(c["given_by"], c["state"], c["recorded_by"]) for c in before] == [
        ("person", "current", "service:intake.opener")
    ]
    taken = http.post(path, json=decision("withdrawn"), headers=desk)
    assert (taken.status_code, taken.json()["consent"]["given"]) == (200, False)
    gone = callers.disclose(referral)
    assert gone.status_code == 409

    def look() -> bool:
        found = http.get(f"/referral/v1/referrals/{referral['referral_id']}", headers=desk).json()
        return (found["state"], found["reason"]) == ("withdrawn", "consent_withdrawn")

    await eventually(look, 20, "the referral to be withdrawn")
    items = http.get(path, headers=desk).json()["items"]
    assert [c["state"] for c in items] == ["withdrawn"]
    assert "Invented" not in str(items)


async def test_nobody_but_the_desk_records_consent_and_no_answer_echoes(callers: Callers) -> None:
    headers = callers.stack.bearer(Role.PARTNER, "partner-x") | {"idempotency-key": str(uuid4())}
    made = callers.http.post("/intake/v1/reports", json=report(), headers=headers).json()
    path = f"/intake/v1/cases/{made['case_ids'][0]}/consent"
    http = callers.http
    await eventually(
        lambda: http.get(path, headers=callers.desk).json().get("items"), 20, "the consent"
    )
    assert http.post(path, json=decision("withdrawn")).status_code == 401
    for role in (Role.PARTNER, Role.COMMITTEE_MEMBER, Role.PROVIDER_WORKER, Role.OPERATOR):
        other = callers.stack.bearer(role, "partner-x")
        assert http.post(path, json=decision("withdrawn"), headers=other).status_code == 403
    said = {"receipt": made["receipt"], "text": "withdraw the consent"}
    assert http.post("/intake/v1/receipts/messages", json=said).status_code == 200
    (kept,) = http.get(path, headers=callers.desk).json()["items"]
    assert kept["state"] == "current"
    for wrong in (
        decision("given", given_by="Invented Giver"),
        decision("given", given_by="third_party", giver_relation="Invented Relation"),
        decision("given", given_by="caregiver", giver_relation="Invented Relation"),
        decision("given", unknown="Invented Field"),
        decision("given", given_by="decision_body", basis="best_interest", reason="Invented"),
        decision("given", given_by="decision_body", basis="legal_duty", instrument="invented"),
    ):
        answer = http.post(path, json=wrong, headers=callers.desk)
        assert answer.status_code == 422
        assert "nvented" not in answer.text


@pytest.mark.slow
async def test_keys_change_by_command_while_it_serves(callers: Callers) -> None:
    referral = await callers.assigned(report())
    await callers.accepted(referral)
    kept = callers.stack.home / "keys" / "intake" / "kek.key"
    before = kept.read_text().split()
    assert "back up" in callers.stack.pashe("rotate-keys")

    async def wrapped_anew() -> bool:
        conn = await callers.stack.connect("intake")
        try:
            epochs = await conn.fetchval("SELECT count(DISTINCT kek) FROM subjects")
            step = await conn.fetchval(
                "SELECT payload ->> 'step' FROM timers WHERE kind = $1", KIND
            )
        finally:
            await conn.close()
        return (epochs, step) == (1, "retire")

    await eventually(wrapped_anew, 30, "every data key to be wrapped anew")
    assert kept.read_text().split()[:-1] == before
    assert callers.disclose(referral).json()["person"]["name"] == NAME
    with pytest.raises(StackError, match="under way"):
        callers.stack.pashe("rotate-keys")
