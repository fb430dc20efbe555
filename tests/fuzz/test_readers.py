"""Whatever comes from outside is read or refused: no crash, no hang. `make fuzz` is longer."""

from __future__ import annotations

import time

import pytest

from tests.fuzz.readers import READERS
from tests.fuzz.run import fuzz

SHORT, LONG = 150, 1_000_000
"""Inputs of a reader; the long run is bounded in time as well."""

LONG_SECONDS = 600


@pytest.mark.parametrize("name", READERS)
def test_odd_input_is_read_or_refused(name: str) -> None:
    for seed in (1, int(time.time())):
        tally = fuzz(name, seed, SHORT)
        assert not tally.wrong, tally.wrong
    assert tally.read or tally.refused


@pytest.mark.long
@pytest.mark.timeout(LONG_SECONDS * 2)
@pytest.mark.parametrize("name", READERS)
def test_so_is_a_million_of_them(name: str) -> None:
    tally = fuzz(name, int(time.time()), LONG, LONG_SECONDS)
    print(f"\n{name}: {tally}")
    assert not tally.wrong, tally.wrong
