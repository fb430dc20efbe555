"""Waiting for a condition with a bound; a test never sleeps for a guess."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 0.05
"""Seconds between two looks."""


async def eventually(
    look: Callable[[], Any],
    within: float = 10.0,
    what: str = "the condition",
    every: float = EVERY,
) -> Any:
    """Call `look` (plain or async) until it returns something true, and return that.

    An `AssertionError` that it raises counts as not yet.

    Raises:
        AssertionError: it did not within `within` seconds.

    """
    until = time.monotonic() + within
    while True:
        problem: object = None
        try:
            found = look()
            value = await found if inspect.isawaitable(found) else found
        except AssertionError as error:
            problem = error
        else:
            if value:
                return value
            problem = value
        if time.monotonic() > until:
            message = f"{what} did not come within {within} s: {problem!r}"
            raise AssertionError(message)
        await asyncio.sleep(every)


def eventually_now(
    look: Callable[[], Any],
    within: float = 10.0,
    what: str = "the condition",
    every: float = EVERY,
) -> Any:
    """Do as `eventually` outside of an event loop, with a plain `look`.

    Raises:
        AssertionError: it did not within `within` seconds; with the last value.

    """
    until = time.monotonic() + within
    while True:
        problem: object = None
        try:
            if value := look():
                return value
            problem = value
        except AssertionError as error:
            problem = error
        if time.monotonic() > until:
            message = f"{what} did not come within {within} s: {problem!r}"
            raise AssertionError(message)
        time.sleep(every)
