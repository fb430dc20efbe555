"""Requests of each SMS gateway in its documented shape: read when proved, refused when not."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes, urlencode

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from services.intake.channels.sms.gateways import (
    Gateway,
    Told,
    make_signed,
    read_twilio,
)
from services.intake.channels.sms.inbound import (
    BIJOY,
    MAX_TEXT,
    Inbound,
    Part,
    is_bijoy,
    make_inbound,
    read_time,
)
from services.intake.channels.sms.mapper import SHIPPED, load_mappers
from services.intake.channels.sms.parts import Parts
from shared.errors import Forbidden, InvalidBody, MalformedBody, SettingsError
from shared.sms.proof import sign_twilio

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = {
    "TWILIO_AUTH_TOKEN": "a test token",
    "INFOBIP_SECRET": "an invented secret",
    "AFRICASTALKING_SECRET": "an invented secret",
    "TELERIVET_SECRET": "S",
    "HTTPSMS_SIGNING_KEY": "an invented key of thirty-two bytes or more",
}
GATEWAYS = make_signed(SECRETS)
URL = "https://intake.example.org/intake/channels/sms/httpsms"
AT = datetime(2026, 11, 25, 4, 40, tzinfo=UTC)
SAVAR = "সাভারে একটা বাচ্চা দিয়ে কাজ করায়"


def told(body: bytes | dict[str, Any] = b"", **more: Any) -> Told:
    if isinstance(body, dict):
        body = urlencode(body).encode()
    return Told(**{"url": URL, "query": b"", "headers": {}, "body": body, **more})


def bearer(key: str = SECRETS["HTTPSMS_SIGNING_KEY"], **claims: Any) -> dict[str, str]:
    whole = {"aud": URL, "exp": int(time.time()) + 600} | claims
    return {"authorization": f"Bearer {jwt.encode(whole, key, algorithm='HS256')}"}


# --- The documented shapes ------------------------------------------------------------------------

INFOBIP = {
    "results": [
        {
            "messageId": "817",
            "from": "8801700000001",
            "to": "2233",
            "text": "HELP me",
            "cleanText": "me",
            "keyword": "HELP",
            "receivedAt": "2026-11-25T04:40:00.000+0000",
            "smsCount": 1,
            "price": {"pricePerMessage": 0, "currency": "EUR"},
            "callbackData": None,
        }
    ],
    "messageCount": 1,
    "pendingMessageCount": 0,
}
HTTPSMS = {
    "specversion": "1.0",
    "id": "7c0e3c5e-8b1c-4c59-8c8a-0d6f3b8f2a14",
    "source": "/v1/messages/receive",
    "type": "message.phone.received",
    "datacontenttype": "application/json",
    "time": "2026-11-25T04:40:00Z",
    "data": {
        "message_id": "7c0e3c5e-8b1c-4c59-8c8a-0d6f3b8f2a15",
        "user_id": "u1",
        "owner": "+8801900000000",
        "contact": "+8801700000001",
        "content": "HELP me",
        "encrypted": False,
        "timestamp": "2026-11-25T04:40:00Z",
        "sim": "DEFAULT",
        "attachments": [],
    },
}
TALKING = {
    "id": "1",
    "text": "HELP me",
    "from": "+8801700000001",
    "to": "2233",
    "date": "2026-11-25T04:40:00Z",
    "linkId": "L1",
}
TELERIVET = {
    "event": "incoming_message",
    "id": "SM1",
    "message_type": "sms",
    "content": "HELP me",
    "from_number": "01700000001",
    "from_number_e164": "+8801700000001",
    "to_number": "01900000000",
    "time_created": "1795581600",
    "phone_id": "PN1",
    "contact_id": "CT1",
    "project_id": "PJ1",
    "secret": "S",
}


def request(name: str) -> Told:
    """Return a request of a gateway as it is documented, proved as it proves itself."""
    match name:
        case "infobip":
            return told(json.dumps(INFOBIP).encode(), secret=SECRETS["INFOBIP_SECRET"])
        case "africastalking":
            return told(TALKING, secret=SECRETS["AFRICASTALKING_SECRET"])
        case "telerivet":
            return told(TELERIVET)
        case "httpsms":
            return told(json.dumps(HTTPSMS).encode(), headers=bearer())
    pairs = [("Body", "HELP me"), ("From", "+8801700000001"), ("MessageSid", "SM1")]
    signed = sign_twilio(SECRETS["TWILIO_AUTH_TOKEN"], URL, pairs)
    return told(urlencode(pairs).encode(), headers={"x-twilio-signature": signed})


@pytest.mark.parametrize("name", sorted(GATEWAYS))
def test_a_documented_request_is_read(name: str) -> None:
    (found,) = GATEWAYS[name].read(request(name))
    assert (found.text, found.number) == ("HELP me", "+8801700000001")
    assert found.message_id
    assert name == "twilio" or found.written_at == AT


@pytest.mark.parametrize("name", sorted(GATEWAYS))
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"a=b", b"null"])
def test_what_proves_nothing_is_refused_before_it_is_parsed(name: str, body: bytes) -> None:
    with pytest.raises(Forbidden):
        GATEWAYS[name].read(told(body))


@pytest.mark.parametrize("name", ["infobip", "httpsms"])
@pytest.mark.parametrize("body", [b"", b"{", b'{"results": 1}', b"[]", b"null", b"[" * 100_000])
def test_a_proved_request_that_is_none_is_a_clear_error(name: str, body: bytes) -> None:
    proof = request(name)
    with pytest.raises((MalformedBody, InvalidBody)):
        GATEWAYS[name].read(told(body, secret=proof.secret, headers=proof.headers))


@pytest.mark.parametrize("name", ["africastalking", "telerivet", "infobip"])
@given(place=st.integers(0, 7), which=st.integers(0, 200))
def test_a_flipped_bit_of_a_secret_is_refused(name: str, place: int, which: int) -> None:
    right = bytearray((SECRETS["TELERIVET_SECRET"] if name == "telerivet" else "an in").encode())
    right[which % len(right)] ^= 1 << place
    wrong = right.decode("latin-1")
    body = TELERIVET | {"secret": wrong}
    with pytest.raises(Forbidden):
        GATEWAYS[name].read(told(body, secret=wrong))


@given(st.data())
def test_a_flipped_bit_of_a_token_is_refused(data: st.DataObject) -> None:
    token = bearer()["authorization"].encode()
    whole = bytearray(token)
    start = len("Bearer ")
    # the last sign of a signature has bits that mean nothing
    place = data.draw(st.integers(start, len(whole) - 2))
    whole[place] ^= 1 << data.draw(st.integers(0, 6))
    with pytest.raises(Forbidden):
        GATEWAYS["httpsms"].read(told(b"{}", headers={"authorization": whole.decode("latin-1")}))


@pytest.mark.parametrize(
    "claims",
    [{"aud": "https://other.example"}, {"exp": 1}, {"exp": None}, {"aud": None}],
    ids=["another address", "too old", "for ever", "for nobody"],
)
def test_a_token_for_somebody_else_or_too_old_is_refused(claims: dict[str, Any]) -> None:
    whole = {"aud": URL, "exp": int(time.time()) + 600} | claims
    kept = {k: v for k, v in whole.items() if v is not None}
    token = jwt.encode(kept, SECRETS["HTTPSMS_SIGNING_KEY"], algorithm="HS256")
    body = json.dumps(HTTPSMS).encode()
    with pytest.raises(Forbidden):
        GATEWAYS["httpsms"].read(told(body, headers={"authorization": f"Bearer {token}"}))
    unsigned = jwt.encode({"aud": URL, "exp": int(time.time()) + 600}, "", algorithm="none")
    with pytest.raises(Forbidden):
        GATEWAYS["httpsms"].read(told(body, headers={"authorization": f"Bearer {unsigned}"}))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("telerivet", {"event": "send_status", "id": "SM2", "status": "delivered", "secret": "S"}),
        ("africastalking", {"id": "ATXid_1", "status": "Success"}),
        ("httpsms", {"type": "message.phone.delivered", "data": {"id": "1"}}),
        ("httpsms", {"type": "message.call.missed", "data": {"id": "1"}}),
        ("infobip", {"results": []}),
    ],
)
def test_what_is_no_message_is_answered_politely(name: str, body: dict[str, Any]) -> None:
    proof = request(name)
    raw = json.dumps(body).encode() if name in ("httpsms", "infobip") else body
    gateway = GATEWAYS[name]
    assert gateway.read(told(raw, secret=proof.secret, headers=proof.headers)) == []
    assert gateway.answer(None).status_code == 200


def test_a_gateway_without_its_secret_is_not_there() -> None:
    assert make_signed({}) == {}
    assert list(make_signed({"TELERIVET_SECRET": "S", "INFOBIP_SECRET": ""})) == ["telerivet"]


def test_a_batch_has_each_of_its_texts_and_twice_what_is_twice_in_it() -> None:
    one = INFOBIP["results"][0]  # type: ignore[index]
    body = {
        "results": [one, one | {"messageId": "818", "text": SAVAR}, one, {}, 7, {"from": "bKash"}]
    }
    raw = json.dumps(body, ensure_ascii=False).encode()
    found = GATEWAYS["infobip"].read(told(raw, secret=SECRETS["INFOBIP_SECRET"]))
    assert [m.message_id for m in found] == ["817", "818", "817", ""]
    assert [m.text for m in found] == ["HELP me", SAVAR, "HELP me", ""]
    assert (found[3].sender, found[3].number) == ("bKash", None)


# --- Twilio's own validator -----------------------------------------------------------------------


class Fields(dict[str, list[str]]):
    """Repeated fields, as Twilio's validator reads those of a framework."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


