"""Keeps what an app posts: a filled form as one report, and the files that belong to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from services.intake.channels.openrosa.answers import report_of
from services.intake.channels.openrosa.form import load_form
from services.intake.channels.openrosa.instances import UnreadableInstanceError, read_instance
from services.intake.channels.openrosa.upload import NotAForm
from services.intake.channels.taking import take
from services.intake.media.keeping import Keeping
from services.intake.preparing import Besides, Message, repeat_key
from services.intake.reporters import store
from services.intake.reporters.service import Reporters
from shared import telemetry
from shared.clock import now
from shared.errors import Conflict, Problem, TooLarge
from shared.lean import text
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from services.intake.channels import Desk
    from services.intake.channels.openrosa.instances import Instance
    from services.intake.channels.openrosa.upload import Upload
    from shared.access import Caller

_OWN: Final = re.compile(r"uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSION: Final = re.compile(r"(?!(?:88)?01)[0-9]{1,12}")
"""What is kept in clear of an instance's own id and its form's version; others could be words, or
the number of a telephone."""

_CONTENT: Final = text(
    "SELECT report->'form'->>'content' FROM submissions"
    " WHERE channel = :c AND gateway = '' AND message_key = :m"
)


class Cabinet:
    """Takes posts of members: the report first; a file that cannot be kept holds up no other."""

    def __init__(self, desk: Desk) -> None:
        """Take what channels store with."""
        self._desk = desk
        self._keeping = Keeping(desk.vault, Reporters(desk.vault, desk.service.outbox))

    async def take(self, upload: Upload, caller: Caller) -> bool:
        """Keep a post; say whether something of it was not here before.

        Raises:
            NotAForm: its XML is no filled form. Conflict: the instance had another content.
            Problem: the report is kept, and not every file: the app keeps what it has.
            Unavailable: nothing of it was stored, or not all; the same can be sent again.

        """
        try:
            instance = read_instance(upload.xml)
        except UnreadableInstanceError as error:
            raise NotAForm(str(error)) from None
        mark = repeat_key(
            self._desk.secrets.index, Channel.OPENROSA, caller.actor, instance.instance_id
        )
        new = await self._report(instance, upload.xml, mark, caller)
        wrong: list[Problem] = []
        for raw in upload.files:
            try:
                new |= await self._file(raw, mark, caller)
            except Problem as problem:
                wrong.append(problem)
        if upload.files:
            self._desk.service.waker.wake()
        if wrong:
            raise wrong[0]
        if upload.cut:
            raise TooLarge("the report is kept; a file is too large")
        return new

    async def _report(self, instance: Instance, xml: bytes, mark: bytes, caller: Caller) -> bool:
        known = instance.form_id == load_form().form_id
        report = report_of(instance, known=known)
        content = repeat_key(self._desk.secrets.index, "content", xml.hex()).hex()
        version = instance.version if known and _VERSION.fullmatch(instance.version) else None
        own = instance.instance_id if _OWN.fullmatch(instance.instance_id) else None
        form = {"version": version, "content": content}
        taken = await take(
            self._desk,
            report,
            Message(message_id=own, repeat_key=mark),
            at=now(),
            caller=caller,
            besides=Besides({"form": form}, {"original": _text(xml)}),
        )
        if taken is not None:
            self._desk.service.waker.wake()
            return True
        async with self._desk.service.flow.connect() as conn:
            first = await conn.scalar(_CONTENT, {"c": Channel.OPENROSA, "m": mark})
        if first != content:
            raise Conflict("this instanceID had another content")
        return False

    async def _file(self, raw: bytes, mark: bytes, caller: Caller) -> bool:
        async with self._desk.service.flow.begin() as conn:
            found = await store.find_message(conn, Channel.OPENROSA, mark, lock=True)
            if found is None:
                raise Conflict("its report is not here")
            kept = await self._keeping.keep(conn, found[0], raw, now(), by=caller.actor)
        if kept.new:
            telemetry.ATTACHMENTS.labels(kept.kind).inc()
        return kept.new


def _text(xml: bytes) -> str:
    """Return all of what came as a text, whatever it was written in."""
    try:
        return xml.decode("utf-8")
    except UnicodeDecodeError:
        return xml.decode("latin-1")
