"""What tests of the desk share: who reports, what its people ask, how a form is filled in."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyotp

from shared.vocabulary import Role
from tests.support.callers import Callers
from tests.support.wait import eventually

if TYPE_CHECKING:
    import httpx
    from playwright.async_api import Page

    from tests.support.stack import Stack

NAME, PHONE, WORDS = "Invented Shirin", "01712345679", "Invented words of a neighbour."
SAVAR, KERANIGANJ = "BD30260072", "BD30260038"
PASSWORD = "an invented pass phrase"


def new_number() -> str:
    """Return a number that nobody else has: a search lists no more than some cases."""
    return f"017{uuid4().int % 10**8:08}"


def report(**more: Any) -> dict[str, Any]:
    """Return what a neighbour tells: invented, and of a place where somebody can help."""
    return {
        "channel": "web",
        "about": "people",
        "persons": [
            {
                "ref": "a",
                "name": NAME,
                "phone": PHONE,
                "age": {"min": 16, "max": 16, "basis": "stated"},
                "sex": "female",
            }
        ],
        "places": [{"role": "now", "pcode": SAVAR}],
        "concerns": ["child_labour"],
        "needs": ["education"],
        "narrative": WORDS,
    } | more


class Room:
    """A whole stack, and what its people may ask of it."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self.stack, self.http = stack, http
        self.desk = stack.bearer(Role.COORDINATOR, subject="c1")

    async def reported(self, **more: Any) -> str:
        """Report somebody without a name of one's own; return the case once it is open."""
        known = {item["case_id"] for item in self.cases()}
        made = self.http.post("/intake/v1/reports", json=report(**more))
        assert made.status_code == 201, made.text

        def look() -> str | None:
            new = [i for i in self.cases() if i["case_id"] not in known and i["facts"]]
            return str(new[-1]["case_id"]) if new else None

        found: str = await eventually(look, 20, "the case")
        return found

    def cases(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        after = None
        while True:
            query = {"limit": 200, **({"after": after} if after else {})}
            page = self.http.get("/intake/v1/cases", params=query, headers=self.desk).json()
            if not page["items"]:
                return items
            items += page["items"]
            after = page["next"]

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query, headers=self.desk)
        assert answer.is_success, answer.text
        return answer.json()

    def case(self, case_id: str) -> dict[str, Any]:
        return dict(self.get(f"/intake/v1/cases/{case_id}"))

    def referrals(self, case_id: str) -> list[dict[str, Any]]:
        return list(self.get("/referral/v1/referrals", case_id=case_id)["items"])

    def tasks(self, case_id: str, role: Role = Role.COORDINATOR) -> set[str]:
        """Return kinds of what waits of a case, as somebody of a role is told."""
        headers = self.desk if role is Role.COORDINATOR else self.stack.bearer(role, subject="s1")
        query: dict[str, str | int] = {"case_id": case_id, "limit": 200}
        found = self.http.get("/intake/v1/tasks", params=query, headers=headers)
        return {task["kind"] for task in found.raise_for_status().json()["items"]}

    async def events(self, case_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind that intake wrote of a case."""
        return await Callers(self.stack, self.http).events(case_id, kind)

    async def with_attachment(self, sha256: str) -> str:
        """Return the case of the report that a file came with."""

        def look() -> str | None:
            for one in reversed(self.cases()):
                path = f"/intake/v1/cases/{one['case_id']}/attachments"
                found = self.http.get(path, headers=self.desk)
                if found.is_success and any(a["sha256"] == sha256 for a in found.json()["items"]):
                    return str(one["case_id"]) if one["facts"] else None
            return None

        found: str = await eventually(look, 20, "the case of the file")
        return found

    async def assigned(self, case_id: str) -> None:
        """Give a case a worker and a supervisor."""
        body = {"worker": "c1", "supervisor": "s1"}
        path = f"/intake/v1/cases/{case_id}/assign"
        assert self.http.post(path, json=body, headers=self.desk).is_success

    async def make_head(self, provider_id: str, subject: str) -> None:
        """Write somebody down as the head of a place of help, as if they had come before."""
        conn = await self.stack.connect("intake")
        try:
            await conn.execute(
                "INSERT INTO provider_teams (worker_id, provider_id, name, subject, role, begins,"
                " invited_by, invited_at, joined_at)"
                " VALUES ($1, $2, $3, $3, 'head', current_date, 'centre', now(), now())",
                uuid4(),
                provider_id,
                subject,
            )
        finally:
            await conn.close()

    async def focal(self, subject: str) -> None:
        """Put somebody on duty as the safeguarding focal person."""
        self.on_duty(f"supervisor:{subject}", "safeguarding_focal_person")

    def on_duty(self, person: str = "coordinator:c1", level: str = "coordinator") -> None:
        """Put somebody on duty: the coordinator, so that tasks have a name."""
        at = datetime.now(UTC)
        entry = {
            "person": person,
            "level": level,
            "begins": at.isoformat(),
            "ends": (at + timedelta(hours=8)).isoformat(),
        }
        headers = self.stack.bearer(Role.SUPERVISOR, subject="s1")
        assert self.http.post("/intake/v1/duty", json=entry, headers=headers).is_success


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Somebody who has an account: what they sign in with."""

    login: str
    phone: pyotp.TOTP
    step: int
    recovery: tuple[str, ...]

    def code(self) -> str:
        """Return the next code of their phone."""
        return self.phone.generate_otp(max(self.step + 1, int(time.time()) // 30))


async def enrol(page: Page, room: Room, role: str) -> Enrolled:
    """Enrol somebody new."""
    login = f"{role}.{uuid4().hex[:8]}"
    await page.goto(room.stack.pashe("sign-in", role, "--name", login).strip())
    shown = re.search(r"<code>([A-Z2-7 ]+)</code>", await page.content())
    assert shown
    phone = pyotp.TOTP(shown[1].replace(" ", ""))
    step = int(time.time()) // 30
    await page.fill('[name="password"]', PASSWORD)
    await page.fill('[name="again"]', PASSWORD)
    await page.fill('[name="code"]', phone.generate_otp(step))
    await page.click("button")
    codes = re.findall(r"<code>([A-Z0-9-]+)</code>", await page.content())
    return Enrolled(login, phone, step, tuple(codes))


async def learned(page: Page, room: Room) -> None:
    """Write down that whoever is signed in passed the module, as an office that taught it does."""
    told = await (await page.request.get(f"{room.stack.origin}/intake/v1/training")).json()
    today = datetime.now(UTC).date().isoformat()
    lines = f"subject,module,passed_on\n{told['subject']},{told['needs']},{today}\n"
    headers = room.stack.bearer(Role.SUPERVISOR, subject="s1") | {"content-type": "text/csv"}
    path = "/intake/v1/training/completions"
    taken = room.http.post(path, content=lines, headers=headers)
    assert taken.json()["taken"] == 1, taken.text


async def sign_in(page: Page, room: Room, role: str) -> None:
    """Enrol as somebody new and sign in, as people do; they know what one must know first."""
    one = await enrol(page, room, role)
    await page.goto(f"{room.stack.origin}/sign-in?next=/desk")
    await page.fill('[name="login"]', one.login)
    await page.fill('[name="password"]', PASSWORD)
    await page.fill('[name="code"]', one.code())
    await page.click("button")
    await page.wait_for_url("**/learning**")
    await learned(page, room)
    await page.goto(f"{room.stack.origin}/sign-in?next=/desk")
    await page.wait_for_url("**/desk**")


async def taught(page: Page, room: Room, one: Enrolled) -> None:
    """Let somebody come in once, pass the module, and go; nothing of it is left in the browser."""
    await page.goto(f"{room.stack.origin}/sign-in?next=/learning")
    await page.fill('[name="login"]', one.login)
    await page.fill('[name="password"]', PASSWORD)
    await page.fill('[name="code"]', one.recovery[0])
    await page.click("button")
    await page.wait_for_url("**/learning**")
    await learned(page, room)
    await page.context.clear_cookies()


async def unfold(page: Page, where: str) -> None:
    """Unfold a form, unless it is the next step and open already."""
    found = page.locator(where)
    if await found.get_attribute("open") is None:
        await found.locator("summary").first.click()


async def send(page: Page, form: str) -> None:
    """Send a form of a page, and wait for the page that follows."""
    async with page.expect_navigation():
        await page.locator(f"#{form} .send .button").first.click()
