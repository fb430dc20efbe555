"""A session by USSD and a call, walked through to a receipt, as somebody's phone shows them."""

from __future__ import annotations

import html
import os
import re
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from rich.panel import Panel

from deploy.local.home import find_home
from deploy.local.services import trial_token
from shared.sms.proof import sign_twilio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.local.demo.play import Play

USSD: Final = "/intake/channels/ussd/africastalking"
VOICE: Final = "/intake/channels/voice/twilio"
WALK: Final = ("1", "2", "2", "2", "সাভার ঢাকা", "2", "বাড়ি যেতে দেয় না, বেতন দেয় না")
"""In Bangla, later, for somebody else, 12 to 17 years old, where, no call back, and what it is."""

CALL: Final = ("1", "2", "1", "3", "0", "1", "0")
"""In Bangla, later, for myself, 18 or more, no place said, call me back, no words."""

_RECEIPT: Final = re.compile(r"\d{4} \d{4} \d{4} \d{4}")
_SAID: Final = re.compile(r'<Say language="bn-IN">(.*?)</Say>', re.DOTALL)


async def dial_and_call(play: Play) -> list[str]:
    """Walk through both, ask each way what became of it; return what went wrong."""
    number = await _dial(play, WALK)
    faults = [] if number else ["a USSD session came to no receipt"]
    play.accepted_reports += bool(number)
    if number:
        await _dial(play, ("4", number))
    called = await _call(play, CALL)
    play.accepted_reports += bool(called)
    if called:
        await _dial(play, ("4", called))
    return faults if called else [*faults, "a call came to no receipt"]


async def _dial(play: Play, path: Sequence[str]) -> str | None:
    """Walk a USSD session and print its screens; return the receipt at its end."""
    session, said = f"demo-{uuid4().hex}", ""
    for step in range(len(path) + 1):
        form = {
            "sessionId": session,
            "serviceCode": "*123#",
            "phoneNumber": _phone(play),
            "networkCode": "99999",
            "text": "*".join(path[:step]),
        }
        answer = await play.reporter.form(USSD, form)
        answer.raise_for_status()
        said = answer.text
        if step:
            play.console.print(f"  [cyan]▸ {path[step - 1]}[/]")
        play.console.print(Panel(said.partition(" ")[2], width=44))
    found = _RECEIPT.search(said)
    return found[0].replace(" ", "") if found else None


async def _call(play: Play, path: Sequence[str]) -> str | None:
    """Walk a call and print what is heard and pressed; return the receipt that is said."""
    call_id, said = f"CA{uuid4().hex}", ""
    origin = str(play.http.base_url).rstrip("/")
    token = os.environ.get("TWILIO_AUTH_TOKEN") or trial_token(find_home().keys)
    for step in range(len(path) + 1):
        where = VOICE if step == 0 else f"{VOICE}?step={step - 1}"
        form = {"CallSid": call_id, "From": _phone(play), "To": "+15005550006"}
        if step:
            form["Digits"] = path[step - 1]
            play.console.print(f"  [cyan]▸ {path[step - 1]}[/]")
        signature = sign_twilio(token, f"{origin}{where}", list(form.items()))
        answer = await play.http.post(where, data=form, headers={"X-Twilio-Signature": signature})
        answer.raise_for_status()
        heard = [html.unescape(part) for part in _SAID.findall(answer.text)]
        said = " ".join(heard)
        play.console.print(f"  ☎ {said}")
    digits = "".join(str("০১২৩৪৫৬৭৮৯".index(c)) for c in said if c in "০১২৩৪৫৬৭৮৯")
    return digits[:16] if len(digits) == 2 * 16 else None


def _phone(play: Play) -> str:
    return f"+88017{int(play.name, 16) % 10**8:08d}"
