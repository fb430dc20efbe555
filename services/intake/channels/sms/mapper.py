"""The mapper: gateways that are described by a file, such as the aggregators of Bangladesh.

`external` is always there: RapidPro's External, with the names that `gateways.toml` gives it.
`SMS_GATEWAYS` names a file of the same form with more of them, or with another `external`.
"""

from __future__ import annotations

import base64
import binascii
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec

from services.intake.channels.proving import Addresses, check_secret
from services.intake.channels.sms.gateways import (
    Gateway,
    json_of,
    said_received,
)
from services.intake.channels.sms.inbound import (
    Inbound,
    Part,
    decode,
    first_of,
    make_inbound,
    pairs_of,
)
from shared.errors import InvalidBody, SettingsError
from shared.text import ascii_digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.intake.channels.sms.gateways import Told

SHIPPED: Final = Path(__file__).with_name("gateways.toml")
_MOST_PARTS: Final = 255


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A gateway as the file describes it; `gateways.toml` says what each word means."""

    sender: list[str]
    text: list[str]
    time: list[str] = []
    id: list[str] = []
    reference: list[str] = []
    part: list[str] = []
    parts: list[str] = []
    dates: list[str] = []
    zone: str = "UTC"
    form: str = "form"
    items: str = ""
    letters: str = "plain"
    secret_from: str = ""
    secret_in: str = "path"
    addresses: list[str] = []


@dataclass(frozen=True, slots=True)
class Mapper:
    """One described gateway; `secret` is empty when only its addresses prove it, or nothing."""

    written: _Written
    secret: str = ""
    addresses: Addresses = field(default_factory=Addresses)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def read(self, told: Told) -> list[Inbound]:
        """Prove the sender and read the texts.

        Raises:
            Forbidden: wrong secret or address. MalformedBody: no JSON where that is the form.
            InvalidBody: neither sender nor text is there.

        """
        self.addresses.check(told.address)
        kind, _, name = self.written.secret_in.partition(":")
        if self.secret and kind == "path":
            check_secret(self.secret, told.secret)
        if self.secret and kind == "header":
            check_secret(self.secret, told.headers.get(name.lower(), ""))
        found = list(self._items(told))
        if self.secret and kind == "field":
            for fields in found or [{}]:
                check_secret(self.secret, fields.get(name.lower(), ""))
        texts = [self._text(fields) for fields in found]
        read = [one for one in texts if one is not None]
        if found and not read:
            raise InvalidBody("neither a sender nor a text was sent")
        return read

    def _items(self, told: Told) -> Iterator[dict[str, str]]:
        """Yield the fields of each text, with names in small letters; later fields win."""
        try:
            fields = {name.lower(): value for name, value in pairs_of(told.query)}
            if self.written.form != "json":
                yield fields | {n.lower(): v for n, v in pairs_of(told.body)}
                return
        except ValueError:
            raise InvalidBody("there are too many fields") from None
        if not told.body.strip():
            yield fields
            return
        body: Any = json_of(told.body)
        if self.written.items and isinstance(body, dict):
            body = body.get(self.written.items)
        many = body if isinstance(body, list) else [body]
        if not all(isinstance(one, dict) for one in many):
            raise InvalidBody("the JSON holds no message")
        for one in many:
            plain = (str, int, float)
            yield fields | {n.lower(): str(v) for n, v in one.items() if isinstance(v, plain)}

    def _text(self, fields: Mapping[str, str]) -> Inbound | None:
        written = self.written

        def one(names: list[str]) -> str:
            return first_of(fields, tuple(name.lower() for name in names))

        sender = one(written.sender)
        if not sender and not any(name.lower() in fields for name in written.text):
            return None
        return make_inbound(
            sender,
            _letters(one(written.text), written.letters),
            one(written.id),
            one(written.time),
            zone=self.zone,
            formats=tuple(written.dates),
            part=_part(one(written.reference), one(written.part), one(written.parts)),
        )


def _part(reference: str, number: str, of: str) -> Part | None:
    """Return which part it is, when the gateway told all three and there are several."""
    number, of = ascii_digits(number), ascii_digits(of)
    if not (reference and number.isdecimal() and of.isdecimal()):
        return None
    part = Part(reference, int(number[:4]), int(of[:4]))
    return part if 1 <= part.number <= part.of <= _MOST_PARTS and part.of > 1 else None


def _letters(text: str, how: str) -> str:
    """Return the letters of a text that comes as `ucs2-hex` or `base64`; as it is if it does not.

    Nothing is lost when a gateway does not do what its description says.
    """
    try:
        if how == "ucs2-hex":
            return bytes.fromhex(text).decode("utf-16-be")
        if how == "base64":
            return decode(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        pass
    return text


def load_mappers(env: Mapping[str, str]) -> dict[str, Gateway]:
    """Return the described gateways by name: those of the file shipped, and of `SMS_GATEWAYS`.

    Raises:
        SettingsError: the file is wrong, or a secret that it names is not set.

    """
    found = _read(SHIPPED, env)
    if path := env.get("SMS_GATEWAYS"):
        found |= _read(Path(path), env)
    return {name: Gateway(mapper.read, said_received, gets=True) for name, mapper in found.items()}


def _read(path: Path, env: Mapping[str, str]) -> dict[str, Mapper]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        written = msgspec.convert(tables, dict[str, _Written])
        return {name: _mapper(one, env) for name, one in written.items()}
    except OSError:
        raise SettingsError("SMS_GATEWAYS is not a file") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError, KeyError) as error:
        message = f"SMS_GATEWAYS: {error}"
        raise SettingsError(message) from None


def _mapper(written: _Written, env: Mapping[str, str]) -> Mapper:
    if written.secret_in.partition(":")[0] not in ("path", "header", "field"):
        raise ValueError("secret_in is neither path, header:NAME nor field:NAME")
    if written.form not in ("form", "json"):
        raise ValueError("form is neither form nor json")
    if written.letters not in ("plain", "base64", "ucs2-hex"):
        raise ValueError("letters is neither plain, base64 nor ucs2-hex")
    made = Mapper(
        written,
        addresses=Addresses.of(written.addresses),
        zone=ZoneInfo(written.zone),
    )
    if not written.secret_from:
        return made
    if not (secret := env.get(written.secret_from, "")):
        message = f"{written.secret_from} is not set, and a gateway is proved by it"
        raise SettingsError(message)
    return replace(made, secret=secret)
