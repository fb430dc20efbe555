"""Keeping attachments: one seam for every way in, inside the caller's transaction."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from services.intake.casework.tasks import Task
from services.intake.media import store
from services.intake.media.kinds import SHOWN, sort_of
from services.intake.media.rules import rules_on
from services.intake.media.store import Attachment
from services.intake.reporters.service import GONE, REPORTER
from services.intake.reporters.store import reporter_of
from shared.errors import Conflict, InvalidBody, Problem, TooLarge
from shared.events import Step

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.reporters.service import Reporters
    from services.intake.reporters.store import Report
    from services.intake.vault import Vault


class VideoNotTaken(Problem):
    """A film came; a photo, a voice note or words can be sent instead."""

    slug, status, title = "video", 415, "A film cannot be kept: send a photo, speak or write"


class TooManyAttachments(Problem):
    """A report has as many attachments as it may."""

    slug, status, title = "too-many-attachments", 409, "No more files fit: write what they show"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept of a file; `new` is False when the report had the same bytes already."""

    attachment_id: UUID
    kind: str
    sha256: str
    new: bool


@dataclass(frozen=True, slots=True)
class Keeping:
    """Keeps attachments with their reports."""

    vault: Vault
    reporters: Reporters

    async def keep(
        self, conn: AsyncConnection, report: Report, raw: bytes, at: datetime, by: str = REPORTER
    ) -> Kept:
        """Seal a file with its report, once; every way in ends here. The caller locked the report.

        Raises:
            InvalidBody: it is empty. TooLarge, VideoNotTaken, TooManyAttachments: it is not kept.
            Conflict: what the report held was erased.

        """
        rules = rules_on(at)
        if not raw:
            raise InvalidBody(None, errors=[{"field": "file", "rule": "empty"}])
        if len(raw) > rules.max_bytes:
            raise TooLarge(None, max_bytes=rules.max_bytes)
        sort, digest = await asyncio.to_thread(lambda: (sort_of(raw), hashlib.sha256(raw).digest()))
        there = await store.attachments_of(conn, report.submission_id)
        for one in there:
            if one.sha256 == digest:
                return Kept(one.attachment_id, one.kind, digest.hex(), new=False)
        if sort.kind == "video":
            raise VideoNotTaken
        if len(there) >= rules.max_of_report:
            raise TooManyAttachments
        reporter = await reporter_of(conn, report.submission_id)
        if reporter is None:
            raise Conflict(GONE)
        made = Attachment(
            uuid4(),
            report.submission_id,
            reporter.subject_id,
            sort.kind,
            sort.format,
            digest,
            len(raw),
            at,
            "kept",
            None,
            None,
        )
        parts = await asyncio.to_thread(self.vault.seal_parts, reporter, name_of(made), raw)
        await store.save_attachment(conn, made, parts)
        task = Task("new_attachment", detail=sort.kind)
        await self.reporters.tell(
            conn, report, task, "contact-recorded", at, step=step_of("attachment", made), by=by
        )
        return Kept(made.attachment_id, made.kind, digest.hex(), new=True)


def can_be_shown(one: Attachment) -> bool:
    """Say whether a copy can be made of an attachment, or it can be heard."""
    return one.kind == "audio" or one.format in SHOWN


def name_of(one: Attachment) -> str:
    """Return the name that the sealed parts of an attachment are bound to."""
    return f"attachment:{one.attachment_id}"


def step_of(kind: str, one: Attachment) -> Step:
    """Return what an event says of an attachment."""
    return Step(kind=kind, means=one.kind, attachment_id=one.attachment_id, sha256=one.sha256.hex())
