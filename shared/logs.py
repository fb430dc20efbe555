"""Logs as JSON lines: an event's name and fields; what may hold a person's data never comes in.

Our own loggers say a stable word and fields. What a library says may quote what it was working on
(an address, a body, the text of an error), so of its messages only the words that stand in its own
source are kept, with the place in its source; of an error only its type and where it was raised.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shared.clock import now, rfc3339
from shared.errors import describe, where

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_PLACE: Final = re.compile(r"%(?:\(\w+\))?[#0\- +]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]")
_DOUBTFUL: Final = re.compile(r"[^A-Za-z.,… -]")
_LONGEST: Final = 200
"""Characters of a library's message that are kept."""

_UNSAID: Final = "message"
_KNOWN: Final = frozenset(
    {
        "Application shutdown complete.",
        "Application startup complete.",
        "Exception in ASGI application",
        "Invalid HTTP request received.",
        "Shutting down",
        "Task exception was never retrieved",
        "Future exception was never retrieved",
        "Waiting for application shutdown.",
        "Waiting for application startup.",
        "a service broke off in mid-answer",
    }
)
"""Messages of libraries that hold nothing, and say something to whoever runs a stack."""

_QUIET: Final = (
    "aiohttp",
    "aiokafka",
    "kafka.client",
    "faststream",
    "asyncio",
    "httpx",
    "httpcore",
)


def words_of(record: logging.LogRecord) -> str:
    """Return what a library's message says without what it was filled with.

    A message with arguments is a template, of which the places are left open; it is cut at the
    first sign that is not of a plain sentence. One without may have been filled already: only
    known ones are kept.
    """
    if not isinstance(record.msg, str):
        return type(record.msg).__name__
    template = record.msg.partition("\n")[0]
    if not record.args:
        return template if template in _KNOWN else _UNSAID
    kept = _DOUBTFUL.split(_PLACE.sub("…", template), maxsplit=1)[0]
    return kept.strip()[:_LONGEST] or _UNSAID


class JsonFormatter(logging.Formatter):
    """One JSON object a line: our own loggers' events and fields, of the rest `words_of`."""

    def __init__(self, service: str, trace_id: Callable[[], str | None]) -> None:
        """Take the name of the process, and who knows the present trace."""
        super().__init__()
        self._service = service
        self._trace_id = trace_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; whatever cannot be encoded is named by its type."""
        line: dict[str, Any] = {
            "time": rfc3339(now()),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
        }
        if record.name.startswith("pashe."):
            line["event"] = str(record.msg)
            line.update(getattr(record, "fields", {}))
        else:
            line["event"] = words_of(record)
            line["at"] = f"{record.filename}:{record.lineno}"
        if (trace_id := self._trace_id()) is not None:
            line["trace_id"] = trace_id
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
            line["where"] = where(record.exc_info[1])
        return msgspec.json.encode(line, enc_hook=lambda value: type(value).__name__).decode()


class _OncePer(logging.Filter):
    """Lets the same library message through once in `seconds`: a dead broker writes hundreds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("pashe"):
            return True
        mark = f"{record.name}:{record.lineno}"
        if record.created - self._seen.get(mark, 0.0) < self._seconds:
            return False
        self._seen[mark] = record.created
        return True


class Log:
    """A logger that takes an event name and fields, never free text about a person."""

    def __init__(self, name: str) -> None:
        """Name the part of the program that speaks."""
        self._logger = logging.getLogger(f"pashe.{name}")

    def info(self, event: str, **fields: object) -> None:
        """Say what happened."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """Say what somebody should look at in working hours."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, error: BaseException | None = None, **fields: object) -> None:
        """Say what needs somebody now; of the error only its type and place are written."""
        if error is not None:
            fields |= {"error": describe(error), "where": where(error)}
        self._logger.error(event, extra={"fields": fields})


def setup_logs(process: str, level: str, trace_id: Callable[[], str | None] = lambda: None) -> None:
    """Send what loggers say to stderr as JSON lines; logging's own troubles are not told of."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process, trace_id))
    handler.addFilter(_OncePer(10.0))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.raiseExceptions = False
    for noisy in _QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True


def guard_process() -> None:
    """Log what Python itself would write with its text, for the rest of the process.

    That is warnings, and errors that nobody caught: at the end, in a thread, in a finaliser.
    """
    logging.captureWarnings(capture=True)
    said = Log("process")

    def ended(
        kind: type[BaseException], error: BaseException, _: TracebackType | None = None
    ) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            said.error("ended-by-error", error)

    def in_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            said.error("thread-ended-by-error", told.exc_value)

    def in_nowhere(told: sys.UnraisableHookArgs) -> None:
        if told.exc_value is not None:
            said.error("error-in-nowhere", told.exc_value)

    sys.excepthook = ended
    threading.excepthook = in_thread
    sys.unraisablehook = in_nowhere
