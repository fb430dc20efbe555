"""Mobile numbers of Bangladesh in E.164; `shared.text.parse_phone` reads what people write."""

from __future__ import annotations

import re
from typing import Final

from shared.text import PhoneInvalid, parse_phone

_MOBILE: Final = re.compile(r"\+8801[3-9]\d{8}")


def parse_mobile(text: str) -> str:
    """Return `+8801[3-9]XXXXXXXX`, however it was written (`01…`, `8801…`, `0088…`, ০–৯).

    A prefix tells no operator (numbers are ported), and 011 is dead.

    Raises:
        PhoneInvalid: it is no mobile number of Bangladesh; nothing is echoed.

    """
    number = parse_phone(text)
    if not _MOBILE.fullmatch(number):
        raise PhoneInvalid
    return number


def without_plus(number: str) -> str:
    """Return an E.164 number as gateways' `msisdn` wants it: without the plus."""
    return number.removeprefix("+")
