"""Traces: what is not sampled goes along and costs no span; what is, is one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import tracing
from shared.redaction import ATTRIBUTES
from shared.tracing import SpanKind, batch_span, current_trace_id, current_traceparent, span
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
SAMPLED = UNSAMPLED[:-1] + "1"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def test_a_trace_that_is_not_sampled_goes_along_without_a_span(spans: InMemorySpanExporter) -> None:
    with span("outer", UNSAMPLED):
        with span("inner"):
            assert current_traceparent() == UNSAMPLED
        assert current_trace_id() == UNSAMPLED[3:35]
    assert current_traceparent() is None
    assert not spans.get_finished_spans()


def test_what_begins_here_is_decided_once(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_ratio", 0.0)
    with span("outer"):
        first = current_traceparent()
        with span("inner"):
            assert current_traceparent() == first
    assert first is not None
    assert first.endswith("-00")
    with span("another"):
        assert current_traceparent() != first
    assert not spans.get_finished_spans()


def test_a_sampled_trace_has_its_spans_below_one_another(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_ratio", 0.0)
    with span("outer", SAMPLED, count=1), span("inner"):
        told = current_traceparent()
    inner, outer = spans.get_finished_spans()
    assert outer.parent is not None
    assert f"{outer.parent.span_id:016x}" == SAMPLED[36:52]
    assert inner.parent is not None
    assert inner.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert told == f"{SAMPLED[:36]}{inner.context.span_id:016x}-01"
    assert dict(outer.attributes or {}) == {"count": 1}


def test_each_of_two_traces_is_its_own_inside_the_other(spans: InMemorySpanExporter) -> None:
    with span("batch"):
        with span("handled", UNSAMPLED):
            assert current_traceparent() == UNSAMPLED
            with span("of another", SAMPLED):
                assert str(current_traceparent()).startswith(SAMPLED[:36])
            assert current_traceparent() == UNSAMPLED
        assert current_trace_id() not in (None, UNSAMPLED[3:35])
    assert [done.name for done in spans.get_finished_spans()] == ["of another", "batch"]


def test_an_error_is_named_without_what_it_says(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ZeroDivisionError), span("failing"):
        raise ZeroDivisionError("Example Person")
    (failed,) = spans.get_finished_spans()
    assert failed.status.description == "ZeroDivisionError"
    assert not failed.events


@pytest.mark.parametrize(
    "parent", ["", "x", "00-0-0-01", SAMPLED.replace("0af", "0AF"), "ff" + SAMPLED[2:]]
)
def test_a_parent_that_is_none_is_as_if_there_were_none(
    parent: str, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_ratio", 0.0)
    with span("outer", parent):
        assert str(current_traceparent()).endswith("-00")
    assert not spans.get_finished_spans()


def test_an_error_is_kept_from_a_trace_that_is_not_sampled(spans: InMemorySpanExporter) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        span("outer", UNSAMPLED),
        span("well"),
        span("failing"),
    ):
        raise ZeroDivisionError("Example Person")
    assert {done.name for done in spans.get_finished_spans()} == {"outer", "well", "failing"}
    for failed in spans.get_finished_spans():
        assert failed.context is not None
        assert f"{failed.context.trace_id:032x}" == UNSAMPLED[3:35]
        assert failed.status.description == "ZeroDivisionError"
        assert failed.start_time is not None
        assert failed.end_time is not None
        assert failed.start_time < failed.end_time


def test_an_error_that_was_answered_is_kept_too(spans: InMemorySpanExporter) -> None:
    with span("outer", UNSAMPLED) as outer:
        outer.fail(ConnectionError("Example Person"))
    (failed,) = spans.get_finished_spans()
    assert failed.status.description == "ConnectionError"


def test_a_trace_that_turns_out_to_be_about_danger_is_kept_from_then_on(
    spans: InMemorySpanExporter,
) -> None:
    with span("outer", UNSAMPLED):
        with span("before"):
            pass
        tracing.keep()
        assert current_traceparent() == SAMPLED
        with span("after"):
            assert str(current_traceparent()).startswith(SAMPLED[:36])
            assert str(current_traceparent()).endswith("-01")
    assert current_traceparent() is None
    assert [done.name for done in spans.get_finished_spans()] == ["after", "outer"]
    for kept in spans.get_finished_spans():
        assert kept.context is not None
        assert f"{kept.context.trace_id:032x}" == SAMPLED[3:35]


def test_a_trace_that_is_sampled_is_kept_as_it_is(spans: InMemorySpanExporter) -> None:
    with span("outer", SAMPLED):
        before = current_traceparent()
        tracing.keep()
        assert current_traceparent() == before
    assert [done.name for done in spans.get_finished_spans()] == ["outer"]


def ids(made: ReadableSpan) -> tuple[str, set[str]]:
    """Return a span's trace, and the traces it is linked to."""
    assert made.context is not None
    linked = {f"{link.context.trace_id:032x}" for link in made.links}
    return f"{made.context.trace_id:032x}", linked


