"""How the demonstration ends: what the history and the webhooks hold, and the totals."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx
from rich.table import Table

from deploy.local.demo.actors import by_state
from deploy.local.demo.play import until
from deploy.local.demo.telling import tell_case

if TYPE_CHECKING:
    from deploy.local.demo.actors import WebhookReceiver
    from deploy.local.demo.play import Play


async def find_missing(play: Play) -> list[str]:
    """Return the submissions that the history does not hold."""
    missing = []

    async def look(item: dict[str, Any]) -> None:
        case_id = item["subject"]
        with contextlib.suppress(httpx.HTTPStatusError):
            lines = await play.auditor.all(f"/audit/v1/cases/{case_id}/history")
            if any(line["type"] == "report-submitted" for line in lines):
                return
        missing.append(item["submission_id"])

    for item in play.submissions:
        await look(item)
    return missing


async def await_webhooks(play: Play, hooked: str, receiver: WebhookReceiver) -> bool:
    """Wait until each event of the hooked provider's feed of this run came as a webhook too."""

    async def arrived() -> bool:
        mine = set(play.cases)
        told = [e for e in play.systems[hooked].events if e["referral"]["case_id"] in mine]
        return bool(told) and len(set(receiver.good)) >= len(told)

    try:
        await until("webhooks have arrived", arrived, within=15)
    except RuntimeError:
        return False
    return True


async def tell_timelines(play: Play) -> None:
    """Print what happened to each case, from the history itself."""
    for case_id in play.cases:
        case = await play.coordinator.get(f"/intake/v1/cases/{case_id}")
        lines = await play.auditor.all(f"/audit/v1/cases/{case_id}/history")
        for line in tell_case(case, lines):
            play.console.print(line, highlight=False, soft_wrap=True)


async def tell_totals(
    play: Play, referrals: list[dict[str, Any]], receiver: WebhookReceiver
) -> None:
    """Print how many of everything there were."""
    notices = await play.coordinator.all("/notification/v1/notices", limit=200)
    mine = {referral["referral_id"] for referral in referrals}
    table = Table("total", "", title="Totals of this demonstration")
    table.add_row("submissions", str(len(play.submissions)))
    table.add_row("cases", str(len(play.cases)))
    for state, count in by_state(referrals).items():
        table.add_row(f"referrals {state}", str(count))
    for state, count in by_state([n for n in notices if n.get("referral_id") in mine]).items():
        table.add_row(f"notices {state}", str(count))
    table.add_row("webhooks with a right signature", str(len(set(receiver.good))))
    play.console.print(table)
