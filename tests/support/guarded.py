"""A Kafka of its own where everyone signs in, as the stack runs it; without the rest."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.jars import cache_folder, fetch_jars
from deploy.local.kafka import EmbeddedKafka, reserve_brokers
from deploy.local.keys import SERVICES, make_kafka_passwords
from deploy.local.ports import Ports
from deploy.local.topics import provision

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def guarded_kafka(brokers: int = 1) -> Iterator[EmbeddedKafka]:
    """Run it with topics and rights of `deploy/topics.toml`; call it from the main thread."""
    folder = Path(tempfile.mkdtemp(prefix=f"pashe-test-{secrets.token_hex(2)}-"))
    ports = Ports()
    try:
        jars = fetch_jars(cache_folder(folder / "cache"), lambda _there, _total: None)
        kafka = EmbeddedKafka(
            folder / "kafka",
            jars,
            reserve_brokers(folder / "kafka", ports, brokers),
            make_kafka_passwords(folder / "kafka-passwords.json", beside_data=False),
        )
        try:
            asyncio.run(_start(kafka, folder / "kafka.log"))
            yield kafka
        finally:
            asyncio.run(kafka.stop())
    finally:
        ports.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _start(kafka: EmbeddedKafka, log: Path) -> None:
    await kafka.prepare()
    await kafka.start(log)
    services = [kafka.login(name) for name in SERVICES]
    await provision(kafka.admin, kafka.replication, services)
