"""Notification as a process, on real Kafka and PostgreSQL, with real receivers on loopback."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from standardwebhooks.webhooks import Webhook

from services.notification import claims, feed
from services.notification.dispatch import Dispatch
from services.notification.domain import Entry, ProviderId
from services.notification.gaps import Gaps
from services.notification.outbound import Outbound
from services.notification.seal import Sealer
from services.notification.settings import load_settings
from services.notification.signature import verify
from services.notification.verdicts import Answer
from services.notification.webhook_worker import WebhookWorker
from shared.database import make_engine
from shared.kafka import PARTITIONS, partition_of
from shared.outbox import Outbox
from shared.signing import Signer
from shared.vocabulary import Role
from tests.support.hostile import TRICKS, Hostile, own_certificate
from tests.support.notices import (
    BASE,
    Centre,
    Got,
    Ground,
    Hook,
    Reply,
    environment,
    new_ground,
    provider_name,
    publish,
    referral,
)
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

# --- a receiver on loopback -----------------------------------------------------------------------


def answers(*replies: int | Reply) -> Callable[[Got], Awaitable[Reply]]:
    """Answer with these, one after the other; the last one for ever."""
    left = list(replies)

    async def answer(_: Got) -> Reply:
        reply = left.pop(0) if len(left) > 1 else left[0]
        return (reply, {}) if isinstance(reply, int) else reply

    return answer


async def hang(_: Got) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


# --- the service ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ground(
    streams: str, postgres_admin_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("notification") / "keys"
    with new_ground(streams, postgres_admin_dsn, folder) as made:
        yield made


@pytest.fixture(scope="module")
def running_centre(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    log = tmp_path_factory.mktemp("log") / "notification.log"
    centre = Centre(ground, environment(ground, "1"), log)
    centre.start()
    yield centre
    assert centre.child is not None
    with centre.child:  # the one that runs now: a test may have started it anew
        pass


@pytest.fixture
async def centre(running_centre: Centre) -> Centre:
    await running_centre.ready()
    return running_centre


# --- telling --------------------------------------------------------------------------------------


async def test_an_event_reaches_its_provider_signed_and_thin(centre: Centre) -> None:
    provider, case_id, referral_id = provider_name(), uuid4(), uuid4()
    async with Hook() as hook:
        made = await centre.subscribe(provider, hook.url)
        record = referral(provider, 1, case_id=case_id, referral_id=referral_id)
        await publish(centre, record)
        await eventually(lambda: hook.got, what="the webhook")
        [got] = hook.got
        assert verify(made["secret"], got.headers, got.body)
        assert got.id == record["id"]
        assert "." not in got.id
        body = json.loads(got.body)
        assert set(body) == {"type", "timestamp", "data"}
        assert set(body["data"]) == {"referral_id", "state", "cursor", "version", "href"}
        assert (body["type"], body["data"]["referral_id"]) == (
            "referral-assigned",
            str(referral_id),
        )

        async def delivered() -> bool:
            return await centre.told(made["id"]) == [("notice-delivered", None)]

        await eventually(delivered, what="the event of the delivery")
    [notice] = await centre.notices(provider, case_id=str(case_id))
    assert (notice["state"], notice["attempt"], notice["status"]) == ("delivered", 1, 204)
    health = await centre.show(provider, made["id"])
    assert (health["state"], health["failures"], health["last_cursor"]) == ("active", 0, 1)
    assert health["last_success_at"]
    assert health["waiting"] == 0
    assert health["next_attempt_at"] is None


async def test_the_event_of_a_delivery_is_in_kafka_under_its_case(centre: Centre) -> None:
    provider, case_id = provider_name(), uuid4()
    async with Hook() as hook:
        made = await centre.subscribe(provider, hook.url)
        await publish(centre, referral(provider, 1, case_id=case_id))
        consumer = AIOKafkaConsumer(
            bootstrap_servers=centre.env["KAFKA_BOOTSTRAP"], auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition("notices", p) for p in range(PARTITIONS)])
            found: list[tuple[int, Any]] = []

            async def look() -> bool:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    told = [(r.partition, json.loads(r.value)) for r in records if r.value]
                    found.extend(
                        (partition, event)
                        for partition, event in told
                        if event["type"] == "notice-delivered" and event["subject"] == str(case_id)
                    )
                return bool(found)

            await eventually(look, 15, "the event in Kafka")
        finally:
            await consumer.stop()
    ((partition, event),) = found
    assert event["data"]["subscription_id"] == made["id"]
    assert partition == partition_of(str(case_id).encode())


async def test_only_the_asked_types_come_and_only_to_their_provider(centre: Centre) -> None:
    provider, other = provider_name(), provider_name()
    async with Hook() as hook, Hook() as others:
        await centre.subscribe(provider, hook.url, "service-delivered")
        await centre.subscribe(other, others.url)
        await publish(
            centre,
            referral(provider, 1),
            referral(provider, 2, type="service-delivered", state="delivered"),
            referral(other, 1),
        )
        await eventually(lambda: hook.got and others.got, what="both webhooks")
        assert (hook.cursors, others.cursors) == ([2], [1])


async def test_the_feeds_order_is_the_webhooks_order_whatever_kafkas_was(centre: Centre) -> None:
    provider = provider_name()
    shuffled = list(range(1, 61))
    random.Random(7).shuffle(shuffled)
    async with Hook() as hook:
        await centre.subscribe(provider, hook.url)
        await publish(centre, *(referral(provider, seq) for seq in shuffled))
        await eventually(lambda: len(hook.got) >= 60, 20, "60 webhooks")
        assert hook.cursors == list(range(1, 61))


async def test_what_is_missing_in_the_feed_is_waited_for_and_told_of(centre: Centre) -> None:
    provider = provider_name()
    async with Hook() as hook:
        await centre.subscribe(provider, hook.url)
        await publish(centre, *(referral(provider, seq) for seq in (1, 3, 4, 6)))
        await eventually(lambda: hook.got, what="the webhook before the gap")

        async def told() -> bool:
            return await centre.metric("pashe_feed_gaps ") >= 1

        await eventually(told, 20, what="the metric that alerts")
        assert hook.cursors == [1]
        await publish(centre, referral(provider, 2))
        await eventually(lambda: len(hook.got) >= 4, what="those up to the second gap")
        assert hook.cursors == [1, 2, 3, 4]
        await publish(centre, referral(provider, 5))
        await eventually(lambda: len(hook.got) >= 6, what="all of them")
        assert hook.cursors == [1, 2, 3, 4, 5, 6]


async def test_a_subscription_to_some_types_waits_for_what_may_be_one_of_them(
    centre: Centre,
) -> None:
    provider = provider_name()
    async with Hook() as hook, Hook() as all_types:
        await centre.subscribe(provider, hook.url, "service-delivered")
        await centre.subscribe(provider, all_types.url)
        last = referral(provider, 4, type="service-delivered", state="delivered")
        await publish(centre, referral(provider, 1), referral(provider, 3), last)
        await eventually(lambda: _count(centre, provider, 4), what="the notices")
        missing = referral(provider, 2, type="service-delivered", state="delivered")
        await publish(centre, missing)
        await eventually(lambda: len(all_types.got) >= 4, what="all types")
        await eventually(lambda: len(hook.got) >= 2, what="both of the type")
        assert (hook.cursors, all_types.cursors) == ([2, 4], [1, 2, 3, 4])


async def test_the_feed_goes_on_without_what_is_parked_and_counts_it(centre: Centre) -> None:
    provider = provider_name()
    before = await centre.metric('pashe_feed_gaps_passed_total{why="parked"}')
    async with Hook() as hook:
        await centre.subscribe(provider, hook.url)
        parked = referral(provider, 2, case_id="no-case")  # its subject is no case: it is parked
        await publish(centre, referral(provider, 1), referral(provider, 3), parked)
        await eventually(lambda: len(hook.got) >= 2, 20, "the webhook behind the parked one")
        assert hook.cursors == [1, 3]
    after = await centre.metric('pashe_feed_gaps_passed_total{why="parked"}')
    assert after == before + 1


# --- a provider's own topic -----------------------------------------------------------------------


async def make_topic(centre: Centre, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=centre.env["KAFKA_BOOTSTRAP"])
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def read_topic(centre: Centre, topic: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=centre.env["KAFKA_BOOTSTRAP"])
    await consumer.start()
    found: list[Any] = []
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()

        async def enough() -> bool:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(records)
            return len(found) >= count

        await eventually(enough, 20, f"{count} records in {topic}")
        await consumer.getmany(timeout_ms=200)
    finally:
        await consumer.stop()
    return found


async def test_a_providers_topic_holds_its_own_referrals_from_its_subscription_on(
    centre: Centre,
) -> None:
    provider, other, case_id = provider_name(), provider_name(), uuid4()
    topic, body = f"provider.{provider}", {"notifier": "kafka"}
    async with centre.system(provider) as client:
        early = await client.post(f"{BASE}/subscriptions", json=body)
        both = await client.post(f"{BASE}/subscriptions", json=body | {"url": "https://a.org/"})
        await make_topic(centre, topic)
        before = datetime.now(UTC) - timedelta(minutes=1)
        await publish(centre, referral(provider, 1, at=before))
        made = await client.post(f"{BASE}/subscriptions", json=body)
        twice = await client.post(f"{BASE}/subscriptions", json=body)
    assert (early.status_code, both.status_code, twice.status_code) == (409, 422, 409)
    assert made.status_code == 201, made.text
    assert (made.json()["topic"], "secret" in made.json()) == (topic, False)
    records = [
        referral(provider, 2, case_id=case_id),
        referral(provider, 3, case_id=case_id, type="referral-accepted", state="accepted"),
        referral(other, 1),
        referral(provider, 4, test=True),
        referral(provider, 5, type="referral-withdrawn", state="withdrawn", reason="excluded"),
        referral(provider, 6),
    ]
    await publish(centre, *records)
    read = await read_topic(centre, topic, 3)
    events = [json.loads(record.value) for record in read]
    assert {event["id"] for event in events} == {records[i]["id"] for i in (0, 1, 5)}
    assert [event["sequence"] for event in events] == [f"{n:020d}" for n in (1, 2, 3)]
    cursors = [event["data"]["cursor"] for event in events]
    assert cursors.index(2) < cursors.index(3)  # of one case
    first = events[cursors.index(2)]
    assert set(first["data"]) == {"referral_id", "state", "cursor", "version", "href"}
    assert first["dataschema"] == "urn:pashe:provider:referral-assigned:1"
    assert (first["type"], first["subject"]) == ("referral-assigned", provider)
    assert str(case_id) not in read[cursors.index(2)].value.decode()
    headers = dict(read[0].headers)
    assert headers["content-type"].startswith(b"application/cloudevents+json")

    async def told() -> bool:
        return len(await centre.notices(provider, subscription_id=made.json()["id"])) == 5

    await eventually(told, what="a notice of each")
    notices = await centre.notices(provider, subscription_id=made.json()["id"])
    assert sorted((one["cursor"], one["state"], one["reason"]) for one in notices) == [
        (2, "sent", None),
        (3, "sent", None),
        (4, "withheld", "test"),
        (5, "withheld", "conflict"),
        (6, "sent", None),
    ]
    path = f"{BASE}/subscriptions/{made.json()['id']}"
    async with centre.system(provider) as client:
        shown = (await client.get(path)).json()
        assert (shown["notifier"], shown["topic"], shown["url"]) == ("kafka", topic, None)
        assert (await client.post(f"{path}/replay", json={"after": 0})).status_code == 409
        assert (await client.delete(path)).status_code == 204
        again = await client.post(f"{BASE}/subscriptions", json=body)
        assert again.status_code == 201, again.text


# --- receivers that do not take it ----------------------------------------------------------------


async def test_a_failed_attempt_is_made_again_with_the_same_id_before_later_ones(
    centre: Centre,
) -> None:
    provider = provider_name()
    async with Hook(answers(500, 404, 200)) as hook:
        made = await centre.subscribe(provider, hook.url)
        await publish(centre, referral(provider, 1), referral(provider, 2))
        await eventually(lambda: len(hook.got) >= 4, what="three attempts and the next")
        assert hook.cursors == [1, 1, 1, 2]
        assert len(set(hook.ids[:3])) == 1
        for got in hook.got:  # each attempt is signed with its own time
            assert verify(made["secret"], got.headers, got.body)

        async def told() -> bool:
            return await centre.told(made["id"]) == [("notice-delivered", None)] * 2

        await eventually(told, what="the events of both")
    first, second = await centre.notices(provider)
    assert (first["attempt"], second["attempt"]) == (3, 1)


async def test_410_disables_until_enabled_and_a_replay_brings_the_rest(centre: Centre) -> None:
    provider = provider_name()
    async with Hook(answers(200, 410, 200)) as hook, centre.system(provider) as client:
        made = await centre.subscribe(provider, hook.url)
        records = [referral(provider, seq) for seq in (1, 2, 3)]
        await publish(centre, *records)

        async def disabled() -> bool:
            health = await centre.show(provider, made["id"])
            return (health["waiting"], len(hook.got)) == (0, 2)

        await eventually(disabled, what="the end of the subscription")
        await publish(centre, referral(provider, 4))
        await eventually(
            lambda: _count(centre, provider, 4), what="the notice of what came after the end"
        )
        assert await centre.told(made["id"]) == [
            ("notice-delivered", None),
            ("notice-failed", "gone"),
            ("subscription-disabled", "gone"),
            ("notice-withheld", "subscription-disabled"),
            ("notice-withheld", "subscription-disabled"),
        ]
        health = await centre.show(provider, made["id"])
        assert (health["state"], health["disabled_why"]) == ("disabled", "gone")
        path = f"{BASE}/subscriptions/{made['id']}"
        refused = await client.post(f"{path}/replay", json={"after": 1})
        assert refused.status_code == 409
        enabled = await client.post(f"{path}/enable")
        assert (enabled.status_code, enabled.json()["state"]) == (200, "active")
        replayed = await client.post(f"{path}/replay", json={"after": 1})
        assert (replayed.status_code, replayed.json()["notices"]) == (202, 3)
        await eventually(lambda: len(hook.got) >= 5, what="the replay")
        assert hook.cursors == [1, 2, 2, 3, 4]
        assert hook.ids[1] == hook.ids[2] == records[1]["id"]


async def _count(centre: Centre, provider: str, count: int) -> bool:
    return len(await centre.notices(provider)) == count


async def test_when_the_schedule_runs_out_the_subscription_is_dead_and_alerts(
    centre: Centre,
) -> None:
    provider = provider_name()
    async with Hook(answers(503)) as hook:
        made = await centre.subscribe(provider, hook.url)
        await publish(centre, referral(provider, 1), referral(provider, 2))

        async def dead() -> bool:
            health = await centre.show(provider, made["id"])
            return (health["state"], health["waiting"]) == ("dead", 0)

        await eventually(dead, what="the death of the subscription")
        assert hook.cursors == [1, 1, 1, 1]
        assert await centre.owner_told(made["id"]) == provider
        assert await centre.told(made["id"]) == [
            ("notice-failed", "exhausted"),
            ("subscription-disabled", "exhausted"),
            ("notice-withheld", "subscription-disabled"),
        ]

    async def alarmed() -> bool:
        return await centre.metric('pashe_webhook_subscriptions{standing="dead"} ') >= 1

    await eventually(alarmed, what="the alert metric")


async def test_a_redirect_is_a_failure_and_not_followed(centre: Centre) -> None:
    provider = provider_name()
    async with Hook() as elsewhere, Hook() as hook:
        hook.answer = answers(
            (302, {"location": elsewhere.url}), (307, {"location": hook.url}), 200
        )
        await centre.subscribe(provider, hook.url)
        await publish(centre, referral(provider, 1))
        await eventually(lambda: len(hook.got) >= 3, what="three attempts")
        assert elsewhere.got == []


async def test_retry_after_is_waited_for(centre: Centre) -> None:
    provider = provider_name()
    async with Hook(answers((429, {"retry-after": "2"}), 200)) as hook:
        made = await centre.subscribe(provider, hook.url)
        await publish(centre, referral(provider, 1))
        await eventually(lambda: hook.got, what="the first attempt")
        await publish(centre, referral(provider, 2))  # something new does not hurry it
        await eventually(lambda: len(hook.got) >= 3, what="the second attempt, and the next")
        assert hook.got[1].at - hook.got[0].at >= 1.9
        assert hook.cursors == [1, 1, 2]
    health = await centre.show(provider, made["id"])
    assert health["last_failure_at"]


async def test_receivers_that_hang_are_cut_and_delay_nobody(centre: Centre) -> None:
    slow, quick = [provider_name() for _ in range(6)], provider_name()
    async with Hook(hang) as hanging, Hook() as hook:
        for provider in slow:
            await centre.subscribe(provider, hanging.url)
        await centre.subscribe(quick, hook.url)
        await publish(centre, *(referral(provider, 1) for provider in slow))
        await eventually(lambda: len(hanging.got) >= 6, what="six that hang")
        began = time.monotonic()
        await publish(centre, referral(quick, 1))
        await eventually(lambda: hook.got, what="the webhook of the quick one")
        assert hook.got[0].at - began < 5  # they are cut after 6 s
        [notice] = await centre.notices(slow[0])
        assert notice["state"] == "waiting"

        async def cut() -> bool:
            async with centre.client(Role.OPERATIONS) as client:
                found = (await client.get(f"{BASE}/subscriptions", params={"limit": "200"})).json()
            troubles = {s["provider_id"]: s["last_trouble"] for s in found["items"]}
            return all(troubles[provider] == "timeout" for provider in slow)

        await eventually(cut, 20, "six that were cut")


@pytest.mark.slow
async def test_hostile_receivers_get_it_again_with_the_same_id(centre: Centre) -> None:
    subscribed: dict[str, tuple[str, dict[str, Any]]] = {}
    async with Hostile() as hostile:
        for trick in TRICKS:
            provider = provider_name()
            subscribed[trick] = provider, await centre.subscribe(provider, hostile.url(trick))
        await publish(centre, *(referral(provider, 1) for provider, _ in subscribed.values()))

        async def all_delivered() -> bool:
            found = [await centre.notices(provider) for provider, _ in subscribed.values()]
            return all([notice["state"] for notice in one] == ["delivered"] for one in found)

        await eventually(all_delivered, 40, "each delivered in the end")
        for trick, (provider, made) in subscribed.items():
            attempts = 1 if TRICKS[trick][0] == "2xx" else 2
            [notice] = await centre.notices(provider)
            assert (trick, notice["attempt"], len(hostile.got[trick])) == (
                trick,
                attempts,
                attempts,
            )
            assert {got.headers["webhook-id"] for got in hostile.got[trick]} == {notice["event_id"]}
            for got in hostile.got[trick]:  # as a receiver with the public library, or a public key
                assert Webhook(made["secret"]).verify(got.body, got.headers)["data"]["cursor"] == 1
                assert verify(made["public_key"], got.headers, got.body)
            health = await centre.show(provider, made["id"])
            assert (health["state"], health["failures"]) == ("active", 0)
            assert health["public_key"] == made["public_key"]
            assert (health["last_failure_at"] is None) is (attempts == 1)


async def test_a_bad_certificate_ends_in_a_dead_subscription_that_says_so(
    centre: Centre, tmp_path: Path
) -> None:
    provider = provider_name()
    async with Hostile(own_certificate(tmp_path)) as hostile:
        made = await centre.subscribe(provider, hostile.url("500"))
        await publish(centre, referral(provider, 1))

        async def dead() -> bool:
            return bool((await centre.show(provider, made["id"]))["state"] == "dead")

        await eventually(dead, what="the end of the schedule")
        assert hostile.got == {}
    health = await centre.show(provider, made["id"])
    assert (health["last_trouble"], health["disabled_why"]) == ("tls", "exhausted")


async def test_nothing_listens_and_later_it_does(centre: Centre) -> None:
    provider = provider_name()
    hook = Hook()
    async with hook:
        url = hook.url
    made = await centre.subscribe(provider, url)
    await publish(centre, referral(provider, 1))

    async def refused() -> bool:
        health = await centre.show(provider, made["id"])
        return bool(health["last_trouble"] == "connection")

    await eventually(refused, what="a refused connection")


# --- what is withheld -----------------------------------------------------------------------------


async def test_test_events_never_leave(centre: Centre) -> None:
    provider = provider_name()
    async with Hook() as hook:
        made = await centre.subscribe(provider, hook.url)
        await publish(centre, referral(provider, 1, test=True), referral(provider, 2))
        await eventually(lambda: hook.got, what="the webhook of the real one")
        assert hook.cursors == [2]
    found = {n["cursor"]: (n["state"], n["reason"]) for n in await centre.notices(provider)}
    assert found[1] == ("withheld", "test")
    assert ("notice-withheld", "test") in await centre.told(made["id"])


async def test_the_past_is_not_replayed_at_a_subscriber(centre: Centre) -> None:
    provider = provider_name()
    old = datetime.now(UTC) - timedelta(days=8)
    async with Hook() as hook:
        await publish(centre, referral(provider, 1))
        made = await centre.subscribe(provider, hook.url)
        conn = await asyncpg.connect(centre.ground.admin)
        await conn.execute(
            "UPDATE notification.subscriptions SET created_at = $2 WHERE id = $1",
            UUID(made["id"]),
            old,
        )
        await conn.close()
        await publish(centre, referral(provider, 2, at=old), referral(provider, 3))
        await eventually(lambda: hook.got, what="the fresh one")
        assert 2 not in hook.cursors
    found = {n["cursor"]: (n["state"], n["reason"]) for n in await centre.notices(provider)}
    assert found[2] == ("withheld", "stale")


async def test_deleting_withholds_what_waits_and_forgets_the_secret(centre: Centre) -> None:
    provider = provider_name()
    async with (
        Hook(answers((503, {"retry-after": "60"}))) as hook,
        centre.system(provider) as client,
    ):
        made = await centre.subscribe(provider, hook.url)
        await publish(centre, referral(provider, 1), referral(provider, 2))
        await eventually(lambda: hook.got, what="the first attempt")
        gone = await client.delete(f"{BASE}/subscriptions/{made['id']}")
        assert gone.status_code == 204
        assert (await client.get(f"{BASE}/subscriptions/{made['id']}")).status_code == 404
        assert (await client.delete(f"{BASE}/subscriptions/{made['id']}")).status_code == 404

        async def withheld() -> bool:
            return {n["reason"] for n in await centre.notices(provider)} == {"subscription-deleted"}

        await eventually(withheld, what="both withheld")
        conn = await asyncpg.connect(centre.ground.admin)
        secret = await conn.fetchval(
            "SELECT secret FROM notification.subscriptions WHERE id = $1", UUID(made["id"])
        )
        await conn.close()
        assert secret == b""


async def test_a_record_nobody_can_read_is_parked_once_and_the_rest_flows(centre: Centre) -> None:
    provider = provider_name()
    poison = referral(provider, 1) | {"value": b"\xff not json", "headers": [("type", b"\xff")]}
    async with Hook() as hook:
        await centre.subscribe(provider, hook.url)
        await publish(centre, poison, referral(provider, 1))
        await eventually(lambda: hook.got, what="the webhook behind the poison")
    conn = await asyncpg.connect(centre.env["DATABASE_URL"])
    parked = await conn.fetch("SELECT consumer FROM parked WHERE key = $1", poison["key"])
    await conn.close()
    assert [row["consumer"] for row in parked] == ["notification.webhook"]


# --- the interface --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"url": "http://hooks.ngo.org/"}, "https-required"),
        ({"url": "https://10.0.0.1/"}, "address-not-global"),
        ({"url": "https://169.254.169.254/latest/meta-data/"}, "address-not-global"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, "address-not-global"),
        ({"url": "https://2130706433/"}, "host-not-allowed"),
        ({"url": "https://a:b@hooks.ngo.org/"}, "credentials-in-url"),
        ({"url": "https://hooks.ngo.org/" + "a" * 2100}, "string_too_long"),
        ({"url": "https://1.1.1.1/", "types": ["no-such-type"]}, "unknown-type"),
        ({"url": "https://1.1.1.1/", "types": []}, "too_short"),
        ({"url": "https://1.1.1.1/", "secret": "mine"}, "extra_forbidden"),
        ({"url": 7}, "string_type"),
        ({}, "missing"),
    ],
)
async def test_a_subscription_that_cannot_be_is_refused_without_echo(
    centre: Centre, body: dict[str, Any], rule: str
) -> None:
    async with centre.system(provider_name()) as client:
        answer = await client.post(f"{BASE}/subscriptions", json=body)
        listed = await client.get(f"{BASE}/subscriptions")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["rule"] for error in answer.json()["errors"]] == [rule]
    assert str(body.get("url", "~")) not in answer.text
    assert listed.json()["items"] == []


async def test_the_same_idempotency_key_gives_the_first_answer(centre: Centre) -> None:
    async with Hook() as hook, centre.system(provider_name()) as client:
        key = {"idempotency-key": secrets.token_hex(16)}
        first, again = [
            await client.post(f"{BASE}/subscriptions", json={"url": hook.url}, headers=key)
            for _ in range(2)
        ]
        other = await client.post(
            f"{BASE}/subscriptions", json={"url": hook.url + "2"}, headers=key
        )
        listed = (await client.get(f"{BASE}/subscriptions")).json()["items"]
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert first.json() == again.json()
    assert len(listed) == 1
    assert "secret" not in listed[0]
    assert first.headers["cache-control"] == "no-store"


async def test_who_may_do_what(centre: Centre) -> None:
    provider = provider_name()
    async with Hook() as hook:
        made = await centre.subscribe(provider, f"{hook.url}?token=secret")
        path = f"{BASE}/subscriptions/{made['id']}"
        for role in (Role.COORDINATOR, Role.OPERATIONS, Role.AUDITOR, Role.SUPERVISOR):
            async with centre.client(role) as client:
                shown = await client.get(path)
                assert (shown.status_code, shown.json()["url"]) == (200, hook.url)
                made_by_staff = await client.post(f"{BASE}/subscriptions", json={"url": hook.url})
                assert made_by_staff.status_code == 403
        for role in (Role.COORDINATOR, Role.PROVIDER_WORKER):
            async with centre.client(role, provider) as client:
                assert (await client.delete(path)).status_code == 403
                assert (await client.post(f"{path}/enable")).status_code == 403
        for role in (Role.PARTNER, Role.COMMITTEE_MEMBER, Role.OPERATOR):
            async with centre.client(role, "somebody") as client:
                assert (await client.get(path)).status_code == 403
                assert (await client.get(f"{BASE}/notices")).status_code == 403
        async with centre.system(provider_name()) as client:
            for answer in (
                await client.get(path),
                await client.delete(path),
                await client.post(f"{path}/enable"),
                await client.post(f"{path}/replay", json={"after": 0}),
            ):
                assert answer.status_code == 404
            assert (await client.get(f"{BASE}/subscriptions")).json()["items"] == []
        async with centre.system("*") as client:
            assert (await client.get(f"{BASE}/subscriptions")).status_code == 401
        async with httpx.AsyncClient(base_url=centre.url) as client:
            assert (await client.get(path)).status_code == 401
        async with centre.client(Role.OPERATIONS) as client:
            assert (await client.post(f"{path}/replay", json={"after": 0})).status_code == 202
            assert (await client.delete(path)).status_code == 204


async def _insert_as(conn: asyncpg.Connection[Any], organisation: str, owner: str) -> None:
    async with conn.transaction():
        await conn.execute("SELECT set_config('pashe.organisation', $1, true)", organisation)
        await conn.execute(
            "INSERT INTO subscriptions (id, organisation, url, secret, created_at, created_by)"
            " VALUES ($1, $2, 'https://x.org', '', now(), 'x')",
            uuid4(),
            owner,
        )


async def test_the_web_role_sees_one_organisation_and_never_a_secret(centre: Centre) -> None:
    mine, other = provider_name(), provider_name()
    async with Hook() as hook:
        for provider in (mine, other):
            await centre.subscribe(provider, hook.url)
            await publish(centre, referral(provider, 1))
        await eventually(lambda: len(hook.got) >= 2, what="both webhooks")
    conn = await asyncpg.connect(centre.env["DATABASE_WEB_URL"])
    try:
        for table in ("subscriptions", "notices", "feed"):
            query = f"SELECT DISTINCT organisation FROM {table}"
            assert await conn.fetch(query) == []
            async with conn.transaction():
                await conn.execute("SELECT set_config('pashe.organisation', $1, true)", mine)
                assert [row[0] for row in await conn.fetch(query)] == [mine]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetch("SELECT secret FROM subscriptions")
        for organisation, owner in ((mine, other), ("*", other), ("*", "*"), ("", "")):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await _insert_as(conn, organisation, owner)
        async with conn.transaction():
            await conn.execute("SELECT set_config('pashe.organisation', $1, true)", mine)
            changed = await conn.execute(
                "UPDATE subscriptions SET failures = 3 WHERE organisation = $1", other
            )
            assert changed == "UPDATE 0"
    finally:
        await conn.close()
    admin = await asyncpg.connect(centre.ground.admin)
    forced = await admin.fetch(
        "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
        " AND relnamespace = 'notification'::regnamespace"
    )
    sealed = await admin.fetchval("SELECT secret FROM notification.subscriptions LIMIT 1")
    await admin.close()
    assert {row["relname"] for row in forced} == {
        "cases",
        "subscriptions",
        "notices",
        "feed",
        "person_notices",
    }
    assert b"whsec_" not in bytes(sealed)


# --- death ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_killed_between_send_and_commit_it_sends_again_with_the_same_id(
    ground: Ground, running_centre: Centre, tmp_path: Path
) -> None:
    # the module's process ends first, so that the next one has every partition and every claim
    assert running_centre.child is not None
    await running_centre.ready()
    running_centre.child.send(signal.SIGTERM)
    await running_centre.child.ended(20)
    centre = Centre(ground, environment(ground, "1"), tmp_path / "log")
    provider = provider_name()
    centre.start()
    first = centre.child
    assert first is not None

    async def kill_then_take(_: Got) -> Reply:
        if first.running():
            centre.kill()
            await first.ended(30)
        return 200, {}

    try:
        async with Hook() as hook:
            await centre.ready()
            made = await centre.subscribe(provider, hook.url)
            hook.answer = kill_then_take
            record = referral(provider, 1)
            await publish(centre, record, referral(provider, 2))
            await eventually(lambda: hook.got, what="the first attempt")
            await first.ended(30)
            assert await centre.told(made["id"]) == []
            began = time.monotonic()
            centre.start()
            await centre.ready()
            await eventually(lambda: len(hook.got) >= 3, 30, "the second attempt")
            assert hook.cursors == [1, 1, 2]
            assert hook.ids[0] == hook.ids[1] == record["id"]

            async def told() -> bool:
                return await centre.told(made["id"]) == [("notice-delivered", None)] * 2

            await eventually(told, what="one event for each")
            print(f"resent {hook.got[1].at - began:.2f} s after the start of the next process")
    finally:
        for child in (first, centre.child):
            if child is not None:
                with child:
                    pass
        running_centre.start()
        assert running_centre.child is not None


# --- claims, inside this process ------------------------------------------------------------------


@dataclass(slots=True)
class Clock:
    """A clock that the test moves."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at


