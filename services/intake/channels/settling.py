"""Stores a conversation as a submission, once; what was said later comes to it as further words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.intake import store as cases
from services.intake.casework.desk import carry_out
from services.intake.casework.pager import Pager
from services.intake.casework.tasks import after_case
from services.intake.channels.taking import take
from services.intake.conversation import Answered, take_answer
from services.intake.preparing import Message
from services.intake.reading import read
from services.intake.receipts import Receipt
from services.intake.report import ReportIn
from services.intake.reporters import store as reports
from services.intake.reporters.service import REPORTER, Reporters
from services.intake.service import Intake
from services.intake.talk import sessions as kept_sessions
from services.intake.talk.body import further_words, report_of
from services.intake.talk.definition import load_definition
from services.intake.talk.engine import RECORDED, UNSAID, UNSURE, Talk, follow, thread
from shared.clock import day_of
from shared.errors import Conflict
from shared.outbox import Stamp
from shared.telemetry import Log
from shared.text import detect_language
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.intake.channels import Desk
    from services.intake.talk.sessions import Kept, Sessions

THREADS: Final = frozenset({"whatsapp"})
"""Channels where people write first, and are asked afterwards."""

_log = Log("talking")


def known_from(text: str, at: datetime) -> dict[str, str]:
    """Return what own words told already, by kind of question: it is not asked again."""
    reading = read(text, today=day_of(at))
    known = {}
    if reading.urgency is Urgency.T0:
        known["danger_now"] = "yes"
    elif reading.urgency is not None:
        known["danger_now"] = UNSAID
    if reading.age is not None:
        known["age"] = UNSAID
    if reading.place is not None or reading.place_detail is not None:
        known["place"] = UNSAID
    return known


class Settling:
    """Stores what conversations said, with what a channel was given."""

    def __init__(self, desk: Desk, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        """Take what channels store with, where conversations are kept, and the clock."""
        self._desk = desk
        self._sessions = sessions
        self._clock = clock
        self._service = desk.service
        self._intake = Intake(desk.service.flow, desk.service.flow, desk.service.outbox, desk.vault)
        self._reporters = Reporters(desk.vault, desk.service.outbox)
        self._definition = load_definition()

    async def try_settle(self, kept: Kept) -> bool:
        """Store what a conversation said; say whether that went well, for else it is due later."""
        try:
            if kept.submission_id is None:
                await self._store(kept)
            else:
                await self._tell_more(kept)
        except Exception as error:  # noqa: BLE001  (it is kept, and tried again when it is due)
            _log.error("settling-failed", error)
            return False
        return True

    def talk(self, kept: Kept, first: int | None = None) -> Talk:
        """Follow a conversation, or its `first` answers, as its channel does."""
        answers = kept.said.answers[:first]
        if kept.channel not in THREADS:
            return follow(self._definition, answers)
        order = sorted(range(len(answers)), key=lambda n: (kept.said.times[n], n))
        messages = [answers[n] for n in order]
        opening = "" if not messages or messages[0].startswith(RECORDED) else messages[0]
        known = known_from(opening, self._clock())
        language = "en" if detect_language(opening) == "en" else "bn"
        return thread(self._definition, messages, language, known)

    def _place(self, talk: Talk) -> str | None:
        """Return the place that an answer names, None when it leaves a choice."""
        said = talk.given.get("place", "")
        if said.startswith(RECORDED) or said in ("", UNSURE, UNSAID):
            return None
        reading = read(said, today=day_of(self._clock()))
        return reading.place_detail or reading.place

    async def _store(self, kept: Kept) -> None:
        talk = await asyncio.to_thread(self.talk, kept)
        pcode = await asyncio.to_thread(self._place, talk)
        body = report_of(
            talk, self._definition, channel=kept.channel, phone=kept.said.phone, pcode=pcode
        )
        message = Message(
            kept.gateway,
            repeat_key=kept.root,
            sender=kept.sender,
            receipt=Receipt.of(self._desk.secrets.pepper, kept.root),
        )
        report = ReportIn.model_validate(body)
        taken = await take(self._desk, report, message, at=self._clock())
        if taken is not None:
            told = len(kept.said.answers)
            await self._sessions.mark_stored(kept.root, taken.submission_id, told)
            return
        async with self._service.flow.begin() as conn:  # whoever stored it died before noting it
            await kept_sessions.adopt(conn, kept.channel, kept.gateway, kept.root, self._clock())

    async def _tell_more(self, kept: Kept) -> None:
        """Bring what was said since to the report: to its facts what is one, all of it as words."""
        heard, at = len(kept.said.answers), self._clock()
        talk = await asyncio.to_thread(self.talk, kept)
        pcode = await asyncio.to_thread(self._place, talk)
        before = await asyncio.to_thread(self.talk, kept, kept.told)
        words = further_words(talk, before, self._definition)
        if kept.channel in THREADS:
            words = "\n".join(kept.said.answers[kept.told :]) or None
        async with self._service.flow.begin() as conn:
            locked = await kept_sessions.lock_told(conn, kept.root)
            if locked is None or locked[0] != kept.told or locked[1] is None:
                return  # told by somebody else meanwhile
            submission_id = locked[1]
            await self._intake.open_in(conn, submission_id, at)
            report = await reports.find_submission(conn, submission_id, lock=True)
            if report is not None:
                facts = await cases.lock_facts(conn, report.case_ids)
                answered = Answered(now=talk.danger and not before.danger, place=pcode)
                changes = [(c, take_answer(c, f, answered)) for c, f in facts.items()]
                changed = [(c, new, draft) for c, done in changes if done for new, draft in [done]]
                cases.save_cases(conn, [(c, new) for c, new, _ in changed])
                orders = [(c, after_case(draft.type, new), new) for c, new, draft in changed]
                await carry_out(conn, orders, by=REPORTER, at=at)
                await Pager(self._service.outbox).look(conn, orders, at)
                stamp = Stamp(at, REPORTER)
                await self._service.outbox.append(conn, [(draft, stamp) for *_, draft in changed])
                if words:
                    try:
                        await self._reporters.add_words(conn, report, words, at)
                    except Conflict:
                        _log.warning("words-after-erasure")
            await kept_sessions.note_told(conn, kept.root, submission_id, heard)
