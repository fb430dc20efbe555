"""What the channels that ask have in common: hear an answer, keep it, store the report once.

A conversation is in the database before the next question is asked. It becomes a submission when it
ends, or when it was quiet for some minutes: a session that dropped, a call with no digit. What is
said after that comes to the same report as further words. One conversation is one report.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from services.intake.channels.settling import Settling
from services.intake.helplines import load_lines
from services.intake.preparing import number_index, repeat_key
from services.intake.receipts import Receipt
from services.intake.reporters.asking import Asking
from services.intake.talk.definition import load_definition
from services.intake.talk.engine import Talk, follow
from services.intake.talk.sessions import QUIET, QUIET_DANGER, Kept, Said, Session, Sessions
from shared.clock import now
from shared.database import Blame, blame
from shared.telemetry import Log
from shared.text import PhoneInvalid, ascii_digits, parse_phone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from services.intake.channels import Desk

SWEEP: Final = 1.0
"""Seconds between looks for conversations that went quiet."""

AGAIN: Final = timedelta(seconds=20)
"""After so long a conversation that could not be stored is tried again."""

GATEWAY_WAITS: Final = 7.0
"""Seconds for which a step that failed is taken anew; gateways give up after some ten."""

PAUSE: Final = 0.5
"""Seconds before it is."""

_log = Log("talking")


async def keep_trying(step: Callable[[], Awaitable[str]]) -> str | None:
    """Return what a step says, None when it fails until the gateway gives up.

    A session that is told "not now" is over and its phone may not come back, so that a moment
    without the database is waited for here. Taking a step twice is taking it once.
    """
    until = monotonic() + GATEWAY_WAITS
    while True:
        try:
            return await step()
        except Exception as error:  # noqa: BLE001  (another status would end the session unsaid)
            _log.error("step-failed", error)
            if blame(error) not in (Blame.WORLD, Blame.RETRY) or monotonic() >= until:
                return None
        await asyncio.sleep(PAUSE)


@dataclass(frozen=True, slots=True)
class Heard:
    """Where a conversation stands for the request that was just heard."""

    talk: Talk
    kept: Kept


def line_now(at: datetime) -> str | None:
    """Return the number of the line for danger that answers now, or None when none is known to."""
    return next((line.number for line in load_lines() if line.danger and line.is_open(at)), None)


def _offset(said: Said) -> int:
    """Return how many answers there are before step 0; the digit to go on is a step, no answer."""
    return max(said.carried - 1, 0)


class Talking:
    """Hears conversations and stores them, with what a channel was given."""

    def __init__(self, desk: Desk, clock: Callable[[], datetime] = now) -> None:
        """Take what channels store with, and the clock."""
        self._desk = desk
        self._clock = clock
        self._sessions = Sessions(desk.service.flow, desk.secrets.index)
        self._asking = Asking(desk.secrets.pepper, clock)
        self._settling = Settling(desk, self._sessions, clock)
        self.definition = load_definition()

    def sender(self, number: str) -> bytes | None:
        """Return the blind index of a number, None when it is no number (withheld, anonymous)."""
        try:
            return number_index(self._desk.secrets.index, parse_phone(number))
        except PhoneInvalid:
            return None

    def session(self, channel: str, gateway: str, session_id: str, number: str) -> Session:
        """Return the session that a gateway names."""
        mark = repeat_key(self._desk.secrets.index, "talk", channel, gateway, session_id)
        return Session(channel, gateway, mark, self.sender(number))

    def receipt(self, kept: Kept) -> str:
        """Return the receipt of a conversation as it is shown; the same for its every repeat."""
        return Receipt.of(self._desk.secrets.pepper, kept.root).shown

    async def receipt_of(self, session: Session) -> str | None:
        """Return the receipt of the conversation that a session has, or None."""
        kept = await self._sessions.find(session.mark, self._clock())
        return None if kept is None else self.receipt(kept)

    async def hear_path(self, session: Session, number: str, path: Sequence[str]) -> Heard:
        """Hear a whole path of digits (USSD), and store the report when that was the end."""
        own = list(path)
        asked = follow(self.definition, own)

        def change(before: Said) -> tuple[Said, bool, timedelta | None]:
            if asked.stage == "number":
                return Said([self.definition.start.digits.number]), True, None
            answers = self._whole(before, own)
            talk = follow(self.definition, answers)
            if len(answers) < len(before.answers):
                return before, follow(self.definition, before.answers).stage == "end", QUIET
            said = Said(answers, number or None, before.carried)
            return said, talk.stage == "end", QUIET_DANGER if talk.danger else QUIET

        kept = await self._sessions.hear(session, change, self._clock(), goes_on=asked.goes_on)
        talk = asked
        if kept.said.carried:
            talk = follow(self.definition, self._whole(kept.said, own))
        if talk.stage == "end":
            await self._settling.try_settle(kept)
        return Heard(talk, kept)

    def _whole(self, said: Said, own: list[str]) -> list[str]:
        """Return what was carried over, and after it this session's path from where it goes on."""
        if not said.carried:
            return own
        digits = [ascii_digits(answer).strip() for answer in own]
        go_on = self.definition.start.digits.go_on
        first = digits.index(go_on) + 1 if go_on in digits else len(own)
        return [*said.answers[: said.carried], *own[first:]]

    async def hear_step(
        self, session: Session, number: str, step: int, answer: str | None
    ) -> Heard:
        """Hear the answer to step `step` (voice), counted from 0; None is a call that began.

        A repeat of a step is answered as before; a step that skips some is taken as the next one.
        """

        def change(before: Said) -> tuple[Said, bool, timedelta | None]:
            answers = [*before.answers]
            if answer is not None and step >= len(answers) - _offset(before):
                answers.append(answer)
            talk = follow(self.definition, answers)
            if talk.stage == "number":
                return Said(answers, None, before.carried), True, None
            said = Said(answers, number or None, before.carried)
            return said, talk.stage == "end", QUIET_DANGER if talk.danger else QUIET

        goes_on = step == 0 and answer == self.definition.start.digits.go_on
        kept = await self._sessions.hear(session, change, self._clock(), goes_on=goes_on)
        upto = 0 if answer is None else step + 1 + _offset(kept.said)
        talk = follow(self.definition, kept.said.answers[:upto])
        if talk.stage == "end":
            await self._settling.try_settle(kept)
        return Heard(talk, kept)

    async def at_step(self, session: Session, number: str, step: int) -> Heard:
        """Return where a call stands before step `step`; nothing is heard."""
        kept = await self._sessions.find(session.mark, self._clock())
        if kept is None:
            return await self.hear_step(session, number, 0, None)
        upto = step + _offset(kept.said)
        return Heard(follow(self.definition, kept.said.answers[:upto]), kept)

    async def hear_message(
        self, session: Session, number: str | None, message_id: str, sent: float, text: str
    ) -> Heard | None:
        """Hear a message of a thread (WhatsApp); None when it was heard before.

        The first one is stored as a report at once; what follows is understood in the order in
        which it was sent, and comes to the report when the thread is quiet.
        """
        repeated = False

        def change(before: Said) -> tuple[Said, bool, timedelta | None]:
            nonlocal repeated
            repeated = message_id in before.ids
            if repeated:
                return before, False, QUIET
            said = Said(
                [*before.answers, text],
                number or before.phone,
                ids=[*before.ids, message_id],
                times=[*before.times, sent],
            )
            return said, False, QUIET_DANGER if before.ids else AGAIN

        kept = await self._sessions.hear(session, change, self._clock())
        if repeated:
            return None
        if kept.submission_id is None:
            await self._settling.try_settle(kept)
        return Heard(await asyncio.to_thread(self._settling.talk, kept), kept)

    async def end(self, session: Session) -> None:
        """Store at once what a session that ended has said; nothing when it was never heard."""
        kept = await self._sessions.find(session.mark, self._clock())
        if kept is not None and follow(self.definition, kept.said.answers).stage != "number":
            await self._settling.try_settle(kept)

    async def status(self, said: str, who: str, language: str) -> str:
        """Return the words of the answer to a receipt that was said in digits."""
        async with self._desk.service.flow.begin() as conn:
            answer = await self._asking.answer(conn, said, who)
        if answer is None:
            return self.definition.say("no_such_number", language)
        return self.definition.say(f"status_{answer}", language)

    async def sweep(self, channel: str) -> None:
        """Store what went quiet on a channel, until cancelled."""
        while True:
            try:
                for kept in await self._sessions.due(channel, self._clock()):
                    if not await self._settling.try_settle(kept):
                        await self._sessions.put_off(kept.root, self._clock() + AGAIN)
            except Exception as error:  # noqa: BLE001  (a lost database only makes it wait)
                _log.error("sweep-failed", error)
            await asyncio.sleep(SWEEP)
