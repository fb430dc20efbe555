"""How far Kafka's topics reach, asked again and again on one connection.

To sign in anew for each look cost more CPU than all else that an idle process does, and on a busy
machine it took so long that a broker that was there counted as gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.kafka import KafkaLogin

JOIN_WITHIN: Final = 10.0
"""Seconds to find the brokers and sign in: some looks' worth of work, once."""

ANSWER_WITHIN: Final = 4.0
"""Seconds for an answer on a connection that is there; a frozen broker shows by it."""


class Ends:
    """Asks for the ends of topics. It connects at the first look, and anew after a failure."""

    def __init__(self, login: KafkaLogin) -> None:
        """Take whom to ask; nothing connects yet."""
        self._login = login
        self._client: AIOKafkaConsumer | None = None

    async def find(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int] | None:
        """Return the end of each partition, None when Kafka does not answer."""
        try:
            if self._client is None:
                self._client = AIOKafkaConsumer(**self._login.client(), request_timeout_ms=3000)
                async with asyncio.timeout(JOIN_WITHIN):
                    await self._client.start()
            async with asyncio.timeout(ANSWER_WITHIN):
                return dict(await self._client.end_offsets(list(places)))
        except (KafkaError, OSError, TimeoutError):
            await self.close()
            return None

    async def close(self) -> None:
        """Let go of the connection."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # it only looked
                async with asyncio.timeout(ANSWER_WITHIN):
                    await client.stop()
