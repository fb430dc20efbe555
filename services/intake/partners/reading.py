"""One record of a partner's topic read: a CloudEvent 1.0 whose data is a report sealed to intake.

Data is a compact JWE as a JSON string (structured mode) or as the value itself (binary mode), and
names the event's id in its protected header (`ce_id`), so that no sealed report can be put under
another event. What cannot be taken is said with one stable word and parked; what came in clear is
sealed before it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

from aiokafka import TopicPartition
from pydantic import ValidationError

from services.intake.report import ReportIn
from shared import telemetry
from shared.batch import Batch
from shared.bodies import fields_of, parse_json
from shared.clock import now
from shared.errors import MalformedBody, RecordInvalid
from shared.events import Event
from shared.inbox import Parking
from shared.telemetry import Log
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.intake.seals import Seals
    from shared.batch import Record

PREFIX: Final = "submissions.partner."
PATTERN: Final = r"^submissions\.partner\.[a-z0-9-]+$"
"""Which topics are partners'; the rest of the name is the partner's key."""

TYPE: Final = "pashe.report.v1"
"""The one type of event that a partner sends."""

MAX_BYTES: Final = 1_000_000
"""Bytes of an event at most."""

MAX_WORD: Final = 200
"""Characters of an id or a source at most."""

_OWNER: Final = "urn:pashe:partner:"
_NAMED: Final = ("partner", "partner_id", "organisation")
_KEPT: Final = "pashe_kept"
_log = Log("partners")


@dataclass(frozen=True, slots=True)
class PartnerReport:
    """A report as a partner sent it, and the event that brought it."""

    partner: str
    source: str
    event_id: str
    report: ReportIn


class Reader:
    """Takes batches of partners' records apart; what it raises parks one record alone."""

    def __init__(self, seals: Seals) -> None:
        """Take the keys that open what was sealed to intake."""
        self._seals = seals

    def take_apart(self, records: Sequence[Record]) -> Batch:
        """Return what to handle and what to park; never raises.

        Reports wait for none that is parked: they are no events of one case, whatever their key.
        """
        batch = Batch()
        for record in records:
            batch.ends[TopicPartition(record.topic, record.partition)] = record.offset + 1
            alone = replace(record, key=None)
            try:
                batch.events.append((alone, self.read(alone)))
            except RecordInvalid as error:
                kept = self._keep(alone)
                batch.parkings.append(Parking(kept, error.reason, error.detail))
            except Exception as error:  # noqa: BLE001  (reading is pure: again changes nothing)
                _log.error("reading-failed", error)
                why = telemetry.describe(error)
                batch.parkings.append(Parking(self._keep(alone), "bug", why))
        return batch

    def _keep(self, record: Record) -> Record:
        """Return a record as it may lie in a table: sealed by us, unless it is already."""
        value = record.value
        if value is None or self._is_kept(value):
            return record
        return replace(record, value=self._seals.keep(value, {_KEPT: "1"}))

    def _is_kept(self, value: bytes) -> bool:
        return self._unwrap(value) is not None

    def _unwrap(self, value: bytes) -> bytes | None:
        """Return what a parked record held; None for one that came from Kafka just now."""
        if not value.startswith(b"eyJ") or value.count(b".") != 4:  # noqa: PLR2004  (a JWE's)
            return None
        try:
            header, plain = self._seals.open(value.decode("ascii"))
        except (RecordInvalid, UnicodeDecodeError):
            return None
        return plain if header.get(_KEPT) == "1" else None

    def read(self, record: Record) -> Event:
        """Read one record. A parked one that a person replays may have come unsealed.

        Raises:
            RecordInvalid: `empty`, `too-large`, `not-json`, `not-an-event`, `unknown-type`,
                `not-sealed`, `wrong-key`, `seal-broken`, `wrong-id`, `another-partner`,
                `invalid-report`; the detail names fields and rules, never a value.

        """
        if record.value is None:
            raise RecordInvalid("empty", "a record without a value")
        if len(record.value) > MAX_BYTES:
            raise RecordInvalid("too-large", f"more than {MAX_BYTES} bytes")
        kept = self._unwrap(record.value)
        found = _event_of(record, kept if kept is not None else record.value)
        partner = record.topic.removeprefix(PREFIX)
        event_id, source = found["id"], found["source"]
        body = self._body_of(found, event_id, source, replayed=kept is not None)
        claimed = [source.removeprefix(_OWNER)] if source.startswith(_OWNER) else []
        claimed += [str(body.pop(name)) for name in _NAMED if name in body]
        if any(name != partner for name in claimed):
            raise RecordInvalid("another-partner", "it names a partner that this topic is not of")
        report = _report_of(body)
        unique = uuid5(NAMESPACE_URL, f"{record.topic}\x1f{source}\x1f{event_id}")
        return Event(
            id=unique,
            source=source,
            type=TYPE,
            subject=str(unique),
            time=now(),
            sequence=1,
            actor=f"partner:{partner}",
            traceparent=None,
            data=PartnerReport(partner, source, event_id, report),
        )

    def _body_of(
        self, found: Mapping[str, Any], event_id: str, source: str, *, replayed: bool
    ) -> dict[str, Any]:
        data = found.get("data")
        if not isinstance(data, str):
            if replayed and isinstance(data, dict):
                return data
            raise RecordInvalid("not-sealed", "data must be a JWE sealed to intake's key")
        header, plain = self._seals.open(data)
        if header.get("ce_id") != event_id or header.get("ce_source", source) != source:
            raise RecordInvalid("wrong-id", "the seal is of another event: ce_id")
        try:
            body = parse_json(plain)
        except MalformedBody:
            raise RecordInvalid("invalid-report", "what is sealed is no JSON") from None
        if not isinstance(body, dict):
            raise RecordInvalid("invalid-report", "what is sealed is no JSON object")
        return body


