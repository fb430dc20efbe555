"""Who may do what in Kafka, as `deploy/topics.toml` says it and as the services need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.acls import Grant, grants_of, grants_of_guest
from deploy.local.broker_settings import Broker, write_settings, write_users
from deploy.local.errors import StackError
from deploy.local.keys import KAFKA_ADMIN, KAFKA_BROKER, SERVICES, make_kafka_passwords
from deploy.local.topics_file import Topic, Topics, load_topics
from shared.errors import SettingsError
from shared.kafka import KafkaLogin
from shared.settings import load_settings
from tests.support.wiring import find_wiring

STREAM = Topic("intake", ("audit",), 12, "delete", 30)


def test_the_file_says_what_the_services_wire() -> None:
    wired = find_wiring()
    known = load_topics()
    topics = known.topics
    for service in SERVICES:
        named = topics | known.families
        owned = {name for name, topic in named.items() if topic.owner == service}
        read = {name for name, topic in topics.items() if service in topic.readers}
        assert owned == set(wired[service]["owns"]), service
        assert read == set(wired[service]["reads"]), service
        for group in wired[service]["groups"]:
            assert group == service or group.startswith(f"{service}."), group


def test_an_owner_writes_a_reader_reads_and_nobody_else_is_named() -> None:
    found = {g for g in grants_of(Topics({"cases": STREAM})) if g.resource == "topic"}
    assert found == {
        Grant("intake", "write", "topic", "cases"),
        Grant("intake", "describe", "topic", "cases"),
        Grant("audit", "read", "topic", "cases"),
        Grant("audit", "describe", "topic", "cases"),
    }


def test_every_service_has_its_own_groups_only() -> None:
    found = grants_of(Topics({}))
    assert {g.resource for g in found} == {"group"}
    assert {g.operation for g in found} == {"read", "describe"}
    names = {(g.service, g.name, g.prefix) for g in found}
    assert names == {(s, s, False) for s in SERVICES} | {(s, f"{s}.", True) for s in SERVICES}


def test_a_family_is_granted_by_its_prefix_and_only_to_services() -> None:
    family = Topic("partner", ("intake",), 1, "delete", 14)
    found = grants_of(Topics({}, {"submissions.partner.*": family}))
    assert {g for g in found if g.resource == "topic"} == {
        Grant("intake", "read", "topic", "submissions.partner.", prefix=True),
        Grant("intake", "describe", "topic", "submissions.partner.", prefix=True),
    }


@pytest.mark.parametrize("pattern", ["*", "provider", "provider*", "a.*.*", "a.*.b"])
def test_a_family_that_would_grant_more_than_its_own_is_refused(pattern: str) -> None:
    with pytest.raises(StackError, match="must end with"):
        grants_of(Topics({}, {pattern: STREAM}))


def test_a_partner_writes_its_own_topic_and_a_provider_reads_its_own() -> None:
    topics = load_topics()
    topic, kept, grants = grants_of_guest(topics, "partner", "line")
    assert (topic, kept.partitions) == ("submissions.partner.line", 1)
    assert grants == {
        Grant("partner.line", "write", "topic", topic),
        Grant("partner.line", "describe", "topic", topic),
    }
    topic, _, grants = grants_of_guest(topics, "provider", "home")
    assert topic == "provider.home"
    assert {(g.service, g.operation) for g in grants} == {
        ("provider.home", "read"),
        ("provider.home", "describe"),
    }
    assert {(g.resource, g.name, g.prefix) for g in grants} == {
        ("topic", "provider.home", False),
        ("group", "provider.home", False),
        ("group", "provider.home.", True),
    }
    assert len(grants) == 6


@pytest.mark.parametrize("key", ["", "*", "a.b", "A", "a b", "../x", "রিনা", "a" * 101])
def test_a_key_that_would_reach_another_topic_is_refused(key: str) -> None:
    with pytest.raises(StackError, match="is no key"):
        grants_of_guest(load_topics(), "provider", key)
    with pytest.raises(StackError, match="no kind of user"):
        grants_of_guest(load_topics(), "intake", "x")


def test_a_topic_of_someone_who_is_no_service_is_refused() -> None:
    for wrong in (Topic("intak", (), 1, "delete"), Topic("intake", ("all",), 1, "delete")):
        with pytest.raises(StackError, match="no service"):
            grants_of(Topics({"cases": wrong}))


def test_no_listener_is_open_and_controllers_know_one_user() -> None:
    passwords = {KAFKA_ADMIN: "a", KAFKA_BROKER: "b", **dict.fromkeys(SERVICES, "s")}
    brokers = [Broker(n, f"127.0.1.{n}", 9, 10, Path(f"/k/{n}")) for n in (1, 2, 3)]
    lines = write_settings(brokers[0], brokers, passwords).splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    protocols = settings["listener.security.protocol.map"].split(",")
    assert {p.partition(":")[2] for p in protocols} == {"SASL_PLAINTEXT"}
    assert settings["allow.everyone.if.no.acl.found"] == "false"
    assert settings["super.users"] == f"User:{KAFKA_ADMIN};User:{KAFKA_BROKER}"
    known = settings["listener.name.controller.plain.sasl.jaas.config"]
    assert known.count("user_") == 1
    assert f'user_{KAFKA_BROKER}="b"' in known
    assert write_users(passwords).count("--add-scram\n") == len(passwords)
    assert "authorizer.class.name" not in write_settings(brokers[0], brokers, None)


def test_passwords_are_made_once_kept_closed_and_never_beside_an_older_kafka(
    tmp_path: Path,
) -> None:
    path = tmp_path / "kafka-passwords.json"
    with pytest.raises(StackError, match="pashe up --fresh"):
        make_kafka_passwords(path, beside_data=True)
    assert not path.exists()
    made = make_kafka_passwords(path, beside_data=False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(set(made.values())) == len(made) == len(SERVICES) + 2
    assert make_kafka_passwords(path, beside_data=True) == made


def test_a_login_shows_its_password_to_clients_only(tmp_path: Path) -> None:
    env = {
        "KEYS_DIR": str(tmp_path),
        "DATABASE_URL": "postgresql://x",
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
    }
    assert load_settings("intake", env).kafka.client() == {"bootstrap_servers": "127.0.0.1:1"}
    signed = load_settings(
        "intake", env | {"KAFKA_USERNAME": "intake", "KAFKA_PASSWORD": "not to be seen"}
    )
    assert signed.kafka == KafkaLogin("127.0.0.1:1", "intake", "not to be seen")
    assert signed.kafka.client()["sasl_plain_password"] == "not to be seen"
    assert "not to be seen" not in repr(signed)
    for half in ({"KAFKA_USERNAME": "intake"}, {"KAFKA_PASSWORD": "p"}):
        with pytest.raises(SettingsError, match="is not set"):
            load_settings("intake", env | half)
