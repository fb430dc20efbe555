"""Traces: one from the channel to the audit entry, by the W3C `traceparent` that the outbox stores.

Whether a trace is sampled is decided once, where it begins. One that is not costs no span at all:
only its `traceparent` goes along, so that nobody downstream begins another. Two things are kept all
the same: a span that ends with an error, alone, and a trace from the moment on when it turns out to
be about danger now (`keep`).

What is done for many events at once (a relay's send, a consumer's batch) has a span of its own,
linked to the trace of each event that is sampled (`batch_span`).
"""

from __future__ import annotations

import random
import re
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import Link, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from shared.errors import describe
from shared.redaction import Redacting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from shared.settings import Settings

SpanKind: TypeAlias = trace.SpanKind

_propagator: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer("pashe")
DANGER: Final = "danger"
"""The attribute of a span that knows of danger now; the collector keeps its trace."""

MOST_LINKS: Final = 128
"""Links of one span, as OpenTelemetry bounds them; a batch holds more events at times."""

_ratio = 1.0
"""Of all traces that begin here, how many are sampled."""

_passing: Final[ContextVar[str | None]] = ContextVar("pashe_passing", default=None)
"""The `traceparent` of the trace we are in, if it has no span of ours: one that is not sampled, or
that is sampled from a moment on (`keep`)."""

_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-[0-9a-f]([0-9a-f])(?:-.*)?"
)


def setup(settings: Settings) -> None:
    """Send spans, redacted, to the collector if one is named. Once a process."""
    global _ratio  # noqa: PLW0603  (once a process)
    _ratio = settings.trace_ratio if settings.otlp_endpoint else 0.0  # nobody to send them to
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"pashe-{settings.service}"}),
        sampler=ParentBased(ALWAYS_ON),  # a span is only begun in a trace that is sampled
        shutdown_on_exit=False,
    )
    if settings.otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,  # loads all of protobuf, for who has a collector
        )

        sender = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=2)
        processor = BatchSpanProcessor(Redacting(sender), schedule_delay_millis=500)
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)


