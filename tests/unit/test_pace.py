"""The pace of one provider's webhooks: a burst goes at once, a flood in turn, others unmoved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.notification.slots import LONGEST_WAIT, Pace


def test_a_burst_goes_at_once_and_what_follows_in_turn() -> None:
    pace = Pace(rate=10, burst=3)
    waits = [round(pace.wait("one", 100.0), 6) for _ in range(6)]
    assert waits == [0, 0, 0, 0.1, 0.2, 0.3]
    assert pace.wait("another", 100.0) == 0
    assert pace.wait("one", 101.0) == 0


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=200))
def test_no_second_has_more_than_burst_and_rate(gaps: list[float]) -> None:
    pace, at, sent = Pace(rate=10, burst=5), 0.0, list[float]()
    for gap in gaps:
        at += gap
        wait = pace.wait("one", at)
        assert 0 <= wait <= LONGEST_WAIT
        if wait < LONGEST_WAIT:  # whoever waited longest goes in any case
            sent.append(at + wait)
    for start in sent:
        assert sum(start <= one < start + 1 for one in sent) <= 5 + 10 + 1