TOKEN = SECRETS["TWILIO_AUTH_TOKEN"]
WORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
PAIRS = st.lists(st.tuples(st.one_of(st.sampled_from(["Body", "From", "To"]), WORDS), WORDS))
URLS = st.builds(
    "{}://{}{}/intake/channels/sms/twilio{}".format,
    st.sampled_from(["https", "http"]),
    st.sampled_from(["intake.example.org", "127.0.0.1"]),
    st.sampled_from(["", ":443", ":80", ":8000", ":8443"]),
    st.sampled_from(["", "?a=1", "?a=1&b=2&a=", "?x=%E0%A6%B8", "?bodySHA256=00"]),
)


def accepts(url: str, signature: str, body: bytes) -> bool:
    try:
        read_twilio(TOKEN, url, signature, body)
    except InvalidBody:
        return True  # proved, and without a MessageSid
    except Forbidden:
        return False
    return True


def twilio_accepts(url: str, signature: str, pairs: list[tuple[str, str]]) -> bool:
    fields = Fields()
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return bool(RequestValidator(TOKEN).validate(url, fields, signature))


@given(URLS, URLS, PAIRS, PAIRS, st.data())
def test_twilios_own_validator_says_what_we_say(
    url: str,
    other: str,
    pairs: list[tuple[str, str]],
    more: list[tuple[str, str]],
    data: st.DataObject,
) -> None:
    made = RequestValidator(TOKEN)
    fields = Fields()
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    right = made.compute_signature(url, fields)
    wrong = bytearray(right.encode())
    wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= 1 << data.draw(st.integers(0, 6))
    body = urlencode(pairs).encode()
    assert accepts(url, right, body) == twilio_accepts(url, right, pairs)
    assert accepts(other, right, body) == twilio_accepts(other, right, pairs)
    assert not accepts(url, wrong.decode("latin-1"), body)
    assert not twilio_accepts(url, wrong.decode("latin-1"), pairs)
    changed = urlencode(pairs + more).encode()
    assert accepts(url, right, changed) == twilio_accepts(url, right, pairs + more)


