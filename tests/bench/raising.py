"""Referral with a bug in the rules it runs: whatever they are to plan raises. Only for a bench."""

from __future__ import annotations

from typing import Any

from services.referral import consumers
from services.referral.main import build
from shared import runtime


def _raise(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError


if __name__ == "__main__":
    vars(consumers)["plan"] = _raise
    runtime.main(build)
