"""Kafka facts shared by all: partitions, the placing of keys, and client settings."""

from __future__ import annotations

from typing import Final

from aiokafka.partitioner import murmur2

PARTITIONS: Final = 12
"""Partitions of every stream, fixed for life (DECISIONS 4)."""


def partition_of(key: bytes) -> int:
    """Return the partition of a key in a stream, as Kafka's default partitioner places it."""
    return int(murmur2(key) & 0x7FFFFFFF) % PARTITIONS
