"""The interface of intake as people of a centre use it: reports, steps of a case, tasks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    import httpx

    from tests.support.stack import Stack


class Desk:
    """The interface as people of a centre use it."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self.stack = stack
        self.http = http
        self.coordinator = stack.bearer(Role.COORDINATOR, subject="c1")
        self.supervisor = stack.bearer(Role.SUPERVISOR, subject="s1")
        self.focal = stack.bearer(Role.SUPERVISOR, subject="focal")
        self.operator = stack.bearer(Role.OPERATOR, subject="o1")

    def get(self, path: str, by: dict[str, str] | None = None, **query: Any) -> Any:
        answer = self.http.get(f"/intake/v1{path}", params=query, headers=by or self.coordinator)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(
        self, path: str, body: object = None, *, by: dict[str, str] | None = None
    ) -> httpx.Response:
        return self.http.post(f"/intake/v1{path}", json=body or {}, headers=by or self.coordinator)

    def done(self, case_id: str, step: str, body: object = None, **how: Any) -> dict[str, Any]:
        answer = self.post(f"/cases/{case_id}/{step}", body, **how)
        assert answer.status_code in (200, 201), (step, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def refused(self, case_id: str, step: str, body: object = None, **how: Any) -> dict[str, Any]:
        answer = self.post(f"/cases/{case_id}/{step}", body, **how)
        assert answer.status_code in (403, 404, 409, 412, 422), (step, answer.status_code)
        found: dict[str, Any] = answer.json()
        return found

    async def report(self, by: dict[str, str] | None = None, **body: Any) -> tuple[str, str]:
        """Report as an operator, or as somebody; return the case's id and the receipt."""
        answer = self.http.post(
            "/intake/v1/reports",
            json={"channel": "helpline"} | body,
            headers=self.operator if by is None else by,
        )
        made = answer.raise_for_status().json()
        case_id = made["case_ids"][0]
        await eventually(lambda: self.get(f"/cases/{case_id}")["facts"], 30, "the case")
        return case_id, made["receipt"]

    async def text(self, words: str, number: str | None = None) -> tuple[str, str]:
        """Send an SMS that opens a case; return the case's id and the number."""
        number = number or f"+88017{uuid4().int % 10**8:08d}"
        letters = "".join(chr(ord("a") + int(c, 16)) for c in uuid4().hex)
        mark = f"{letters}1"  # an id that holds no number, and is no word
        form = {"from": number, "text": words, "id": mark}
        self.http.post("/intake/channels/sms/external", data=form).raise_for_status()

        def look() -> str | None:
            after = None
            while page := self.get("/submissions", channel="sms", limit=200, **_after(after)):
                for item in page["items"]:
                    if item["message_id"] == mark and item["state"] != "received":
                        return str(item["case_id"])
                if not page["items"]:
                    return None
                after = page["next"]
            return None

        return await eventually(look, 30, "the text to be read"), number

    def facts(self, case_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/cases/{case_id}")["facts"]
        return found

    def tasks(self, case_id: str, by: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
        return {t["kind"]: t for t in self.get("/tasks", by, case_id=case_id)["items"]}

    def work(self, case_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/cases/{case_id}/work")
        return found

    def put_on_duty(self, person: str, **entry: Any) -> None:
        """Enter somebody into the roster for today; whoever was entered first is paged first."""
        at = datetime.now(UTC)
        times = {
            "begins": (at - timedelta(hours=1)).isoformat(),
            "ends": (at + timedelta(hours=9)).isoformat(),
        }
        body = {"person": person, "level": "coordinator"} | times | entry
        answer = self.post("/duty", body, by=self.supervisor)
        assert answer.status_code == 201, answer.text

    def texts(self, number: str) -> list[str]:
        """Return what was sent to a number by SMS."""
        file = self.stack.home / "sms" / "sms.jsonl"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return [m["text"] for line in lines if (m := json.loads(line))["number"] == number]

    def status(self, receipt: str) -> bytes:
        answer = self.http.post("/intake/v1/receipts/status", json={"receipt": receipt})
        assert answer.status_code == 200
        return answer.content

    async def settle(self, case_id: str) -> None:
        """Wait until each need has a referral, and take them all back, as nobody serves here."""
        needs = set(self.facts(case_id)["needs"])
        await eventually(
            lambda: needs <= {r["need"] for r in self.referrals(case_id)}, 60, "referrals"
        )
        for referral in self.referrals(case_id):
            path = f"/referral/v1/referrals/{referral['referral_id']}/withdraw"
            self.http.post(path, json={"reason": "duplicate"}, headers=self.coordinator)

    def referrals(self, case_id: str) -> list[dict[str, Any]]:
        answer = self.http.get(
            "/referral/v1/referrals", params={"case_id": case_id}, headers=self.coordinator
        )
        found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return found


def _after(cursor: str | None) -> dict[str, Any]:
    return {} if cursor is None else {"after": cursor}
