"""Where a key lies is a contract: as Kafka's own default partitioner, for ever."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2

from shared.kafka import PARTITIONS, partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_own_tests(key: bytes, hashed: int) -> None:
    """Vectors of `UtilsTest.testMurmur2` in Apache Kafka."""
    assert murmur2(key) & 0xFFFFFFFF == hashed & 0xFFFFFFFF
    assert partition_of(key) == (hashed & 0x7FFFFFFF) % PARTITIONS


def test_placement_equals_the_clients_default_partitioner() -> None:
    partitions = list(range(PARTITIONS))
    default = DefaultPartitioner()
    dice = random.Random(1)
    for _ in range(2000):
        key = str(UUID(int=dice.getrandbits(128))).encode()
        assert partition_of(key) == default(key, partitions, partitions)


def test_the_number_of_partitions_is_fixed() -> None:
    assert PARTITIONS == 12
