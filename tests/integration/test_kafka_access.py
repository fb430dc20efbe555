"""Kafka lets nobody in without a sign-in, and a service do nothing that topics.toml does not say.

The whole matrix: principal x topic x operation, principal x group x operation, and what concerns
the cluster. What is expected stands here by hand, not taken from the file that grants it.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.local.acls import EVERYTHING, grants_of, provision_grants
from deploy.local.errors import StackError
from deploy.local.guests import admit, dismiss
from deploy.local.keys import KAFKA_BROKER, SERVICES
from deploy.local.topics import provision
from deploy.local.topics_file import load_topics
from shared.broker import make_broker
from shared.kafka import KafkaLogin, find_refusal
from tests.support.guarded import guarded_kafka
from tests.support.processes import Child
from tests.support.stack import free_port
from tests.support.wait import eventually, eventually_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deploy.local.kafka import EmbeddedKafka
    from tests.support.lab import Lab

pytestmark = pytest.mark.timeout(300)

WRITES: Final = {
    "intake": {"submissions", "cases"},
    "referral": {"referrals", "directory"},
    "notification": {"notices", "provider.shelter", "provider.other"},
    "audit": {"accesses"},
    "partner.helpline": {"submissions.partner.helpline"},
    "partner.other": {"submissions.partner.other"},
    "provider.shelter": set(),
    "provider.other": set(),
}
READS: Final = {
    "intake": {
        *("submissions", "cases", "referrals", "notices"),
        *("submissions.partner.helpline", "submissions.partner.other"),
    },
    "referral": {"submissions", "cases"},
    "notification": {"cases", "referrals"},
    "audit": {"submissions", "cases", "referrals", "notices", "directory", "accesses"},
    "partner.helpline": set(),
    "partner.other": set(),
    "provider.shelter": {"provider.shelter"},
    "provider.other": {"provider.other"},
}
GUESTS: Final = (
    *(("partner", "helpline"), ("partner", "other")),
    *(("provider", "shelter"), ("provider", "other")),
)
"""Users that are no service, each with one topic; `pashe kafka grant` makes them."""
USERS: Final = (*SERVICES, *(f"{kind}.{key}" for kind, key in GUESTS))
STREAMS: Final = ("submissions", "cases", "referrals", "notices", "directory", "accesses")
MADE: Final = ("provider-other", "elsewhere")
THEIRS: Final = (
    *("submissions.partner.helpline", "submissions.partner.other"),
    *("provider.shelter", "provider.other"),
)
TOPICS: Final = (*STREAMS, *THEIRS, *MADE)
OPERATIONS: Final = (
    *("write", "read", "describe", "list", "alter", "describe_settings"),
    *("add_partitions", "delete_records", "delete", "create"),
)
GROUPS: Final = (
    *("intake.desk", "referral.cases", "referral.rule.shelter", "notification.webhook"),
    *("audit", "audit.other", "intake-desk", "elsewhere", "partner.helpline"),
    *("provider.shelter", "provider.shelter.two", "provider.shelter2", "provider.other"),
)
NO_TOPIC: Final = "TOPIC_AUTHORIZATION_FAILED"
NO_GROUP: Final = "GROUP_AUTHORIZATION_FAILED"
NO_CLUSTER: Final = "CLUSTER_AUTHORIZATION_FAILED"
NOT_SEEN: Final = "_NOENT"
"""What the client says of records to delete in a topic that it is not told of; it asks no more."""
WITHIN: Final = 20.0
"""Seconds for one answer."""


@pytest.fixture(scope="module")
def kafka() -> Iterator[EmbeddedKafka]:
    with guarded_kafka() as running:
        admin = AdminClient(running.admin.native())
        made = [NewTopic(name, num_partitions=1, replication_factor=1) for name in MADE]
        for new in admin.create_topics(made).values():
            new.result(WITHIN)
        for kind, key in GUESTS:
            topic, login = asyncio.run(admit(running.admin, 1, kind, key))
            assert topic in THEIRS
            LOGINS[login.username] = login
        boss = Principal(running.admin)
        for name in TOPICS:
            assert boss.write(name) == "ok"
        yield running


LOGINS: Final[dict[str, KafkaLogin]] = {}
"""How guests sign in; their passwords are shown once and kept nowhere else."""


def login_of(kafka: EmbeddedKafka, user: str) -> KafkaLogin:
    return LOGINS.get(user) or kafka.login(user)


@dataclass(slots=True)
class Principal:
    """One user and its clients; each operation says `ok` or the name of what Kafka answered."""

    login: KafkaLogin
    admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient(self.login.native() | {"log_level": 0})

    # --- A topic -----------------------------------------------------------------------------

    def write(self, topic: str) -> str:
        said: list[str] = []
        words = {"enable.idempotence": False, "message.timeout.ms": 15_000, "log_level": 0}
        producer = Producer(self.login.native() | words)
        producer.produce(
            topic,
            b"{}",
            b"key",
            partition=0,
            on_delivery=lambda error, _: said.append(error.name() if error else "ok"),
        )
        producer.flush(WITHIN)
        return said[0]

    def read(self, topic: str) -> str:
        """Fetch the first record by itself: clients hide a refusal behind their tries."""
        return asyncio.run(self._fetch(topic))

    async def _fetch(self, topic: str) -> str:
        wanted = FetchRequest(100, 1, 1_000_000, 0, [(topic, [(0, 0, 1_000_000)])])
        code = -1
        for host, port, _ in collect_hosts(self.login.bootstrap):
            try:
                conn = await create_conn(host, port, **self.login.sign_in())
            except OSError:  # one of three that was killed
                continue
            try:
                answer: Any = await conn.send(wanted)
            finally:
                conn.close()
            ((_, ((_, code, *_, records),)),) = answer.topics
            if code == 0 and records:
                return "ok"
            if code == TopicAuthorizationFailedError.errno:
                return NO_TOPIC
        return f"code {code}"

    def describe(self, topic: str) -> str:
        found = self.admin.list_topics(topic, timeout=WITHIN).topics[topic].error
        return "ok" if found is None else str(found.name())

    def list(self, topic: str) -> str:
        """See it in the list of topics: no error, it is only not there."""
        seen = topic in self.admin.list_topics(timeout=WITHIN).topics
        return "ok" if seen else NO_TOPIC

    def alter(self, topic: str) -> str:
        entry = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
        wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        return said(lambda: self.admin.incremental_alter_configs([wanted]))

    def describe_settings(self, topic: str) -> str:
        wanted = ConfigResource(ResourceType.TOPIC, topic)
        return said(lambda: self.admin.describe_configs([wanted]))

    def add_partitions(self, topic: str) -> str:
        return said(lambda: self.admin.create_partitions([NewPartitions(topic, 13)]))

    def delete_records(self, topic: str) -> str:
        return said(lambda: self.admin.delete_records([TopicPartition(topic, 0, 1)]))

    def delete(self, topic: str) -> str:
        return said(lambda: self.admin.delete_topics([topic]))

    def create(self, topic: str) -> str:
        new = NewTopic(f"{topic}.new", num_partitions=1, replication_factor=1)
        return said(lambda: self.admin.create_topics([new]))

    # --- A group -----------------------------------------------------------------------------

    def look(self, group: str, _: str) -> str:
        asked = [ConsumerGroupTopicPartitions(group)]
        return said(lambda: self.admin.list_consumer_group_offsets(asked))

    def tell(self, group: str, _: str) -> str:
        return said(lambda: self.admin.describe_consumer_groups([group]))

    def commit(self, group: str, topic: str) -> str:
        wanted = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])]
        return said(lambda: self.admin.alter_consumer_group_offsets(wanted))

    def forget(self, group: str, _: str) -> str:
        return said(lambda: self.admin.delete_consumer_groups([group]))


def said(ask: Callable[[], dict[Any, Any]]) -> str:
    """Return the first refusal of what was asked, or `ok`."""
    try:
        for future in ask().values():
            found = future.result(WITHIN)
            for place in getattr(found, "topic_partitions", None) or ():
                if place.error is not None:
                    return str(place.error.name())
    except KafkaException as error:
        return str(error.args[0].name())
    return "ok"


def allowed(service: str, operation: str, topic: str) -> bool:
    """Say what the matrix expects of a service and a topic."""
    write, read = topic in WRITES[service], topic in READS[service]
    return {"write": write, "read": read, "describe": write or read, "list": write or read}.get(
        operation, False
    )


Cells: TypeAlias = dict[tuple[str, ...], tuple[str, str]]
"""What is expected, and what Kafka said."""


def owner_of(group: str) -> str | None:
    """Return whose a group is; a partner, who reads nothing, has none."""
    readers = [user for user in USERS if not user.startswith("partner.")]
    return next((u for u in readers if group == u or group.startswith(f"{u}.")), None)


def differing(cells: Cells) -> dict[tuple[str, ...], str]:
    """Return the cells where Kafka did something else than expected."""
    return {cell: found for cell, (wanted, found) in cells.items() if found != wanted}


def test_the_matrix_of_principals_topics_and_operations(kafka: EmbeddedKafka) -> None:
    before = state_of(kafka)
    cells: Cells = {}
    for service in USERS:
        principal = Principal(login_of(kafka, service))
        for topic, operation in itertools.product(TOPICS, OPERATIONS):
            found = getattr(principal, operation)(topic)
            wanted = "ok" if allowed(service, operation, topic) else NO_TOPIC
            if operation == "delete_records" and not allowed(service, "describe", topic):
                wanted = NOT_SEEN
            cells[service, topic, operation] = (wanted, found)
        for inner in ("__consumer_offsets", "__cluster_metadata"):
            cells[service, inner, "write"] = (NO_TOPIC, principal.write(inner))
            cells[service, inner, "read"] = (NO_TOPIC, principal.read(inner))
    assert differing(cells) == {}
    assert len(cells) == len(USERS) * (len(TOPICS) * len(OPERATIONS) + 4)
    assert state_of(kafka) == before


def state_of(kafka: EmbeddedKafka) -> dict[str, Any]:
    """Return every topic's partitions and retention, and the place of its first record."""
    admin = AdminClient(kafka.admin.native())
    found: dict[str, Any] = {}
    listed = admin.list_topics(timeout=WITHIN).topics
    topics = {name: topic for name, topic in listed.items() if not name.startswith("__")}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    for resource, future in admin.describe_configs(asked).items():
        kept = future.result(WITHIN)["retention.ms"].value
        found[resource.name] = (len(topics[resource.name].partitions), kept)
    reader = Consumer(kafka.admin.native() | {"group.id": "never-used"})
    for name in TOPICS:
        first, _ = reader.get_watermark_offsets(TopicPartition(name, 0), timeout=WITHIN)
        found[name] += (first,)
    reader.close()
    return found


