"""What a committee member reports counts as a member's only while the membership holds."""

from __future__ import annotations

import os
from datetime import date, timedelta

import pytest

from services.intake.preparing import Secrets, prepare
from services.intake.report import ReportIn
from services.intake.vault import Vault
from shared.access import Caller
from shared.membership import Membership
from shared.vocabulary import Role
from tests.support.room import AT

TODAY = AT.date()


@pytest.mark.parametrize(
    ("role", "kind", "until", "entitled"),
    [
        (Role.COMMITTEE_MEMBER, "ctc_member", None, True),
        (Role.COMMITTEE_MEMBER, "ctc_member", TODAY + timedelta(days=2), True),
        (Role.COMMITTEE_MEMBER, "ctc_member", TODAY - timedelta(days=2), False),
        (Role.COMMITTEE_MEMBER, "scout", None, False),
        (Role.OPERATOR, "scout", TODAY - timedelta(days=2), True),
    ],
)
def test_a_report_of_who_is_no_member_any_more_is_kept_and_a_person_releases_it(
    role: Role,
    kind: str,
    until: date | None,
    entitled: bool,  # noqa: FBT001  (a column of the table)
) -> None:
    caller = Caller("m-1", role, memberships=(Membership(kind, "BD3026", None, until),))
    made = prepare(
        ReportIn.model_validate({"channel": "openrosa", "narrative": "An invented report."}),
        channel="openrosa",
        caller=caller,
        vault=Vault(os.urandom(32)),
        secrets=Secrets(os.urandom(32), os.urandom(32), os.urandom(32), "http://test"),
        at=AT,
    )
    assert made.submission.entitled is entitled
    assert made.actor == caller.actor
