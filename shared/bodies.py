"""Bodies of requests: read within a limit, parsed strictly, checked without an echo (SAFETY 25)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from shared.errors import InvalidBody, MalformedBody, TooLarge
from shared.text import is_clean, parse_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request

MAX_BODY: Final = 1_000_000
"""Bytes of a request body."""

MAX_DEPTH: Final = 32
"""Nesting of a JSON body."""

M = TypeVar("M", bound=BaseModel)


class Model(BaseModel):
    """Base of request bodies: unknown fields are an error, and errors hide their input."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True
    )


def many(most: int) -> Any:  # noqa: ANN401  (a field of any list)
    """Return the field of a list of at most so many, empty when left out.

    A default that is no factory is copied for each body, which takes as long as checking it.
    """
    return Field(default_factory=list, max_length=most, json_schema_extra={"default": []})


def fields_of(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Name where and which rule, without the value; map keys of the caller are not echoed."""
    return [
        {
            "field": "/".join(
                str(part) if isinstance(part, int) or str(part).isidentifier() else "?"
                for part in error["loc"]
            )
            if error["type"] != "extra_forbidden"
            else "/".join(str(part) for part in error["loc"][:-1]) or "body",
            "rule": str(error["type"]),
        }
        for error in errors
    ][:20]


def told_length(request: Request) -> int:
    """Return how many bytes a request says that its body has; 0 when it says nothing readable."""
    told = request.headers.get("content-length", "0")
    if not told.isascii() or not told.isdigit():
        return 0
    return most if (most := parse_whole(told, sys.maxsize)) is not None else sys.maxsize


async def read_bytes(request: Request, limit: int = MAX_BODY) -> bytes:
    """Read a body of at most `limit` bytes; a larger one is refused before it is read whole.

    Raises:
        TooLarge: it is larger.

    """
    if told_length(request) > limit:
        raise TooLarge
    parts = bytearray()
    receive = request.receive
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        if len(parts) + len(part) > limit:
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(parts) + part if parts else part
        parts += part


def parse_json(raw: bytes) -> Any:  # noqa: ANN401  (any JSON value)
    """Parse JSON strictly: UTF-8, no NUL, no lone surrogate, at most `MAX_DEPTH` levels.

    Raises:
        MalformedBody: it is none of these.

    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        raise MalformedBody from None
    # Only an escape can make a NUL or a lone surrogate of valid UTF-8; depth needs brackets.
    if rb"\u" in raw or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check(value, MAX_DEPTH)
    return value


def _check(value: Any, levels: int) -> None:  # noqa: ANN401
    if isinstance(value, str):
        if not is_clean(value):
            message = "a text holds a NUL or a lone surrogate"
            raise MalformedBody(message)
    elif isinstance(value, dict | list):
        if levels == 0:
            message = f"nested more than {MAX_DEPTH} levels"
            raise MalformedBody(message)
        for item in value if isinstance(value, list) else [*value, *value.values()]:
            _check(item, levels - 1)


def validate(model: type[M], value: Any) -> M:  # noqa: ANN401
    """Check a parsed body against its model.

    Raises:
        InvalidBody: `errors` names each field and the rule it breaks.

    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidBody(None, errors=fields_of(errors)) from None


async def read_body(request: Request, model: type[M]) -> M:
    """Read, parse and check a JSON body; an empty body counts as `{}`.

    Raises:
        TooLarge, MalformedBody, InvalidBody: see `read_bytes`, `parse_json`, `validate`.

    """
    raw = await read_bytes(request)
    return validate(model, parse_json(raw) if raw.strip() else {})
