"""Two lanes before the commit: who is behind waits for the others, and is never forgotten."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """What waits for a commit, in two lanes, each in the order of coming."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._first: list[T] = []
        self._behind: list[T] = []

    def __len__(self) -> int:
        """How many wait in both."""
        return len(self._first) + len(self._behind)

    @property
    def behind(self) -> int:
        """How many wait behind the others."""
        return len(self._behind)

    def add(self, one: T, *, behind: bool) -> None:
        """Let one more wait."""
        (self._behind if behind else self._first).append(one)

    def take(self, many: int, kept: int = 0) -> list[T]:
        """Take the next ones: `kept` places are for those behind, and what the others leave."""
        first = many - min(len(self._behind), kept)
        group = self._first[:first]
        del self._first[:first]
        rest = many - len(group)
        group += self._behind[:rest]
        del self._behind[:rest]
        return group