@dataclass(slots=True)
class Bench:
    """Two replicas' dispatches on one database of their own rows, with a clock in the future.

    The running service never sees these rows as due: its clock is behind.
    """

    clock: Clock
    first: Dispatch
    second: Dispatch
    outbox: Outbox
    engine: Any
    sealer: Sealer

    async def add(self, provider: str, url: str, count: int) -> UUID:
        sub = uuid4()
        async with self.engine.begin() as conn:
            await conn.exec_driver_sql(
                "INSERT INTO subscriptions (id, organisation, url, secret, created_at, created_by,"
                " due_at) VALUES ($1, $2, $3, $4, $5, 'test', $5)",
                (sub, provider, url, self.sealer.close(sub, provider, b"k" * 64), self.clock.at),
            )
            await conn.exec_driver_sql(
                "INSERT INTO feed_heads (organisation, complete, seen) VALUES ($1, $2, $2)",
                (provider, count),
            )
            for seq in range(1, count + 1):
                await conn.exec_driver_sql(
                    "INSERT INTO feed VALUES ($1, $2, $3, 'referral-assigned', $4, $4, $5, $5,"
                    " 'assigned', 1, false)",
                    (provider, seq, uuid4(), self.clock.at, uuid4()),
                )
                await conn.exec_driver_sql(
                    "INSERT INTO notices (notifier, organisation, subscription_id, feed_seq, state,"
                    " useful_until, created_at) VALUES ('webhook', $1, $2, $3, 'waiting', $4, $5)",
                    (provider, sub, seq, self.clock.at + timedelta(days=7), self.clock.at),
                )
        return sub


