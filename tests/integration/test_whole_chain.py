"""One report through all four services: once, in one trace, in order, provable, and nameless."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.events import ACCESSES, STREAMS
from shared.kafka import PARTITIONS
from shared.vocabulary import Role
from tests.support.receiver import Received, Receiver
from tests.support.stack import SERVICES, Stack
from tests.support.transparency import open_checkpoint, root_from
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME, PHONE, STORY = "Canaryrina Begumtest", "01799123456", "canarystory by the old bridge"
CANARIES = (NAME, NAME.split(maxsplit=1)[0], PHONE, PHONE[1:], STORY, "canarystory")
TRACE = uuid4().hex
PARENT = f"00-{TRACE}-{uuid4().hex[:16]}-01"

WAY = {
    ("intake", "intake POST"),
    ("intake", "intake.relay submissions"),
    ("intake", "intake.opener batch"),
    ("intake", "intake.opener report-submitted"),
    ("intake", "intake.relay cases"),
    ("referral", "referral.rule.education batch"),
    ("referral", "referral.rule.education case-created"),
    ("referral", "referral.relay referrals"),
    ("notification", "notification.webhook send"),
    ("notification", "notification.relay notices"),
    ("audit", "audit batch"),
    ("audit", "audit report-submitted"),
    ("audit", "audit case-created"),
    ("audit", "audit referral-assigned"),
    ("audit", "audit notice-delivered"),
}
"""Service and name of spans that the way of one report has, from the channel to the history."""


def report() -> dict[str, Any]:
    return {
        "channel": "partner",
        "reporter": {"kind": "partner_worker", "name": NAME, "phone": PHONE},
        "persons": [
            {"ref": "a", "name": NAME, "phone": PHONE, "age": {"min": 16, "max": 16}, "sex": "male"}
        ],
        "alleged": [{"relation": "employer", "name": NAME}],
        "places": [{"role": "now", "pcode": "BD30260038", "text": STORY, "site": STORY}],
        "concerns": ["child_labour"],
        "needs": ["education"],
        "narrative": f"{STORY} {PHONE}",
        "consent": [
            {
                "person": "a",
                "given_by": "person",
                "basis": "consent",
                "witness": NAME,
                "allows": ["refer"],
            }
        ],
    }


@dataclass(slots=True)
class World:
    """A running stack with a collector, a webhook receiver, and one client of the origin."""

    stack: Stack
    http: httpx.AsyncClient
    collector: Receiver
    hook: Receiver
    stream: list[dict[str, Any]] = field(default_factory=list)

    async def get(self, path: str, role: Role, org: str | None = None, **query: Any) -> Any:
        answer = await self.http.get(path, params=query, headers=self.stack.bearer(role, org))
        assert answer.is_success, answer.text
        return answer.json()

    async def post(self, path: str, role: Role, body: Any, org: str | None = None) -> Any:
        headers = self.stack.bearer(role, org) | {
            "idempotency-key": str(uuid4()),
            "traceparent": PARENT,
        }
        answer = await self.http.post(path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    async def listen(self, provider: str) -> None:
        """Keep what the provider's stream says."""
        headers = self.stack.bearer(Role.PROVIDER_SYSTEM, provider) | {"last-event-id": "0"}
        path = "/referral/v1/referrals/stream"
        async with self.http.stream("GET", path, headers=headers, timeout=None) as lines:
            async for line in lines.aiter_lines():
                if line.startswith("data:"):
                    self.stream.append(json.loads(line[5:]))


@asynccontextmanager
async def world(stack: Stack, collector: Receiver) -> AsyncIterator[World]:
    async with Receiver() as hook, httpx.AsyncClient(base_url=stack.origin, timeout=20) as http:
        yield World(stack, http, collector, hook)


