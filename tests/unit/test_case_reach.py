"""What notification keeps of a case, for row-level security alone: the newest, and little of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from services.notification.reach import KEPT, CaseReach, Told
from shared.clock import new_event_id
from shared.errors import RecordInvalid
from shared.events import CaseFacts, Event
from shared.outbox import Stamp
from tests.support.centre import facts

if TYPE_CHECKING:
    from collections.abc import Iterable

AT = datetime(2026, 11, 28, tzinfo=UTC)
CASE = uuid4()


def event(
    sequence: int, kind: str = "case-updated", subject: str = str(CASE), **more: object
) -> Event:
    told = facts(**more)
    return Event(new_event_id(), "/intake", kind, subject, AT, sequence, "service:test", None, told)


def take(events: Iterable[Event]) -> Told:
    state, handler = Told(), CaseReach()
    for one in events:
        handler.decide(state, one, Stamp(AT, "service:notification.cases"))
    return state


def test_the_newest_event_of_a_batch_counts_in_whatever_order_they_come() -> None:
    for order in ((1, 2, 3), (3, 1, 2), (2, 3, 1)):
        state = take(event(n, excluded=[f"p{n}"]) for n in order)
        sequence, told = state.cases[CASE]
        assert (sequence, told.excluded) == (3, ["p3"])
        assert not state.erased


def test_an_erased_case_is_noted_and_leaves_nothing_to_decide_by() -> None:
    erased = event(2, "case-erased", upazila=None, district=None)
    state = take([event(1), erased])
    assert state.erased == {str(CASE)}
    assert state.cases[UUID(str(CASE))][1].upazila is None


def test_what_is_kept_says_nothing_of_who_or_what() -> None:
    assert set(KEPT) == {"upazila", "district", "excluded", "worker"}
    assert set(KEPT) <= set(CaseFacts.__struct_fields__)
    assert CaseReach().wants("consent-given", frozenset())
    assert not CaseReach().wants("event-parked", frozenset())


def test_a_subject_that_is_no_case_is_parked() -> None:
    with pytest.raises(RecordInvalid):
        take([event(1, subject="not a case")])
