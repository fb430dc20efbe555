"""What every channel of messages does once it has read one: store it as a submission, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from services.intake.preparing import Besides, Message, prepare
from shared import telemetry

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from services.intake.channels import Desk
    from services.intake.report import ReportIn
    from shared.access import Caller

_NOTHING: Final = Besides()

_REPEAT: Final = b"repeat"
"""What a committed group answers for a message that was stored before."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A stored submission; `answer` is the JSON of the public interface, with its receipt."""

    submission_id: UUID
    answer: bytes


async def take(
    desk: Desk,
    report: ReportIn,
    message: Message,
    *,
    at: datetime,
    caller: Caller | None = None,
    besides: Besides = _NOTHING,
) -> Taken | None:
    """Store a report that came by `report.channel`; None when this message was stored before.

    Raises:
        Unavailable: it could not be stored now; the sender is to try again.

    """
    channel = report.channel
    prepared = prepare(
        report,
        channel=channel,
        caller=caller,
        vault=desk.vault,
        secrets=desk.secrets,
        message=replace(message, again=_REPEAT),
        at=at,
        besides=besides,
    )
    answer = await desk.committer.commit(prepared)
    if answer == _REPEAT:
        telemetry.SUBMISSIONS_STORED.labels(channel, "repeated").inc()
        return None
    telemetry.SUBMISSIONS_STORED.labels(channel, "stored").inc()
    return Taken(prepared.submission_id, answer)
