"""What waits before the commit: in turn by channel, and within one by sender, so that none floods.

Who is behind waits for the others, and is never forgotten.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")


class _Turns(Generic[T]):
    """Lines that give one each in turn; within a line, in the order of coming."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, line: Hashable, one: T) -> None:
        self._lines.setdefault(line, deque()).append(one)
        self._size += 1

    def pop(self) -> T:
        name, line = self._lines.popitem(last=False)
        one = line.popleft()
        self._size -= 1
        if line:
            self._lines[name] = line
        return one


class Lanes(Generic[T]):
    """What waits for a commit, in two lanes: a turn for each channel, in it one for each sender."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._first: OrderedDict[str, _Turns[T]] = OrderedDict()
        self._behind: deque[tuple[str, T]] = deque()
        self._waiting: dict[str, int] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many wait in both."""
        return self._size

    @property
    def behind(self) -> int:
        """How many wait behind the others."""
        return len(self._behind)

    def of(self, channel: str) -> int:
        """How many of a channel wait in both."""
        return self._waiting.get(channel, 0)

    def add(self, one: T, *, behind: bool, channel: str = "", sender: Hashable = None) -> None:
        """Let one more wait."""
        if behind:
            self._behind.append((channel, one))
        else:
            self._first.setdefault(channel, _Turns()).add(sender, one)
        self._waiting[channel] = self.of(channel) + 1
        self._size += 1

    def take(self, many: int, kept: int = 0) -> list[T]:
        """Take the next ones: `kept` places are for those behind, and what the others leave."""
        group: list[T] = []
        first = many - min(len(self._behind), kept)
        while self._first and len(group) < first:
            channel, turns = self._first.popitem(last=False)
            group.append(self._leave(channel, turns.pop()))
            if turns:
                self._first[channel] = turns
        while self._behind and len(group) < many:
            group.append(self._leave(*self._behind.popleft()))
        return group

    def _leave(self, channel: str, one: T) -> T:
        self._waiting[channel] -= 1
        self._size -= 1
        return one
