"""One erasure through all four services: what is left of it, and that old proofs still hold."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from shared.vocabulary import Role
from tests.support.callers import NAME, Callers, report
from tests.support.transparency import root_from
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture
def callers(whole_stack: Stack) -> Iterator[Callers]:
    with whole_stack.client(timeout=20) as client:
        yield Callers(whole_stack, client)


def history(callers: Callers, case_id: str) -> list[dict[str, Any]]:
    found = callers.http.get(
        f"/audit/v1/cases/{case_id}/history", headers=callers.stack.bearer(Role.AUDITOR)
    ).json()["items"]
    return [line for line in found if line["stream"] != "accesses"]


def proof(callers: Callers, index: int, size: int) -> dict[str, Any]:
    found: dict[str, Any] = callers.http.get(
        "/audit/v1/proofs/inclusion",
        params={"index": index, "size": size},
        headers=callers.stack.bearer(Role.AUDITOR),
    ).json()
    return found


async def blank(callers: Callers, service: str, case_id: str) -> bool:
    """Say whether the outbox of a service holds nothing of a case but what must stay or go out."""
    conn = await callers.stack.connect(service)
    try:
        left = await conn.fetch(
            "SELECT type FROM outbox WHERE key = $1 AND value <> ''"
            " AND type NOT IN ('case-erased', 'referral-withdrawn')",
            case_id.encode(),
        )
    finally:
        await conn.close()
    return not left


def by_two_persons(callers: Callers, case_id: str) -> None:
    """Erase a case, trying on the way what must be refused."""
    http, desk = callers.http, callers.desk
    boss = callers.stack.bearer(Role.SUPERVISOR, subject="s1")
    path = f"/intake/v1/cases/{case_id}/erase"
    body = {"asked_by": "person", "identity_check": "document"}
    assert http.post(path, json=body).status_code == 401
    for role in (Role.OPERATIONS, Role.PARTNER, Role.PROVIDER_WORKER, Role.AUDITOR):
        other = callers.stack.bearer(role, "partner-x")
        assert http.post(path, json=body, headers=other).status_code == 403
    wrong = http.post(path, json=body | {"identity_check": NAME}, headers=desk)
    assert wrong.status_code == 422
    assert NAME not in wrong.text
    assert http.post(path, json=body, headers=desk).status_code == 202
    held = http.post(
        f"/intake/v1/cases/{case_id}/hold", json={"reason": "court_order"}, headers=desk
    )
    assert held.status_code == 403
    held = http.post(
        f"/intake/v1/cases/{case_id}/hold", json={"reason": "court_order"}, headers=boss
    )
    assert held.json()["legal_hold"] is True
    stopped = http.post(path, json=body, headers=boss)
    assert (stopped.status_code, stopped.json()["why"]) == (409, "legal_hold")
    assert http.delete(f"/intake/v1/cases/{case_id}/hold", headers=boss).status_code == 200
    done = http.post(path, json=body, headers=boss)
    assert (done.status_code, done.json()["status"]) == (200, "erased")


async def test_an_erased_case_is_gone_everywhere_and_old_proofs_hold(callers: Callers) -> None:
    http, desk = callers.http, callers.desk
    referral = await callers.assigned(report())
    case_id = referral["case_id"]
    await callers.accepted(referral)
    before = await eventually(
        lambda: found if len(found := history(callers, case_id)) >= 5 else None, 20, "the history"
    )
    index, leaf = before[0]["index"], before[0]["leaf_hash"]
    size = max(line["index"] for line in before) + 1
    old = await eventually(
        lambda: found if "hashes" in (found := proof(callers, index, size)) else None, 20, "a proof"
    )

    by_two_persons(callers, case_id)

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = http.get(
            f"/referral/v1/referrals/{referral['referral_id']}", headers=desk
        ).json()
        return found if found["state"] == "withdrawn" else None

    left = await eventually(ended, 20, "the referral to end")
    assert left["reason"] == "case_erased"
    assert callers.disclose(referral).status_code == 404

    async def summary() -> bool:
        conn = await callers.stack.connect("referral")
        try:
            (row,) = await conn.fetch(
                "SELECT body->'summary' AS s, (SELECT count(*) FROM explanations e"
                " WHERE e.referral_id = r.referral_id) AS n FROM referrals r"
                " WHERE r.referral_id = $1",
                referral["referral_id"],
            )
            feed = await conn.fetch(
                "SELECT body FROM feed_entries WHERE referral_id = $1", referral["referral_id"]
            )
        finally:
            await conn.close()
        told = [json.loads(entry["body"])["referral"]["summary"] for entry in feed]
        return (json.loads(row["s"]), row["n"]) == ({}, 0) and told == [{}] * len(feed)

    await eventually(summary, 20, "referral's summaries to be blank")
    for service in ("intake", "referral", "notification"):
        await eventually(partial(blank, callers, service, case_id), 20, service)

    def forgotten() -> list[dict[str, Any]] | None:
        found = history(callers, case_id)
        rest = [line["type"] for line in found if not line["erased"]]
        return found if rest == ["case-erased"] else None

    after = await eventually(forgotten, 20, "the history to be erased")
    assert [line["leaf_hash"] for line in after[: len(before)]] == [
        line["leaf_hash"] for line in before
    ]
    now = proof(callers, index, size)
    assert (now["hashes"], now["leaf_hash"], now["root"]) == (old["hashes"], leaf, old["root"])
    hashes = [bytes.fromhex(h) for h in old["hashes"]]
    assert root_from(index, size, bytes.fromhex(leaf), hashes).hex() == old["root"]
    facts = http.get(f"/intake/v1/cases/{case_id}", headers=desk).json()
    assert (facts["status"], facts["facts"]["age"]) == ("erased", None)
