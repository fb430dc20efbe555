"""The WhatsApp channel: the Cloud API's webhook, and at most one neutral reply to a message.

Own words first, then what they left open. The first message is a report at once; what follows comes
to the same report. Whatever kind a message is of, it is kept. A picture or a voice note is kept as
its id, sealed: nothing is fetched, a person decides. A reply goes only to whoever wrote, within two
minutes, inside the 24 hours that a reply is free in; a receipt is told only when asked for, since
the thread stays on the phone.
"""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.background import BackgroundTask

from services.intake.channels.taking import take
from services.intake.channels.talking import Talking, line_now
from services.intake.channels.whatsapp.graph import Graph
from services.intake.channels.whatsapp.reading import Written, read_messages, verify
from services.intake.conversation import REPLY_WITHIN, plan_reply
from services.intake.preparing import Message, number_index, repeat_key
from services.intake.reading import read
from services.intake.report import Reporter, ReportIn
from services.intake.reporters import store as reports
from services.intake.talk.engine import RECORDED, digits_in, is_after_danger, options_of, screen
from services.intake.talk.sessions import Session
from shared.bodies import parse_json, read_bytes
from shared.clock import day_of, now
from shared.errors import Forbidden, NotFound
from shared.telemetry import Log
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from services.intake.channels import Desk
    from services.intake.channels.talking import Heard
    from services.intake.reading import Reading

HERE: Final = "/intake/channels/whatsapp"
GATEWAY: Final = "cloud"
_log = Log("whatsapp")


def make_tasks(desk: Desk) -> list[Callable[[], Awaitable[None]]]:
    """Return what stores conversations that went quiet."""
    return [partial(Talking(desk).sweep, "whatsapp")]


def make_router(desk: Desk) -> APIRouter:
    """Make the webhook; it is there when `WHATSAPP_APP_SECRET` is set."""
    router = APIRouter(tags=["channels"])
    secret = desk.environ.get("WHATSAPP_APP_SECRET", "")
    word = desk.environ.get("WHATSAPP_VERIFY_TOKEN", "")
    threads = Threads(desk, graph_from(desk.environ))

    @router.get(HERE, response_model=None)
    async def subscribe(request: Request) -> PlainTextResponse:
        """Say that this is the webhook, to whoever knows the agreed word."""
        asked = request.query_params
        given = asked.get("hub.verify_token", "").encode("utf-8", "replace")
        if not word:
            raise NotFound
        if asked.get("hub.mode") != "subscribe" or not hmac.compare_digest(given, word.encode()):
            raise Forbidden("this is not the agreed word")
        return PlainTextResponse(asked.get("hub.challenge", "")[:200])

    @router.post(HERE, response_model=None)
    async def receive(request: Request) -> JSONResponse:
        """Keep every message of a post; what is no message is passed by."""
        if not secret:
            raise NotFound
        desk.committer.check_room()
        body = await read_bytes(request)
        verify(secret, request.headers.get("x-hub-signature-256"), body)
        replies = [
            reply
            for message in read_messages(parse_json(body))
            if (reply := await threads.hear(message)) is not None
        ]
        sending = BackgroundTask(threads.send, replies) if replies else None
        return JSONResponse({"status": "received"}, background=sending)

    return router


def graph_from(environ: Mapping[str, str]) -> Graph | None:
    """Return where replies go, or None when they are not configured."""
    token, number = environ.get("WHATSAPP_TOKEN"), environ.get("WHATSAPP_PHONE_NUMBER_ID")
    url = environ.get("WHATSAPP_GRAPH_URL", "https://graph.facebook.com/v23.0")
    return Graph(url, token, number) if token and number else None


