"""Whoever can only write to Kafka forges no history: it is marked, counted, and told of."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from shared.clock import new_event_id
from shared.events import CASES, Draft, encode
from shared.signing import Signer
from shared.vocabulary import Role
from tests.support.centre import facts
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(120)

FLAGS: Final = ("unsigned", "bad-signature", "wrong-owner")


def signer_of(stack: Stack, service: str) -> Signer:
    return Signer(bytes.fromhex((stack.home / "keys" / service / "signing.key").read_text()))


def counted(stack: Stack) -> dict[str, float]:
    """Return how often the history's metric counted each flag."""
    shown = httpx.get(f"{stack.url('audit')}/metrics", timeout=10).text
    found = re.findall(r'^pashe_audit_flags_total\{flag="([a-z-]+)"\} (\S+)', shown, re.MULTILINE)
    return {flag: float(count) for flag, count in found}


async def test_whoever_can_write_to_kafka_forges_no_history(whole_stack: Stack) -> None:
    stack, case_id = whole_stack, str(uuid4())
    before, lines = counted(stack), alarms(stack)

    def event(sequence: int, source: str) -> bytes:
        told = facts(status="closed", needs=[])
        draft = Draft(CASES, "case-updated", case_id, told, (), new_event_id())
        at, actor = datetime.now(UTC), "supervisor:nobody"
        return encode(
            draft, source=source, sequence=sequence, at=at, actor=actor, traceparent=None
        )[1]

    mine, foreign = event(1, "/intake"), event(2, "/intake")
    theirs, good = event(3, "/referral"), event(1, "/intake")
    sent: list[tuple[bytes, bytes | None]] = [
        (mine, None),
        (foreign, Signer(b"x" * 32).header(foreign)),  # a key of one's own
        (theirs, signer_of(stack, "referral").header(theirs)),  # a service that does not own it
        (good, signer_of(stack, "intake").header(good)),  # what only intake's own key can do
    ]
    producer = AIOKafkaProducer(**stack.kafka_login().client())
    await producer.start()
    try:
        for value, signature in sent:
            headers = [("type", b"case-updated"), ("needs", b""), ("sequence", b"1")]
            headers += [("signature", signature)] if signature else []
            await producer.send_and_wait(CASES, value, case_id.encode(), headers=headers)
    finally:
        await producer.stop()

    async def history() -> list[dict[str, Any]] | None:
        async with httpx.AsyncClient(base_url=stack.origin, timeout=10) as http:
            path, auditor = f"/audit/v1/cases/{case_id}/history", stack.bearer(Role.AUDITOR)
            items = (await http.get(path, headers=auditor)).json()["items"]
        mine = [item for item in items if item["stream"] == CASES]
        return mine if len(mine) == len(sent) else None

    found = await eventually(history, 30, "the four entries")
    assert [item["flags"] for item in found] == [
        ["unsigned"],
        ["bad-signature"],
        ["wrong-owner"],
        [],
    ]
    after = counted(stack)
    assert all(after.get(flag, 0) > before.get(flag, 0) for flag in FLAGS)
    await eventually(lambda: alarms(stack) > lines, 10, "an alarm in the log")


def alarms(stack: Stack) -> int:
    return (stack.home / "logs" / "audit.log").read_text().count('"event":"entries-flagged"')