async def provider_of(here: World) -> str:
    """Send a like report first and see to whom it goes."""
    body = {k: v for k, v in report().items() if k not in ("reporter", "narrative", "alleged")}
    case_id = (await here.post("/intake/v1/reports", Role.PARTNER, body, "p"))["case_ids"][0]

    async def look() -> str | None:
        found = await here.get("/referral/v1/referrals", Role.COORDINATOR, case_id=case_id)
        return found["items"][0]["provider_id"] if found["items"] else None

    return str(await eventually(look, 20, "a referral"))


async def history(here: World, case_id: str) -> list[dict[str, Any]]:
    found = await here.get(f"/audit/v1/cases/{case_id}/history", Role.AUDITOR)
    return [line for line in found["items"] if line["stream"] != ACCESSES]


async def records(here: World) -> list[Any]:
    """Read every record of every stream from its beginning."""
    places = [TopicPartition(t, p) for t in STREAMS for p in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(**here.stack.kafka_login().client(), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[Any] = []
        while any([await consumer.position(p) < ends[p] for p in places if ends[p]]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += batch
        return found
    finally:
        await consumer.stop()


def spans(collector: Receiver) -> dict[str, list[tuple[str, str]]]:
    """Return service and name of each span by trace id, of the traces it is linked to as well."""
    found = defaultdict(list)
    for request in collector.received:
        if request.path != "/v1/traces":
            continue
        decoded = ExportTraceServiceRequest.FromString(request.body)
        for resource in decoded.resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    traces = {span.trace_id, *(link.trace_id for link in span.links)}
                    for trace in traces:
                        found[trace.hex()].append((names["service.name"], span.name))
    return found


async def check_proofs(here: World, case_id: str) -> None:
    """Every entry of the case stands in the log that the checkpoint signs."""
    vkey = (await here.http.get("/audit/log/key")).text
    for line in await history(here, case_id):

        async def covered(index: int = line["index"]) -> bool:
            note = (await here.http.get("/audit/log/checkpoint")).text
            return open_checkpoint(note, vkey).size > index

        await eventually(covered, 15, "a checkpoint over the entry")
        note = (await here.http.get("/audit/log/checkpoint")).text
        checkpoint = open_checkpoint(note, vkey)
        proof = await here.get(
            "/audit/v1/proofs/inclusion",
            Role.AUDITOR,
            index=line["index"],
            size=checkpoint.size,
        )
        path = [bytes.fromhex(h) for h in proof["hashes"]]
        leaf = bytes.fromhex(line["leaf_hash"])
        assert root_from(line["index"], checkpoint.size, leaf, path) == checkpoint.root


def nameless(text: bytes | str, where: str) -> None:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    for canary in CANARIES:
        assert canary.lower() not in plain.lower(), f"{canary} in {where}"


async def check_nameless(here: World, log: list[Any]) -> None:
    for record in log:
        for part in (record.key, record.value, *(v for _, v in record.headers)):
            nameless(part or b"", f"{record.topic} {record.offset}")
    for path in here.stack.logs():
        nameless(path.read_bytes(), path.name)
    for request in (*here.collector.received, *here.hook.received):
        nameless(request.body, request.path)
    for service in SERVICES:
        nameless((await here.http.get(f"{here.stack.url(service)}/metrics")).text, service)
    for event in here.stream:
        nameless(json.dumps(event), "the stream")


def check_order(log: list[Any], case_id: str) -> dict[str, list[str]]:
    """Each stream holds the case's events with sequences 1 to n; return their types by stream."""
    found: dict[str, list[str]] = {}
    for stream in STREAMS:
        if stream == ACCESSES:  # reading the history is an event as well
            continue
        mine = [r for r in log if r.topic == stream and r.key == case_id.encode()]
        events = {json.loads(r.value)["id"]: json.loads(r.value) for r in mine}
        sequences = [int(event["sequence"]) for event in events.values()]
        assert sequences == list(range(1, len(sequences) + 1)), stream
        found[stream] = [event["type"] for event in events.values()]
    return found


@pytest.mark.timeout(240)
async def test_one_report_goes_through_all_four_services_once_in_one_trace(
    whole_stack: Stack, collector: Receiver
) -> None:
    async with world(whole_stack, collector) as here, asyncio.TaskGroup() as group:
        provider = await provider_of(here)
        await here.post(
            "/notification/v1/subscriptions",
            Role.PROVIDER_SYSTEM,
            {"url": f"{here.hook.url}/hook", "types": ["referral-assigned", "service-delivered"]},
            provider,
        )
        listening = group.create_task(here.listen(provider))

        told = await here.post("/intake/v1/reports", Role.PARTNER, report(), "p")
        (case_id,) = told["case_ids"]

        def heard(kind: str) -> dict[str, Any] | None:
            mine = [e for e in here.stream if e["referral"]["case_id"] == case_id]
            return next((e for e in mine if e["type"] == kind), None)

        assigned = await eventually(lambda: heard("referral-assigned"), 20, "the assignment")
        assert assigned is not None
        referral = assigned["referral"]["referral_id"]
        for verb in ("accept", "start", "deliver"):
            body = {"how_much": "all"} if verb == "deliver" else {}
            path = f"/referral/v1/referrals/{referral}/{verb}"
            await here.post(path, Role.PROVIDER_SYSTEM, body, provider)
        await eventually(lambda: heard("service-delivered"), 20, "the delivery in the stream")

        def hooked() -> list[Received]:
            return [r for r in here.hook.received if referral.encode() in r.body]

        await eventually(lambda: len(hooked()) >= 2, 20, "both webhooks")
        await eventually(
            lambda: _all_told(here, case_id), 20, "all notices and the review in the history"
        )

        log = await records(here)
        first = next(r for r in log if (r.topic, r.key) == ("submissions", case_id.encode()))
        claims = told["signed_receipt"].split(".")[1]
        receipt = json.loads(base64.urlsafe_b64decode(claims + "=="))
        assert receipt["event"] == json.loads(first.value)["id"], "the receipt is provable"
        by_stream = check_order(log, case_id)
        assert by_stream["submissions"] == ["report-submitted"]
        assert by_stream["cases"][0] == "case-created"
        assert sorted(by_stream["cases"][1:]) == [
            "case-updated",  # it is due for review
            "person-data-read",  # notification asked whether the person may be told
            "person-data-read",
        ]
        assert by_stream["referrals"] == [
            "referral-planned",
            "referral-released",
            "referral-assigned",
            "referral-accepted",
            "service-started",
            "service-delivered",
        ]
        assert Counter(by_stream["notices"]) == {"notice-delivered": 2, "notice-withheld": 4}
        lines = await history(here, case_id)
        assert sorted(line["type"] for line in lines) == sorted(
            kind for kinds in by_stream.values() for kind in kinds
        )
        order = [line["type"] for line in sorted(lines, key=lambda x: x["index"])]
        for kinds in by_stream.values():  # what is promised is the order of a case in each stream
            assert [kind for kind in order if kind in kinds] == kinds
        assert len({r.headers["webhook-id"] for r in hooked()}) == len(hooked()) == 2

        for record in log:
            if record.key == case_id.encode() and record.topic != ACCESSES:
                event = json.loads(record.value)
                assert event["traceparent"].split("-")[1] == TRACE, event["type"]

        def traced() -> bool:
            mine = {
                (service.removeprefix("pashe-"), name)
                for service, name in spans(here.collector)[TRACE]
            }
            assert mine >= WAY, WAY - mine
            return True

        await eventually(traced, 15, "the whole way in the one trace")
        await check_proofs(here, case_id)
        await check_nameless(here, log)
        await asyncio.to_thread(here.stack.pashe, "audit", "verify")
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def _all_told(here: World, case_id: str) -> bool:
    """Say whether all is over: both webhooks, no SMS to anybody, and the case due for review."""
    types = [str(line["type"]) for line in await history(here, case_id)]
    told = (types.count("notice-delivered"), types.count("notice-withheld"))
    return told == (2, 4) and "case-updated" in types
