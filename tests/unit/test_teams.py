"""Who is of a team on a day, and who may change it: purely."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from services.intake.teams.rules import HEAD_OF, Post, Worker, must_lead, must_leave_a_head
from shared.access import Caller
from shared.errors import Conflict, Forbidden
from shared.membership import Membership
from shared.vocabulary import Role

DAY = date(2030, 1, 2)
AT = datetime(2030, 1, 1, tzinfo=UTC)
HEAD = Worker(UUID(int=1), "p", "head.one", "h1", Post.HEAD, DAY, None, "centre", AT, joined_at=AT)
ONE = replace(HEAD, worker_id=UUID(int=2), name="worker.one", subject="w1", role=Post.WORKER)
TEAM = (HEAD, ONE)


def caller(subject: str, *memberships: Membership) -> Caller:
    return Caller(subject, Role.PROVIDER_WORKER, "p", memberships=memberships)


@pytest.mark.parametrize(
    ("worker", "works", "state"),
    [
        (HEAD, True, "active"),
        (replace(HEAD, joined_at=None), True, "invited"),
        (replace(HEAD, until=DAY), True, "active"),
        (replace(HEAD, until=DAY - timedelta(days=1)), False, "over"),
        (replace(HEAD, begins=DAY + timedelta(days=1)), False, "not_yet"),
        (replace(HEAD, ended_at=AT), False, "ended"),
    ],
)
def test_somebody_is_of_the_team_on_its_days(worker: Worker, works: bool, state: str) -> None:  # noqa: FBT001
    assert (worker.may_work(DAY), worker.state(DAY)) == (works, state)


def test_who_leads_changes_the_team_and_a_worker_does_not() -> None:
    must_lead(TEAM, caller("h1"), DAY)
    must_lead(TEAM, Caller("c1", Role.COORDINATOR), DAY)
    must_lead((ONE,), caller("x", Membership(HEAD_OF)), DAY)
    for other in (
        caller("w1"),
        caller("x", Membership(HEAD_OF, until=DAY - timedelta(days=1))),
        caller("x", Membership("ctc_member")),
    ):
        with pytest.raises(Forbidden):
            must_lead(TEAM, other, DAY)
    with pytest.raises(Forbidden):
        must_lead((replace(HEAD, until=DAY - timedelta(days=1)), ONE), caller("h1"), DAY)


def test_nobody_changes_their_own_place_and_a_team_keeps_a_head() -> None:
    centre = Caller("c1", Role.SUPERVISOR)
    with pytest.raises(Conflict) as refused:
        must_leave_a_head(TEAM, HEAD, caller("h1"), DAY)
    assert refused.value.members["why"] == "own"
    with pytest.raises(Conflict) as refused:
        must_leave_a_head(TEAM, HEAD, centre, DAY)
    assert refused.value.members["why"] == "last_head"
    with pytest.raises(Conflict):
        must_leave_a_head(TEAM, HEAD, centre, DAY, role=Post.WORKER)
    must_leave_a_head(TEAM, HEAD, centre, DAY, role=Post.HEAD)
    must_leave_a_head((HEAD,), HEAD, centre, DAY)  # nobody is left who would need one
    must_leave_a_head((*TEAM, replace(HEAD, worker_id=UUID(int=3))), HEAD, centre, DAY)
    must_leave_a_head(TEAM, ONE, caller("h1"), DAY)
