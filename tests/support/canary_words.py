"""Everything that can be said to a stack, said with planted words: each channel, field and error.

The words: `NAME` in every text, `BANGLA` in every other one, the numbers in many spellings, the
coordinates. `FORGED` stands only in records that somebody with write access puts into Kafka.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import httpx

from services.intake.channels.web import REPORTERS
from shared.sms.proof import sign_twilio
from shared.vocabulary import Role

if TYPE_CHECKING:
    from tests.support.stack import Stack

NAME, BANGLA, FORGED = "Qvxjrina", "ক্বাজিরিনা", "Qvxjforged"
NUMBER_BEGINS: Final = "0179904173"
"""How all planted numbers begin: nine digits and a zero that a country code takes away."""
PERSON, REPORTER, TEXTER, TWILIO, CALLED, ON_DUTY, WORKER = (
    f"{NUMBER_BEGINS}{n}" for n in range(1, 8)
)
NUMBERS: Final = (PERSON, REPORTER, TEXTER, TWILIO, CALLED, ON_DUTY, WORKER)
PLACE: Final = ("23.7104417", "90.3504417")
TOLD: Final = f"{NAME} {BANGLA}"
DIGITS: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
KERANIGANJ: Final = "BD30260038"


def report(channel: str = "web", **more: Any) -> dict[str, Any]:
    """Return a report with planted words in every field that takes any."""
    contact = {
        "allowed": True,
        "channel": "sms",
        "number": PERSON.translate(DIGITS),
        "hours": ["00:00-24:00", "12:00-11:00"],
        **dict.fromkeys(("ask_for", "say_we_are", "safe_word"), TOLD),
    }
    return {
        "channel": channel,
        "about": "people",
        "reporter": {
            "kind": "neighbour",
            "name": TOLD,
            "phone": f"+88 {REPORTER[:5]}-{REPORTER[5:]}",
            "safe_contact": contact | {"number": f"88{REPORTER}"},
        },
        "persons": [
            {
                "ref": NAME,
                "name": TOLD,
                "phone": f"+880 {PERSON[1:5]} {PERSON[5:8]} {PERSON[8:]}",
                "age": {"min": 16, "max": 16, "basis": "stated"},
                "sex": "male",
                "support": [TOLD],
                "relation_to_reporter": TOLD,
                "with": [{"ref": "Qvxjrina-2", "as": TOLD}],
                "safe_contact": contact,
            },
            {
                "ref": "Qvxjrina-2",
                "role": "accompanying",
                "name": BANGLA,
                "phone": f"00880{CALLED[1:]}",
            },
        ],
        "alleged": [{"relation": TOLD, "name": TOLD}],
        "exclude": {"providers": [TOLD, CALLED]},
        "places": [
            {"role": "now", "pcode": KERANIGANJ, "site": TOLD, "text": f"{TOLD} {', '.join(PLACE)}"}
        ],
        "happened": {"precision": TOLD},
        "concerns": ["child_labour"],
        "needs": ["education"],
        "told_before": [{"who": TOLD, "reference": f"{NAME} {CALLED}"}],
        "missing": {NAME: {BANGLA: [TOLD, CALLED]}, "lat": float(PLACE[0]), "lon": float(PLACE[1])},
        "narrative": f"{TOLD}, {PERSON.translate(DIGITS)} {'/'.join(PLACE)}",
        "consent": [
            {
                "person": NAME,
                "given_by": "person",
                "giver_relation": TOLD,
                "how": "written",
                "witness": TOLD,
                "recorded_by": TOLD,
                "explained": True,
                "allows": ["refer", "share_identity", "contact"],
                "purposes": ["education"],
                "fields": ["name", "phone", TOLD],
                "basis": "consent",
            }
        ],
        "external_refs": [{"system": "nrm", "value": f"{NAME} {CALLED}"}],
    } | more


@dataclass(slots=True)
class Teller:
    """Says things to a stack and keeps every answer that is an error."""

    stack: Stack
    http: httpx.Client
    refused: list[httpx.Response] = field(default_factory=list)
    taken: int = 0

    def say(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.http.request(method, path, **more)
        if answer.is_error:
            self.refused.append(answer)
        else:
            self.taken += 1
        return answer

    def must(self, method: str, path: str, **more: Any) -> Any:
        answer = self.say(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def fails(self, method: str, path: str, *statuses: int, **more: Any) -> None:
        answer = self.say(method, path, **more)
        assert answer.status_code in statuses, (path, answer.status_code, answer.text)

    # --- The channels ------------------------------------------------------------------------

    def channels(self) -> None:
        """Report by every channel that there is, in every role that may."""
        self.must("POST", "/intake/v1/reports", json=report())
        key = {"idempotency-key": f"{NAME}-{PERSON}-{uuid4()}"}
        for _ in range(2):
            self.must("POST", "/intake/v1/reports", json=report(language="bn"), headers=key)
        self.fails("POST", "/intake/v1/reports", 409, json=report(language="en"), headers=key)
        for role in sorted(REPORTERS):
            headers = self.stack.bearer(role, "example-partner")
            self.must("POST", "/intake/v1/reports", json=report(), headers=headers)
        text = f"{TOLD} kaj kore, {CALLED} {' '.join(PLACE)}"
        fields = {"text": text, "id": f"{TEXTER}-{uuid4()}", "date": f"{NAME}"}
        self.must("GET", "/intake/channels/sms/external", params={"from": TEXTER, **fields})
        written = {"from": f"88{TEXTER}", "text": text}
        self.must("POST", "/intake/channels/sms/external", data=written)
        for number in (TEXTER.translate(DIGITS), f"{TEXTER[:5]} {TEXTER[5:]}", NAME):
            self.must("POST", "/intake/channels/sms/external", data=written | {"from": number})
        self.must("POST", "/intake/channels/sms/external", data={"from": TEXTER, "text": "নম্বর"})
        self.twilio(text)
        one = {"from": f"88{TEXTER}", "text": text, "messageId": f"{TEXTER}-{uuid4()}"}
        self.must("POST", "/intake/channels/sms/infobip/invented", json={"results": [one, one]})
        form = {"event": "incoming_message", "id": NAME, "content": text, "from_number": TEXTER}
        self.must("POST", "/intake/channels/sms/telerivet", data=form | {"secret": "invented"})
        for path in (f"infobip/{NAME}{TEXTER}", "telerivet"):
            self.fails("POST", f"/intake/channels/sms/{path}", 403, data=form | {"secret": NAME})
        self.committee()

    def committee(self) -> None:
        """Send a batch with a report, additions to it and items that are refused."""
        own, headers = str(uuid4()), self.stack.bearer(Role.COMMITTEE_MEMBER)
        added = {"id": str(uuid4()), "adds_to": own, "base_version": 1}
        whole = report()
        items = [
            {"id": own, "report": whole},
            added | {"text": f"{TOLD} {CALLED}", "danger_now": True, "places": whole["places"]},
            added | {"text": TOLD},
            {"id": NAME, "report": whole},
            {"id": str(uuid4()), "report": {NAME: TOLD, "concerns": [BANGLA]}},
            TOLD,
        ]
        path = "/intake/v1/committee/batches"
        told = self.must("POST", path, json={"items": items}, headers=headers)["items"]
        assert [one["result"] for one in told] == ["stored"] * 2 + ["refused"] * 4
        self.must("GET", "/intake/v1/committee/reports", headers=headers)
        self.fails("POST", path, 422, json={"items": TOLD, NAME: TOLD}, headers=headers)

    def twilio(self, text: str) -> None:
        path = "/intake/channels/sms/twilio"
        pairs = [("MessageSid", f"SM{uuid4().hex}"), ("From", f"+88{TWILIO}"), ("Body", text)]
        pairs += [("FromCity", TOLD), ("To", f"+88{CALLED}")]
        signed = sign_twilio("a test token", f"{self.stack.origin}{path}", pairs)
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": signed,
        }
        content = urlencode(pairs).encode()
        assert self.say("POST", path, content=content, headers=headers).is_success
        headers["x-twilio-signature"] = f"{NAME}{TWILIO}"
        self.fails("POST", path, 403, content=content, headers=headers)

    def receipts(self) -> None:
        """Ask, add and answer with a receipt, a right one and many that are none."""
        receipt = self.must("POST", "/intake/v1/reports", json=report())["receipt"]
        base = "/intake/v1/receipts"
        text = f"{TOLD} {CALLED}"
        self.must("POST", f"{base}/messages", json={"receipt": receipt, "text": text})
        said = {"receipt": receipt, "helped": "harmed", "about": "staff", "text": text}
        self.must("POST", f"{base}/feedback", json=said)
        self.must("POST", f"{base}/status", json={"receipt": receipt})
        for wrong in (NAME, PERSON, f"{PERSON}12345", TOLD):
            for place in ("status", "messages", "feedback"):
                body = {"receipt": wrong, "text": TOLD, "helped": NAME}
                self.fails("POST", f"{base}/{place}", 422, json=body)
        self.fails(
            "POST", f"{base}/status", 422, json={"words": [NAME, BANGLA, "a", "b", "c", "d"]}
        )
        self.fails("POST", f"{base}/status", 422, json={"receipt": receipt, NAME: PERSON})

    # --- Errors ------------------------------------------------------------------------------

    def mistakes(self) -> None:
        """Send what is refused: bodies, paths, queries and headers with planted words."""
        path = "/intake/v1/reports"
        whole = json.dumps(report(), ensure_ascii=False).encode()
        for content in (whole[:-1], TOLD.encode(), b'"' + NAME.encode() + b'"', whole + whole):
            self.fails("POST", path, 400, 422, content=content)
        self.fails("POST", path, 400, content=whole.decode().encode("utf-16"))
        self.fails("POST", path, 400, json=report(narrative=f"{TOLD}\0"))
        for wrong in (
            {NAME: TOLD},
            {"persons": TOLD},
            {"persons": [{"age": {"min": TOLD}}]},
            {"persons": [{"ref": TOLD}]},
            {"persons": [{"sex": NAME, NAME: 1}]},
            {"concerns": [NAME], "needs": [BANGLA]},
            {"channel": NAME},
            {"places": [{"pcode": NAME, "country": NAME}]},
            {"device_time": PERSON, "language": BANGLA},
            {"narrative": TOLD * 5000},
            {"consent": [{"expires_at": NAME, "given_by": NAME}]},
            {"external_refs": [{"system": TOLD, "value": NAME}]},
        ):
            self.fails("POST", path, 422, json=report() | wrong)
        self.fails("POST", path, 413, json=report(narrative=TOLD * 60_000))
        key = {b"idempotency-key": TOLD.encode()}
        self.fails("POST", path, 422, json=report(), headers=key)
        self.fails("POST", path, 422, json=report(), headers={"idempotency-key": NAME})
        for token in (f"Bearer {NAME}", f"Bearer {NAME}.{NAME}.{NAME}", f"Basic {NAME}"):
            self.fails("POST", path, 401, json=report(), headers={"authorization": token})
        self.addresses()

    def addresses(self) -> None:
        """Put planted words into paths, queries and headers."""
        desk = self.stack.bearer(Role.COORDINATOR)
        for service in ("intake", "referral", "notification", "audit"):
            for tail in (f"v1/{NAME}", f"v1/cases/{PERSON}", f"v1/{BANGLA}?name={BANGLA}", NAME):
                self.fails("GET", f"/{service}/{tail}", 404, 405, 422, headers=desk)
        self.fails("GET", f"/{NAME}/{BANGLA}", 404)
        self.fails("DELETE", f"/intake/v1/reports?{NAME}={PERSON}", 405)
        self.fails("POST", f"/intake/channels/sms/{NAME}", 404, data={"from": PERSON})
        for place, query in (
            ("/intake/v1/cases", {"after": TOLD, "limit": NAME}),
            ("/intake/v1/submissions", {"channel": NAME, "after": PERSON}),
            ("/intake/v1/tasks", {"state": NAME, "case_id": NAME, "after": TOLD}),
            ("/referral/v1/referrals", {"case_id": NAME, "state": BANGLA, "after": TOLD}),
            ("/notification/v1/notices", {"case_id": NAME, "state": NAME}),
            ("/audit/v1/entries", {"after": NAME, "limit": PERSON}),
            ("/audit/v1/proofs/inclusion", {"index": NAME, "size": PERSON}),
            (f"/referral/v1/referrals/{NAME}", {}),
            (f"/audit/v1/entries/{NAME}", {}),
            (f"/audit/log/tile/{NAME}", {}),
        ):
            self.fails("GET", place, 400, 404, 422, params=query, headers=desk)
        odd = {
            "user-agent": NAME,
            "referer": f"http://{NAME}.example/{PERSON}",
            "cookie": f"name={NAME}",
            "x-name": NAME,
            "traceparent": f"00-{NAME}-{PERSON}-01",
            "tracestate": f"name={NAME}",
            "baggage": f"name={NAME},phone={PERSON}",
            "x-forwarded-for": PERSON,
            "if-match": f'"{NAME}"',
            "last-event-id": NAME,
        }
        self.must("POST", f"/intake/v1/reports?{NAME}={PERSON}", json=report(), headers=odd)
        with contextlib.suppress(httpx.TransportError):
            self.say("GET", "/intake/v1/cases", headers=desk | {"x-long": NAME * 20_000})
        with contextlib.suppress(httpx.TransportError):
            self.say(NAME.upper(), "/intake/v1/cases")
