"""Debian's Prometheus on a running stack: a fault fires its alert, and no other that pages.

The same stack shows which traces are kept, and that a collector which hangs holds no stop.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.database import make_engine
from shared.events import CASES, CaseFacts, Draft
from shared.outbox import Outbox, Stamp
from shared.signing import Signer
from shared.vocabulary import Role
from tests.support.callers import report
from tests.support.prometheus import Prometheus, quicken, watching
from tests.support.queries import queries
from tests.support.receiver import Received, Receiver, in_thread
from tests.support.stack import SERVICES, Stack, gone
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

POISON = "fe\0male"
"""A word that PostgreSQL takes into no document: whoever stores the case cannot."""


@dataclass(slots=True)
class Watched:
    """A stack, the Prometheus that watches it, and the collector of its traces."""

    stack: Stack
    prometheus: Prometheus
    collector: Receiver

    async def fires(self, wanted: str, within: float = 120) -> None:
        """Wait for an alert; nothing else that pages fires by then, nor in a while after."""

        def look() -> bool:
            firing = self.prometheus.firing()
            others = [n for n, how in firing.items() if how == "page" and n != wanted]
            if others:
                pytest.fail(f"{others} fire for {wanted}")
            return wanted in firing

        await eventually(look, within, wanted, every=1.0)

    async def is_calm(self, within: float = 120) -> None:
        """Wait until nothing that pages fires."""

        def look() -> bool:
            firing = self.prometheus.firing()
            assert "page" not in firing.values(), firing
            return True

        await eventually(look, within, "calm", every=1.0)

    async def report(self, **more: Any) -> tuple[str, str]:
        """Send a report in a trace that is not sampled; return its case and trace."""
        trace = uuid4().hex
        headers = self.stack.bearer(Role.PARTNER, "partner-x") | {
            "idempotency-key": str(uuid4()),
            "traceparent": f"00-{trace}-{uuid4().hex[:16]}-00",
        }
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.post(
                f"{self.stack.url('intake')}/intake/v1/reports",
                json=report(**more),
                headers=headers,
            )
        assert answer.status_code == 201, answer.text
        return answer.json()["case_ids"][0], trace


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("alerts")
    with in_thread(Receiver()) as collector:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER_ARG": "0.0",
        }
        with Stack(folder / "home", env=env) as stack:
            roster(stack)
            with watching(stack, folder) as prometheus:
                yield Watched(stack, prometheus, collector)


def roster(stack: Stack) -> None:
    """Put a coordinator and a supervisor on duty."""
    at = datetime.now(UTC)
    for level in ("coordinator", "supervisor"):
        answer = httpx.post(
            f"{stack.url('intake')}/intake/v1/duty",
            json={
                "person": f"{level}-example",
                "level": level,
                "begins": (at - timedelta(hours=1)).isoformat(),
                "ends": (at + timedelta(hours=9)).isoformat(),
            },
            headers=stack.bearer(Role.SUPERVISOR, subject="s1") | {"idempotency-key": str(uuid4())},
            timeout=30,
        )
        assert answer.is_success, answer.text


async def test_nothing_fires_while_all_is_well(watched: Watched) -> None:
    def up() -> bool:
        return len(watched.prometheus.ask('up{job="pashe"} == 1')) == len(SERVICES)

    await eventually(up, 60, "four targets")
    await watched.report()
    await watched.is_calm()
    groups = watched.prometheus.get("rules")["groups"]
    assert sum(len(group["rules"]) for group in groups) > 40
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}


async def test_every_question_of_the_dashboards_is_answered(watched: Watched) -> None:
    silent = set()
    for where, query in queries().items():
        if not watched.prometheus.ask(query) and " unless " not in query:
            silent.add(where)
    # what only speaks once something was counted: an erasure, an SMS, a withheld notice …
    assert len(silent) < len(queries()) / 3, silent


async def test_a_frozen_notifier_fires_that_a_process_is_down(watched: Watched) -> None:
    pid = watched.stack.pid("notification")
    os.kill(pid, signal.SIGSTOP)
    try:
        await watched.fires("ProcessDown")
    finally:
        os.kill(pid, signal.SIGCONT)
    await watched.is_calm()


async def test_a_poisoned_rule_fires_that_something_is_parked(watched: Watched) -> None:
    case_id = await poison(watched.stack)
    conn = await watched.stack.connect("referral")
    try:

        async def parked() -> bool:
            row = await conn.fetchrow(
                "SELECT consumer, reason FROM parked WHERE key = $1 AND state = 'waiting'",
                case_id.encode(),
            )
            return row is not None

        await eventually(parked, 60, "the rule to park it")
        moved = await conn.execute(
            "UPDATE parked SET parked_at = parked_at - interval '20 minutes' WHERE key = $1",
            case_id.encode(),
        )
        assert not moved.endswith(" 0")
        await watched.fires("ReportsParked")
    finally:
        await conn.close()
        for service in SERVICES[:3]:
            await dismiss(watched.stack, service, case_id)
    await watched.is_calm()


async def dismiss(stack: Stack, service: str, case_id: str) -> None:
    conn = await stack.connect(service)
    try:
        await conn.execute("UPDATE parked SET state = 'dismissed' WHERE key = $1", case_id.encode())
    finally:
        await conn.close()


async def poison(stack: Stack) -> str:
    """Let intake say of a case what no rule of referral can store."""
    case_id = str(uuid4())
    facts = CaseFacts(
        report_id=uuid4(), channel="partner", sex=POISON, needs=["education"], urgency="T3"
    )
    seed = (stack.home / "keys" / "intake" / "signing.key").read_text().strip()
    engine = make_engine(stack.environment("intake")["DATABASE_URL"], size=1, name="trial")
    outbox = Outbox("intake", Signer(bytes.fromhex(seed)))
    draft = Draft(CASES, "case-created", case_id, facts, ("education",))
    try:
        async with engine.begin() as conn:
            await outbox.append(conn, [(draft, Stamp(datetime.now(UTC), "service:intake.trial"))])
    finally:
        await engine.dispose()
    return case_id


async def test_a_full_outbox_fires_that_it_is_stuck(watched: Watched) -> None:
    login = watched.stack.kafka_login()
    admin = AdminClient(
        {
            "bootstrap.servers": login.bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": login.username,
            "sasl.password": login.password,
        }
    )
    what = (ResourceType.TOPIC, "submissions", ResourcePatternType.LITERAL, "User:intake", "*")
    right = (AclOperation.WRITE, AclPermissionType.ALLOW)
    for ended in admin.delete_acls([AclBindingFilter(*what, *right)]).values():
        assert ended.result(20)
    try:
        await watched.report()
        await watched.fires("OutboxStuck", 180)
    finally:
        for made in admin.create_acls([AclBinding(*what, *right)]).values():
            made.result(20)
    await watched.is_calm()


def spans(collector: Receiver) -> list[tuple[str, str, str]]:
    """Return trace, service and name of each span that came."""
    found = []
    for request in list(collector.received):
        decoded = ExportTraceServiceRequest.FromString(request.body)
        for resource in decoded.resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            found += [
                (span.trace_id.hex(), names["service.name"], span.name)
                for scope in resource.scope_spans
                for span in scope.spans
            ]
    return found


async def test_danger_now_is_traced_whatever_is_sampled(watched: Watched) -> None:
    _, ordinary = await watched.report()
    _, danger = await watched.report(danger_now=True, needs=["medical"])

    def traced() -> bool:
        mine = {
            (service, name) for trace, service, name in spans(watched.collector) if trace == danger
        }
        assert ("pashe-intake", "intake.opener report-submitted") in mine
        assert any(service == "pashe-referral" for service, _ in mine)
        assert ("pashe-audit", "audit case-created") in mine
        return True

    await eventually(traced, 60, "the trace")
    assert not [one for one in spans(watched.collector) if one[0] == ordinary]


async def test_a_collector_that_hangs_holds_no_stop(watched: Watched) -> None:
    """Last of the file: it ends a service, which is started again."""

    over = threading.Event()

    def hang(_: Received) -> int:
        over.wait(5)  # longer than a span may take
        return 200

    watched.collector.answer = hang
    try:
        for _ in range(5):
            await watched.report(danger_now=True)
        pid = watched.stack.pid("intake")
        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        assert await gone(pid, 30)
        took = time.monotonic() - began
    finally:
        over.set()
    assert took < 15, took


def test_the_rules_are_only_quicker() -> None:
    told = "for: 10m\nexpr: max(pashe_t0_unseen_seconds) > 900 and rate(x[30m]) > 14.4 * 0.001"
    quick = "for: 100s\nexpr: max(pashe_t0_unseen_seconds) > 150 and rate(x[300s]) > 14.4 * 0.001"
    assert quicken(told) == quick
