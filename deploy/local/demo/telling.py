"""A case told in a few lines, from its history: when what happened, in seconds from the report."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def tell_case(case: dict[str, Any], history: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield one line for the case and one for each of its referrals, with Rich's markup."""
    facts = case["facts"] or {}
    began = datetime.fromisoformat(history[0]["time"]) if history else None
    said = [str(x) for x in (facts.get("sex"), facts.get("age")) if x not in (None, "unknown")]
    about = " ".join([*facts.get("concerns", []), *said])
    own: list[str] = []
    referrals: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in history:
        data = (line.get("event") or {}).get("data", {})
        if line["stream"] == "referrals" and "referral_id" in data:
            referrals[data["referral_id"]].append(line)
        elif line["stream"] in ("submissions", "cases"):
            own.append(f"{line['type']} {_since(began, line)}")
    yield f"[bold]{case['case_id'][:8]}[/] {facts.get('channel', '')}: {about}  {' · '.join(own)}"
    for lines in referrals.values():
        last = lines[-1]["event"]["data"]
        steps = " · ".join(f"{_short(line['type'])} {_since(began, line)}" for line in lines)
        yield f"    [cyan]{last['need']}[/] → {last['provider_id'] or 'nobody yet'}: {steps}"


def _short(event_type: str) -> str:
    return event_type.removeprefix("referral-").removeprefix("service-")


def _since(began: datetime | None, line: dict[str, Any]) -> str:
    if began is None:
        return ""
    return f"{(datetime.fromisoformat(line['time']) - began).total_seconds():.1f}"
