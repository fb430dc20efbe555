"""A release is rolled out under load: expand the schema, then service after service; none is lost.

The stack runs an older release from the history of this repository; then the present one is put in
its place on disk, the schemas are migrated, and each service is ended once, to come back as the
present release while the others are still the older one.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from typing import TYPE_CHECKING, Final

import pytest

from deploy.local.database import service_urls
from deploy.local.home import Home
from deploy.local.keys import make_passwords
from shared.migrate import upgrade
from tests.faults import releases
from tests.faults.nemesis import Nemesis
from tests.faults.run import under_load
from tests.support.stack import SERVICES, Stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.figures import Fault

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.timeout(1800)]

ORDER: Final = ("audit", "notification", "referral", "intake")
"""Those that read come first, those that write last (DECISIONS 5)."""

BETWEEN: Final = 8.0
"""Seconds in which old and new work side by side, after each service."""


async def expand(stack: Stack) -> None:
    """Migrate each schema with the present code, as the job of the chart does."""
    passwords = make_passwords(Home(stack.home).passwords, beside_data=True)
    admin = stack.environment("intake")["DATABASE_URL"]
    for service in SERVICES:
        await upgrade(service, service_urls(admin, service, passwords)["DATABASE_OWNER_URL"])


async def test_a_release_rolled_out_under_load_loses_nothing(tmp_path: Path) -> None:
    old = releases.find_release()
    if old is None:
        pytest.skip("no older release with the same schema line in this repository's history")
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**31) + 1)
    new = releases.git("rev-parse", "HEAD")
    age = releases.git("rev-list", "--count", f"{old}..{new}")
    print(f"\nfrom {old[:9]}, {age} commits ago, to {new[:9]}; to repeat: SEED={seed}", flush=True)
    code = tmp_path / "release"
    releases.check_out(old, code)
    try:
        with Stack(tmp_path / "pashe", code=code) as stack:
            nemesis = Nemesis(stack, [], random.Random(seed), (0, 0))

            async def roll() -> list[Fault]:
                await asyncio.sleep(BETWEEN)
                releases.switch(code, new)
                await expand(stack)
                found = []
                for service in ORDER:
                    found.append(await nemesis.strike("term", service))
                    await asyncio.sleep(BETWEEN)
                return found

            result = await under_load(stack, seed, roll, rate=8, limit=5_000)
    finally:
        releases.remove(code)
    print(result)
    assert not result.verdict.fatal, f"\n{result}"
    assert [fault.part for fault in result.faults if fault.ready_at is not None] == [*ORDER]
