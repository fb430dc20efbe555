"""What an operator writes down of a call, and the report that comes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from services.intake.calls import says_something
from services.intake.report import MAX_LIST, ExternalRef, Lang, ReportIn, Short, Told
from shared.bodies import Model
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from datetime import datetime

IDLE: Final = timedelta(minutes=20)
"""How long an open call may lie without a save before it is taken for finished."""

Line = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,29}$")]
"""A helpline by its number or key."""

Kind = Literal["report", "silent", "prank", "test", "hang_up", "wrong_number"]
State = Literal["calm", "distressed", "in_danger", "child_alone", "silent", "unknown"]


class Report(ReportIn):
    """The report inside a call; its channel is said already."""

    channel: Channel = Channel.HELPLINE


class CameFrom(Model):
    """The helpline that handed the caller over, and under which reference."""

    helpline: Line
    reference: Short | None = None


class CallIn(Model):
    """A call. `open`: it goes on, more will be saved; `revision` grows with each save.

    `number` is the caller's; `languages` ISO 639 codes (`rhg`, `ctg` …); `told` what the helpline
    said to the caller; `came_from` who handed it over to us, `offer_to` whom it is offered to.
    """

    open: bool = False
    revision: int = Field(0, ge=0, le=1_000_000, strict=True)
    helpline: Line | None = None
    number: Short | None = None
    kind: Kind = "report"
    caller: State = "unknown"
    languages: list[Lang] = Field([], max_length=MAX_LIST)
    told: list[Short] = Field([], max_length=MAX_LIST)
    came_from: CameFrom | None = None
    offer_to: Line | None = None
    report: Report = Report()


def written(call: CallIn, at: datetime) -> ReportIn:
    """Return the report of a call that began at `at`: what was typed, and what the call says.

    A caller in danger is in danger now, unless somebody wrote that this is over.
    """
    report = call.report
    change: dict[str, Any] = {"channel": Channel.HELPLINE}
    if call.number and not report.reporter.phone:
        change["reporter"] = report.reporter.model_copy(update={"phone": call.number})
    if call.languages and not report.language:
        change["language"] = call.languages[0]
    if call.caller == "in_danger" and report.danger_now is None:
        change["danger_now"] = True
    if call.kind == "test":
        change["test"] = True
    if giver := call.came_from:
        told = Told(who=giver.helpline, reference=giver.reference, when=at)
        change["told_before"] = [*report.told_before, told]
        if giver.reference:
            ref = ExternalRef(system=f"helpline.{giver.helpline}", value=giver.reference)
            change["external_refs"] = [*report.external_refs, ref]
    return report.model_copy(update=change)


def facts_of(call: CallIn) -> dict[str, Any]:
    """Return what decisions need of a call, and nothing that names or quotes anybody."""
    body = call.report.model_dump(mode="json")
    return {
        "call": {
            "kind": call.kind,
            "caller": call.caller,
            "languages": call.languages,
            "offer_to": call.offer_to,
            "report": says_something(body, call.kind, call.caller),
        }
    }


def told_in(state: str) -> str:
    """Say in the words of this interface how far a stored call is."""
    return {"call": "open", "no_case": "kept_apart"}.get(state, "ended")
