"""Reads records whose header names are no UTF-8; aiokafka gives up on their partition instead.

A producer of any kind may write such a name. aiokafka (0.14) decodes names strictly, raises for the
whole fetch, and fetches the same bytes again for ever. Here such a batch is read a second time with
what cannot be decoded replaced; every other batch takes aiokafka's own fast way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC: Final = 2
"""The record format that has headers, and the only one that Kafka 4 writes."""

_MAGIC_AT: Final = 16
"""Byte of a batch that holds its format."""


class _Name(bytes):
    """Bytes that decode to some text, whatever they are."""

    __slots__ = ()

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class _Buffer(bytearray):
    """A batch's bytes; a slice of them decodes to some text."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401  (an index or a slice)
        found = super().__getitem__(place)
        return found if isinstance(found, int) else _Name(found)


class _Batch:
    """One batch: aiokafka's own reading, and the patient one from the first bad record on."""

    def __init__(self, fast: Any, raw: bytes) -> None:  # noqa: ANN401  (aiokafka's, untyped)
        self._fast = fast
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._fast, name)

    def __next__(self) -> Any:  # noqa: ANN401
        return next(self._fast)

    def __iter__(self) -> Iterator[Any]:
        last = -1
        try:
            for record in self._fast:
                last = record.offset
                yield record
        except (CorruptRecordException, UnicodeDecodeError):
            for record in _read_patiently(self._raw):
                if record.offset > last:
                    yield record


def _read_patiently(raw: bytes) -> Iterator[Any]:
    batch = _DefaultRecordBatchPy(raw)
    records = iter(batch)  # what is compressed is opened here
    batch._buffer = _Buffer(batch._buffer)  # noqa: SLF001  (the one place that names are cut from)
    yield from records


class PatientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # final for a type checker only
    """A fetched set of batches, as aiokafka's fetcher reads it."""

    def next_batch(self) -> Any:  # noqa: ANN401
        """Return the next batch, or None after the last one."""
        raw = self._next_slice
        fast = super().next_batch()
        if fast is None or raw is None or raw[_MAGIC_AT] < _MAGIC:
            return fast
        return _Batch(fast, raw)


def be_patient() -> None:
    """Let every consumer of this process read patiently; calling it again changes nothing."""
    fetcher.MemoryRecords = PatientRecords
