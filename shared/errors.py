"""Errors named for what went wrong; an HTTP edge turns each into one problem document.

`Problem` subclasses are the caller's fault and carry no input. RFC 9457 gives the form.
"""

from __future__ import annotations

from typing import ClassVar


class Problem(Exception):  # noqa: N818  (RFC 9457's own word)
    """Something the caller can act on. `slug` is the stable end of the problem's type URI."""

    slug: ClassVar[str] = "invalid"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request cannot be taken"

    def __init__(self, detail: str | None = None, **members: object) -> None:
        """Keep a detail that never echoes input, and extension members of the problem."""
        super().__init__(detail or self.title)
        self.detail = detail
        self.members = members


class MalformedBody(Problem):
    """The body is not JSON in UTF-8, or is nested too deeply."""

    slug, status, title = "malformed-body", 400, "The body is not valid JSON"


class InvalidBody(Problem):
    """The body is JSON, but a field is of the wrong type or value; `errors` names the fields."""

    slug, status, title = "invalid-body", 422, "A field of the body is not valid"


class TooLarge(Problem):
    """The body is larger than the limit."""

    slug, status, title = "too-large", 413, "The body is too large"


class Unauthenticated(Problem):
    """No token, or one that does not verify."""

    slug, status, title = "unauthenticated", 401, "Sign in, or send a valid bearer token"


class StepUpNeeded(Problem):
    """The second factor is too old for this; members say what is needed and where to give it."""

    slug, status, title = "step-up-needed", 401, "Sign in again with your second factor first"


class Forbidden(Problem):
    """The caller may not do this."""

    slug, status, title = "forbidden", 403, "The caller may not do this"


class NotFound(Problem):
    """There is no such thing, or the caller may not know of it."""

    slug, status, title = "not-found", 404, "Nothing is here for this caller"


class Conflict(Problem):
    """The state does not allow this; members say what it is."""

    slug, status, title = "conflict", 409, "The state does not allow this"


class IdempotencyConflict(Problem):
    """The same Idempotency-Key came with another body."""

    slug, status, title = "idempotency-conflict", 409, "This Idempotency-Key had another body"


class Stale(Problem):
    """The version named by If-Match is not the present one."""

    slug, status, title = "stale", 412, "The thing has changed since it was read"


class Unavailable(Problem):
    """The service cannot take this now; try again after `retry_after` seconds."""

    slug, status, title = "unavailable", 503, "Try again shortly"
    retry_after: ClassVar[int] = 2


class RecordInvalid(Exception):  # noqa: N818  (a state of the record, not of the program)
    """A record that can never be handled: park it at once. `reason` is a short stable word."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Keep the stable reason and a detail without personal data."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class SettingsError(Exception):
    """A missing or wrong variable; the message is the one line an operator needs."""


def describe(error: BaseException) -> str:
    """Name an error without its message, which may hold a person's data: type and SQLSTATE."""
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return f"{type(error).__name__}({state})" if state else type(error).__name__


def where(error: BaseException) -> str:
    """Return file and line of the innermost frame, which hold no data."""
    tb = error.__traceback__
    if tb is None:
        return ""
    while tb.tb_next is not None:
        tb = tb.tb_next
    return f"{tb.tb_frame.f_code.co_filename.rsplit('/', 3)[-1]}:{tb.tb_lineno}"