class Threads:
    """Hears what people write, and says what they are answered."""

    def __init__(self, desk: Desk, graph: Graph | None) -> None:
        """Take what channels store with, and where replies go."""
        self._desk = desk
        self._graph = graph
        self._talking = Talking(desk)
        self._definition = self._talking.definition

    async def send(self, replies: list[tuple[Written, Mapping[str, Any]]]) -> None:
        """Send replies, each once."""
        for message, content in replies:
            if self._graph is not None:
                await self._graph.send(message.phone, message.scoped, content)

    async def hear(self, message: Written) -> tuple[Written, Mapping[str, Any]] | None:
        """Keep a message and return the reply to it; None for a repeat, and when none is due.

        Raises:
            Unavailable and errors of the database: it is not kept, the gateway is to post again.

        """
        at, key = now(), self._desk.secrets.index
        sender = number_index(key, message.sender) if message.sender else None
        told = message.message_id or f"{message.sent} {message.parts}"
        root = repeat_key(key, "talk", "whatsapp", GATEWAY, told)
        mark = repeat_key(key, "thread", "whatsapp", message.sender) if message.sender else root
        session = Session("whatsapp", GATEWAY, mark, sender, root)
        said = next((p for p in message.parts if not p.startswith(RECORDED)), "")
        reading = await asyncio.to_thread(read, said, today=day_of(at))
        if reading.command is not None and not reading.concerns:
            return await self._obey(message, session, reading, said, at)
        heard = None
        for number, part in enumerate(message.parts):
            heard = await self._talking.hear_message(
                session, message.phone or None, f"{told}#{number}", message.sent or 0.0, part
            )
        if heard is None or not await self._may_reply(message, session, at):
            return None
        content = await asyncio.to_thread(self._reply, heard, reading, at)
        return None if content is None else (message, content)

    async def _obey(
        self, message: Written, session: Session, reading: Reading, said: str, at: datetime
    ) -> tuple[Written, Mapping[str, Any]] | None:
        """Store a command, once, and answer it: a stop never, a receipt with its status."""
        report = ReportIn(
            channel=Channel.WHATSAPP, reporter=Reporter(phone=message.phone or None), narrative=said
        )
        kept = Message(GATEWAY, None, session.root, session.sender)
        taken = await take(self._desk, report, kept, at=at)
        if taken is None or reading.command == "stop":
            return None
        if not await self._may_reply(message, session, at, asked=True):
            return None
        words = self._definition.say("received", reading.language)
        if reading.command == "receipt_code":
            words = await self._talking.status(said, (session.sender or b"").hex(), "bn")
        elif receipt := await self._talking.receipt_of(session):
            words = self._definition.say("receipt", reading.language, receipt=receipt)
        return message, _text(words)

    async def _may_reply(
        self, message: Written, session: Session, at: datetime, *, asked: bool = False
    ) -> bool:
        """Say whether a reply may go out: to somebody, in time, who did not stop it."""
        if session.sender is None or self._graph is None:
            return False
        sent = at if message.sent is None else datetime.fromtimestamp(message.sent, UTC)
        if at - sent > REPLY_WITHIN:
            return False
        if asked:
            return True
        async with self._desk.service.flow.connect() as conn:
            return not await reports.is_stopped(conn, session.sender)

    def _reply(self, heard: Heard, reading: Reading, at: datetime) -> Mapping[str, Any] | None:
        """Return the one reply: the next question, or that it was received; None to noise.

        Nothing is asked of somebody whose phone may be watched, nor twice.
        """
        kind, talk = plan_reply(reading, stopped=False), heard.talk
        if kind is None or talk.again:
            return None
        watched = any(
            told.tell_nobody or told.shared_phone or told.family_alleged
            for answer in heard.kept.said.answers
            if not answer.startswith(RECORDED)
            for told in (read(answer, today=day_of(at)),)
        )
        if watched or talk.question is None:
            return _text(self._definition.say("received", talk.language))
        line = line_now(at)
        if not talk.question.answers:
            return _text(screen(talk, self._definition, line=line))
        head = talk.question.of(talk.language)
        if line is not None and is_after_danger(talk, self._definition):
            number = digits_in(line, talk.language)
            head = f"{self._definition.say('danger', talk.language, line=number)} {head}"
        rows = [
            {"id": option.digit, "title": option.of(talk.language)}
            for option in options_of(talk.question, self._definition)
        ]
        button = self._definition.say("choose", talk.language)
        return {
            "type": "interactive",
            "interactive": {
                "type": "list",
                "body": {"text": head},
                "action": {"button": button, "sections": [{"rows": rows}]},
            },
        }


def _text(words: str) -> Mapping[str, Any]:
    return {"type": "text", "text": {"body": words}}
