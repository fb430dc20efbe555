"""A header name that is no UTF-8 loses no record of its batch."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from shared.patience import PatientRecords
from tests.support.headers import RawName

BAD = RawName("bad")


def batch(
    *headers: list[tuple[str, bytes | None]], base: int = 0, compression: int = 0
) -> bytearray:
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 1_000_000)
    for offset, own in enumerate(headers):
        builder.append(offset, 1, b"key", b"value %d" % (base + offset), own)
    raw: bytearray = builder.build()
    raw[0:8] = base.to_bytes(8, "big")
    return raw


def read(raw: bytes) -> list[Any]:
    found, records = [], PatientRecords(raw)
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        found += list(one)
    return found


GOOD: list[tuple[str, bytes | None]] = [("type", b"case-created"), ("null", None)]


def test_aiokafka_itself_gives_up() -> None:
    records = MemoryRecords(bytes(batch([(BAD, b"x")])))
    with pytest.raises(UnicodeDecodeError):
        list(records.next_batch())


@pytest.mark.parametrize("compression", [0, 1])
def test_all_of_a_batch_is_read_once_and_in_order(compression: int) -> None:
    raw = batch(GOOD, [(BAD, b"x"), *GOOD], GOOD, compression=compression)
    found = read(bytes(raw + batch(GOOD, base=3)))
    assert [record.value for record in found] == [b"value %d" % n for n in range(4)]
    assert [record.offset for record in found] == [0, 1, 2, 3]
    assert list(found[1].headers)[1:] == GOOD
    assert "bad" in found[1].headers[0][0]


def test_what_is_good_is_read_as_aiokafka_reads_it() -> None:
    raw = bytes(batch(GOOD, GOOD))
    ours, theirs = read(raw), list(MemoryRecords(raw).next_batch())
    assert [(r.offset, r.key, r.value, list(r.headers)) for r in ours] == [
        (r.offset, r.key, r.value, list(r.headers)) for r in theirs
    ]
