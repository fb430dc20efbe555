"""`pashe demo`: the real thing from a report to its delivery, nothing mocked, all over HTTP.

Prints a timeline for each case, totals, and the verification of the history. The exit code is 0
only if every submission is in the history and every expected delivery happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
from rich.table import Table

from deploy.local.demo.actors import Client, ProviderSystem, WebhookReceiver, by_state
from deploy.local.demo.cast import MESSAGES, REPORTS
from deploy.local.demo.telling import tell_case
from deploy.local.home import find_home
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rich.console import Console

    Token = Callable[[Role, str | None], str]

SETTLE: Final = 60.0
"""Seconds that everything may take to come to rest."""

HOOKED: Final = "example-shelter-keraniganj"
"""The provider that also has a webhook."""

FINAL: Final = frozenset(
    {"delivered", "declined", "expired", "failed", "withdrawn", "entered_in_error"}
)
"""States of a referral after which nothing more happens to it; a decline has a next attempt."""


@dataclass(slots=True)
class _Run:
    """What this run made and saw."""

    name: str
    console: Console
    http: httpx.AsyncClient
    token: Token
    reporter: Client
    partner: Client
    coordinator: Client
    auditor: Client
    systems: dict[str, ProviderSystem] = field(default_factory=dict)
    followers: list[asyncio.Task[None]] = field(default_factory=list)
    accepted_reports: int = 0
    submissions: list[dict[str, Any]] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    released: int = 0


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
        play = _Run(
            name=uuid4().hex[:8],
            console=console,
            http=http,
            token=token,
            reporter=Client(http),
            partner=Client(http, token(Role.PARTNER, "example-partner")),
            coordinator=Client(http, token(Role.COORDINATOR, None)),
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


async def _play(play: _Run, receiver: WebhookReceiver) -> int:
    say = play.console.print
    say("[bold]Provider systems subscribe[/] (server-sent events, and one webhook)")
    hooked = await _subscribe(play, receiver)
    seen = await play.coordinator.all("/intake/v1/submissions", limit=200)
    before = {item["submission_id"] for item in seen}
    say("[bold]People report[/]: short messages by SMS, twenty reports over several districts")
    await _send_messages(play)
    await _send_reports(play)
    await _until("every submission has been read", lambda: _opened(play, before))
    say(f"  {len(play.submissions)} submissions, {len(play.cases)} cases")
    await _until("referrals are planned", lambda: _planned(play))
    say("[bold]A coordinator releases[/] what a machine may not")
    await _release(play)
    await _until("providers have answered", lambda: _at_rest(play), within=SETTLE)
    referrals = await _referrals(play)
    missing = await _check_history(play)
    mine = {r["referral_id"] for r in referrals}
    expected = {r for system in play.systems.values() for r in system.expected} & mine
    done = {r["referral_id"] for r in referrals if r["state"] == "delivered"}
    hooks = await _webhooks(play, hooked, receiver)
    await _timelines(play)
    await _totals(play, referrals, receiver)
    faults = [
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


async def _subscribe(play: _Run, receiver: WebhookReceiver) -> str:
    providers = await play.coordinator.all("/referral/v1/providers", kind="ngo")
    names: list[str] = sorted(provider["provider_id"] for provider in providers)
    if HOOKED not in names:
        message = f"the directory has no {HOOKED}: was it loaded?"
        raise RuntimeError(message)
    for number, name in enumerate(names):
        _follow(play, name, declines=1 if number % 3 == 0 else 0)
    system = Client(play.http, play.token(Role.PROVIDER_SYSTEM, HOOKED))
    made = await system.post("/notification/v1/subscriptions", {"url": receiver.url})
    made.raise_for_status()
    receiver.secret = str(made.json()["secret"])
    return HOOKED


def _follow(play: _Run, name: str, declines: int = 0) -> None:
    if name in play.systems:
        return
    secret = play.token(Role.PROVIDER_SYSTEM, name)
    system = ProviderSystem(name, Client(play.http, secret), play.http, secret, declines)
    play.systems[name] = system
    play.followers.append(asyncio.create_task(system.follow()))


async def _send_messages(play: _Run) -> None:
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


async def _send_reports(play: _Run) -> None:
    for report in REPORTS:
        sender = play.partner if report["channel"] == "partner" else play.reporter
        answer = await sender.post("/intake/v1/reports", report)
        answer.raise_for_status()
        play.accepted_reports += 1


async def _opened(play: _Run, before: set[str]) -> bool:
    found = await play.coordinator.all("/intake/v1/submissions", limit=200)
    mine = [item for item in found if item["submission_id"] not in before]
    play.submissions = mine
    play.cases = [case_id for item in mine for case_id in item["case_ids"]]
    settled = all(item["state"] != "received" for item in mine)
    return settled and len(mine) >= play.accepted_reports


async def _referrals(play: _Run) -> list[dict[str, Any]]:
    found = await play.coordinator.all("/referral/v1/referrals", limit=200)
    mine = set(play.cases)
    return [referral for referral in found if referral["case_id"] in mine]


async def _planned(play: _Run) -> bool:
    """Every need of every case about a person has a referral."""
    wanted = set()
    for case in await play.coordinator.all("/intake/v1/cases", limit=200):
        facts = case["facts"]
        if case["case_id"] in play.cases and facts and facts["about"] == "person":
            wanted |= {(case["case_id"], need) for need in facts["needs"]}
    have = {(r["case_id"], r["need"]) for r in await _referrals(play)}
    return wanted <= have


async def _release(play: _Run) -> None:
    for referral in await _referrals(play):
        if referral["state"] != "planned" or "release" not in referral["allowed"]:
            continue
        path = f"/referral/v1/referrals/{referral['referral_id']}/release"
        answer = await play.coordinator.post(path, {})
        if answer.is_success:
            play.released += 1
    for referral in await _referrals(play):  # offices answer too, once something is theirs
        if referral["provider_id"]:
            _follow(play, referral["provider_id"])
    play.console.print(f"  {play.released} referrals released")


async def _at_rest(play: _Run) -> bool:
    moving = [r for r in await _referrals(play) if r["state"] not in FINAL | {"planned", "waiting"}]
    for referral in moving:
        name = referral["provider_id"]
        if name:
            _follow(play, name)
    return not moving


async def _check_history(play: _Run) -> list[str]:
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


async def _webhooks(play: _Run, hooked: str, receiver: WebhookReceiver) -> bool:
    """Wait until each event of the hooked provider's feed of this run came as a webhook too."""

    async def arrived() -> bool:
        mine = set(play.cases)
        told = [e for e in play.systems[hooked].events if e["referral"]["case_id"] in mine]
        return bool(told) and len(set(receiver.good)) >= len(told)

    try:
        await _until("webhooks have arrived", arrived, within=15)
    except RuntimeError:
        return False
    return True


async def _timelines(play: _Run) -> None:
    """Print what happened to each case, from the history itself."""
    for case_id in play.cases:
        case = await play.coordinator.get(f"/intake/v1/cases/{case_id}")
        lines = await play.auditor.all(f"/audit/v1/cases/{case_id}/history")
        for line in tell_case(case, lines):
            play.console.print(line, highlight=False, soft_wrap=True)


async def _totals(play: _Run, referrals: list[dict[str, Any]], receiver: WebhookReceiver) -> None:
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


async def _until(
    what: str, condition: Callable[[], Awaitable[bool]], within: float = SETTLE
) -> None:
    try:
        async with asyncio.timeout(within):
            while not await condition():  # noqa: ASYNC110  (the condition is another process's)
                await asyncio.sleep(0.25)
    except TimeoutError:
        message = f"not within {within:.0f} s: {what}"
        raise RuntimeError(message) from None
