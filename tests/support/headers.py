"""Header names that are no UTF-8, as a producer of another kind may write them."""

from __future__ import annotations


class RawName(str):
    """A name that a pure Python batch writes as these bytes."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe bad \xf9"
