"""Kills a writer of the log with SIGKILL at every step of appending and signing, one after another.

Run as a process of its own: each turn forks a writer that dies at its n-th call into the code that
writes, then one that is given the same records again, as Kafka would. Prints what was published and
kept after each death as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.audit.checkpoint import NoteSigner
from services.audit.domain import Signers
from services.audit.outside import NAME, OutsideCheckpoint
from services.audit.service import Ledger
from services.audit.settings import AuditSettings
from services.audit.store import load_head
from shared.database import make_engine
from tests.integration.test_audit import ORIGIN, SIGNERS, Maker
from tests.support.dying import forked

if TYPE_CHECKING:
    from services.audit.domain import Arrival

STEPS = tuple(f"audit{os.sep}{name}.py" for name in ("service", "store", "outside", "keeping"))


def die_at(step: int) -> None:
    """Arrange that this process kills itself at its n-th call into the code that writes."""
    left = [step]

    def look(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.endswith(STEPS):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(look)
    sys.setprofile(look)


async def write(url: str, seed: bytes, state: Path, records: list[Arrival]) -> str | None:
    """Take over, append and sign; return what is published then."""
    signer = NoteSigner(ORIGIN, seed)
    keys = Signers({name: each.public for name, each in SIGNERS.items()})
    outside = OutsideCheckpoint(state, signer.vkey)
    engine = make_engine(url, size=2, name="crash")
    ledger = Ledger(engine, AuditSettings(signer, keys, state), outside)
    await ledger.take_over()
    await ledger.append("k", records)
    await ledger.sign()
    async with engine.connect() as conn:
        published = (await load_head(conn)).checkpoint
    await engine.dispose()
    return published


async def look(url: str) -> str | None:
    """Return what is published."""
    engine = make_engine(url, size=1, name="crash")
    async with engine.connect() as conn:
        published = (await load_head(conn)).checkpoint
    await engine.dispose()
    return published


def lived(step: int, url: str, seed: bytes, state: Path, records: list[Arrival]) -> bool:
    """Write in a fork; say whether it died on the way."""

    def work() -> None:
        if step:
            die_at(step)
        asyncio.run(write(url, seed, state, records))
        os._exit(0)

    return forked(work)


def main() -> None:
    """Go on until a writer lives to its end."""
    told = json.loads(sys.argv[1])
    url, seed, state = told["url"], bytes.fromhex(told["seed"]), Path(told["state"])
    maker, step, died = Maker(), 0, True
    while died:
        step += 1
        records = [maker.event(f"case {step}", n) for n in (1, 2, 3)]
        died = lived(step, url, seed, state, records)
        kept = state / NAME
        notes = [asyncio.run(look(url)), kept.read_text("utf-8") if kept.exists() else None]
        print(json.dumps({"step": step, "died": died, "notes": notes}), flush=True)
        lived(0, url, seed, state, records)


if __name__ == "__main__":
    main()
