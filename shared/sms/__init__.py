"""SMS out: numbers, segments, and gateways behind one protocol. Plumbing; no rule of any service.

`make_gateway(load_sms_settings())` gives the gateway that is configured, or None; `send` says what
became of a message and never raises. What may be sent to whom is decided by who calls.
"""

from __future__ import annotations

from shared.sms.gateway import (
    UNREACHED,
    Asks,
    Fate,
    Gateway,
    Outcome,
    Question,
    Refused,
    Sent,
    Unknown,
)
from shared.sms.making import SmsSettings, load_sms_settings, make_gateway
from shared.sms.numbers import parse_mobile, without_plus
from shared.sms.segments import Encoding, Segments, count_segments

__all__ = [
    "UNREACHED",
    "Asks",
    "Encoding",
    "Fate",
    "Gateway",
    "Outcome",
    "Question",
    "Refused",
    "Segments",
    "Sent",
    "SmsSettings",
    "Unknown",
    "count_segments",
    "load_sms_settings",
    "make_gateway",
    "parse_mobile",
    "without_plus",
]