def flush_spans(timeout_ms: int = 1000) -> None:
    """Send what spans are left, for at most `timeout_ms`; called at the end of a process.

    The library's own flush waits for a collector that hangs as long as there are batches.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        flush = threading.Thread(target=provider.force_flush, args=(timeout_ms,), daemon=True)
        flush.start()
        flush.join(timeout_ms / 1000)


def keep() -> None:
    """Sample the present trace from now on, whatever was decided.

    What went before is gone, but for the span of the block we are in.
    """
    _passing.set(sampled(_passing.get()))
    get_current_span().set_attribute(DANGER, True)  # noqa: FBT003  (its value)


@contextmanager
def batch_span(
    name: str, kind: SpanKind, traceparents: Iterable[str | None], records: int
) -> Iterator[None]:
    """Run a block that works on many events in a span linked to the traces of the sampled ones.

    It stands below the trace if they are all of one, else it begins a trace of its own. With no
    sampled event there is none, unless the block fails. It is not the present span inside the
    block: what an event leads to stays in the trace of that event.
    """
    told = [found for one in traceparents if one and (found := _PARENT.fullmatch(one))]
    chosen = [found for found in told if int(found[2], 16) & 1]
    if chosen:
        made = _begin_batch(name, kind, chosen, records, None)
        try:
            yield
        except BaseException as error:
            made.set_status(Status(StatusCode.ERROR, describe(error)))
            raise
        finally:
            made.end()
        return
    since = time.time_ns()
    try:
        yield
    except Exception as error:
        made = _begin_batch(name, kind, told, records, since)
        made.set_status(Status(StatusCode.ERROR, describe(error)))
        made.end()
        raise


def _begin_batch(
    name: str, kind: SpanKind, told: list[re.Match[str]], records: int, since: int | None
) -> Span:
    contexts = [
        get_current_span(_propagator.extract({"traceparent": found[0]})).get_span_context()
        for found in told[:MOST_LINKS]
    ]
    above: Context = otel_context.Context()
    if told and len({found[1][:32] for found in told}) == 1:
        above = _propagator.extract({"traceparent": str(sampled(told[0][0]))}, above)
    return _tracer.start_span(
        name,
        above,
        kind=kind,
        attributes={"records": records},
        links=[Link(found) for found in contexts],
        start_time=since,
    )


def sampled(traceparent: str | None) -> str | None:
    """Return the `traceparent` of the same trace, sampled."""
    return f"{traceparent[:-2]}01" if traceparent else traceparent


def current_traceparent() -> str | None:
    """Return the W3C `traceparent` of the present trace, or None outside of one."""
    if (passing := _passing.get()) is not None:
        return passing
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def current_trace_id() -> str | None:
    """Return the 32 hexadecimal digits of the present trace, or None outside of one."""
    found = current_traceparent()
    return None if found is None else found[3:35]


class span:  # noqa: N801  (used as a statement)
    """Run a block in a span, below `traceparent` if given, else below the present span.

    Attributes are names and counts, never about a person.
    """

    __slots__ = ("_attributes", "_failed", "_name", "_parent", "_since", "_span", "_tokens")

    def __init__(self, name: str, traceparent: str | None = None, **attributes: str | int) -> None:
        """Name the span, its parent if it is not the present span, and its attributes."""
        self._name = name
        self._parent = traceparent
        self._attributes = attributes
        self._span: Span | None = None
        self._since = 0
        self._failed: BaseException | None = None
        self._tokens: tuple[Token[str | None], Token[Context] | None]

    def __enter__(self) -> Self:
        """Begin it, unless its trace is not sampled."""
        parent = _PARENT.fullmatch(self._parent) if self._parent else None
        if (unsampled := _unsampled_of(parent)) is not None:
            self._since = time.time_ns()
            self._tokens = _passing.set(unsampled), None
            return self
        above = None
        if (told := parent[0] if parent else _passing.get()) is not None:
            above = _propagator.extract({"traceparent": told})
        self._span = _tracer.start_span(self._name, above, attributes=self._attributes)
        within = trace.set_span_in_context(self._span, above)
        self._tokens = _passing.set(None), otel_context.attach(within)
        return self

    def fail(self, error: BaseException) -> None:
        """Mark the span as failed by an error that does not leave the block."""
        self._failed = error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """End it; of an error only its type is kept."""
        before, attached = self._tokens
        error = error or self._failed
        if attached is not None:
            otel_context.detach(attached)
        elif error is not None or str(_passing.get()).endswith("1"):
            self._span = self._late()
        _passing.reset(before)
        if self._span is not None:
            if error is not None:
                self._span.set_status(Status(StatusCode.ERROR, describe(error)))
            self._span.end()

    def _late(self) -> Span:
        """Make the span of a block that had none, below whatever its trace has."""
        passing = _passing.get() or ""
        above = _propagator.extract({"traceparent": sampled(passing) or ""})
        known: dict[str, str | int] = {DANGER: True} if passing.endswith("1") else {}
        return _tracer.start_span(
            self._name, above, attributes=self._attributes | known, start_time=self._since
        )


def _unsampled_of(parent: re.Match[str] | None) -> str | None:
    """Return the `traceparent` of a trace that is not sampled, or None for one that is.

    Without a parent and a present span a trace begins, and it is decided here.
    """
    if parent is not None:
        return None if int(parent[2], 16) & 1 else f"00-{parent[1]}-00"
    present = _passing.get()
    if present is not None:
        return None if present.endswith("1") else present
    if trace.get_current_span().get_span_context().is_valid:
        return None
    if random.random() < _ratio:
        return None
    ids = f"{random.getrandbits(192) or 1:048x}"  # no secret
    return f"00-{ids[:32]}-{ids[32:]}-00"
