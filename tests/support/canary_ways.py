"""Planted words said by every way that is no form: dialled, called, typed by a helpline, in files.

And by those who answer: a provider's page, its FHIR system, and a partner's topic in Kafka.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer
from joserfc.jwk import ECKey

from services.intake.partners.reading import TYPE
from services.intake.seals import seal
from shared.kafka import KafkaLogin
from shared.sms.proof import sign_twilio
from shared.vocabulary import Role
from tests.support.canary_words import BANGLA, CALLED, FORGED, NAME, PERSON, TEXTER, TOLD, report
from tests.support.pictures import picture
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.canary_words import Teller
    from tests.support.canary_world import World

USSD: Final = "/intake/channels/ussd/africastalking"
VOICE: Final = "/intake/channels/voice/twilio"
WHATSAPP: Final = "/intake/channels/whatsapp"
FHIR: Final = "/referral/fhir/r4/Task"
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


def talk(teller: Teller) -> None:
    """Dial, call and write, each to its end, and each so that it is refused."""
    words = f"{TOLD} {CALLED}".replace("*", " ")
    for path in (f"1*1*2*2*{TOLD}*1*{words}", f"2*{NAME}*{BANGLA}", f"4*{PERSON}12345", NAME):
        form = {"sessionId": f"{TEXTER}-{uuid4()}", "phoneNumber": f"+88{TEXTER}", "text": path}
        assert teller.say("POST", USSD, data=form).is_success
        assert teller.say("POST", USSD, data=form | {"status": NAME}).is_success
    teller.fails("POST", f"{USSD}/{NAME}", 403, data={"sessionId": NAME, "text": TOLD})

    call = {"CallSid": f"CA{uuid4().hex}", "From": f"+88{TEXTER}", "CallerName": TOLD}
    recorded = {"RecordingUrl": f"https://{NAME}.example/{TEXTER}", "RecordingDuration": "9"}
    steps: tuple[tuple[str, dict[str, str]], ...] = (
        (VOICE, {}),
        *((f"{VOICE}?step={n}", {"Digits": digit}) for n, digit in enumerate("1122")),
        (f"{VOICE}?step=4", recorded | {"Digits": NAME}),
        (f"{VOICE}?step=5", {"Digits": "1"}),
        (f"{VOICE}?step=6", recorded),
        (f"{VOICE}?number=1", {"Digits": f"{PERSON}12345"}),
        (f"{VOICE}/ended", {}),
    )
    for where, more in steps:
        fields = [*(call | more).items()]
        signature = sign_twilio("a test token", f"{teller.stack.origin}{where}", fields)
        for said, good in ((signature, True), (f"{NAME}{TEXTER}", False)):
            headers = FORM | {"x-twilio-signature": said}
            answer = teller.say("POST", where, content=urlencode(fields), headers=headers)
            assert answer.is_success is good, answer.text
    _write(teller, words)


def _write(teller: Teller, words: str) -> None:
    sender = {"from": f"88{TEXTER}", "from_user_id": f"BD.{NAME}", "timestamp": NAME}
    kinds: tuple[dict[str, Any], ...] = (
        {"type": "text", "text": {"body": words}},
        {"type": "text", "text": {"body": "নম্বর"}},
        {"type": "image", "image": {"id": NAME, "caption": words, "mime_type": NAME}},
        {"type": "contacts", "contacts": [{"name": {"formatted_name": TOLD}}]},
        {"type": NAME, NAME: {"x": TOLD}},
    )
    made = [sender | {"id": f"wamid.{NAME}{uuid4()}"} | kind for kind in kinds]
    contact = {"profile": {"name": TOLD}, "wa_id": f"88{TEXTER}"}
    change = {"field": "messages", "value": {"contacts": [contact], "messages": made}}
    body = json.dumps({"entry": [{"id": NAME, "changes": [change]}]}).encode()
    signature = f"sha256={hmac.new(b'appsecret', body, hashlib.sha256).hexdigest()}"
    for said, content, status in ((signature, body, 200), (NAME, body, 403), (NAME, b"{", 403)):
        headers = {"x-hub-signature-256": said, "content-type": "application/json"}
        answer = teller.say("POST", WHATSAPP, content=content, headers=headers)
        assert answer.status_code == status, answer.text
    query = {"hub.mode": "subscribe", "hub.verify_token": NAME, "hub.challenge": TOLD}
    teller.fails("GET", WHATSAPP, 403, params=query)


def browse(teller: Teller) -> None:
    """Tell on the public page to the end, come back, and do all of it wrong as well."""
    kept = _kept(teller.say("GET", "/t").text)
    said: tuple[tuple[str, dict[str, str]], ...] = (
        ("who", {"who": "self"}),
        ("where", {"place": f"{NAME} {BANGLA}"}),
        ("what", {"words": f"{TOLD} {CALLED}", "concern": "child_labour"}),
        ("agree", {"agreed": "yes", "contact": "call"}),
        ("contact", {"number": PERSON, "ask_for": NAME, "agreed_word": TOLD}),
    )
    for step, fields in said:
        page = teller.say("POST", "/t", data={"step": step, "kept": kept, "go": "next", **fields})
        assert page.is_success, page.text
        kept = _kept(page.text)
    sent = teller.say("POST", "/t", data={"step": "review", "kept": kept, "go": "send"})
    assert sent.is_success, sent.text
    receipt = {"kept": _kept(sent.text)}
    assert teller.say("POST", "/r/words", data=receipt | {"words": f"{TOLD} {BANGLA}"}).is_success
    call = receipt | {"number": PERSON, "ask_for": NAME}
    assert teller.say("POST", "/r/call", data=call).is_success
    harm = receipt | {"helped": "harmed", "text": f"{TOLD} {CALLED}"}
    assert teller.say("POST", "/r/feedback", data=harm).is_success
    file = {"file": (f"{NAME}.jpg", picture())}
    assert teller.say("POST", "/r/file", data=receipt, files=file).is_success
    teller.fails("POST", "/t", 410, data={"step": NAME, "kept": TOLD, "words": CALLED})
    teller.fails("POST", "/t", 404, data={"step": NAME, "kept": kept, "words": CALLED})
    teller.fails("POST", "/r", 422, data={"number": f"{NAME} {PERSON}"})
    teller.fails("POST", "/r/words", 400, json={NAME: TOLD})
    teller.fails("GET", f"/l/{NAME}", 422)


def _kept(page: str) -> str:
    found = re.search(r'name="kept" value="([^"]+)"', page)
    assert found, page
    return found[1]


def fill(teller: Teller) -> None:
    """Send filled forms, whole and wrong, as an app does that a member set up."""
    rosa, logins = "/intake/channels/openrosa", "/intake/v1/openrosa/logins"
    member = teller.stack.bearer(Role.COMMITTEE_MEMBER, subject=f"m-{uuid4().hex[:8]}")
    login = teller.must("POST", logins, headers=member)
    auth = httpx.DigestAuth(login["username"], login["password"])
    device = {"deviceID": NAME}
    for wrong in (httpx.DigestAuth(NAME, TOLD), httpx.BasicAuth(NAME, PERSON)):
        teller.fails("GET", f"{rosa}/formList", 401, auth=wrong, params=device)
    teller.fails("GET", f"{rosa}/forms/{NAME}.xml", 404, auth=auth)
    teller.fails("DELETE", f"{logins}/{NAME}", 404, 422, headers=member)
    said = f"<name>{TOLD}</name><contact_safe>yes</contact_safe>"
    said = f"<person>{said}<contact_number>{PERSON}</contact_number></person>"
    said += (
        f"<photo>{NAME}.jpg</photo><{NAME}>{TOLD}</{NAME}><narrative>{TOLD} {CALLED}</narrative>"
    )
    heads = ('id="pashe" version="1"', f'id="{NAME}" version="{NAME}"', "")
    for head, own in zip(heads, (f"uuid:{uuid4()}", f"{NAME}-{uuid4()}", NAME), strict=True):
        meta = f"<meta><instanceID>{own}</instanceID><deprecatedID>{NAME}</deprecatedID></meta>"
        for words in (said, f"{said}<more>{BANGLA}</more>", f"{said}<{NAME}"):
            xml = f"<data {head}>{words}{meta}</data>".encode()
            files = [("xml_submission_file", (NAME, xml)), (NAME, (f"{NAME}.jpg", picture()))]
            teller.say("POST", f"{rosa}/submission", files=files, auth=auth, params=device)
    teller.fails("POST", f"{rosa}/submission", 400, content=TOLD.encode(), auth=auth)


def capture(teller: Teller) -> None:
    """Take calls of a helpline: typed, ended, kept apart, and wrong."""
    path = "/intake/v1/helpline/calls"
    headers = teller.stack.bearer(Role.OPERATOR, "example-line")
    whole = {
        "number": f"+88 {TEXTER[:5]}-{TEXTER[5:]}",
        "caller": "distressed",
        "told": [TOLD],
        "came_from": {"helpline": "109", "reference": f"{NAME} {CALLED}"},
        "report": {k: v for k, v in report().items() if k != "channel"},
    }
    call = teller.must("POST", path, json=whole | {"open": True}, headers=headers)["call_id"]
    for version, ended in ((2, False), (3, True)):
        body = whole | {"open": not ended, "revision": version}
        teller.must("PUT", f"{path}/{call}", json=body, headers=headers)
    teller.fails("PUT", f"{path}/{call}", 409, json=whole, headers=headers)
    for kind in ("silent", "prank"):
        teller.must("POST", path, json={"kind": kind, "number": TEXTER}, headers=headers)
    for wrong in ({"kind": NAME}, {NAME: TOLD}, {"languages": [TOLD]}, {"report": {NAME: TOLD}}):
        teller.say("POST", path, json=whole | wrong, headers=headers)
    teller.fails("PUT", f"{path}/{NAME}", 404, 422, json=whole, headers=headers)


def files(teller: Teller) -> None:
    """Send files with rows that are taken and rows that are not; what they are told is searched."""
    headers = teller.stack.bearer(Role.PARTNER, "example-partner")
    row = f'"{TOLD}","{PERSON}",{NAME},{TOLD}'
    table = (
        f"prs_FirstName,prs_LastName,prs_Gender,{NAME}\n{row}\n{NAME}\n{NAME},{NAME},{BANGLA},\n"
    )
    case = {"id": NAME, "name": TOLD, "age": TOLD, "sex": NAME, NAME: {BANGLA: [PERSON]}}
    sent: tuple[tuple[str, Any], ...] = (
        ("htcds", {"content": table.encode()}),
        ("htcds", {"content": f"{NAME},{PERSON}\n".encode()}),
        ("htcds", {"content": f'prs_FirstName\n"{NAME}'.encode()}),
        ("primero", {"json": {"data": [case, NAME, {NAME: TOLD}]}}),
        ("primero", {"content": f'{{"data": [{NAME}'.encode()}),
    )
    for kind, content in sent:
        for query in ({"dry_run": "true"}, {}, {"encoding": NAME}):
            path = f"/intake/v1/imports/{kind}"
            answer = teller.say("POST", path, params=query, headers=headers, **content)
            if answer.is_success:
                teller.refused.append(answer)
    teller.fails("POST", f"/intake/v1/imports/{NAME}", 422, content=b"x", headers=headers)
    wanted = {"system": NAME, "value": TOLD}
    teller.say("POST", "/intake/v1/reports/find", json=wanted, headers=headers)
    teller.fails("POST", "/intake/v1/reports/find", 422, json={NAME: TOLD}, headers=headers)


async def partner(world: World) -> None:
    """Report by a topic of Kafka: sealed with planted words; in clear with the forger's alone."""
    granted = json.loads(world.stack.pashe("kafka", "grant", "partner", "example-canary"))
    (published,) = world.teller.must("GET", "/intake/v1/keys")["keys"]
    key, own = ECKey.import_key(published), world.stack.bearer(Role.PARTNER, "example-canary")
    ids = [str(uuid4()) for _ in range(3)]
    whole, last = report(channel="partner"), {"narrative": TOLD}
    wrong = {NAME: TOLD, "concerns": [BANGLA]}
    login = KafkaLogin(granted["bootstrap"], granted["username"], granted["password"])
    producer = AIOKafkaProducer(**login.client())
    await producer.start()
    try:
        await producer.send_and_wait(granted["topic"], FORGED.encode())
        told = {"specversion": "1.0", "source": "urn:example:canary", "type": TYPE}
        clear = json.dumps(told | {"id": FORGED, "data": {"narrative": FORGED}})
        await producer.send_and_wait(granted["topic"], clear.encode())
        for event_id, body in zip(ids, (wrong, whole, last), strict=True):
            data = seal(key, json.dumps(body).encode(), {"ce_id": event_id})
            event = told | {"id": event_id, "datacontenttype": "application/jose", "data": data}
            await producer.send_and_wait(granted["topic"], json.dumps(event).encode())
    finally:
        await producer.stop()

    def found() -> bool:
        wanted = {"system": "cloudevent", "value": ids[-1]}
        path = "/intake/v1/reports/find"
        return bool(world.teller.must("POST", path, json=wanted, headers=own)["items"])

    await eventually(found, 60, "the partner's last report")