# --- Texts of any kind ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("", ""),
        ("😢😢", "😢😢"),
        ("১৭০০", "১৭০০"),
        ("a\x00b\ud800c", "abc"),
        ("ক" * 10_000, "ক" * 10_000),
        ("x" * 30_000, "x" * MAX_TEXT),
        (b64encode((SAVAR * 4).encode()).decode(), SAVAR * 4),
        ("AAAA" * 20, "AAAA" * 20),
    ],
)
def test_whatever_is_written_is_kept(said: str, text: str) -> None:
    assert make_inbound("bKash", said).text == text


@pytest.mark.parametrize(
    "said",
    [
        "2026-11-25T04:40:00Z",
        "2026-11-25T04:40:00.000+0000",
        "2026-11-25T10:40:00+06:00",
        "2026-11-25 04:40:00",
        "২০২৬-১১-২৫ ০৪:৪০:০০",
        "1795581600",
        "1795581600000",
    ],
)
def test_times_of_every_shape_are_read(said: str) -> None:
    assert read_time(said) == AT


@pytest.mark.parametrize("said", ["", "soon", "9" * 30, "2026-13-45", "25/11/2026"])
def test_a_time_that_is_none_is_unknown_and_the_text_is_kept(said: str) -> None:
    found = make_inbound("1", "help", "", said)
    assert (found.written_at, found.text) == (None, "help")


