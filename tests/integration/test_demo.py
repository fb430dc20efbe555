"""The demonstration comes to its end on a stack of its own, and says what it says it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.local.stack import DEMONSTRATION_CLOCKS
from tests.support.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_demonstration_reaches_its_end(tmp_path: Path) -> None:
    clocks = {"REFERRAL_CLOCKS": str(DEMONSTRATION_CLOCKS)}
    with Stack(tmp_path / "home", env=clocks) as stack:
        said = " ".join(stack.pashe("demo", timeout=240).split())
    for line in (
        "every submission is in the history",
        "১ এখনই",
        "▸ সাভার ঢাকা",
        "বাংলার জন্য ১ চাপুন",
        "expired and offered on 2 times",
        "nobody serves",
        "notice withheld",
        "was due for review; the coordinator closed it",
        "notices to persons by SMS",
        "আপনার বিষয়টি: ঝুঁকি মাঝারি",
        "এখন শেষ; আবার লিখতে পারেন",
        "The history holds",
    ):
        assert line in said, said[-3000:]
