"""Which cases are compared at all: enough in common to be worth it. Pure.

The query of `store` takes the same ones; a test holds the two together.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.intake.alike.features import phones, words
from services.intake.blind import ROUGH

if TYPE_CHECKING:
    from services.intake.alike.features import Features

NEAR: Final = timedelta(days=30)
"""Reports from one place that came within this are compared without a mark."""


def are_compared(one: Features, other: Features) -> bool:
    """Say whether two cases of different reports are compared.

    They share a number; or a word of the name, and lie in one district or one's is not known, or
    share two words; or came from one upazila within `NEAR`, or, where one says no more than its
    district, from one district about the same.
    """
    if one.report_id == other.report_id:
        return False
    mine, theirs = one.own | one.near | one.alleged, other.own | other.near | other.alleged
    if phones(mine) & phones(theirs):
        return True
    shared = len(words(one.own, ROUGH) & words(other.own, ROUGH))
    nearby = one.district is None or other.district is None or one.district == other.district
    if shared > 1 or (shared and nearby):
        return True
    if abs(one.received_at - other.received_at) > NEAR or one.district != other.district:
        return False
    coarse = one.upazila is None or other.upazila is None
    if one.district is None or coarse:
        return one.district is not None and bool(one.concerns & other.concerns)
    return one.upazila == other.upazila
