"""That a person's data was read is an event of each case that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shared.events import CASES, Draft
from shared.outbox import Stamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from shared.access import Caller
    from shared.events import CaseFacts, DataRead


def readings(
    known: Mapping[UUID, CaseFacts], read: DataRead, by: Caller, at: datetime
) -> list[tuple[Draft, Stamp]]:
    """Return an event for each of these locked cases; one that was erased has nothing to read."""
    return [
        (
            Draft(
                CASES,
                "person-data-read",
                str(case_id),
                msgspec.structs.replace(facts, read=read),
                tuple(facts.needs),
            ),
            Stamp(at, by.actor),
        )
        for case_id, facts in sorted(known.items())
        if facts.status != "erased"
    ]
