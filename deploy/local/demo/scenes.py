"""Scenes after the main path: silence, the desk, notices to persons, and a person's closing."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
from rich.table import Table

from deploy.local.demo.actors import by_state
from deploy.local.demo.cast import DANGER
from deploy.local.demo.play import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from deploy.local.demo.actors import Client
    from deploy.local.demo.play import Play

SILENT: Final = 2
"""Providers that do not answer when they are asked in danger."""

SHOWN: Final = 8
"""Tasks of the desk that are printed."""

_LEVELS: Final = (
    "coordinator",
    "supervisor",
    "district_focal_person",
    "safeguarding_focal_person",
)


async def keep_roster(supervisor: Client) -> None:
    """Enter who is on duty for a day at every level, unless somebody is."""
    on_duty = {entry["level"] for entry in (await supervisor.get("/intake/v1/duty"))["items"]}
    begins = datetime.now(UTC) - timedelta(minutes=1)
    for level in _LEVELS:
        if level not in on_duty:
            entry = {
                "person": f"example-{level.replace('_', '-')}",
                "level": level,
                "begins": begins.isoformat(),
                "ends": (begins + timedelta(days=1)).isoformat(),
            }
            (await supervisor.post("/intake/v1/duty", entry)).raise_for_status()


async def _report_danger(partner: Client) -> str:
    """Report somebody in danger now; return the case id."""
    answer = await partner.post("/intake/v1/reports", DANGER)
    answer.raise_for_status()
    return str(answer.json()["case_ids"][0])


def _silence_of(history: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count what silence did to a case: expired, escalated, and delivered in the end."""
    types = Counter(line["type"] for line in history)
    return {
        "expired": types["referral-expired"],
        "escalated": types["referral-escalated"],
        "delivered": types["service-delivered"],
    }


def _tell_desk(console: Console, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Print what is on the desk: the worst first, then how many of each kind."""
    table = Table("urgency", "task", "about", "for", title="The desk, worst first")
    for task in tasks[:SHOWN]:
        named = task["named"] or f"nobody on duty ({task['level']})"
        detail = task["detail"] or ""
        table.add_row(task["urgency"] or "–", task["kind"].replace("_", " "), detail, named)
    console.print(table)
    kinds = Counter(task["kind"].replace("_", " ") for task in tasks)
    console.print("  " + " · ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


async def _close_one(coordinator: Client, cases: Sequence[str]) -> str | None:
    """Let the coordinator close the first case that is due for review; return its id."""
    for case_id in cases:
        case = await coordinator.get(f"/intake/v1/cases/{case_id}")
        urgency = (case["facts"] or {}).get("urgency")
        if case["status"] == "review_due" and urgency not in ("T0", "T1"):
            path = f"/intake/v1/cases/{case_id}/close"
            answer = await coordinator.post(path, {"reason": "goals_met_and_safe"})
            if answer.status_code == 200:  # noqa: PLR2004  (closed)
                return case_id
    return None


async def stay_silent(play: Play) -> None:
    """Play silence: asked in danger, two providers do not answer; others are asked."""
    play.console.print(
        f"[bold]Silence acts[/]: in danger now, {SILENT} providers do not answer (their minutes"
        " are seconds here)"
    )
    play.silent += [None] * SILENT
    case_id = await _report_danger(play.partner)
    play.accepted_reports += 1
    seen: dict[str, int] = {}

    async def helped() -> bool:
        asked = await play.coordinator.all("/referral/v1/referrals", case_id=case_id)
        for referral in asked:
            if referral["provider_id"]:
                play.follow(referral["provider_id"])
        with contextlib.suppress(httpx.HTTPStatusError):
            history = await play.auditor.all(f"/audit/v1/cases/{case_id}/history")
            seen.update(_silence_of(history))
        return bool(seen.get("delivered") and seen["escalated"] and seen["expired"] >= SILENT)

    await until("somebody answers at last", helped)
    play.cases.append(case_id)
    play.console.print(
        f"  expired and offered on {seen['expired']} times, before a person {seen['escalated']}"
        " times, then delivered"
    )


async def show_desk(play: Play) -> list[str]:
    """Show what is before people, and let one close a case; return what is missing."""

    async def tasks() -> list[dict[str, Any]]:
        found = await play.coordinator.all("/intake/v1/tasks", limit=200)
        return [task for task in found if task["case_id"] in set(play.cases)]

    async def complete() -> bool:
        kinds = {task["kind"] for task in await tasks()}
        return {"nobody_serves", "notice_withheld", "verify"} <= kinds

    faults = []
    try:
        await until("the desk has its tasks", complete, within=20)
    except RuntimeError as error:
        faults.append(str(error))
    _tell_desk(play.console, await tasks())
    closed = await _close_one(play.coordinator, play.cases)
    if closed is None:
        faults.append("no case came to its review")
    else:
        play.console.print(f"  {closed[:8]} was due for review; the coordinator closed it")
    notices = await play.coordinator.all("/notification/v1/notices", limit=200)
    texts = [n for n in notices if n["notifier"] == "sms" and n["case_id"] in set(play.cases)]
    counted = " · ".join(f"{count} {state}" for state, count in by_state(texts).items())
    play.console.print(f"  notices to persons by SMS: {counted or 'none'}")
    if not any(n["state"] == "sent" for n in texts):
        faults.append("no notice reached a person who said how")
    return faults