def _event_of(record: Record, value: bytes) -> dict[str, Any]:
    """Return the attributes and the data of a CloudEvent, in either mode."""
    headers = {name.lower(): told or b"" for name, told in record.headers}
    mode = headers.get("content-type", b"").lower()
    if "ce_id" in headers and not mode.startswith(b"application/cloudevents"):
        found: Any = {
            name.removeprefix("ce_"): told.decode("utf-8", "replace")
            for name, told in headers.items()
            if name.startswith("ce_")
        }
        found["data"] = _binary_data(value)
    else:
        try:
            found = parse_json(value)
        except MalformedBody:
            raise RecordInvalid("not-json", "the event is no JSON in UTF-8") from None
    if not isinstance(found, dict) or found.get("specversion") != "1.0":
        raise RecordInvalid("not-an-event", "no CloudEvent 1.0")
    for name in ("id", "source", "type"):
        said = found.get(name)
        if not isinstance(said, str) or not 0 < len(said) <= MAX_WORD:
            raise RecordInvalid("not-an-event", f"{name} must be a text of 1 to {MAX_WORD}")
    if found["type"] != TYPE:
        raise RecordInvalid("unknown-type", f"the type must be {TYPE}")
    return found


def _binary_data(value: bytes) -> Any:  # noqa: ANN401  (any JSON value)
    if value.startswith(b"eyJ"):
        return value.decode("ascii", "replace")
    try:
        return parse_json(value)
    except MalformedBody:
        return None


def _report_of(body: Mapping[str, Any]) -> ReportIn:
    """Check a report; its channel is said by where it came."""
    try:
        report = ReportIn.model_validate({"channel": Channel.PARTNER, **body})
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        named = ", ".join(f"{one['field']} ({one['rule']})" for one in fields_of(errors)[:5])
        raise RecordInvalid("invalid-report", named) from None
    if report.channel is not Channel.PARTNER:
        raise RecordInvalid("invalid-report", "channel (partner)")
    return report
