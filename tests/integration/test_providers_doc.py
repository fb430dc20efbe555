"""Every example of docs/providers.md is run as it stands there, in its order, on a whole stack."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from shared.vocabulary import Role
from tests.integration.test_readme import SHELTER, a_planned_referral
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
DOC = (ROOT / "docs" / "providers.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)
WORKER = "01712000043"

SHOWN = [
    ("python keys.py", ""),
    ("python sign_in.py", ""),
    ("AUTH=", ""),
    ("state=assigned", '"items":['),
    ("Last-Event-ID", "event: referral-assigned"),
    ("/accept", '"provider_reference":"A-17"'),
    ("/contact", '"state":"accepted"'),
    ("/deliver", '"state":"delivered"'),
    ("/decline", '"state":"declined"'),
    ("/capacity", '"places_free":4'),
    ("status=requested", '"resourceType":"Bundle"'),
    ("If-Match", '"status":"accepted"'),
    ("LINK", "<html"),
    ("telerivet", '"messages":['),
]
"""What each example is known by, and what it prints."""

FRESH = ("/accept", "/decline", "If-Match", "LINK", "telerivet")
"""Examples that answer an offer: each of them needs one of its own."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programmer's files are: keys and the token of the first examples."""
    return tmp_path_factory.mktemp("programmer")


@pytest.fixture(scope="module")
def current() -> dict[str, str]:
    """The referral that the examples speak of at present."""
    return {}


class World:
    """The desk's side of what the examples suppose."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        self.stack, self.http = stack, http

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        desk = self.stack.bearer(Role.COORDINATOR)
        answer = await self.http.request(method, path, json=body, headers=desk)
        return answer.raise_for_status().json()

    async def offer(self) -> str:
        found = await self.call("GET", f"/referral/v1/offers?provider_id={SHELTER}&need=shelter")
        return str(found["items"][0]["offer_id"])

    async def offered(self) -> str:
        """Return a referral that was released to the shelter of the examples."""
        referral_id = await a_planned_referral(self.stack)
        path = f"/referral/v1/referrals/{referral_id}/release"
        await self.call("POST", path, {"offer_id": await self.offer()})
        return referral_id

    async def fill(self, script: str, referral_id: str) -> str:
        """Put what this stack has in place of what the examples leave open."""
        path = f"/referral/v1/referrals/{referral_id}"
        if "OFFER_ID" in script:
            script = script.replace("OFFER_ID", await self.offer())
        if "LINK" in script:
            made = await self.call("POST", f"{path}/link")
            script = script.replace("LINK", str(made["url"]))
        if "CODE" in script:
            numbers = {"numbers": [WORKER]}
            await self.call("PUT", f"/intake/v1/contacts/providers/{SHELTER}", numbers)
            await eventually(lambda: self.is_asked(referral_id), 20, "who answers by SMS is known")
            script = script.replace("CODE", (await self.call("GET", path))["answer_code"])
        script = script.replace("REFERRAL_ID", referral_id)
        return script.replace("http://127.0.0.1:8000", self.stack.origin)

    async def is_asked(self, referral_id: str) -> bool:
        """Say whether the SMS channel knows by now that the referral waits for an answer."""
        conn = await self.stack.connect("intake")
        try:
            sql = "SELECT 1 FROM case_referrals WHERE referral_id = $1 AND state = 'assigned'"
            return await conn.fetchval(sql, UUID(referral_id)) is not None
        finally:
            await conn.close()

    async def state(self, referral_id: str) -> str:
        return str((await self.call("GET", f"/referral/v1/referrals/{referral_id}"))["state"])


def run(stack: Stack, folder: Path, script: str) -> str:
    """Run an example where the programmer works, a stream for three seconds."""
    script = script.replace("curl -N", "curl -N -s --max-time 3")
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PASHE_HOME": str(stack.home), "PASHE_PORT": str(stack.port)}
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 28), done.stderr  # 28: curl's own limit of a stream
    return done.stdout.replace('": ', '":')


def test_each_example_of_the_doc_is_known() -> None:
    assert len(BLOCKS) == len(SHOWN)
    for block, (mark, _) in zip(BLOCKS, SHOWN, strict=True):
        assert mark in block


@pytest.mark.parametrize("number", range(len(SHOWN)))
async def test_each_example_does_what_the_doc_says(
    whole_stack: Stack, folder: Path, current: dict[str, str], number: int
) -> None:
    mark, expected = SHOWN[number]
    async with httpx.AsyncClient(base_url=whole_stack.origin, timeout=30) as http:
        world = World(whole_stack, http)
        if mark in FRESH or "id" not in current:
            current["id"] = await world.offered()
        script = await world.fill(BLOCKS[number], current["id"])
        if number > 2:
            script = BLOCKS[2].replace("http://127.0.0.1:8000", whole_stack.origin) + script

        async def works() -> bool:
            return expected in run(whole_stack, folder, script)

        await eventually(works, 30, expected or mark)
        if mark in ("LINK", "telerivet"):

            async def accepted() -> bool:
                return await world.state(current["id"]) == "accepted"

            await eventually(accepted, 30, "the answer")