OTHER = f"00-{'ab' * 16}-{'cd' * 8}-01"


def test_a_batch_of_one_trace_stands_in_it(spans: InMemorySpanExporter) -> None:
    with batch_span("batch", SpanKind.CONSUMER, [SAMPLED, None, SAMPLED], 3):
        assert current_traceparent() is None
    (made,) = spans.get_finished_spans()
    assert ids(made) == (SAMPLED[3:35], {SAMPLED[3:35]})
    assert made.parent is not None
    assert f"{made.parent.span_id:016x}" == SAMPLED[36:52]
    assert made.kind is SpanKind.CONSUMER
    assert dict(made.attributes or {}) == {"records": 3}


def test_a_batch_of_many_traces_has_its_own_and_is_linked_to_those_that_are_sampled(
    spans: InMemorySpanExporter,
) -> None:
    unsampled = f"00-{'ef' * 16}-{'cd' * 8}-00"
    with span("outer", SAMPLED):
        with batch_span("batch", SpanKind.PRODUCER, [SAMPLED, OTHER, unsampled, "x"], 4):
            pass
        assert str(current_traceparent()).startswith(SAMPLED[:36])
    batch, _ = spans.get_finished_spans()
    own, linked = ids(batch)
    assert batch.parent is None
    assert own not in linked
    assert linked == {SAMPLED[3:35], OTHER[3:35]}


def test_a_batch_with_nothing_sampled_costs_no_span_unless_it_fails(
    spans: InMemorySpanExporter,
) -> None:
    with batch_span("batch", SpanKind.CONSUMER, [UNSAMPLED, None], 2):
        pass
    assert not spans.get_finished_spans()
    with (
        pytest.raises(ZeroDivisionError),
        batch_span("batch", SpanKind.CONSUMER, [UNSAMPLED, OTHER[:-1] + "0"], 2),
    ):
        raise ZeroDivisionError("Example Person")
    (failed,) = spans.get_finished_spans()
    assert failed.status.description == "ZeroDivisionError"
    assert ids(failed)[1] == {UNSAMPLED[3:35], OTHER[3:35]}
    assert not failed.events


def test_a_batch_has_no_more_links_than_a_span_may_have(spans: InMemorySpanExporter) -> None:
    many = [f"00-{number:032x}-{'cd' * 8}-01" for number in range(1, 301)]
    with batch_span("batch", SpanKind.PRODUCER, many, 300):
        pass
    (made,) = spans.get_finished_spans()
    assert len(made.links) == tracing.MOST_LINKS


def test_what_is_known_to_be_danger_says_so_to_the_collector(spans: InMemorySpanExporter) -> None:
    for parent in (SAMPLED, UNSAMPLED):
        with span("outer", parent):
            tracing.keep()
    assert [dict(done.attributes or {}) for done in spans.get_finished_spans()] == [
        {"danger": True},
        {"danger": True},
    ]
    told = yaml.safe_load((ROOT / "deploy/otel/collector.yaml").read_text("utf-8"))
    policies = told["processors"]["tail_sampling"]["policies"]
    (asked,) = (one["boolean_attribute"] for one in policies if one["name"] == "danger")
    assert asked == {"key": tracing.DANGER, "value": True}
    assert tracing.DANGER in ATTRIBUTES
