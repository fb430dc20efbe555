"""Channels: each a module found by its name, with its own routes, started by `INTAKE_CHANNELS`.

A channel does four things only: authenticate, drop repeats, store the submission encrypted with its
`report-submitted` event in one commit, answer with a receipt.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastapi import APIRouter

    from services.intake.channels.sms.replies import Replies
    from services.intake.committer import Committer
    from services.intake.preparing import Secrets
    from services.intake.reporters.service import Reporters
    from services.intake.submissions import SubmissionStore
    from services.intake.vault import Vault
    from services.intake.work import Work
    from shared.runtime import Service

NAMES: Final = ("web", "sms", "committee")
"""Every channel that this version has."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a channel is given to store a submission; `environ` has the settings of its own."""

    committer: Committer
    store: SubmissionStore
    vault: Vault
    secrets: Secrets
    replies: Replies
    work: Work
    service: Service
    reporters: Reporters
    environ: Mapping[str, str]


class Channel(Protocol):
    """The one interface of a channel module."""

    @staticmethod
    def make_router(desk: Desk) -> APIRouter:
        """Make the routes of this channel."""
        ...


def routers(desk: Desk, only: Iterable[str]) -> list[APIRouter]:
    """Make the routers of the chosen channels, or of all when none is chosen.

    Raises:
        KeyError: a chosen channel does not exist.

    """
    chosen = tuple(only) or NAMES
    unknown = set(chosen) - set(NAMES)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    return [
        import_module(f"services.intake.channels.{name}").make_router(desk)
        for name in NAMES
        if name in chosen
    ]