@pytest.fixture
async def bench(ground: Ground, running_centre: Centre) -> AsyncIterator[Bench]:
    env = ground.environment()
    engine = make_engine(env["DATABASE_URL"], size=8, name="bench")
    clock = Clock(datetime.now(UTC) + timedelta(days=30))
    outbox = Outbox("notification", Signer(b"s" * 32))
    settings = load_settings({"NOTIFICATION_SCHEDULE": "0,5,300", "NOTIFICATION_TIMEOUT": "2"})
    first, second = [Dispatch(engine, outbox, settings, name, clock) for name in ("a", "b")]
    yield Bench(clock, first, second, outbox, engine, Sealer(b"b" * 32))
    async with engine.begin() as conn:
        await conn.exec_driver_sql(
            "UPDATE subscriptions SET due_at = NULL WHERE created_by = 'test'"
        )
    await engine.dispose()


async def test_a_claim_is_one_workers_until_its_lease_runs_out(bench: Bench) -> None:
    sub = await bench.add(provider_name(), "https://hooks.ngo.org/", 2)
    [job] = [j for j in await bench.first.claim(500, slow=False) if j.held.id == sub]
    assert (job.head.entry.feed_seq, job.attempt) == (1, 1)
    assert [j for j in await bench.second.claim(500, slow=False) if j.held.id == sub] == []
    bench.clock.at += timedelta(seconds=18)
    [again] = [j for j in await bench.second.claim(500, slow=False) if j.held.id == sub]
    assert again.head.entry.event_id == job.head.entry.event_id
    assert again.attempt == 2
    taken = Answer(timedelta(), 200)
    assert await bench.first.settle(job, taken) is None  # its lease was lost: nothing is stored
    after = await bench.second.settle(again, taken)
    assert after is not None
    assert (after.head.entry.feed_seq, after.attempt) == (2, 1)
    assert await bench.second.settle(again, taken) is None  # a second time it is not told twice
    async with bench.engine.connect() as conn:
        states = await conn.exec_driver_sql(
            "SELECT state, attempt FROM notices WHERE subscription_id = $1 ORDER BY feed_seq",
            (sub,),
        )
        assert [tuple(row) for row in states] == [("delivered", 2), ("waiting", 1)]