def test_the_matrix_of_principals_and_groups(kafka: EmbeddedKafka) -> None:
    cells: Cells = {}
    boss = Principal(kafka.admin)
    for group in GROUPS:
        committed = partial(boss.commit, group, "elsewhere")
        eventually_now(lambda: committed() == "ok", 60, "its coordinator")  # noqa: B023  (at once)
    for service in USERS:
        principal = Principal(login_of(kafka, service))
        readable = min(READS[service] or WRITES[service])
        for group in GROUPS:
            own = owner_of(group) == service
            for operation in ("look", "tell", "commit"):
                found = getattr(principal, operation)(group, readable)
                cells[service, group, operation] = ("ok" if own else NO_GROUP, found)
            cells[service, group, "forget"] = (NO_GROUP, principal.forget(group, readable))
        for topic in {*STREAMS, *THEIRS} - READS[service]:  # an own group, but not an own topic
            found = principal.commit(f"{service}.x", topic)
            refused = NO_TOPIC if READS[service] else NO_GROUP
            cells[service, topic, "commit"] = (refused, found)
    assert differing(cells) == {}


def test_what_concerns_the_cluster_is_refused_to_everyone(kafka: EmbeddedKafka) -> None:
    everyone = AclBinding(
        ResourceType.TOPIC,
        "*",
        ResourcePatternType.LITERAL,
        "User:*",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    stolen = UserScramCredentialUpsertion(
        "admin", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), b"mine"
    )
    broker = ConfigResource(
        ResourceType.BROKER,
        "1",
        incremental_configs=[
            ConfigEntry("log.retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    for service in USERS:
        login = login_of(kafka, service)
        admin = Principal(login).admin
        answers = {
            "take": said(lambda: admin.delete_acls([EVERYTHING])),  # noqa: B023  (called at once)
            "give": said(lambda: admin.create_acls([everyone])),  # noqa: B023  (called at once)
            "users": said(lambda: admin.alter_user_scram_credentials([stolen])),  # noqa: B023
            "broker": said(lambda: admin.incremental_alter_configs([broker])),  # noqa: B023
        }
        assert answers == dict.fromkeys(answers, NO_CLUSTER), service
        assert admin.describe_acls(EVERYTHING).result(WITHIN) == []  # a refusal, to this client
        transactional = Producer(login.native() | {"transactional.id": service, "log_level": 0})
        with pytest.raises(KafkaException) as refused:
            transactional.init_transactions(WITHIN)
        assert refused.value.args[0].name() == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"


async def test_a_group_of_another_service_cannot_be_joined(kafka: EmbeddedKafka) -> None:
    for group, refused in (("referral.cases", True), ("intake.desk", False)):
        consumer = AIOKafkaConsumer("cases", group_id=group, **kafka.login("intake").client())
        try:
            if refused:
                with pytest.raises(GroupAuthorizationFailedError):
                    await _join(consumer)
            else:
                await _join(consumer)
        finally:
            await consumer.stop()


async def _join(consumer: AIOKafkaConsumer) -> None:
    await consumer.start()
    async with asyncio.timeout(WITHIN):
        await consumer.getone()


async def test_nobody_enters_without_the_right_password(kafka: EmbeddedKafka) -> None:
    good = kafka.login("intake")
    assert await find_refusal(good) == ""
    for user, password in (
        ("intake", "wrong"),
        ("intake", kafka.login("audit").password),
        ("nobody", good.password),
        ("ANONYMOUS", good.password),
    ):
        line = await find_refusal(KafkaLogin(kafka.bootstrap, user, password))
        assert line == f"Kafka refuses user {user}: KAFKA_USERNAME or KAFKA_PASSWORD is wrong"
    line = await find_refusal(KafkaLogin(kafka.bootstrap))
    assert line == "Kafka asks who we are: KAFKA_USERNAME and KAFKA_PASSWORD are not set"
    assert await find_refusal(KafkaLogin("127.0.0.1:1", "intake", "wrong")) == ""
    with pytest.raises(StackError, match="Kafka refuses user admin"):
        await provision(KafkaLogin(kafka.bootstrap, "admin", "wrong"), 1)


async def test_the_controllers_door_is_closed_to_everyone_but_brokers(
    kafka: EmbeddedKafka,
) -> None:
    (broker,) = kafka.brokers

    async def enter(mechanism: str | None, user: str, port: int) -> None:
        words: dict[str, Any] = {}
        if mechanism:
            words = {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": mechanism,
                "sasl_plain_username": user,
                "sasl_plain_password": kafka.login(user).password,
            }
        conn = await create_conn(broker.host, port, request_timeout_ms=5000, **words)
        try:
            await conn.send(CreateTopicsRequest([], 5000, validate_only=True))
        finally:
            conn.close()

    await enter("PLAIN", KAFKA_BROKER, broker.controller_port)
    with pytest.raises(KafkaConnectionError):
        await enter(None, "", broker.controller_port)
    for user in (*SERVICES, "admin"):
        with pytest.raises(SaslAuthenticationFailed):
            await enter("PLAIN", user, broker.controller_port)
        with pytest.raises(UnsupportedSaslMechanismError):
            await enter("SCRAM-SHA-512", user, broker.controller_port)
        with pytest.raises(UnsupportedSaslMechanismError):
            await enter("PLAIN", user, broker.port)


def test_rights_are_set_once_and_what_is_not_in_the_file_is_taken_away(
    kafka: EmbeddedKafka,
) -> None:
    admin = AdminClient(kafka.admin.native())
    wanted = grants_of(load_topics())
    assert provision_grants(admin, wanted) == 0

    def grant(user: str) -> AclBinding:
        return AclBinding(
            ResourceType.TOPIC,
            "notices",
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )

    for made in admin.create_acls([grant("referral"), grant("a-guest")]).values():
        made.result(WITHIN)
    referral = Principal(kafka.login("referral"))
    assert referral.read("notices") == "ok"
    assert provision_grants(admin, wanted) == 1  # the guest's is not ours to take
    assert referral.read("notices") == NO_TOPIC
    less = frozenset(g for g in wanted if g.name != "cases")
    assert provision_grants(admin, less) == len(wanted) - len(less)
    assert referral.read("cases") == NO_TOPIC
    assert provision_grants(admin, wanted) == len(wanted) - len(less)
    assert referral.read("cases") == "ok"


async def test_a_guest_whose_rights_are_taken_may_do_nothing_and_a_new_password_ends_the_old(
    kafka: EmbeddedKafka,
) -> None:
    topic, first = await admit(kafka.admin, 1, "provider", "leaves")
    boss, guest = Principal(kafka.admin), Principal(first)
    assert await asyncio.to_thread(boss.write, topic) == "ok"
    assert await asyncio.to_thread(guest.read, topic) == "ok"
    again, second = await admit(kafka.admin, 1, "provider", "leaves")
    assert (again, second.username) == (topic, first.username)
    assert await find_refusal(first)
    assert await asyncio.to_thread(Principal(second).read, topic) == "ok"
    still = await create_conn(*_place(kafka), **second.sign_in())  # was let in, and stays
    await dismiss(kafka.admin, "provider", "leaves")
    asked = FetchRequest(100, 1, 1_000_000, 0, [(topic, [(0, 0, 1_000_000)])])

    async def refused() -> bool:
        answer: Any = await still.send(asked)
        return bool(answer.topics[0][1][0][1] == TopicAuthorizationFailedError.errno)

    await eventually(refused, WITHIN, "the end of the rights of who is still connected")
    still.close()
    assert await find_refusal(second)
    with pytest.raises(StackError, match="Kafka does not change this user"):
        await dismiss(kafka.admin, "provider", "leaves")
    assert topic in await asyncio.to_thread(lambda: boss.admin.list_topics(timeout=WITHIN).topics)


def _place(kafka: EmbeddedKafka) -> tuple[str, int]:
    host, port, _ = collect_hosts(kafka.bootstrap)[0]
    return host, port


def test_users_and_rights_outlive_a_kill(kafka: EmbeddedKafka) -> None:
    asyncio.run(_kill_and_start(kafka))
    shelter = Principal(LOGINS["provider.shelter"])
    assert shelter.read("provider.shelter") == "ok"
    assert shelter.read("provider.other") == NO_TOPIC
    referral = Principal(kafka.login("referral"))
    assert referral.write("referrals") == "ok"
    assert referral.write("cases") == NO_TOPIC
    with pytest.raises(KafkaError):
        asyncio.run(_anonymous(kafka))


async def _kill_and_start(kafka: EmbeddedKafka) -> None:
    await kafka.stop(kill=True)
    await kafka.start(kafka.folder / "again.log")


async def _anonymous(kafka: EmbeddedKafka) -> None:
    client = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    try:
        await client.start()
    finally:
        await client.stop()


def test_no_password_is_readable_by_others_or_written_where_it_is_not_needed(
    kafka: EmbeddedKafka,
) -> None:
    (broker,) = kafka.brokers
    settings = broker.folder / "server.properties"
    assert settings.stat().st_mode & 0o777 == 0o600
    secrets = [kafka.login(user).password for user in ("admin", KAFKA_BROKER, *SERVICES)]
    secrets += [login.password for login in LOGINS.values()]
    for path in (p for p in kafka.folder.parent.rglob("*") if p.is_file()):
        if path.name == "kafka-passwords.json":
            continue
        known = [KAFKA_BROKER] if path == settings else []
        content = path.read_bytes()
        found = [s for s in secrets if s.encode() in content]
        assert found == [kafka.login(user).password for user in known], path
        if path.suffix == ".log" and path.parent in {kafka.folder, kafka.folder.parent}:
            assert b"storedKey" not in content, path
    command = " ".join(kafka.command(broker))
    assert not any(secret in command for secret in secrets)


async def test_a_service_with_a_wrong_password_says_so_in_one_line_and_goes_on_serving(
    lab: Lab, kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    env = lab.environment(
        LAB_CONSUMER=f"{lab.schema}.one",
        LAB_RELAY="1",
        HTTP_PORT=str(free_port()),
        KAFKA_BOOTSTRAP=kafka.bootstrap,
        KAFKA_USERNAME="intake",
        KAFKA_PASSWORD="a wrong password",
    )
    with Child("tests.support.lab", env, tmp_path / "log") as child:
        line = "Kafka refuses user intake: KAFKA_USERNAME or KAFKA_PASSWORD is wrong"
        await eventually(lambda: line in child.said(), 45, "the complaint")
        assert child.running()
        assert "a wrong password" not in child.said()
        assert "kafka-not-there" not in child.said()


@pytest.mark.long
def test_three_brokers_know_one_another_and_their_users_after_one_is_killed() -> None:
    with guarded_kafka(3) as kafka:
        intake = Principal(kafka.login("intake"))
        assert intake.write("cases") == "ok"
        asyncio.run(kafka.stop(1, kill=True))
        assert intake.write("cases") == "ok"
        assert intake.write("notices") == NO_TOPIC
        asyncio.run(_start_and_stop(kafka.login("intake")))
        assert Principal(kafka.login("audit")).read("cases") == "ok"


async def _start_and_stop(login: KafkaLogin) -> None:
    """Start a service's broker, whose addresses are several."""
    broker = make_broker(login, "test")
    async with asyncio.timeout(WITHIN):
        await broker.start()
        await broker.stop()
