"""What a team is and who may change it, purely: roles, dates, the last head."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from shared.errors import Conflict, Forbidden
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from uuid import UUID

    from shared.access import Caller

HEAD_OF: Final = "provider_head"
"""Kind of the membership by which an issuer says that somebody leads a place of help."""


class Post(StrEnum):
    """What somebody is in a team."""

    WORKER = "worker"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class Worker:
    """Somebody of a team: `name` is what they sign in with, `subject` the pseudonym of the history.

    From `begins` to `until`, both included; None is without an end.
    """

    worker_id: UUID
    provider_id: str
    name: str
    subject: str | None
    role: str
    begins: date
    until: date | None
    invited_by: str
    invited_at: datetime
    joined_at: datetime | None = None
    ended_at: datetime | None = None

    def may_work(self, day: date) -> bool:
        """Say whether they are of the team on a day."""
        begun = self.begins <= day
        return self.ended_at is None and begun and (self.until is None or day <= self.until)

    def state(self, day: date) -> str:
        """Return how it stands: `ended`, `over`, `not_yet`, `invited` or `active`."""
        if self.ended_at is not None:
            return "ended"
        if self.until is not None and self.until < day:
            return "over"
        if self.begins > day:
            return "not_yet"
        return "active" if self.joined_at else "invited"


def is_head(team: Sequence[Worker], caller: Caller, day: date) -> bool:
    """Say whether somebody leads the team: by its list, or by what their issuer says."""
    if any(one.kind == HEAD_OF and one.holds(day) for one in caller.memberships):
        return True
    return any(
        one.subject == caller.subject and one.role == Post.HEAD and one.may_work(day)
        for one in team
    )


def must_lead(team: Sequence[Worker], caller: Caller, day: date) -> None:
    """Let the head of the team pass, and the centre.

    Raises:
        Forbidden: a worker who does not lead it.

    """
    if caller.role is Role.PROVIDER_WORKER and not is_head(team, caller, day):
        raise Forbidden("only the head of the team changes it")


def must_leave_a_head(
    team: Sequence[Worker], gone: Worker, caller: Caller, day: date, *, role: str | None = None
) -> None:
    """Refuse an end, or another role, that is one's own: no head locks the team out.

    Raises:
        Conflict: it is the caller's own place, or the last head's while others work.

    """
    if role == Post.HEAD:
        return
    if gone.subject is not None and gone.subject == caller.subject:
        raise Conflict("another person must change your own place", why="own")
    heads = [one for one in team if one.role == Post.HEAD and one.may_work(day)]
    others = [one for one in team if one.may_work(day) and one.worker_id != gone.worker_id]
    if [one.worker_id for one in heads] == [gone.worker_id] and others:
        raise Conflict("the team would have no head", why="last_head")
