"""`pashe demo`: the real thing from a report to its delivery, nothing mocked, all over HTTP.

Prints a timeline for each case, totals, and the verification of the history. The exit code is 0
only if every submission is in the history and every expected delivery happened.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx

from deploy.local.demo.actors import Client, WebhookReceiver
from deploy.local.demo.calling import dial_and_call
from deploy.local.demo.casework import work_one_case
from deploy.local.demo.cast import MESSAGES, REPORTS
from deploy.local.demo.ending import (
    await_webhooks,
    find_missing,
    tell_timelines,
    tell_totals,
)
from deploy.local.demo.play import SETTLE, Play, until
from deploy.local.demo.scenes import keep_roster, show_desk, stay_silent
from deploy.local.home import find_home
from shared.vocabulary import Role

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.local.demo.play import Token

HOOKED: Final = "example-shelter-keraniganj"
"""The provider that also has a webhook."""

FINAL: Final = frozenset(
    {"delivered", "declined", "expired", "failed", "withdrawn", "entered_in_error"}
)
"""States of a referral after which nothing more happens to it; a decline has a next attempt."""


async def run(origin: str, token: Token, console: Console) -> int:
    """Play the demonstration against the stack at `origin`; return the exit code, 0 or 1.

    `token` makes a bearer token for a role and an organisation.
    """
    code = await _at(origin, token, console)
    console.print("[bold]The history is verified[/], from outside")
    words = ["--url", origin, "--state", str(find_home().path / "verify")]
    verify = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.audit.verify", *words
    )
    return code or await verify.wait()


async def _at(origin: str, token: Token, console: Console) -> int:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=origin, timeout=20, limits=limits) as http:
        play = Play(
            name=uuid4().hex[:8],
            console=console,
            http=http,
            token=token,
            reporter=Client(http),
            partner=Client(http, token(Role.PARTNER, "example-partner")),
            coordinator=Client(http, token(Role.COORDINATOR, None)),
            supervisor=Client(http, token(Role.SUPERVISOR, None)),
            auditor=Client(http, token(Role.AUDITOR, None)),
        )
        receiver = WebhookReceiver()
        try:
            return await _play(play, receiver)
        except (RuntimeError, httpx.HTTPError) as error:
            console.print(f"[red]✗ the demonstration did not come to its end: {error}[/]")
            return 1
        finally:
            for follower in play.followers:
                follower.cancel()
            await asyncio.gather(*play.followers, return_exceptions=True)
            receiver.close()


async def _play(play: Play, receiver: WebhookReceiver) -> int:
    say = play.console.print
    say("[bold]Provider systems subscribe[/] (server-sent events, and one webhook)")
    hooked = await _subscribe(play, receiver)
    await keep_roster(play.supervisor)
    seen = await play.coordinator.all("/intake/v1/submissions", limit=200)
    before = {item["submission_id"] for item in seen}
    say("[bold]People report[/]: short messages by SMS, twenty reports over several districts")
    await _send_messages(play)
    await _send_reports(play)
    say("[bold]Somebody dials, somebody calls[/]: the same questions on any phone")
    talked = await dial_and_call(play)
    await until("every submission has been read", lambda: _opened(play, before))
    say(f"  {len(play.submissions)} submissions, {len(play.cases)} cases")
    await until("referrals are planned", lambda: _planned(play))
    say("[bold]A coordinator releases[/] what a machine may not")
    await _release(play)
    await until("providers have answered", lambda: _at_rest(play), within=SETTLE)
    await stay_silent(play)
    referrals = await _referrals(play)
    missing = await find_missing(play)
    mine = {r["referral_id"] for r in referrals}
    expected = {r for system in play.systems.values() for r in system.expected} & mine
    done = {r["referral_id"] for r in referrals if r["state"] == "delivered"}
    hooks = await await_webhooks(play, hooked, receiver)
    await tell_timelines(play)
    await tell_totals(play, referrals, receiver)
    worked = await work_one_case(play)
    desk = await show_desk(play)
    faults = [
        *worked,
        *desk,
        *talked,
        f"{len(missing)} submissions are not in the history" if missing else "",
        f"{len(expected - done)} expected deliveries did not happen" if expected - done else "",
        "no delivery happened at all" if not expected else "",
        f"{receiver.bad} webhooks had a wrong signature" if receiver.bad else "",
        "" if hooks else "a webhook did not arrive",
    ]
    for fault in filter(None, faults):
        say(f"[red]✗ {fault}[/]")
    if not any(faults):
        say("[green]✓ every submission is in the history, every expected delivery happened[/]")
    return 1 if any(faults) else 0


async def _subscribe(play: Play, receiver: WebhookReceiver) -> str:
    providers = await play.coordinator.all("/referral/v1/providers", kind="ngo")
    names: list[str] = sorted(provider["provider_id"] for provider in providers)
    if HOOKED not in names:
        message = f"the directory has no {HOOKED}: was it loaded?"
        raise RuntimeError(message)
    for number, name in enumerate(names):
        play.follow(name, declines=1 if number % 3 == 0 else 0)
    system = Client(play.http, play.token(Role.PROVIDER_SYSTEM, HOOKED))
    made = await system.post("/notification/v1/subscriptions", {"url": receiver.url})
    made.raise_for_status()
    receiver.secret = str(made.json()["secret"])
    return HOOKED


async def _send_messages(play: Play) -> None:
    messages = json.loads(Path(__file__).with_name(MESSAGES).read_text("utf-8"))
    for number, message in enumerate(messages):
        form = {
            "from": f"+880170000{number:04d}",
            "text": message,
            "date": "2026-11-25T04:40:00Z",
            "id": f"demo-{play.name}-{number}",
        }
        for _ in range(2):  # a gateway sends it again: it is stored once
            answer = await play.reporter.form("/intake/channels/sms/external", form)
            answer.raise_for_status()
        play.accepted_reports += 1


async def _send_reports(play: Play) -> None:
    for report in REPORTS:
        sender = play.partner if report["channel"] == "partner" else play.reporter
        answer = await sender.post("/intake/v1/reports", report)
        answer.raise_for_status()
        play.accepted_reports += 1


async def _opened(play: Play, before: set[str]) -> bool:
    found = await play.coordinator.all("/intake/v1/submissions", limit=200)
    mine = [item for item in found if item["submission_id"] not in before]
    play.submissions = mine
    play.cases = [case_id for item in mine for case_id in item["case_ids"]]
    settled = all(item["state"] != "received" for item in mine)
    return settled and len(mine) >= play.accepted_reports


async def _referrals(play: Play) -> list[dict[str, Any]]:
    found = await play.coordinator.all("/referral/v1/referrals", limit=200)
    mine = set(play.cases)
    return [referral for referral in found if referral["case_id"] in mine]


async def _planned(play: Play) -> bool:
    """Every need of every case about a person has a referral."""
    wanted = set()
    for case in await play.coordinator.all("/intake/v1/cases", limit=200):
        facts = case["facts"]
        if case["case_id"] in play.cases and facts and facts["about"] == "person":
            wanted |= {(case["case_id"], need) for need in facts["needs"]}
    have = {(r["case_id"], r["need"]) for r in await _referrals(play)}
    return wanted <= have


async def _release(play: Play) -> None:
    for referral in await _referrals(play):
        if referral["state"] != "planned" or "release" not in referral["allowed"]:
            continue
        path = f"/referral/v1/referrals/{referral['referral_id']}/release"
        answer = await play.coordinator.post(path, {})
        if answer.is_success:
            play.released += 1
    for referral in await _referrals(play):  # offices answer too, once something is theirs
        if referral["provider_id"]:
            play.follow(referral["provider_id"])
    play.console.print(f"  {play.released} referrals released")


async def _at_rest(play: Play) -> bool:
    moving = [r for r in await _referrals(play) if r["state"] not in FINAL | {"planned", "waiting"}]
    for referral in moving:
        name = referral["provider_id"]
        if name:
            play.follow(name)
    return not moving
