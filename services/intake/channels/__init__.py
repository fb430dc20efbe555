"""Channels: each a module found by its name, with its own routes, started by `INTAKE_CHANNELS`.

A channel does four things only: authenticate, drop repeats, store the submission encrypted with its
`report-submitted` event in one commit, answer with a receipt.

How one is made: a module `services/intake/channels/<name>` (or a package) with `make_router(desk)`,
which reads its settings from `desk.environ`, asks `desk.committer.check_room()` before it reads a
body, and stores by `taking.take`; and its name in `NAMES`, with its paths if they do not begin with
`/intake/channels/<name>`, and other bounds if it needs them. What it has to do beside requests is
returned by `make_tasks(desk)`, if it has that: functions that run until cancelled.

Each has its own room and turn before the commit, its own number of requests at once, and its own
failure: a module that raises at the start or in a request answers 503 on its own paths, is told of
in the log and in `pashe_channel_failures`, and the others serve. A process that was started for one
channel alone refuses to start without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from services.intake.channels.fence import Bounds, Fence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from fastapi import APIRouter

    from services.intake.casework.shown import Board
    from services.intake.channels.sms.replies import Replies
    from services.intake.committer import Door
    from services.intake.preparing import Secrets
    from services.intake.proof_of_work import Work
    from services.intake.seals import Seals
    from services.intake.submissions import SubmissionStore
    from services.intake.vault import Vault
    from shared.consumer import DurableConsumer
    from shared.runtime import Service

NAMES: Final[Mapping[str, Bounds]] = {
    "web": Bounds(("/intake/v1/reports",), at_once=1000),
    "sms": Bounds(seconds=9.0),  # Telerivet waits ten
    "ussd": Bounds(seconds=20.0),
    "voice": Bounds(seconds=14.0),  # Twilio waits fifteen
    "whatsapp": Bounds(),
    "openrosa": Bounds(
        ("/intake/channels/openrosa", "/intake/v1/openrosa"), at_once=500, seconds=320.0
    ),
    "committee": Bounds(("/intake/v1/committee",)),
    "helpline": Bounds(("/intake/v1/helpline",)),
    "partner": Bounds(("/intake/v1/keys", "/intake/v1/imports"), seconds=600.0),
}
"""Every channel that this version has, and what it may take of a process."""

CASES: Final = "cases"
"""The name in `INTAKE_CHANNELS` of what is no channel: the cases, with their routes and consumers.
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a channel is given to store a submission; `environ` has the settings of its own."""

    committer: Door
    store: SubmissionStore
    vault: Vault
    secrets: Secrets
    replies: Replies
    work: Work
    board: Board
    environ: Mapping[str, str]
    service: Service
    seals: Seals


class Channel(Protocol):
    """The one interface of a channel module."""

    @staticmethod
    def make_router(desk: Desk) -> APIRouter:
        """Make the routes of this channel."""
        ...


@dataclass(slots=True)
class Opened:
    """What the chosen channels bring: routes, work and consumers, and fences around their paths."""

    routers: list[APIRouter] = field(default_factory=list)
    tasks: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    consumers: list[DurableConsumer[Any]] = field(default_factory=list)
    fences: dict[str, Fence] = field(default_factory=dict)


def choose(only: Iterable[str]) -> tuple[str, ...]:
    """Return the channels of a process in their order: those named, or all when nothing is.

    Raises:
        KeyError: a name is neither a channel nor `cases`.

    """
    named = frozenset(only)
    if unknown := named - NAMES.keys() - {CASES}:
        raise KeyError(", ".join(sorted(unknown)))
    return tuple(name for name in NAMES if not named or name in named)


def open_channels(desk: Desk, chosen: tuple[str, ...], *, alone: bool = False) -> Opened:
    """Start the chosen channels; one that cannot start answers 503 on its paths, unless `alone`.

    Raises:
        Exception: whatever the only channel of a process raised at its start.

    """
    opened = Opened()
    for name in chosen:
        bounds = NAMES[name]
        fence = Fence(name, bounds)
        own = replace(desk, committer=desk.committer.committer.door(name))
        try:
            module = import_module(f"services.intake.channels.{name}")
            router = module.make_router(own)
            tasks = module.make_tasks(own) if hasattr(module, "make_tasks") else ()
            consumers = module.make_consumers(own) if hasattr(module, "make_consumers") else ()
        except Exception as error:
            if alone:
                raise
            fence.close(error)
        else:
            opened.routers.append(router)
            opened.tasks += tasks
            opened.consumers += consumers
        for path in bounds.paths or (f"/intake/channels/{name}",):
            opened.fences[path] = fence
    return opened