@pytest.mark.parametrize(
    ("text", "bijoy"),
    [
        ("Avgvi †g‡q‡K wb‡q †M‡Q", True),
        ("wkï cvPvi n‡q‡Q, mvnvh¨ PvB", True),
        ("amar bon k niye geche, taka dey na", False),
        ("Please help, my sister's name is Zoë", False),
        ("é è à ç", False),
        (SAVAR, False),
        ("😢 …", False),
        ("", False),
    ],
)
def test_letters_of_bijoy_are_known_marked_and_kept(text: str, bijoy: bool) -> None:  # noqa: FBT001
    assert is_bijoy(text) == bijoy
    found = make_inbound("01711111111", text)
    assert found.text == text
    assert found.refs == ((("encoding", BIJOY),) if bijoy else ())


def test_what_is_beside_the_text_is_not_lost() -> None:
    pairs = [("MessageSid", "MM1"), ("From", "+8801700000001"), ("Body", ""), ("NumMedia", "1")]
    pairs += [("MediaUrl0", "https://media.example/1"), ("MediaContentType0", "image/jpeg")]
    (found,) = read_twilio(TOKEN, URL, sign_twilio(TOKEN, URL, pairs), urlencode(pairs).encode())
    assert found.refs == (("twilio-media", "https://media.example/1"),)
    sealed = HTTPSMS | {"data": HTTPSMS["data"] | {"encrypted": True, "content": "x+y="}}  # type: ignore[operator]
    (found,) = GATEWAYS["httpsms"].read(told(json.dumps(sealed).encode(), headers=bearer()))
    assert (found.text, found.refs) == ("x+y=", (("encoding", "encrypted"),))


# --- The mapper -----------------------------------------------------------------------------------


def described(folder: Path, text: str, **env: str) -> dict[str, Gateway]:
    path = folder / "gateways.toml"
    path.write_text(text, "utf-8")
    return load_mappers({"SMS_GATEWAYS": str(path), **env})


def example() -> str:
    """Return the example of the shipped file, as if somebody took the signs of comments away."""
    written = SHIPPED.read_text("utf-8").partition("# [example]")
    lines = (written[1] + written[2]).splitlines()
    return "\n".join(line.removeprefix("# ") for line in lines)


def test_the_example_is_read_as_it_says(tmp_path: Path) -> None:
    made = described(tmp_path, example(), SMS_EXAMPLE_SECRET="an invented secret")
    assert set(made) == {"external", "example"}
    body = {
        "MOBILE": "০১৭০০০০০০০১",
        "sms": SAVAR,
        "sms_id": "7",
        "received": "25/11/2026 10:40:00 AM",
    }
    body |= {"ref": "12", "part_no": "2", "total_parts": "3"}
    proof = {"secret": "an invented secret", "address": "203.0.113.9"}
    (found,) = made["example"].read(told(body, **proof))
    assert (found.text, found.number, found.written_at) == (SAVAR, "+8801700000001", AT)
    assert found.part == Part("12", 2, 3)
    for wrong in ({"secret": ""}, {"address": "203.0.114.9"}, {"address": "?"}, {"secret": "é"}):
        with pytest.raises(Forbidden):
            made["example"].read(told(body, **(proof | wrong)))


def test_json_in_a_list_hex_letters_and_a_secret_in_a_header_or_field(tmp_path: Path) -> None:
    text = """
[json]
sender = ["msisdn"]
text = ["content"]
form = "json"
items = "messages"
letters = "ucs2-hex"
secret_from = "X"
secret_in = "header:X-Token"
[field]
sender = ["msisdn"]
text = ["content"]
letters = "base64"
secret_from = "X"
secret_in = "field:Token"
"""
    made = described(tmp_path, text, X="s3cret")
    hexed = SAVAR.encode("utf-16-be").hex()
    items = [{"msisdn": 8801700000001, "content": hexed}, {"msisdn": "1", "content": "no hex"}]
    raw = json.dumps({"messages": items}).encode()
    found = made["json"].read(told(raw, headers={"x-token": "s3cret"}))
    assert [m.text for m in found] == [SAVAR, "no hex"]
    assert found[0].number == "+8801700000001"
    with pytest.raises(Forbidden):
        made["json"].read(told(raw))
    for bad in (b"{", b'{"messages": [1]}', b'{"messages": [{"to": "1"}]}'):
        with pytest.raises((MalformedBody, InvalidBody)):
            made["json"].read(told(bad, headers={"x-token": "s3cret"}))
    coded = {"msisdn": "1", "content": b64encode(SAVAR.encode()).decode(), "token": "s3cret"}
    (one,) = made["field"].read(told(coded))
    assert one.text == SAVAR
    with pytest.raises(Forbidden):
        made["field"].read(told(coded | {"token": "other"}))


