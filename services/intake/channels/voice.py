"""The voice channel: a call by Twilio's forms and TwiML, asked by digits and by recording.

Each request is signed. The step is in the address, what was pressed never is. Whoever presses
nothing is asked again, then passes the question over; a call without any digit is a report too.
Prompts are played from `VOICE_PROMPTS`, a folder of recordings, and said by a machine where one is
missing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from services.intake.channels.sms.gateways import verified_twilio
from services.intake.channels.sms.inbound import clean
from services.intake.channels.talking import Talking, keep_trying, line_now
from services.intake.talk.definition import LANGUAGES
from services.intake.talk.engine import RECORDED, is_after_danger
from services.intake.talk.prompts import (
    Prompt,
    all_prompts,
    of_answer,
    of_danger,
    of_digits,
    of_question,
    of_words,
)
from shared.bodies import read_bytes
from shared.clock import now
from shared.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from services.intake.channels import Desk
    from services.intake.channels.talking import Heard
    from services.intake.talk.engine import Talk

GATEWAY: Final = "twilio"
HERE: Final = "/intake/channels/voice/twilio"
PROMPTS: Final = "/intake/channels/voice/prompts"
SILENCES: Final = 2
"""How often a question is asked again before it is passed over."""

WAIT: Final = 8
"""Seconds that a digit is waited for."""

LONGEST: Final = 120
"""Seconds of a recording."""

TAP: Final = 3
"""Seconds of a recording that a digit ended and that holds no words."""

_VOICES: Final = {"bn": "bn-IN", "en": "en-GB"}


def make_tasks(desk: Desk) -> list[Callable[[], Awaitable[None]]]:
    """Return what stores conversations that went quiet."""
    return [partial(Talking(desk).sweep, "voice")]


def make_router(desk: Desk) -> APIRouter:
    """Make the routes of voice; they are there when `TWILIO_AUTH_TOKEN` is set."""
    router = APIRouter(tags=["channels"])
    token = desk.environ.get("TWILIO_AUTH_TOKEN", "")
    folder = desk.environ.get("VOICE_PROMPTS", "")
    call = Call(Talking(desk), Path(folder) if folder else None, desk.secrets.issuer)
    names = {prompt.file for prompt in all_prompts()}

    async def told(request: Request) -> Mapping[str, str]:
        if not token:
            raise NotFound
        body = await read_bytes(request)
        query = request.scope["query_string"].decode("latin-1")
        url = f"{desk.secrets.issuer}{request.url.path}{'?' + query if query else ''}"
        return verified_twilio(token, url, request.headers.get("x-twilio-signature"), body)

    @router.post(HERE, response_model=None)
    async def step(request: Request) -> Response:
        """Begin a call, or take what was pressed or recorded at a step; the answer is TwiML."""
        fields = await told(request)
        said = await keep_trying(partial(call.step, fields, dict(request.query_params)))
        if said is None:
            said = call.sorry()
        return Response(f"<Response>{said}</Response>", media_type="text/xml")

    @router.post(f"{HERE}/ended", response_model=None)
    async def ended(request: Request) -> Response:
        """Hear that a call ended (status callback): what it said is stored at once."""
        await call.end(await told(request))
        return Response("<Response/>", media_type="text/xml")

    @router.get(f"{PROMPTS}/{{language}}/{{name}}", response_model=None)
    async def prompt(language: str, name: str) -> FileResponse:
        """Return a recorded prompt; anybody may hear it."""
        file = f"{language}/{name}"
        if not folder or file not in names or not (Path(folder) / file).is_file():
            raise NotFound
        return FileResponse(Path(folder) / file, media_type="audio/wav")

    return router


class Call:
    """What a call is told, from what it says."""

    def __init__(self, talking: Talking, folder: Path | None, origin: str) -> None:
        """Take the conversation, the folder of recordings, and the public address."""
        self._talking = talking
        self._definition = talking.definition
        self._folder = folder
        self._origin = origin

    async def step(self, fields: Mapping[str, str], query: Mapping[str, str]) -> str:
        """Return the TwiML verbs that come next."""
        number = clean(fields.get("From", ""))[:200]
        call_id = fields.get("CallSid") or number
        session = self._talking.session("voice", GATEWAY, call_id, number)
        if "number" in query:
            who = (session.sender or session.mark).hex()
            said = await self._talking.status(fields.get("Digits", ""), who, "bn")
            return self._hear([of_answer(said, "bn")]) + "<Hangup/>"
        step = _whole(query.get("step"))
        if step is None:
            await self._talking.hear_step(session, number, 0, None)
            return self._start(0)
        silent = _whole(query.get("silent")) or 0
        answer = self._answer(fields)
        if answer is None and silent < SILENCES:
            heard = await self._talking.at_step(session, number, step)
            return self._next(heard, step, silent)
        if answer is None and step == 0:
            await self._talking.end(session)
            return self._hear(of_words("silent", self._definition, x) for x in LANGUAGES)
        answer = self._definition.unsaid.digit if answer is None else answer
        heard = await self._talking.hear_step(session, number, step, answer)
        return self._next(heard, step + 1, 0)

    async def end(self, fields: Mapping[str, str]) -> None:
        """Store at once what a call said."""
        number = clean(fields.get("From", ""))[:200]
        call_id = fields.get("CallSid") or number
        await self._talking.end(self._talking.session("voice", GATEWAY, call_id, number))

    def sorry(self) -> str:
        """Return that it could not be taken now, in both languages."""
        return self._hear(of_words("not_now", self._definition, x) for x in LANGUAGES)

    def _answer(self, fields: Mapping[str, str]) -> str | None:
        """Return what was pressed or recorded; None when nothing was."""
        pressed = clean(fields.get("Digits", ""))
        url = clean(fields.get("RecordingUrl", ""))[:200]
        passes = pressed in (self._definition.unsure.digit, self._definition.unsaid.digit)
        short = (_whole(fields.get("RecordingDuration")) or 0) <= TAP
        if url and not (passes and short):
            return RECORDED + url
        return pressed or None

    def _start(self, silent: int) -> str:
        said = self._hear(of_words("say_start", self._definition, x) for x in LANGUAGES)
        return self._gather(said, 0, silent, 1)

    def _next(self, heard: Heard, step: int, silent: int) -> str:
        """Return what is asked at a step, or the end with the receipt said twice."""
        talk, language = heard.talk, heard.talk.language
        if talk.stage == "start":
            return self._start(silent)
        if talk.stage == "number":
            said = self._hear([of_words("say_number", self._definition, language)])
            return (
                f'<Gather input="dtmf" numDigits="16" timeout="{WAIT}" method="POST"'
                f" action={quoteattr(HERE + '?number=1')}>{said}</Gather><Hangup/>"
            )
        if talk.question is None:
            receipt = of_digits(self._talking.receipt(heard.kept), language)
            head = of_words("receipt", self._definition, language)
            return self._hear([head, *receipt, head, *receipt]) + "<Hangup/>"
        said = self._hear(self._asked(talk))
        if talk.question.answers:
            return self._gather(said, step, silent, 1)
        action = quoteattr(f"{HERE}?step={step}")
        return (
            f'{said}<Record action={action} method="POST" maxLength="{LONGEST}" timeout="{WAIT}"'
            ' finishOnKey="1234567890*#" playBeep="true"/>' + self._again(step, silent)
        )

    def _asked(self, talk: Talk) -> list[Prompt]:
        """Return a question as it is said: after danger, first who helps at once."""
        said = []
        line = line_now(now())
        if line is not None and is_after_danger(talk, self._definition):
            said.append(of_danger(line, self._definition, talk.language))
        elif talk.again:
            said.append(of_words("again", self._definition, talk.language))
        if talk.question is not None:
            said.append(of_question(talk.question, self._definition, talk.language))
        return said

    def _gather(self, said: str, step: int, silent: int, digits: int) -> str:
        action = quoteattr(f"{HERE}?step={step}")
        return (
            f'<Gather input="dtmf" numDigits="{digits}" timeout="{WAIT}" action={action}'
            f' method="POST">{said}</Gather>' + self._again(step, silent)
        )

    @staticmethod
    def _again(step: int, silent: int) -> str:
        """Return where a call goes on when nothing was pressed."""
        where = escape(f"{HERE}?step={step}&silent={silent + 1}")
        return f'<Redirect method="POST">{where}</Redirect>'

    def _hear(self, prompts: Iterable[Prompt]) -> str:
        """Return prompts to be played, or said where there is no recording."""
        verbs = []
        for prompt in prompts:
            if self._folder is not None and (self._folder / prompt.file).is_file():
                verbs.append(f"<Play>{escape(f'{self._origin}{PROMPTS}/{prompt.file}')}</Play>")
            else:
                voice = _VOICES[prompt.language]
                verbs.append(f'<Say language="{voice}">{escape(prompt.text)}</Say>')
        return "".join(verbs)


def _whole(said: str | None) -> int | None:
    """Return a small whole number, None when it is none."""
    return int(said) if said and said.isascii() and said.isdigit() and len(said) < 4 else None  # noqa: PLR2004  (below a thousand)