async def test_a_replica_that_starts_again_frees_what_it_held(bench: Bench) -> None:
    sub = await bench.add(provider_name(), "https://hooks.ngo.org/", 1)
    assert [j for j in await bench.first.claim(500, slow=False) if j.held.id == sub]
    await bench.second.free_mine()
    assert [j for j in await bench.second.claim(500, slow=False) if j.held.id == sub] == []
    await bench.first.free_mine()
    assert [j for j in await bench.second.claim(500, slow=False) if j.held.id == sub]


async def test_two_replicas_never_have_one_subscription_at_once(bench: Bench) -> None:
    subs = {await bench.add(provider_name(), "https://hooks.ngo.org/", 3) for _ in range(20)}
    for _ in range(3):
        found = await asyncio.gather(
            *(d.claim(7, slow=False) for d in (bench.first, bench.second) * 3)
        )
        jobs = [job for claimed in found for job in claimed if job.held.id in subs]
        assert len({job.held.id for job in jobs}) == len(jobs)
    async with bench.engine.begin() as conn:
        assert await claims.free_holder(conn, "a") + await claims.free_holder(conn, "b") >= 20


async def test_receivers_that_hang_fill_the_slow_lane_only(bench: Bench) -> None:
    outbound = Outbound(timeout=timedelta(seconds=2), connections=6, allow_loopback=True)
    worker = WebhookWorker(
        dispatch=bench.first,
        outbound=outbound,
        sealer=bench.sealer,
        public_url="https://centre.org",
        clock=bench.clock,
        wake_relay=lambda: None,
        lanes=(3, 2),
    )
    async with Hook(hang) as hanging, Hook() as hook:
        for _ in range(9):
            await bench.add(provider_name(), hanging.url, 1)
        task = asyncio.create_task(worker.run())
        await eventually(lambda: len(hanging.got) >= 9, 15, "nine first attempts in the quick lane")
        for _ in range(3):  # every hanging one is due again, in the slow lane
            bench.clock.at += timedelta(seconds=6)
            before = len(hook.got)
            await bench.add(provider_name(), hook.url, 4)
            began = time.monotonic()
            worker.wake()
            await eventually(lambda: len(hook.got) >= before + 4, what="four of the quick one")  # noqa: B023
            assert hook.got[-1].at - began < 5  # in one lane nine that hang, three at once: 6 s
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await outbound.close()


