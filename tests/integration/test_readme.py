"""Every command that the README shows is run as it stands there, against a running stack."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
EXAMPLES = [block for block in BLOCKS if "curl" in block or "pashe" in block]
SHELTER = "example-shelter-keraniganj"


def shell(stack: Stack, script: str, within: float = 60) -> str:
    """Run a block with the addresses of this stack in place of the default ones."""
    script = script.replace("http://127.0.0.1:8000", stack.origin).replace(
        "curl -N", "curl -N --max-time 3"
    )
    env = {**os.environ, "PASHE_HOME": str(stack.home), "PASHE_PORT": str(stack.port)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert done.returncode in (0, 28), done.stderr  # 28: curl's own time limit on a stream
    return done.stdout


async def a_planned_referral(stack: Stack) -> str:
    """Report what a person must release, and return the referral's id."""
    body = {
        "channel": "partner",
        "about": "people",
        "persons": [{"ref": "a", "age": {"min": 15, "max": 15}, "sex": "female"}],
        "places": [{"role": "now", "pcode": "BD30260038"}],
        "needs": ["shelter"],
    }
    async with httpx.AsyncClient(base_url=stack.origin) as http:
        made = await http.post(
            "/intake/v1/reports", json=body, headers=stack.bearer(Role.PARTNER, "example-partner")
        )
        case_id = str(made.raise_for_status().json()["case_ids"][0])

        async def planned() -> str | None:
            found = await http.get(
                "/referral/v1/referrals",
                params={"case_id": case_id},
                headers=stack.bearer(Role.COORDINATOR),
            )
            items = found.raise_for_status().json()["items"]
            return str(items[0]["referral_id"]) if items else None

        return str(await eventually(planned, within=20, what="a planned referral"))


def test_the_readme_shows_the_two_commands_and_its_examples() -> None:
    assert "make run" in BLOCKS[0]
    assert "make test" in BLOCKS[0]
    assert len(EXAMPLES) == 6


@pytest.mark.parametrize("number", range(6))
async def test_each_example_of_the_readme_does_what_it_says(
    whole_stack: Stack, number: int
) -> None:
    script = EXAMPLES[number]
    if "REFERRAL_ID" in script:
        referral_id = await a_planned_referral(whole_stack)
        if "accept" in script:
            token = whole_stack.bearer(Role.COORDINATOR)
            path = f"/referral/v1/referrals/{referral_id}/release"
            async with httpx.AsyncClient() as http:
                released = await http.post(whole_stack.origin + path, json={}, headers=token)
                released.raise_for_status()
        script = script.replace("REFERRAL_ID", referral_id)
    printed = shell(whole_stack, script)
    expected = [
        "receipt",
        "END Received. Number: ",
        '"state":"accepted"',
        '"state":"assigned"',
        "history holds",
        "Consumer lag",
    ]
    assert expected[number] in printed.replace('": "', '":"'), printed


def test_the_answer_to_a_report_is_what_the_readme_says(whole_stack: Stack) -> None:
    answer = json.loads(shell(whole_stack, EXAMPLES[0]))
    assert len(answer["receipt"].replace(" ", "")) == 16
    assert len(answer["words"]) == 6
