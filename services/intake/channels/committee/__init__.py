"""The committee channel: a batch of a committee member's own page, written while it was offline.

Each item has an id of the page's own, so a batch may be sent again, whole or in part, as often as
the network needs: each item is stored once. An item is a report, or an addition to an own report.
What an addition says of risk, place or safe contact never changes the report: a person decides.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator

from services.intake import store as cases
from services.intake.casework.api_errands import make_member_router
from services.intake.channels.committee.phones_api import make_phones_router
from services.intake.channels.committee.sealed import unsealed
from services.intake.channels.taking import take
from services.intake.preparing import Message, repeat_key
from services.intake.reach import matter, shown
from services.intake.report import PlaceIn, ReportIn, SafeContact, Text
from services.intake.reporters import store
from services.intake.reporters.service import Addition, Reporters
from shared import telemetry
from shared.access import Caller, require
from shared.access_rules import Allowed, Verb, decide, scope_of
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import now
from shared.database import transaction
from shared.errors import Conflict, InvalidBody, Problem, Unavailable
from shared.paging import commit_place, page
from shared.telemetry import Log
from shared.vocabulary import Channel, Role

if TYPE_CHECKING:
    from services.intake.channels import Desk

_log = Log("committee")

MAX_ITEMS: Final = 50
"""Items of a batch; the body has at most `shared.bodies.MAX_BODY` bytes besides."""

_HEAVY: Final = {"danger_now": "risk", "places": "place", "safe_contact": "safe_contact"}
"""Fields of an addition that a person decides about, and how a task names them."""

_Member = Annotated[Caller, Depends(require(Role.COMMITTEE_MEMBER))]


class BatchIn(Model):
    """A batch: its items are checked one by one, so that a bad one holds up no other."""

    items: list[Any] = Field(min_length=1, max_length=MAX_ITEMS)


class ReportItem(Model):
    """A report; its `channel` need not be said."""

    id: UUID
    report: ReportIn


class AdditionItem(Model):
    """An addition to the own report `adds_to`; `base_version` is what the page had seen of it."""

    id: UUID
    adds_to: UUID
    base_version: int = Field(ge=1, le=10_000, strict=True)
    device_time: datetime | None = None
    text: Text | None = None
    danger_now: bool | None = None
    places: list[PlaceIn] = Field([], max_length=50)
    safe_contact: SafeContact | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.text or self.heavy):
            message = "nothing is added"
            raise ValueError(message)
        return self

    @property
    def heavy(self) -> tuple[str, ...]:
        """What of it a person must decide about: `risk`, `place`, `safe_contact`."""
        return tuple(word for name, word in _HEAVY.items() if getattr(self, name) not in (None, []))


def read_item(value: object) -> ReportItem | AdditionItem:
    """Read one item of a batch.

    Raises:
        InvalidBody: it is neither a report nor an addition; `errors` names fields and rules.

    """
    if not isinstance(value, dict):
        raise InvalidBody(None, errors=[{"field": "body", "rule": "dict_type"}])
    if "adds_to" in value:
        return validate(AdditionItem, value)
    report = value.get("report")
    if isinstance(report, dict):
        value = {**value, "report": {**report, "channel": Channel.COMMITTEE}}
    return validate(ReportItem, value)


def make_router(desk: Desk) -> APIRouter:
    """Make the routes of the committee's page."""
    router = APIRouter(tags=["committee"])
    counter = _Counter(desk)

    @router.post("/intake/v1/committee/batches", response_model=None)
    async def batch(request: Request, caller: _Member) -> JSONResponse:
        """Take a batch; `items` answers each in its order: stored, repeated, refused or later.

        A `refused` item has a `reason`; it must be changed before it is sent again. `later` is to
        be sent again as it is. An item may be `{"id", "sealed"}`: a compact JWE of what it would
        be, to the key of `GET /intake/v1/keys`, with the id as `item` in its protected header.
        """
        desk.committer.check_room()
        body = validate(BatchIn, parse_json(await read_bytes(request)))
        told = [await counter.answer(value, caller) for value in body.items]
        desk.service.waker.wake()
        return JSONResponse({"items": told}, headers={"Cache-Control": "no-store"})

    @router.get("/intake/v1/committee/reports", response_model=None)
    async def reports(
        caller: _Member,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> JSONResponse:
        """List the member's own reports of this page as stubs, by the page's ids."""
        at = now()
        async with transaction(desk.service.web, scope_of(caller, Verb.SEE, at)) as conn:
            rows = await cases.list_cases(conn, commit_place(after), limit)
        allowed = [(row, decide(caller, Verb.SEE, matter(row), at)) for row in rows]
        async with desk.service.flow.connect() as conn:
            versions = await store.own_versions(
                conn, Channel.COMMITTEE, caller.actor, {row.submission_id for row in rows}
            )
        items = [
            {**shown(row, found), "id": _id_of(mark), "version": version}
            for row, found in allowed
            if isinstance(found, Allowed) and row.submission_id in versions
            for mark, version in (versions[row.submission_id],)
        ]
        last = rows[-1].cursor if rows else None
        return JSONResponse(
            msgspec.to_builtins(page(items, last)), headers={"Cache-Control": "no-store"}
        )

    router.include_router(make_phones_router(desk))
    router.include_router(make_member_router(desk.service))
    return router


class _Counter:
    """Takes the items of a batch, one after the other: an addition may follow its own report."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reporters = Reporters(desk.vault, desk.service.outbox)

    async def answer(self, value: object, caller: Caller) -> dict[str, Any]:
        """Take an item and say what became of it; nothing that it held is echoed but its id."""
        named = _named(value)
        try:
            item = read_item(unsealed(value, self._desk.seals))
            if isinstance(item, ReportItem):
                return named | await self._report(item, caller, now())
            return named | await self._addition(item, caller, now())
        except Unavailable:
            return named | {"result": "later"}
        except Problem as problem:
            reason = problem.detail or problem.slug
            return named | {"result": "refused", "reason": reason} | problem.members
        except Exception as error:  # noqa: BLE001  (one item holds up no other; it comes again)
            _log.error("committee-item", error)
            return named | {"result": "later"}

    def _mark(self, caller: Caller, item_id: UUID) -> bytes:
        return repeat_key(self._desk.secrets.index, "committee", caller.actor, str(item_id))

    async def _report(self, item: ReportItem, caller: Caller, at: datetime) -> dict[str, Any]:
        body = item.report.model_dump_json(by_alias=True)
        content = repeat_key(self._desk.secrets.index, "content", body).hex()
        mark, own = self._mark(caller, item.id), f"{item.id}:{content}"
        message = Message(message_id=own, repeat_key=mark)
        taken = await take(self._desk, item.report, message, at=at, caller=caller)
        if taken is not None:
            return {"result": "stored", "version": 1, **msgspec.json.decode(taken.answer)}
        async with self._desk.service.flow.connect() as conn:
            first = await store.find_message(conn, Channel.COMMITTEE, mark)
        if first is not None and first[1] not in ("", own):  # none is kept after an erasure
            raise Conflict("this id had another content")
        return {"result": "repeated"}

    async def _addition(self, item: AdditionItem, caller: Caller, at: datetime) -> dict[str, Any]:
        said = item.model_dump(mode="json", by_alias=True, exclude={"id", "adds_to"})
        places = " ".join(place.text or "" for place in item.places)
        addition = Addition(
            item.id,
            item.base_version,
            said,
            words=f"{item.text or ''} {places}",
            danger=item.danger_now is True,
            to_decide=item.heavy,
        )
        mark = self._mark(caller, item.adds_to)
        async with self._desk.service.flow.begin() as conn:
            found = await store.find_message(conn, Channel.COMMITTEE, mark, lock=True)
            if found is None:
                raise Conflict("no own report has this id")
            made = await self._reporters.add_addition(conn, found[0], addition, caller.actor, at)
        if made is None:
            return {"result": "repeated"}
        telemetry.SUBMISSIONS_STORED.labels(Channel.COMMITTEE, "addition").inc()
        return {"result": "stored", "version": made[0], "to_decide": list(made[1])}


def _named(value: object) -> dict[str, Any]:
    """Return the id of an item, if it has one, by which its page finds the answer."""
    try:
        return {"id": str(UUID(value["id"]))} if isinstance(value, dict) else {}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _id_of(mark: str) -> str | None:
    return mark.partition(":")[0] or None