async def test_a_flood_to_one_provider_is_no_queue_for_another(bench: Bench) -> None:
    outbound = Outbound(timeout=timedelta(seconds=10), connections=64, allow_loopback=True)
    worker = WebhookWorker(
        dispatch=bench.first,
        outbound=outbound,
        sealer=bench.sealer,
        public_url="https://centre.org",
        clock=bench.clock,
        wake_relay=lambda: None,
    )
    subscriptions, waiting = 30, 40
    async with Hook() as flooded, Hook() as hook:
        for _ in range(subscriptions):
            await bench.add(provider_name(), flooded.url, waiting)
        task = asyncio.create_task(worker.run())
        await eventually(lambda: len(flooded.got) >= 5 * subscriptions, 30, "the flood")
        await bench.add(provider_name(), hook.url, 5)
        worker.wake()
        await eventually(lambda: len(hook.got) >= 5, 30, "five of the other's")
        first, last = hook.got[0].at, hook.got[-1].at
        between = sum(first < got.at < last for got in flooded.got)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await outbound.close()
    print(f"{between} of the flood came between the other's first and fifth")
    assert between < 2 * subscriptions  # in one queue it would be all of them four times


async def test_what_never_comes_is_passed_over_after_the_longest_wait(bench: Bench) -> None:
    provider, wait = provider_name(), timedelta(hours=1)
    gaps = Gaps(bench.engine, "nobody", wait, clock=bench.clock, wake=lambda: None)

    async def arrive(*places: int) -> int:
        entries = [
            Entry(
                organisation=ProviderId(provider),
                feed_seq=seq,
                event_id=uuid4(),
                type="referral-assigned",
                happened_at=bench.clock.at,
                case_id=uuid4(),
                referral_id=uuid4(),
                state="assigned",
                version=1,
                test=False,
            )
            for seq in places
        ]
        async with bench.engine.begin() as conn:
            return await feed.insert_entries(conn, entries, bench.clock.at)

    async def complete() -> int:
        async with bench.engine.connect() as conn:
            found = await conn.exec_driver_sql(
                "SELECT complete FROM feed_heads WHERE organisation = $1", (provider,)
            )
            return int(found.scalar_one())

    await arrive(1, 4, 2)
    assert await complete() == 2
    await gaps.round()
    bench.clock.at += wait - timedelta(seconds=1)
    await arrive(6)  # a later gap does not make the first one younger
    await gaps.round()
    assert await complete() == 2
    bench.clock.at += timedelta(seconds=1)
    await gaps.round()
    assert await complete() == 4
    assert await arrive(3) == 1  # late, and told all the same
    assert await arrive(5) == 0
    assert await complete() == 6
    await gaps.round()
    assert await arrive(8, 7) == 0
    assert await complete() == 8
