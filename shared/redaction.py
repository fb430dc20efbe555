"""What leaves in a span: names, counts and times; the last look before a collector gets it.

Our spans hold nothing else. A library that is switched on later, or a record with a strange type,
must not change that: what is not known to be harmless is taken out here (SAFETY 25).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link
from opentelemetry.trace.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REDACTED: Final = "redacted"
"""The name of a span whose own name could say something."""

ATTRIBUTES: Final = frozenset({"danger", "index", "records"})
"""Attributes that may leave; their values are whole numbers or truth values."""

_NAME: Final = re.compile(
    r"[a-z][a-z_.-]{0,60}(?: (?:[a-z][a-z_.-]{0,60}|[A-Z]{3,7})){0,2}",
)
_ERROR: Final = re.compile(r"[A-Za-z_]{1,60}(?:\([0-9A-Z]{5}\))?")


def redact(span: ReadableSpan) -> ReadableSpan:
    """Return a span without events, texts, and attributes that are not known to be harmless."""
    why = span.status.description
    return ReadableSpan(
        name=span.name if _NAME.fullmatch(span.name) else REDACTED,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_harmless(span.attributes),
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code, why if why and _ERROR.fullmatch(why) else None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _harmless(attributes: Mapping[str, object] | None) -> dict[str, int]:
    return {
        name: value
        for name, value in (attributes or {}).items()
        if name in ATTRIBUTES and isinstance(value, int)
    }


class Redacting(SpanExporter):
    """An exporter that hands spans on after `redact`."""

    def __init__(self, inner: SpanExporter) -> None:
        """Take who sends them."""
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, redacted."""
        return self._inner.export([redact(span) for span in spans])

    def shutdown(self) -> None:
        """End the sender."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Let the sender send what it holds."""
        return self._inner.force_flush(timeout_millis)
