"""TLS to Kafka and PostgreSQL outside of one machine, as the settings ask for it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import certifi
import pytest

from shared.broker import make_broker
from shared.database import make_engine, split_tls
from shared.errors import SettingsError
from shared.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from shared.kafka import KafkaLogin

CA = certifi.where()
USER = {"KAFKA_USERNAME": "intake", "KAFKA_PASSWORD": "not to be seen"}
AT = "postgresql://intake_flow:secret@db.example.org:5432/pashe"


def _login(folder: Path, **env: str) -> KafkaLogin:
    usual = {"KEYS_DIR": str(folder), "DATABASE_URL": AT, "KAFKA_BOOTSTRAP": "k.example.org:1"}
    return load_settings("intake", usual | env).kafka


def test_kafka_with_a_user_and_tls_checks_the_brokers_names(tmp_path: Path) -> None:
    login = _login(tmp_path, **USER, KAFKA_SECURITY="SASL_SSL", KAFKA_CA_FILE=CA)
    told = login.client()
    assert told["security_protocol"] == "SASL_SSL"
    assert told["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert told["ssl_context"].check_hostname
    assert login.native() | {"sasl.password": ""} == {
        "bootstrap.servers": "k.example.org:1",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": CA,
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "intake",
        "sasl.password": "",
    }
    make_broker(login, "test")


def test_kafka_without_a_user_may_have_tls_too(tmp_path: Path) -> None:
    login = _login(tmp_path, KAFKA_SECURITY="ssl")
    assert login.client()["security_protocol"] == "SSL"
    assert "sasl_mechanism" not in login.client()
    assert login.native() == {"bootstrap.servers": "k.example.org:1", "security.protocol": "SSL"}
    make_broker(login, "test")


def test_without_a_word_there_is_none(tmp_path: Path) -> None:
    assert _login(tmp_path, **USER).client()["security_protocol"] == "SASL_PLAINTEXT"
    assert _login(tmp_path).client() == {"bootstrap_servers": "k.example.org:1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"KAFKA_SECURITY": "SASL_SSL"},
        {**USER, "KAFKA_SECURITY": "SSL"},
        {**USER, "KAFKA_SECURITY": "PLAINTEXT"},
        {**USER, "KAFKA_SECURITY": "TLS"},
        {**USER, "KAFKA_CA_FILE": CA},
        {**USER, "KAFKA_SECURITY": "SASL_SSL", "KAFKA_CA_FILE": "nowhere.pem"},
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match=r"^KAFKA_") as refused:
        _login(tmp_path, **wrong)
    assert "not to be seen" not in str(refused.value)


@pytest.mark.parametrize(
    ("query", "checks", "names"),
    [
        ("sslmode=verify-full&sslrootcert=" + CA, True, True),
        ("sslmode=verify-ca&sslrootcert=" + CA, True, False),
        ("sslmode=require&sslrootcert=" + CA, True, False),
        ("sslmode=verify-full", True, True),
    ],
)
def test_a_database_is_checked_as_its_address_says(query: str, checks: bool, names: bool) -> None:  # noqa: FBT001
    bare, context = split_tls(f"{AT}?{query}")
    assert bare == AT
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname) == (checks, names)
    assert make_engine(f"{AT}?{query}", size=1, name="test").url.query == {}


def test_a_database_without_a_check_says_so_in_its_address() -> None:
    assert split_tls(AT) == (AT, None)
    assert split_tls(f"{AT}?sslmode=require&application_name=x") == (
        f"{AT}?application_name=x",
        "require",
    )


@pytest.mark.parametrize(
    "query", ["sslmode=on", "sslrootcert=x", "sslmode=verify-full&sslrootcert=x"]
)
def test_a_database_address_that_asks_for_nonsense_is_refused(query: str) -> None:
    with pytest.raises(SettingsError) as refused:
        split_tls(f"{AT}?{query}")
    assert "secret" not in str(refused.value)
