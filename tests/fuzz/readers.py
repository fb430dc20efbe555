"""The readers of everything that comes from outside, each as one function of an odd input.

A reader reads or refuses; it refuses with the errors that its callers expect, and nothing else.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import jwt
from aiokafka import ConsumerRecord
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException

from services.audit import check_proof, checkpoint, tiles
from services.intake.channels.openrosa.answers import report_of
from services.intake.channels.openrosa.instances import UnreadableInstanceError, read_instance
from services.intake.channels.sms import _mark
from services.intake.channels.sms.gateways import (
    Told,
    form_of,
    json_of,
    read_africastalking,
    read_httpsms,
    read_infobip,
)
from services.intake.channels.sms.inbound import Inbound, read_time
from services.intake.channels.sms.mapper import load_mappers
from services.intake.channels.whatsapp.reading import read_messages
from services.intake.exchange import primero
from services.intake.exchange.htcds import Header
from services.intake.exchange.htcds import fields as htcds_fields
from services.intake.exchange.rows import Refused
from services.intake.exchange.tables import cells_of, delimiter_of, records_of, text_of
from services.intake.learning.service import _completion, _rows
from services.intake.reading import read
from services.intake.report import ExternalRef, Reporter, ReportIn
from services.intake.talk import body as talk_body
from services.intake.talk.definition import load_definition
from services.intake.talk.engine import follow, screen
from services.referral.exchange.api_fhir import read_task as check_task
from services.referral.exchange.fhir import order_from, task_of
from services.referral.exchange.hsds.taking import prepare
from shared import text as texts
from shared.batch import hint_of, take_apart
from shared.bodies import parse_json, validate
from shared.clock import new_event_id
from shared.errors import Problem, RecordInvalid
from shared.events import CASES, CaseFacts, Draft, NewerVersion, decode, encode, headers_of
from shared.multipart import InMemory
from shared.sms.numbers import parse_mobile
from shared.text import PhoneInvalid
from shared.vocabulary import Channel
from tests.fuzz.odd import spoil, spoil_json
from tests.support.hsds import DOCUMENTS, example, packed
from tests.support.referrals import referral

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
TODAY = date(2026, 11, 29)
LOOP = asyncio.new_event_loop()
logging.getLogger("python_multipart.multipart").setLevel(logging.CRITICAL)
DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Reader:
    """How to make an odd input, how to read it, and the errors that refuse it."""

    make: Callable[[Random], Any]
    read: Callable[[Any], object]
    refuses: tuple[type[BaseException], ...] = ()


def spoiled(*examples: bytes | str) -> Callable[[Random], bytes]:
    raw = [one.encode() if isinstance(one, str) else one for one in examples]
    return lambda dice: spoil(dice, raw)


def as_text(*examples: str) -> Callable[[Random], str]:
    make = spoiled(*examples)
    return lambda dice: make(dice).decode("utf-8", dice.choice(("replace", "surrogateescape")))


def as_json(*examples: Any) -> Callable[[Random], Any]:
    return lambda dice: spoil_json(dice, examples)


# --- What people write ------------------------------------------------------------------------

MESSAGES = [one["text"] for one in json.loads((DATA / "inbound.json").read_text("utf-8"))]
MESSAGES += ["meye 14 bochor, Keraniganj, pachar, 01711223344", "STOP", "রসিদ 1234-5678"]


def read_sms(said: str) -> object:
    return read(said, today=TODAY)


EXTERNAL = load_mappers({})["external"]
FORMS = ("from=%2B8801711111111&text=help&id=1&time=2026-11-29T12%3A00", "SENDER=1&message=%E0%A6")


def read_gateway(raw: bytes) -> object:
    half = len(raw) // 2
    form_of(raw)
    read_time(raw.decode("utf-8", "replace"))
    return EXTERNAL.read(Told("http://test", raw[:half], {}, raw[half:]))


def read_gateway_json(raw: bytes) -> object:
    json_of(raw)
    told = Told("http://test", b"", {"authorization": f"Bearer {TOKEN}"}, raw, "s")
    found = [*read_infobip("s", told), *read_httpsms(SECRET, told)]
    for message in found:
        stored(message)
    return found


def read_gateway_form(raw: bytes) -> object:
    told = Told("http://test", b"", {}, raw, "s")
    found = read_africastalking("s", told)
    for message in found:
        stored(message)
    return found


def stored(message: Inbound) -> None:
    """Make of a message what is stored of it."""
    _mark(bytes(32), message, AT)
    refs = [
        ExternalRef(system=system, value=value[:200]) for system, value in message.refs if value
    ]
    reporter = Reporter(phone=message.sender or None)
    narrative, at = message.text, message.written_at
    ReportIn(
        channel=Channel.SMS,
        device_time=at,
        reporter=reporter,
        narrative=narrative,
        external_refs=refs,
    )


INFOBIP = {"results": [{"from": "8801711223344", "text": "x", "messageId": "1", "receivedAt": "2"}]}
HTTPSMS = {
    "type": "message.phone.received",
    "results": [],
    "data": {"contact": "+8801", "content": "x", "timestamp": "1", "attachments": ["http://x/y"]},
}
SECRET = "s" * 32
TOKEN = jwt.encode({"exp": 2**33, "aud": "http://test"}, SECRET, algorithm="HS256")


def make_gateway_json(dice: Random) -> bytes:
    if dice.random() < 0.3:
        return spoil(dice, [json.dumps(INFOBIP).encode(), json.dumps(HTTPSMS).encode()])
    return json.dumps(spoil_json(dice, [INFOBIP, HTTPSMS])).encode()


TALK = load_definition()


def read_ussd(said: str) -> object:
    said = said.encode("utf-8", "replace").decode()  # as what brings it decodes it
    talk = follow(TALK, said.split("*"))
    assert screen(talk, TALK)
    told = talk_body.report_of(talk, TALK, channel="ussd", phone=None, pcode=None)
    return ReportIn.model_validate(told)


def read_numbers(said: str) -> object:
    plain = texts.normalise(said)
    assert texts.normalise(plain) == plain
    texts.ascii_digits(said)
    texts.is_clean(said)
    texts.detect_language(said)
    number = texts.parse_phone(said)
    assert number[0] == "+"
    assert number[1:].isascii()
    assert number[1:].isdigit()
    return parse_mobile(said)


# --- Forms and files ---------------------------------------------------------------------------

META = "<meta><instanceID>uuid:1</instanceID><deprecatedID>uuid:0</deprecatedID></meta>"
FILLED = (
    '<data id="pashe" version="1" xmlns:o="http://openrosa.org/xforms"><start>2026-11-29T12:00:00'
    ".000+06:00</start><end>2026-11-29T12:09:00.000+06:00</end><about>people</about><danger_now>yes"
    "</danger_now><person><name>x</name><age>১৪</age><sex>female</sex><consent_refer>yes"
    "</consent_refer><phone>01711223344</phone></person><concerns>child_labour trafficking"
    "</concerns><needs>shelter</needs><happened_on>2026-11-01</happened_on><gps>23.7 90.4 0 5</gps>"
    f"<note>সাহায্য &amp; &#x9;</note>{META}</data>"
)


def read_openrosa(raw: bytes) -> object:
    instance = read_instance(raw)
    report_of(instance, known=False)
    return report_of(instance, known=True)


BOUNDARY = "xYx"
PARTS = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="receipt"\r\n\r\n1234\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
    f"Content-Type: image/jpeg\r\n\r\nABC\r\n--{BOUNDARY}--\r\n"
)


def read_multipart(raw: bytes) -> object:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    if raw[:1] > b"\xe0":
        kind += raw[:20].decode("latin-1")
    request: Any = SimpleNamespace(headers=Headers({"content-type": kind}))
    return LOOP.run_until_complete(InMemory(request, raw).parse())


def make_package(dice: Random) -> bytes:
    if dice.random() < 0.7:
        return json.dumps(spoil_json(dice, list(DOCUMENTS.values()))).encode()
    files = dict(example())
    name = dice.choice(sorted(files))
    before = files[name]
    files[name] = spoil(dice, [before.encode() if isinstance(before, str) else before])
    raw = packed(files).getvalue()
    return raw if dice.random() < 0.7 else spoil(dice, [raw])


def read_hsds(raw: bytes) -> object:
    return prepare(io.BytesIO(raw), AT).report.told()


HTCDS = ",".join(list(htcds_fields())[:12])
TABLE = f"{HTCDS}\n" + ",".join(["14", "female", "BGD", "Yes", "1", "x", "2026-01-01", *["a"] * 5])


def read_htcds(raw: bytes) -> object:
    return LOOP.run_until_complete(_read_htcds(raw))


async def _read_htcds(raw: bytes) -> list[object]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(raw), 50):
            yield raw[at : at + 50]

    header, delimiter, found = None, ",", list[object]()
    async for line, record in records_of(text_of(pieces(), None)):
        if record is None:
            continue
        if header is None:
            delimiter = delimiter_of(record, htcds_fields())
            header = Header(cells_of(record, delimiter) or [])
            continue
        cells = cells_of(record, delimiter)
        if cells is not None:
            row = header.read(line, cells, TODAY)
            found.append(validate(ReportIn, {"channel": "partner", **row.body}))
    return found


PRIMERO = {
    "id": "7c0e3c5e-8b1c-4c59-8c8a-0d6f3b8f2a11",
    "module_id": "primeromodule-cp",
    "name": "Invented Person",
    "sex": "female",
    "age": 14,
    "date_of_birth": "2012-02-29",
    "status": "open",
    "risk_level": "high",
    "protection_concerns": ["trafficked_smuggled", "worst_forms_of_child_labor"],
    "consent_for_services": True,
    "services_section": [{"unique_id": "x", "service_type": "safehouse_service"}],
}


def read_primero(value: Any) -> object:
    found = []
    for number, one in enumerate(primero.cases_in(value), 1):
        row = primero.read_case(number, one, TODAY)
        found.append(validate(ReportIn, {"channel": "partner", **row.body}))
    return found


REPORT = {
    "channel": "web",
    "about": "people",
    "narrative": "x",
    "danger_now": True,
    "device_time": "2026-11-29T12:00:00Z",
    "concerns": ["child_labour"],
    "needs": ["shelter"],
    "persons": [
        {"ref": "p1", "sex": "female", "languages": ["bn"], "support": ["x"], "count_max": 3},
        {"ref": "p2", "phone": "01711223344", "safe_contact": {"allowed": True}},
    ],
    "consent": [{"person": "p1", "explained": True, "allows": ["refer"], "fields": ["name"]}],
    "places": [{"role": "now", "pcode": "BD30260038", "site": "x"}],
    "happened": {"from": "2026-11-01T00:00:00Z", "precision": "day"},
    "alleged": [{"relation": "x", "near_person": True}],
    "exclude": {"kinds": ["ngo"], "area": "BD3026"},
    "missing": {"x": {"y": [1]}},
    "external_refs": [{"system": "x", "value": "y"}],
}


def read_report(value: Any) -> object:
    return validate(ReportIn, parse_json(json.dumps(value).encode()))


WHATSAPP = {
    "entry": [
        {
            "changes": [
                {
                    "value": {
                        "contacts": [{"wa_id": "8801711223344", "profile": {"name": "x"}}],
                        "messages": [
                            {"id": "w", "from": "8801711223344", "timestamp": "1764400000",
                             "type": "text", "text": {"body": "help"}},
                            {"id": "v", "from": "8801711223344", "type": "interactive",
                             "interactive": {"button_reply": {"id": "1", "title": "x"}}},
                            {"id": "u", "from": "1", "type": "image", "image": {"id": "9"}},
                        ],
                    }
                }
            ]
        }
    ]
}  # fmt: skip


def read_whatsapp(value: Any) -> object:
    return read_messages(parse_json(json.dumps(value).encode()))


ASSIGNED = referral("assigned")
TASKS = [
    task_of(ASSIGNED, AT) | more
    for more in (
        {"status": "accepted"},
        {"status": "rejected", "statusReason": {"coding": [{"code": "no_capacity"}], "text": "x"}},
        {"status": "completed", "output": [{"type": {"text": "how-much"}, "valueCode": "all"}]},
        {"executionPeriod": {"start": "2026-11-29T12:00:00Z"}},
        {"status": "on-hold", "statusReason": {"concept": {"text": "other"}}},
    )
]
STATES = [ASSIGNED, referral("accepted"), referral("withdrawn"), referral("in_service")]


def make_task(dice: Random) -> Any:
    return spoil_json(dice, TASKS), dice.choice(STATES)


def read_task(given: Any) -> object:
    task, present = given
    if isinstance(task, dict) and task.get("id") == str(ASSIGNED.referral_id):
        task = task_of(present, AT) | {k: v for k, v in task.items() if k in FREE}
    return order_from(check_task(parse_json(json.dumps(task).encode())), present, AT, None)


FREE = ("status", "statusReason", "output", "executionPeriod", "businessStatus", "note")


# --- Events and history ------------------------------------------------------------------------


def _event() -> bytes:
    facts = CaseFacts(report_id=UUID(int=1), channel="web", needs=["shelter"], age=14)
    draft = Draft(CASES, "case-created", str(uuid4()), facts, ("shelter",), new_event_id())
    return encode(draft, source="/x", sequence=1, at=AT, actor="service:x", traceparent=None)[1]


EVENT = _event()


class Everything:
    """A handler that wants all."""

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        return bool(event_type or needs)


def make_record(dice: Random) -> ConsumerRecord[Any, Any]:
    headers: list[Any] = headers_of("case-created", 1, ("shelter",), None, b"sig")
    name, value = dice.choice(headers)
    odd = dice.choice([None, spoil(dice, [value])])
    headers += [(name, odd), (str(spoil(dice, [b"a"])), b"")]
    value = dice.choice([None, EVENT, *[spoil(dice, [EVENT])] * 8])
    key = dice.choice([None, spoil(dice, [b"0" * 36])])
    return ConsumerRecord("cases", 0, 0, 0, 0, key, value, None, 0, 0, tuple(headers))


def read_record(record: Any) -> object:
    hint_of(record)
    handler: Any = Everything()
    batch = take_apart([record], handler, guards=True, consumer="fuzz")
    assert len(batch.events) + len(batch.parkings) + len(batch.held) == 1
    assert not any(parking.reason == "bug" for parking in batch.parkings), batch.parkings
    return decode(record.value)


VECTOR = json.loads((DATA / "tlog_vector.json").read_text("utf-8"))
VKEY = checkpoint.parse_vkey(VECTOR["vkey"])
WITNESS = checkpoint.parse_vkey(VECTOR["witness_vkey"])
NOTES = (VECTOR["checkpoint"], VECTOR["checkpoint"] + VECTOR["cosignature_line"])


def read_note(raw: bytes) -> object:
    checkpoint.parse_note(raw)
    checkpoint.verify_note(raw, [VKEY, WITNESS])
    return checkpoint.open_checkpoint(raw, VKEY)


def read_key(said: str) -> object:
    return checkpoint.parse_vkey(said)


KEYS = f"log {VECTOR['vkey']}\nwitness w {VECTOR['witness_vkey']}\nservice intake {'ab' * 32}\n"


def read_keys(said: str) -> object:
    return check_proof.read_keys(said)


def read_tile(raw: bytes) -> object:
    half = raw.find(b"|")
    tiles.decode_bundle(raw[half + 1 :], raw[0] if raw else 1)
    tiles.decode_hashes(raw[half + 1 :], 3)
    return tiles.parse_path(raw[: max(half, 0)].decode("utf-8", "replace"))


def read_path(said: str) -> object:
    return tiles.parse_path(said)


COMPLETIONS = "subject,module,passed_on\r\nme,safeguarding,2026-05-04\r\n"


def read_completions(made: Any) -> None:
    for row in _rows(made):
        _completion(row, date(2026, 5, 5), "by")


READERS: dict[str, Reader] = {
    "sms": Reader(as_text(*MESSAGES), read_sms),
    "gateway": Reader(spoiled(*FORMS), read_gateway, (Problem,)),
    "gateway-form": Reader(spoiled(*FORMS), read_gateway_form, (Problem,)),
    "gateway-json": Reader(make_gateway_json, read_gateway_json, (Problem,)),
    "ussd": Reader(as_text("1*2*1*3*9", "2*1*1*0*00*77*1234", "*", "1*১*২"), read_ussd),
    "numbers": Reader(
        as_text("01711-223344", "+880 1711 223344", "০১৭১১২২৩৩৪৪", "00971501234567"),
        read_numbers,
        (PhoneInvalid,),
    ),
    "openrosa": Reader(spoiled(FILLED, f"<a id='x'>{META}</a>"), read_openrosa,
                       (UnreadableInstanceError,)),
    "multipart": Reader(spoiled(PARTS), read_multipart,
                        (MultiPartException, ValueError, LookupError)),
    "hsds": Reader(make_package, read_hsds),
    "htcds": Reader(spoiled(TABLE, TABLE.replace(",", ";"), TABLE.encode("utf-16")), read_htcds,
                    (Refused, Problem)),
    "primero": Reader(as_json(PRIMERO, [PRIMERO], {"data": [PRIMERO]}), read_primero,
                      (Refused, Problem)),
    "report": Reader(as_json(REPORT), read_report, (Problem,)),
    "body": Reader(spoiled(json.dumps(REPORT), '{"a":"\\u0000"}', "[[1]]"), parse_json, (Problem,)),
    "whatsapp": Reader(as_json(WHATSAPP), read_whatsapp, (Problem,)),
    "completions": Reader(as_text(COMPLETIONS, COMPLETIONS.replace("me", '"m""e"')),
                          read_completions, (Problem,)),
    "fhir": Reader(make_task, read_task, (Problem,)),
    "events": Reader(make_record, read_record, (RecordInvalid, NewerVersion)),
    "checkpoint": Reader(spoiled(*NOTES), read_note, (checkpoint.NoteInvalid,)),
    "vkey": Reader(as_text(VECTOR["vkey"], VECTOR["witness_vkey"]), read_key,
                   (checkpoint.NoteInvalid,)),
    "proof-keys": Reader(as_text(KEYS), read_keys, (check_proof.CannotTell,)),
    "tiles": Reader(spoiled(b"0/x001/234.p/7|" + bytes(96), b"entries/000|\x00\x01a\x00\x02bc"),
                    read_tile, (tiles.TileInvalid,)),
    "paths": Reader(as_text("0/x001/234.p/7", "entries/x999/000", "63/000"), read_path,
                    (tiles.TileInvalid,)),
}  # fmt: skip
"""Every reader by its name."""