async def providers(world: World) -> None:
    """Answer by a page, by FHIR and with an appointment, rightly and wrongly."""
    say, must, fails = world.teller.say, world.teller.must, world.teller.fails
    one = await world.refer()
    link = must("POST", f"/referral/v1/referrals/{one['referral_id']}/link", headers=world.desk())
    page = link["url"].removeprefix(world.stack.origin)
    shown = say("GET", page)
    assert shown.is_success
    world.teller.refused.append(shown)  # it names nobody
    for form in ({"answer": NAME}, {"answer": "decline", "reason": TOLD}, {NAME: TOLD}):
        fails("POST", page, 404, data=form)
    fails("POST", f"/referral/a/{NAME}", 404, data={"answer": TOLD})
    assert say("POST", page, data={"answer": "accept", "text": TOLD}).is_success
    meeting = f"/referral/v1/referrals/{one['referral_id']}/appointment"
    own = world.stack.bearer(Role.PROVIDER_SYSTEM, one["provider_id"])
    at = {"kind": "visit", "at": "2999-01-01T00:00:00Z"}
    must("POST", meeting, json=at, headers=own)
    for wrong in ({"kind": TOLD}, {"transport": TOLD}, {"at": NAME}, {NAME: TOLD}):
        fails("POST", meeting, 422, json=at | wrong, headers=own)

    two = await world.refer()
    own = world.stack.bearer(Role.PROVIDER_SYSTEM, two["provider_id"])
    path = f"{FHIR}/{two['referral_id']}"
    task = must("GET", path, headers=own)
    world.teller.must("GET", FHIR, headers=own)
    for bad in ({"status": NAME}, {"status": "rejected", "statusReason": NAME}, {"for": NAME}):
        say("PUT", path, json=task | bad, headers=own)
    fails("PUT", path, 412, json=task | {"status": "accepted"}, headers=own | {"if-match": 'W/"0"'})
    fails("PUT", f"{FHIR}/{NAME}", 404, 422, json=task, headers=own)
    fails("GET", FHIR, 422, params={"_lastUpdated": NAME}, headers=own)
    said = task | {"status": "rejected", "statusReason": {"text": TOLD}, "note": [{"text": TOLD}]}
    answered = say("PUT", path, json=said, headers=own)
    assert answered.is_success, answered.text
    world.teller.refused.append(answered)  # the words stay where they were said
