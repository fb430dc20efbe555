"""Make what Compose and Kubernetes are told in secret: `python -m deploy.prepare FOLDER`.

Keys and passwords are made once and kept; running it again writes the same. The folder holds, 0600:

- `keys/<service>/…`: the key files of each service (docs/keys-and-erasure.md);
- `<service>.env`: its addresses of the database and of Kafka; `<service>.owner.env` for migrations;
- `postgres.env`: the superuser's password and that of each role;
- `kafka/`: a broker's settings and users;
- `gateway.env`: what telephone gateways and the like sign with, empty until you fill it in;
- `packets/`: where packets to another centre are laid (docs/handover.md), 0750.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.local.broker_settings import Broker, write_settings, write_users
from deploy.local.database import service_urls
from deploy.local.errors import StackError
from deploy.local.home import write_private
from deploy.local.kafka import make_cluster_id
from deploy.local.keys import SERVICES, SUPERUSER, make_kafka_passwords, make_keys, make_passwords

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_UID: Final = 10001
"""Who a service runs as in our image."""

KAFKA_UID: Final = 1000
"""Who Kafka runs as in its official image."""

DATABASE_AT: Final = "postgresql://postgres@postgres:5432/pashe"
KAFKA_AT: Final = "kafka"
_PORT, _CONTROLLER = 9092, 9093
_DATA: Final = Path("/var/lib/kafka/data")


def prepare(folder: Path) -> None:
    """Write everything; what is there stays.

    Raises:
        StackError: a file that was made earlier is missing or not readable.

    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = (folder / "passwords.json").is_file()
    make_keys(folder / "keys", beside_data=begun)
    kafka = make_kafka_passwords(folder / "kafka-passwords.json", beside_data=begun)
    database = make_passwords(folder / "passwords.json", beside_data=begun)
    for service in SERVICES:
        urls = service_urls(DATABASE_AT, service, database)
        owner = {"DATABASE_OWNER_URL": urls.pop("DATABASE_OWNER_URL")}
        _write_env(folder / f"{service}.owner.env", owner)
        login = {
            "KAFKA_BOOTSTRAP": f"{KAFKA_AT}:{_PORT}",
            "KAFKA_USERNAME": service,
            "KAFKA_PASSWORD": kafka[service],
        }
        _write_env(folder / f"{service}.env", urls | login)
    roles = {name: word for name, word in database.items() if name != SUPERUSER}
    _write_env(
        folder / "postgres.env",
        {"POSTGRES_PASSWORD": database[SUPERUSER], "PASHE_ROLES": " ".join(roles), **roles},
    )
    _write_kafka(folder / "kafka", kafka)
    if not (folder / "gateway.env").exists():
        _write_env(folder / "gateway.env", {})
    (folder / "packets").mkdir(mode=0o750, exist_ok=True)
    if os.geteuid() == 0:
        _hand_over(folder / "keys", SERVICE_UID)
        _hand_over(folder / "packets", SERVICE_UID)
        _hand_over(folder / "kafka", KAFKA_UID)


def _write_kafka(folder: Path, passwords: Mapping[str, str]) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    broker = Broker(1, KAFKA_AT, _PORT, _CONTROLLER, _DATA)
    settings = write_settings(broker, [broker], passwords)
    write_private(folder / "server.properties", settings.encode())
    write_private(folder / "users", write_users(passwords).encode())
    admin = (
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="admin" password="{passwords["admin"]}";\n'
    )
    write_private(folder / "admin.properties", admin.encode())
    if not (folder / "cluster.id").exists():
        write_private(folder / "cluster.id", make_cluster_id().encode())


def _write_env(path: Path, values: Mapping[str, str]) -> None:
    write_private(path, "".join(f"{name}={value}\n" for name, value in values.items()).encode())


def _hand_over(folder: Path, uid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  (one word)
        sys.exit("usage: python -m deploy.prepare FOLDER")
    try:
        prepare(Path(sys.argv[1]).absolute())
    except StackError as problem:
        sys.exit(f"pashe: {problem}")
    if os.geteuid() != 0:
        print(f"Not root: hand {sys.argv[1]}/keys and {sys.argv[1]}/packets", end=" ")  # noqa: T201
        print(f"to user {SERVICE_UID}, {sys.argv[1]}/kafka to user {KAFKA_UID}.")  # noqa: T201
