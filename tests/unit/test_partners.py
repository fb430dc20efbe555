"""Sealed reports of partners: what opens, what is refused, and what is kept of what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from joserfc import jwe

from services.intake.partners.reading import MAX_BYTES, TYPE, PartnerReport, Reader
from services.intake.seals import Seals, private_key, seal
from shared.errors import RecordInvalid, SettingsError

OLD, NEW, FOREIGN = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
TOPIC = "submissions.partner.line"
SECRET = "Rina of the river"


@pytest.fixture
def reader() -> Reader:
    return Reader(Seals(lambda: [OLD, NEW]))


def record(value: bytes | None, *headers: tuple[str, bytes], topic: str = TOPIC) -> Any:
    return ConsumerRecord(topic, 0, 5, 0, 0, b"k", value, None, 0, 0, headers)


def sealed(body: Any = None, *, key: bytes = NEW, event_id: str = "e-1", **header: str) -> str:
    said = {"narrative": SECRET} if body is None else body
    plain = said if isinstance(said, bytes) else json.dumps(said).encode()
    return seal(private_key(key), plain, {"ce_id": event_id, **header})


def event(data: Any = None, **change: Any) -> bytes:
    told = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "urn:example:line",
        "type": TYPE,
        "datacontenttype": "application/jose",
        "data": sealed() if data is None else data,
        **change,
    }
    return json.dumps({k: v for k, v in told.items() if v is not None}).encode()


@pytest.mark.parametrize("key", [OLD, NEW])
def test_a_report_sealed_to_any_key_that_is_kept_is_read(reader: Reader, key: bytes) -> None:
    told: PartnerReport = reader.read(record(event(sealed(key=key)))).data
    assert (told.partner, told.event_id, told.report.channel) == ("line", "e-1", "partner")
    assert told.report.narrative == SECRET


def test_binary_mode_is_read_too(reader: Reader) -> None:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_source", b"urn:example:line"),
        ("ce_type", TYPE.encode()),
        ("content-type", b"application/jose"),
    )
    told: PartnerReport = reader.read(record(sealed().encode(), *headers)).data
    assert told.report.narrative == SECRET


def test_direct_key_agreement_and_members_of_the_sender_are_taken(reader: Reader) -> None:
    key = private_key(NEW)
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key.kid, "ce_id": "e-1", "cty": "json"}
    data = jwe.encrypt_compact(
        header,
        b"{}",
        key,
        registry=jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False),
    )
    assert reader.read(record(event(data))).data.report.narrative is None


REFUSED: dict[str, tuple[bytes | None, str]] = {
    "nothing": (None, "empty"),
    "no JSON": (b"Rina of the river", "not-json"),
    "not UTF-8": (b'{"id": "\xff"}', "not-json"),
    "a list": (b"[1]", "not-an-event"),
    "another version": (event(specversion="0.3"), "not-an-event"),
    "no id": (event(id=None), "not-an-event"),
    "an endless id": (event(id="x" * 201), "not-an-event"),
    "another type": (event(type="org.example.other"), "unknown-type"),
    "plain data": (event({"narrative": SECRET}), "not-sealed"),
    "plain text": (event(SECRET), "not-sealed"),
    "five parts of nothing": (event("a.b.c.d.e"), "not-sealed"),
    "a foreign key": (event(sealed(key=FOREIGN)), "wrong-key"),
    "another event's seal": (event(sealed(event_id="e-2")), "wrong-id"),
    "another source's seal": (event(sealed(ce_source="urn:example:other")), "wrong-id"),
    "a changed seal": (event(sealed()[:-4] + "AAAA"), "seal-broken"),
    "sealed text": (event(sealed(b"Rina")), "invalid-report"),
    "a sealed list": (event(sealed([1])), "invalid-report"),
    "an unknown concern": (event(sealed({"concerns": [SECRET]})), "invalid-report"),
    "an unknown field": (event(sealed({SECRET: 1})), "invalid-report"),
    "another channel": (event(sealed({"channel": "web"})), "invalid-report"),
    "another partner": (event(sealed({"partner": "other"})), "another-partner"),
    "another partner's name": (
        event(sealed(), source="urn:pashe:partner:other"),
        "another-partner",
    ),
    "too large": (event("x" * MAX_BYTES), "too-large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_parked_alone_with_one_word(reader: Reader, name: str) -> None:
    value, reason = REFUSED[name]
    good = record(event())
    batch = reader.take_apart([record(value), good])
    (parking,) = batch.parkings
    assert parking.reason == reason
    assert SECRET not in parking.detail
    assert len(batch.events) == 1
    kept = parking.record
    assert kept.key is None
    assert SECRET.encode() not in (kept.value or b"")


def test_a_partner_may_name_itself(reader: Reader) -> None:
    body = {"partner": "line", "channel": "partner"}
    assert reader.read(record(event(sealed(body), source="urn:pashe:partner:line")))


def test_what_came_in_clear_is_taken_when_a_person_replays_it(reader: Reader) -> None:
    (parking,) = reader.take_apart([record(event({"narrative": SECRET}))]).parkings
    batch = reader.take_apart([parking.record])
    assert not batch.parkings
    assert batch.events[0][1].data.report.narrative == SECRET


def test_the_same_source_and_id_are_one_event_and_others_are_not(reader: Reader) -> None:
    first = reader.read(record(event()))
    assert reader.read(record(event(sealed({"about": "place"})))).id == first.id
    other = reader.read(record(event(source="urn:example:line:2")))
    elsewhere = reader.read(record(event(), topic="submissions.partner.other"))
    assert len({first.id, other.id, elsewhere.id}) == 3


def test_the_newest_key_is_published_without_its_secret_and_a_new_one_is_found() -> None:
    kept, clock = [OLD], [0.0]
    seals = Seals(lambda: list(kept), lambda: clock[0])
    (key,) = seals.published()["keys"]
    assert key["kid"] == private_key(OLD).kid
    assert "d" not in key
    kept.append(NEW)
    clock[0] = 2.0
    assert seals.open(sealed())[1]
    assert seals.published()["keys"][0]["kid"] == private_key(NEW).kid
    kept.remove(OLD)
    clock[0] = 100.0
    with pytest.raises(RecordInvalid, match="wrong-key"):
        seals.open(sealed(key=OLD))


def test_a_key_place_that_cannot_be_read_later_leaves_the_keys_that_are_here() -> None:
    fails = False
    clock = [0.0]

    def load() -> list[bytes]:
        if fails:
            raise SettingsError("gone")
        return [NEW]

    seals = Seals(load, lambda: clock[0])
    fails, clock[0] = True, 1000.0
    assert seals.open(sealed())[1]
