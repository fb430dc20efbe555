"""Items that a page sealed to the centre, so that the phone cannot read what waits on it.

A compact JWE to the key of `GET /intake/v1/keys`, with the item's id in its protected header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.bodies import parse_json
from shared.errors import InvalidBody, RecordInvalid

if TYPE_CHECKING:
    from services.intake.seals import Seals

SEALED: Final = "sealed"
LONGEST: Final = 400_000
"""Characters of a sealed item."""


def unsealed(value: object, seals: Seals) -> object:
    """Return an item as it was before its page sealed it; any other value as it is.

    Raises:
        InvalidBody: it is sealed, and `rule` says what is wrong: `not-sealed`, `wrong-key`,
            `seal-broken`, `wrong-id` (the seal is of another item) or `dict_type`.
        MalformedBody: what is sealed is no JSON.

    """
    if not isinstance(value, dict) or SEALED not in value:
        return value
    sealed = value[SEALED]
    if not isinstance(sealed, str) or len(sealed) > LONGEST or value.keys() != {"id", SEALED}:
        raise _wrong("not-sealed")
    try:
        header, plain = seals.open(sealed)
    except RecordInvalid as error:
        raise _wrong(error.reason) from None
    if header.get("item") != value["id"]:
        raise _wrong("wrong-id")
    body: Any = parse_json(plain)
    if not isinstance(body, dict):
        raise _wrong("dict_type")
    return {**body, "id": value["id"]}


def _wrong(rule: str) -> InvalidBody:
    return InvalidBody(rule, errors=[{"field": SEALED, "rule": rule}])
