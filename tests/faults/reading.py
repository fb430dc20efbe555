"""Reads the truth of a stack: the history over HTTP, and the services' own tables beside it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.audit.fetching import CannotTell, HistoryBroken
from services.audit.verify import verify_log
from shared.ends import Ends
from shared.idempotency import Key
from shared.paging import encode_cursor
from shared.vocabulary import Role
from tests.faults.attempts import Attempt, Kind
from tests.faults.truth import Entry, Referral, Submission, Truth
from tests.support.stack import SERVICES, Stack, StackError
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tests.faults.truth import Heard

_FEEDS = {
    "sse": (
        "referral",
        "SELECT event_id FROM feed_entries WHERE provider_id = $1 ORDER BY seq",
    ),
    "webhook": (
        "notification",
        (
            "SELECT f.event_id FROM notices n JOIN feed f USING (organisation, feed_seq)"
            " WHERE n.organisation = $1 AND n.state <> 'withheld' ORDER BY feed_seq"
        ),
    ),
}
"""Where the feed of a kind of listener stands in the database."""

Place = tuple[str, int, int]
"""Topic, partition, offset."""

ENDLESS = 2**40
"""A size that no history has: a cursor up to it also reads what came since it was made."""

READS = "accesses"
"""The stream on which reading the history is itself written."""


async def rows(stack: Stack, service: str, query: str, *values: object) -> list[Any]:
    conn = await stack.connect(service)
    try:
        return list(await conn.fetch(query, *values))
    finally:
        await conn.close()


async def read_submissions(stack: Stack, attempts: Iterable[Attempt]) -> list[Submission]:
    """Read every stored submission and whose attempt it is."""
    anonymous = [a.mark for a in attempts if a.kind is Kind.ANONYMOUS]
    by_receipt = await _receipts(stack, anonymous)
    found = await rows(
        stack,
        "intake",
        "SELECT submission_id, channel, actor, message_id, receipt_hash, case_ids, state"
        " FROM submissions",
    )
    return [
        Submission(
            str(row["submission_id"]),
            _mark(row, by_receipt),
            tuple(map(str, row["case_ids"])),
            row["state"],
        )
        for row in found
    ]


def _mark(row: Any, by_receipt: dict[bytes, str]) -> str:
    if row["message_id"]:
        return str(row["message_id"])
    role, _, mark = row["actor"].partition(":")
    if role != "anonymous":
        return str(mark)
    digest = bytes(row["receipt_hash"])
    return by_receipt.get(digest, f"unknown receipt {digest.hex()[:8]}")


async def _receipts(stack: Stack, marks: Sequence[str]) -> dict[bytes, str]:
    """Return the digest of the receipt that each anonymous key was answered.

    The stored answer opens under the key itself, so that an attempt that never heard its answer is
    still known.
    """
    pepper = bytes.fromhex(
        (Path(stack.environment("intake")["KEYS_DIR"]) / "pepper.key").read_text().strip()
    )
    keys = {(k := Key.of(mark, scope="anonymous", body=b"")).digest: (mark, k) for mark in marks}
    found = await rows(
        stack,
        "intake",
        "SELECT key_hash, answer FROM idempotency WHERE key_hash = ANY($1::bytea[])",
        list(keys),
    )
    digests = {}
    for row in found:
        mark, key = keys[bytes(row["key_hash"])]
        receipt = json.loads(key.open(bytes(row["answer"])))["receipt"]
        code = receipt.replace(" ", "")
        digests[hmac.new(pepper, code.encode(), hashlib.sha256).digest()] = mark
    return digests


async def read_referrals(stack: Stack) -> list[Referral]:
    """Read every referral."""
    found = await rows(
        stack, "referral", "SELECT referral_id, case_id, need, attempt, state FROM referrals"
    )
    return [
        Referral(str(r["referral_id"]), str(r["case_id"]), r["need"], r["attempt"], r["state"])
        for r in found
    ]


async def read_events(stack: Stack) -> dict[str, str]:
    """Return every event of every outbox, but of reads: id → stream."""
    found: dict[str, str] = {}
    for service in SERVICES:
        for row in await rows(stack, service, "SELECT event_id, topic FROM outbox"):
            if row["topic"] != READS:
                found[str(row["event_id"])] = row["topic"]
    return found


@dataclass(slots=True)
class History:
    """The history as it was read so far; reading again goes on where it ended."""

    entries: list[Entry] = field(default_factory=list)
    next: int = 0

    async def read(self, stack: Stack, client: httpx.AsyncClient) -> list[Entry]:
        """Read the history over HTTP to its end; what reading itself adds is left out."""
        headers = stack.bearer(Role.AUDITOR, subject="checker")
        while True:
            query = {"limit": "1000", "after": encode_cursor([self.next, ENDLESS])}

            async def ask(query: Mapping[str, str] = query) -> httpx.Response | None:
                """Ask again after a 503 or a cut: the connection may be one that was struck."""
                try:
                    got = await client.get(
                        "/audit/v1/entries", params=query, headers=headers, timeout=30
                    )
                except httpx.TransportError:
                    return None
                return None if got.status_code == HTTPStatus.SERVICE_UNAVAILABLE else got

            answer = await eventually(ask, 30, "the history to be readable")
            answer.raise_for_status()
            body = answer.json()
            if not body["items"]:
                return self.entries
            self.entries += [entry_of(item) for item in body["items"] if item["stream"] != READS]
            self.next = int(body["items"][-1]["index"]) + 1
            if not body["next"]:
                return self.entries


async def read_history(stack: Stack, client: httpx.AsyncClient) -> list[Entry]:
    """Read the whole history."""
    return await History().read(stack, client)


def entry_of(item: dict[str, Any]) -> Entry:
    """Read one line of the history; its event is the CloudEvent as it was committed to."""
    event = item["event"] or {"data": {}}
    return Entry(
        index=int(item["index"]),
        event_id=str(event.get("id", f"unreadable {item['index']}")),
        type=str(item["type"]),
        stream=str(item["stream"]),
        subject=str(item["subject"]),
        sequence=int(item["sequence"] or 0),
        actor=str(event.get("actor", "")),
        submission_id=str(event["data"].get("submission_id", "")),
        flags=tuple(item["flags"]),
    )


async def verifies(stack: Stack) -> bool:
    """Do what `pashe audit verify` does, against what was seen the last time."""
    try:
        await asyncio.to_thread(verify_log, stack.origin, stack.home / "verified", lambda _: None)
    except (HistoryBroken, CannotTell) as error:
        print(error)
        return False
    return True


async def absorbed(stack: Stack, client: httpx.AsyncClient) -> int:
    """Return how many deliveries the inboxes dropped, as far as living processes remember."""
    total = 0.0
    for service in SERVICES:
        text = (await client.get(f"{stack.url(service)}/metrics")).text
        for line in text.splitlines():
            if line.startswith("pashe_consumer_records_total{") and 'outcome="duplicate"' in line:
                total += float(line.split("} ")[1].split(" ")[0])
    return int(total)


async def read_truth(
    stack: Stack,
    client: httpx.AsyncClient,
    attempts: Sequence[Attempt],
    heard: Sequence[Heard],
    *,
    history: History | None = None,
    planted: Collection[Place] = (),
) -> Truth:
    """Read everything that the checker wants, after the stack has settled.

    `history` is what was read of it before. `planted` records are no part of the truth.
    """
    foreign = await read_planted(stack, planted)
    entries = await (history or History()).read(stack, client)
    cases = await rows(
        stack, "intake", "SELECT case_id, submission_id, coalesce(person_ref, '') AS ref FROM cases"
    )
    parked = [
        (await rows(stack, s, "SELECT count(*) AS n FROM parked WHERE state = 'waiting'"))[0]["n"]
        for s in SERVICES
    ]
    return Truth(
        entries=tuple(entry for entry in entries if entry.index not in foreign),
        submissions=tuple(await read_submissions(stack, attempts)),
        cases=tuple((str(r["case_id"]), f"{r['submission_id']}/{r['ref']}") for r in cases),
        referrals=tuple(await read_referrals(stack)),
        events=await read_events(stack),
        heard=tuple(heard),
        expected=await read_feeds(stack, {h.who for h in heard}),
        unsent=await unsent(stack),
        parked=sum(parked),
        absorbed=await absorbed(stack, client),
        audit_valid=await verifies(stack),
    )


async def read_planted(stack: Stack, planted: Collection[Place]) -> set[int]:
    """Return the entries of records that no attempt made; the history has each of them, once."""
    if not planted:
        return set()
    query = (
        'SELECT idx FROM entries WHERE (stream, partition, "offset") IN'
        " (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]))"
    )
    columns = list(zip(*planted, strict=True))
    return {int(row["idx"]) for row in await rows(stack, "audit", query, *map(list, columns))}


async def unsent(stack: Stack) -> int:
    """Return how many events wait in the outboxes, but for those that reading has just made."""
    query = "SELECT count(*) AS n FROM outbox WHERE sent_at IS NULL AND topic <> $1"
    return sum([(await rows(stack, s, query, READS))[0]["n"] for s in SERVICES])


async def movement(stack: Stack, planted: int = 0) -> tuple[int, int]:
    """Return how much still waits, and a number that grows with everything that happens.

    Waiting are unsent events, events that the history has not taken, submissions without a case,
    notices that are not delivered, and those to persons that somebody has taken to send: when he
    was killed, their leases end later. Of the entries `planted` are no events of an outbox.
    """
    events = entries = waiting = 0
    try:
        for service in SERVICES:
            query = "SELECT count(*) AS n, count(*) FILTER (WHERE sent_at IS NULL) AS u FROM outbox"
            row = (await rows(stack, service, query))[0]
            events += row["n"]
            waiting += row["u"]
        entries = (await rows(stack, "audit", "SELECT count(*) AS n FROM entries"))[0]["n"]
        entries -= planted
        for service, query in (
            ("intake", "SELECT count(*) AS n FROM submissions WHERE state = 'received'"),
            ("notification", "SELECT count(*) AS n FROM notices WHERE state = 'waiting'"),
            ("notification", "SELECT count(*) AS n FROM person_notices WHERE state = 'in_flight'"),
        ):
            waiting += (await rows(stack, service, query))[0]["n"]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, StackError):
        return 1, -1
    return waiting + max(0, events - entries), events + entries


async def lag(stack: Stack) -> int:
    """Return how many records the consumer groups have not said that they are done with.

    Whoever waits for a new turn after a member was killed moves nothing, and yet all is not done.
    Groups commit every few seconds.
    """
    login = stack.kafka_login()
    admin = AIOKafkaAdminClient(**login.client())
    asked = Ends(login)
    try:
        await admin.start()
        groups = [name for name, _ in await admin.list_consumer_groups()]
        found = [await admin.list_consumer_group_offsets(name) for name in groups]
        ends = await asked.find(sorted({place for offsets in found for place in offsets}))
        if ends is None:
            return 1
        return sum(
            max(0, ends.get(place, 0) - meta.offset)
            for offsets in found
            for place, meta in offsets.items()
            if meta.offset >= 0
        )
    except (KafkaError, OSError, TimeoutError):
        return 1
    finally:
        await asked.close()
        await admin.close()


async def read_feeds(stack: Stack, listeners: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the event ids that each listener had to hear, in the order of its feed."""
    found = {}
    for who in listeners:
        kind, _, provider = who.partition(" ")
        service, query = _FEEDS[kind]
        found[who] = tuple(
            str(row["event_id"]) for row in await rows(stack, service, query, provider)
        )
    return found


def unsettled(truth: Truth) -> Truth:
    """Mark a truth as read before everything had settled."""
    return replace(truth, lag=max(1, truth.lag))
