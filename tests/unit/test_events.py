"""Events: exact bytes, open to growth; no bytes do more to a reader than be refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import events
from shared.clock import new_event_id, rfc3339, time_of
from shared.errors import RecordInvalid
from shared.events import CASES, DATA_TYPES, CaseFacts, Draft, NewerVersion, decode, encode
from shared.kafka import PARTITIONS, partition_of

AT = datetime(2026, 7, 1, 18, 30, tzinfo=timezone(timedelta(hours=6)))
DRAFT = Draft(CASES, "case-created", "case-1", CaseFacts(report_id=UUID(int=7), channel="web"))


def encoded(draft: Draft = DRAFT, sequence: int = 3) -> bytes:
    return encode(
        draft, source="/intake", sequence=sequence, at=AT, actor="service:x", traceparent=None
    )[1]


def changed(**fields: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(encoded()) | fields)


def test_an_event_comes_back_as_it_was_stored() -> None:
    event = decode(encoded())
    assert event.data == DRAFT.data
    assert (event.type, event.subject, event.sequence) == ("case-created", "case-1", 3)
    assert event.time == AT
    assert event.actor == "service:x"


def test_the_envelope_is_cloudevents_with_a_sequence_that_sorts_as_text() -> None:
    plain = msgspec.json.decode(encoded())
    assert plain["specversion"] == "1.0"
    assert plain["time"] == "2026-07-01T12:30:00.000000Z"
    assert plain["dataschema"] == "urn:pashe:event:case-created:1"
    assert plain["sequence"] == "00000000000000000003"
    assert "traceparent" not in plain


def test_unknown_fields_and_words_are_tolerated() -> None:
    data = msgspec.json.decode(encoded())["data"]
    event = decode(changed(data=data | {"later": 1, "needs": ["something_new"]}, extension="x"))
    assert event.data.needs == ["something_new"]


def test_a_newer_major_version_is_not_invalid_but_held() -> None:
    with pytest.raises(NewerVersion):
        decode(changed(dataschema="urn:pashe:event:case-created:2"))
    with pytest.raises(NewerVersion):
        decode(changed(type="born-later", dataschema="urn:pashe:event:born-later:2"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "case-sung", "dataschema": "urn:pashe:event:case-sung:1"}, "unknown-type"),
        ({"dataschema": "urn:other:1"}, "invalid-schema"),
        ({"dataschema": "urn:pashe:event:case-created:-1"}, "invalid-schema"),
        ({"data": {"channel": "web"}}, "invalid-schema"),
        ({"data": 3}, "invalid-schema"),
        ({"sequence": "three"}, "unreadable"),
        ({"id": "x"}, "unreadable"),
        ({"time": "yesterday"}, "unreadable"),
    ],
)
def test_what_can_never_be_read_is_named(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(RecordInvalid) as caught:
        decode(changed(**fields))
    assert caught.value.reason == reason


def test_no_value_is_unreadable() -> None:
    with pytest.raises(RecordInvalid):
        decode(None)


@given(st.binary(max_size=300))
def test_any_bytes_are_only_refused(value: bytes) -> None:
    with pytest.raises(RecordInvalid):
        decode(value)


def test_a_larger_event_is_refused() -> None:
    big = CaseFacts(report_id=UUID(int=7), channel="web", reason="x" * events.MAX_VALUE_BYTES)
    with pytest.raises(ValueError, match="more than"):
        encoded(Draft(CASES, "case-created", "case-1", big))


def test_headers_are_ascii() -> None:
    headers = events.headers_of("case-created", 3, ("shelter", "medical"), "00-a-b-01", b"sig")
    assert dict(headers)["needs"] == b"shelter,medical"
    assert all(value.isascii() for _, value in headers)
    with pytest.raises(UnicodeEncodeError):
        events.headers_of("case-created", 3, (), "\u0985", b"sig")


def test_event_ids_tell_their_time_and_sort_by_it() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=2)
    first, second = new_event_id(), new_event_id()
    assert first < second
    assert before < time_of(first) < datetime.now(UTC) + timedelta(milliseconds=2)
    assert rfc3339(AT) == "2026-07-01T12:30:00.000000Z"


def test_the_names_of_event_types_are_plain_lower_case() -> None:
    assert len(DATA_TYPES) > 40
    for name in DATA_TYPES:
        assert name == name.lower()
        assert name.isascii()


@given(st.binary(min_size=1, max_size=60))
def test_a_key_has_one_partition(key: bytes) -> None:
    assert 0 <= partition_of(key) < PARTITIONS
    assert partition_of(key) == partition_of(bytes(key))