@pytest.mark.parametrize(
    "wrong",
    [
        "[x]\n",
        "[x]\nsender = ['a']\ntext = ['b']\nzone = 'Nowhere/At all'\n",
        "[x]\nsender = ['a']\ntext = ['b']\nform = 'xml'\n",
        "[x]\nsender = ['a']\ntext = ['b']\naddresses = ['here']\n",
        "[x]\nsender = ['a']\ntext = ['b']\nsecret_from = 'NOT_SET'\n",
        "[x]\nsender = ['a']\ntext = ['b']\nsecret_in = 'body'\n",
        "[x]\nsender = ['a']\ntext = ['b']\nnmae = 'x'\n",
        "[x\n",
    ],
)
def test_a_wrong_description_is_told_at_the_start(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError):
        described(tmp_path, wrong)
    with pytest.raises(SettingsError):
        load_mappers({"SMS_GATEWAYS": str(tmp_path / "nowhere")})


def test_latin_1_json_is_read(tmp_path: Path) -> None:
    made = described(tmp_path, "[x]\nsender = ['a']\ntext = ['b']\nform = 'json'\n")
    (found,) = made["x"].read(told('{"a": "1", "b": "é"}'.encode("latin-1")))
    assert found.text == "é"
    body = b"a=1&b=" + quote_from_bytes("é".encode("latin-1")).encode()
    assert described(tmp_path, "[x]\nsender = ['a']\ntext = ['b']\n")["x"].read(told(body))


# --- Parts ----------------------------------------------------------------------------------------


def part(number: int, text: str, of: int = 3, reference: str = "r") -> Inbound:
    return make_inbound("01711111111", text, f"id{number}", part=Part(reference, number, of))


async def give(parts: Parts[str], *given: Inbound) -> list[list[str]]:
    """Give parts at once, and return the texts of each time that something was stored."""
    stored: list[list[str]] = []

    async def store(texts: list[Inbound]) -> str:
        stored.append([one.text for one in texts])
        return "stored"

    answers = [parts.join("g", one, one.part, store) for one in given if one.part]
    assert set(await asyncio.gather(*answers)) == {"stored"}
    return stored


async def test_parts_in_any_order_and_twice_are_one_text() -> None:
    parts: Parts[str] = Parts(wait=60)
    given = [part(3, "gamma"), part(1, "alpha "), part(3, "gamma"), part(2, "beta ")]
    assert await give(parts, *given) == [["alpha beta gamma"]]
    assert await give(parts, part(2, "beta ")) == [], "a part that was joined comes once more"


async def test_parts_whose_others_do_not_come_are_stored_as_they_are() -> None:
    parts: Parts[str] = Parts(wait=0.01)
    assert await give(parts, part(3, "c"), part(1, "a")) == [["a", "c"]]
    assert await give(parts, part(2, "b")) == [["b"]]


async def test_the_same_reference_with_other_words_is_another_text() -> None:
    parts: Parts[str] = Parts(wait=60)
    assert await give(parts, part(1, "a", 2), part(2, "b", 2)) == [["ab"]]
    assert await give(parts, part(1, "x", 2), part(2, "y", 2)) == [["xy"]]
    assert await give(parts, part(1, "p", 2, "s"), part(1, "q", 2, "s"), part(2, "r", 2, "s")) == [
        ["q"],
        ["pr"],
    ]


async def test_whoever_waits_is_told_that_it_could_not_be_stored() -> None:
    parts: Parts[str] = Parts(wait=60)

    async def fails(texts: list[Inbound]) -> str:
        raise ConnectionError

    both = [part(1, "a", 2), part(2, "b", 2)]
    waiting = [parts.join("g", one, one.part, fails) for one in both if one.part]
    told_so = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in told_so] == [ConnectionError, ConnectionError]
    assert await give(parts, *both) == [["ab"]]
