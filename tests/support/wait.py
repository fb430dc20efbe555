"""Waiting for a condition with a bound; a test never sleeps for a guess."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

EVERY = 0.25
"""Seconds between two looks at most."""

FIRST, GROWS = 0.02, 1.4
"""Seconds between the first two, and how each pause grows: what comes soon is seen soon."""

PATIENCE = 90.0
"""Seconds that any wait lasts at least: it costs nothing where the condition comes, and a busy
machine needs it. What promises a speed measures it and asserts it for itself."""

LONGEST = 500
"""Characters of a problem that a failure shows; its beginning and its end."""


async def eventually(
    look: Callable[[], Any],
    within: float = 10.0,
    what: str = "the condition",
    every: float = EVERY,
) -> Any:
    """Call `look` (plain or async) until it returns something true, and return that.

    An `AssertionError` that it raises counts as not yet. `within` are the seconds that a quiet
    machine may take; `PATIENCE` is the least. `every` are the seconds between two looks at most.

    Raises:
        AssertionError: it did not come in time; with the last value or problem, shortly.

    """
    within = max(within, PATIENCE)
    until = time.monotonic() + within
    pauses = _pauses(every)
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
            raise AssertionError(_failure(what, within, problem))
        await asyncio.sleep(next(pauses))


def eventually_now(
    look: Callable[[], Any],
    within: float = 10.0,
    what: str = "the condition",
    every: float = EVERY,
) -> Any:
    """Do as `eventually` outside of an event loop, with a plain `look`.

    Raises:
        AssertionError: it did not come in time; with the last value or problem, shortly.

    """
    within = max(within, PATIENCE)
    until = time.monotonic() + within
    pauses = _pauses(every)
    while True:
        problem: object = None
        try:
            if value := look():
                return value
            problem = value
        except AssertionError as error:
            problem = error
        if time.monotonic() > until:
            raise AssertionError(_failure(what, within, problem))
        time.sleep(next(pauses))


def _pauses(most: float) -> Iterator[float]:
    pause = FIRST
    while True:
        yield min(pause, most)
        pause = min(pause * GROWS, most)


def differences(found: Iterable[Any], wanted: Iterable[Any]) -> str:
    """Say in one short line what is missing and what is there instead, each value with its count.

    When only the order differs, it says so. The values must be hashable.
    """
    have, want = Counter(found), Counter(wanted)
    if have == want:
        return "all are there, in another order"
    parts = {"there instead": have - want, "missing": want - have, "as wanted": have & want}
    return "; ".join(
        f"{name}: " + ", ".join(f"{count} × {value!r}" for value, count in values.most_common())
        for name, values in parts.items()
        if values
    )


def _failure(what: str, within: float, problem: object) -> str:
    """Make the message of a wait that was in vain: short, whatever the condition holds.

    Of an assertion only what it was given to say counts, not pytest's picture of its operands.
    """
    if isinstance(problem, AssertionError):
        said = str(problem).partition("\nassert ")[0] or "an assertion without words"
    else:
        said = repr(problem)
    if len(said) > LONGEST:
        half = LONGEST // 2
        said = f"{said[:half]} … {said[-half:]}"
    return f"{what} did not come within {within:g} s: {said}"
