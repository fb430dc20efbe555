"""The centre's days are Dhaka's, whatever the machine's clock says."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from shared.clock import day_of
from shared.pages.languages import show_months


def test_a_day_begins_at_midnight_in_dhaka() -> None:
    assert day_of(datetime(2026, 11, 29, 17, 59, 59, tzinfo=UTC)) == date(2026, 11, 29)
    assert day_of(datetime(2026, 11, 29, 18, 0, tzinfo=UTC)) == date(2026, 11, 30)


@pytest.mark.parametrize(
    ("language", "text"), [("bn", "জুলাই–সেপ্টেম্বর ২০২৬"), ("en", "July–September 2026")]
)
def test_a_quarter_is_called_by_its_months(language: str, text: str) -> None:
    assert show_months(date(2026, 7, 1), language) == text  # type: ignore[arg-type]
