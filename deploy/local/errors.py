"""What can go wrong with the stack, in one line, with the log that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what to do about it.

    `tail` is the end of the log that explains it, oldest line first, or empty.
    """

    def __init__(self, message: str, tail: Sequence[str] = ()) -> None:
        """Take one clear line and the end of a log."""
        super().__init__(message)
        self.tail = tuple(tail)
