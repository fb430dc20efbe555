"""Those who call a whole stack: a partner, the desk, whichever provider is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    import httpx

    from tests.support.stack import Stack

NAME, REPORTER, STORY, ALLEGED = "Invented Rina", "Invented Karim", "invented words", "Invented X"
PHONE = "01712345678"
WORDS = "a made-up support"


def report(**more: Any) -> dict[str, Any]:
    agreed = {
        "person": "a",
        "given_by": "person",
        "basis": "consent",
        "allows": ["refer", "share_identity"],
    }
    return {
        "channel": "partner",
        "reporter": {"kind": "neighbour", "name": REPORTER, "phone": "01812345678"},
        "persons": [
            {
                "ref": "a",
                "name": NAME,
                "phone": PHONE,
                "age": {"min": 16, "max": 16},
                "sex": "male",
                "relation_to_reporter": "niece",
                "support": ["sign_language", WORDS],
                "safe_contact": {"allowed": True, "channel": "sms", "number": PHONE},
            }
        ],
        "alleged": [{"relation": "employer", "name": ALLEGED}],
        "places": [{"role": "now", "pcode": "BD30260038", "text": STORY}],
        "concerns": ["child_labour"],
        "needs": ["education"],
        "narrative": STORY,
        "consent": [agreed],
    } | more


class Callers:
    """Callers of a stack: a partner, the desk, and whichever provider is named."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self.stack = stack
        self.http = http
        self.desk = stack.bearer(Role.COORDINATOR, subject="c1")

    def provider(self, org: str) -> dict[str, str]:
        return self.stack.bearer(Role.PROVIDER_WORKER, org, subject="w1")

    async def assigned(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send a report and return its one referral once it is with a provider."""
        headers = self.stack.bearer(Role.PARTNER, "partner-x") | {"idempotency-key": str(uuid4())}
        made = self.http.post("/intake/v1/reports", json=body, headers=headers)
        (case_id,) = made.json()["case_ids"]

        def look() -> dict[str, Any] | None:
            found = self.http.get(
                "/referral/v1/referrals", params={"case_id": case_id}, headers=self.desk
            ).json()["items"]
            return found[0] if found and found[0]["state"] == "assigned" else None

        found: dict[str, Any] = await eventually(look, 20, "the referral")
        return found

    def disclose(self, referral: dict[str, Any], org: str | None = None) -> httpx.Response:
        path = f"/intake/v1/disclosures/{referral['referral_id']}"
        return self.http.get(path, headers=self.provider(org or referral["provider_id"]))

    async def accepted(self, referral: dict[str, Any]) -> dict[str, Any]:
        """Accept a referral and return what its provider is told."""
        self.act(referral, "accept")

        def look() -> dict[str, Any] | None:
            answer = self.disclose(referral)
            return answer.json() if answer.status_code == 200 else None

        found: dict[str, Any] = await eventually(look, 20, "the disclosure")
        return found

    def act(self, referral: dict[str, Any], verb: str, body: object = None) -> None:
        answer = self.http.post(
            f"/referral/v1/referrals/{referral['referral_id']}/{verb}",
            json={} if body is None else body,
            headers=self.provider(referral["provider_id"]),
        )
        assert answer.is_success, answer.text

    async def until(self, referral: dict[str, Any], state: str) -> dict[str, Any]:
        """Wait for a referral to be in a state, and return it as the desk sees it."""
        path = f"/referral/v1/referrals/{referral['referral_id']}"

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.http.get(path, headers=self.desk).json()
            return found if found["state"] == state else None

        found: dict[str, Any] = await eventually(look, 20, f"the referral to be {state}")
        return found

    async def events(self, case_id: str, kind: str) -> list[dict[str, Any]]:
        conn = await self.stack.connect("intake")
        try:
            rows = await conn.fetch(
                "SELECT value FROM outbox WHERE key = $1 AND type = $2 ORDER BY id",
                case_id.encode(),
                kind,
            )
        finally:
            await conn.close()
        return [json.loads(row["value"]) for row in rows]
