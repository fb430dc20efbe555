"""A provider's system that speaks FHIR R4 only, on a whole stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.task import Task

from shared.vocabulary import Role
from tests.support.callers import Callers, report
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.stack import Stack

BASE = "/referral/fhir/r4"


@pytest.fixture
def callers(whole_stack: Stack) -> Iterator[Callers]:
    with whole_stack.client(timeout=20) as http:
        yield Callers(whole_stack, http)


class System:
    """The provider's system: it polls for what changed, and puts Tasks back."""

    def __init__(self, callers: Callers, provider: str) -> None:
        self.http = callers.http
        self.owner = f"Organization/{provider}"
        self.headers = callers.stack.bearer(Role.PROVIDER_SYSTEM, provider)
        self.newest = "2026-01-01T00:00:00Z"

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(f"{BASE}/{path}", params=params, headers=self.headers)

    def poll(self, *states: str) -> list[dict[str, Any]]:
        """Return the Tasks that changed since the last poll, page by page."""
        asked = {"owner": self.owner, "_lastUpdated": f"gt{self.newest}", "_count": "1"}
        asked |= {"status": ",".join(states)} if states else {}
        answer = self.get("Task", **asked)
        found: list[dict[str, Any]] = []
        while True:
            assert answer.status_code == 200, answer.text
            page = answer.json()
            Bundle.model_validate(page)
            found += [entry["resource"] for entry in page.get("entry", ())]
            following = [x["url"] for x in page["link"] if x["relation"] == "next"]
            if not following:
                break
            answer = self.http.get(following[0], headers=self.headers)
        self.newest = max([self.newest, *(t["meta"]["lastUpdated"] for t in found)])
        return found

    def put(
        self, task: dict[str, Any], version: str | None = None, **changes: Any
    ) -> httpx.Response:
        headers = self.headers | ({"If-Match": f'W/"{version}"'} if version else {})
        path = f"{BASE}/Task/{task['id']}"
        return self.http.put(path, json=task | changes, headers=headers)


async def test_a_system_that_speaks_fhir_only_serves_a_referral_to_its_end(
    callers: Callers,
) -> None:
    referral = await callers.assigned(report())
    system = System(callers, referral["provider_id"])
    mine = {"_id": referral["referral_id"], "_include": "Task:focus"}
    page = system.get("Task", **mine).json()
    task, request = (entry["resource"] for entry in page["entry"])
    assert (task["status"], task["owner"]["reference"]) == ("requested", system.owner)
    assert request["code"]["coding"][0]["code"] == "education"
    assert task["id"] in {t["id"] for t in system.poll("requested")}

    read = system.get(f"Task/{task['id']}")
    assert read.headers["etag"] == f'W/"{task["meta"]["versionId"]}"'
    assert read.headers["content-type"].startswith("application/fhir+json")

    stale = system.put(task, "0", status="accepted")
    assert (stale.status_code, stale.json()["resourceType"]) == (412, "OperationOutcome")
    for status in ("accepted", "in-progress", "completed"):
        answer = system.put(task, task["meta"]["versionId"], status=status)
        assert answer.status_code == 200, answer.text
        task = answer.json()
        assert Task.model_validate(task).status == status
        (changed,) = [t for t in system.poll() if t["id"] == task["id"]]
        assert changed == task
    assert system.poll() == []

    over = system.put(task, status="in-progress")
    assert (over.status_code, over.json()["issue"][0]["code"]) == (409, "business-rule")

    path = f"/referral/v1/referrals/{referral['referral_id']}"
    ours = callers.http.get(path, headers=callers.desk).json()
    assert (ours["state"], ours["delivered"]["how_much"]) == ("delivered", "all")


async def test_a_refusal_in_words_goes_to_the_next_and_the_words_stay_here(
    callers: Callers,
) -> None:
    referral = await callers.assigned(report())
    system = System(callers, referral["provider_id"])
    task = system.get(f"Task/{referral['referral_id']}").json()
    bare = system.put(task, status="rejected")
    assert bare.status_code == 422
    said = {"text": "invented words of a refusal"}
    answer = system.put(task, status="rejected", statusReason=said)
    assert answer.json()["statusReason"]["coding"][0]["code"] == "other"
    assert said["text"] not in answer.text

    def look() -> dict[str, Any] | None:
        query = {"case_id": referral["case_id"]}
        found = callers.http.get("/referral/v1/referrals", params=query, headers=callers.desk)
        return next((r for r in found.json()["items"] if r["attempt"] > 1), None)

    following = await eventually(look, 20, "the next attempt")
    assert following["provider_id"] != referral["provider_id"]


async def test_another_provider_sees_nothing_and_every_refusal_is_an_outcome(
    callers: Callers,
) -> None:
    referral = await callers.assigned(report())
    own, other = System(callers, referral["provider_id"]), System(callers, "example-another")
    task = own.get(f"Task/{referral['referral_id']}").json()
    assert other.get(f"Task/{task['id']}").status_code == 404
    assert other.get("Task", _id=task["id"]).json().get("entry") is None
    assert other.get("Task", owner=own.owner).status_code == 403
    assert other.put(task, status="accepted").status_code == 404
    refused = [
        own.get("Task/not-an-id"),
        own.get("Task", _lastUpdated="yesterday"),
        own.get("Task", _cursor="nonsense"),
        own.put(task, status="draft"),
        own.put(task | {"resourceType": "Patient"}),
        callers.http.get(f"{BASE}/Task"),
        callers.http.put(f"{BASE}/Task/{task['id']}", content=b"{", headers=own.headers),
    ]
    assert [r.status_code for r in refused] == [404, 422, 422, 403, 422, 401, 400]
    assert {r.json()["resourceType"] for r in refused} == {"OperationOutcome"}
    assert callers.http.get(f"{BASE}/metadata").json()["fhirVersion"] == "4.0.1"
