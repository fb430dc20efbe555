"""Logs, metrics and traces; none of them ever holds personal data or an id of a case in a label.

Logs are `shared.logs`. Metrics are declared here, all of them, so that a name exists once. Traces
are OpenTelemetry, redacted as they leave; the outbox stores the W3C `traceparent`, so that one
trace runs from the channel to the audit entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared import errors, logs, tracing

if TYPE_CHECKING:
    from shared.settings import Settings

describe, where = errors.describe, errors.where
span, current_traceparent = tracing.span, tracing.current_traceparent
flush_spans = tracing.flush_spans
Log = logs.Log

REGISTRY: Final = CollectorRegistry()
"""The one registry of a process."""

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY)


HTTP_REQUESTS: Final = _counter(
    "pashe_http_requests", "HTTP requests answered", "method", "route", "status"
)
HTTP_SECONDS: Final = Histogram(
    "pashe_http_request_duration_seconds",
    "Time to answer an HTTP request",
    ("route",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
CHANNEL_FAILURES: Final = _counter(
    "pashe_channel_failures",
    "What a channel could not do for a reason of its own: start, a request, in time, for want of"
    " room; alert on any of the first two",
    "channel",
    "what",
)
SUBMISSIONS_STORED: Final = _counter(
    "pashe_submissions", "Submissions stored", "channel", "outcome"
)
CALLS: Final = _counter("pashe_helpline_calls", "Calls that helplines took, by kind", "kind")
REFERRAL_STATES: Final = _counter(
    "pashe_referral_transitions", "Referrals that reached a state", "state", "need"
)
NOTICES: Final = _counter("pashe_notices", "Notices by notifier and state", "notifier", "state")
OUTBOX_UNSENT: Final = _gauge("pashe_outbox_unsent_rows", "Events committed and not yet in Kafka")
OUTBOX_OLDEST: Final = _gauge(
    "pashe_outbox_oldest_unsent_seconds", "Age of the oldest event not yet in Kafka"
)
RELAY_SENT: Final = _counter("pashe_relay_events", "Events the relay sent", "topic")
RELAY_FAILURES: Final = _counter("pashe_relay_failures", "Batches that Kafka did not acknowledge")
RELAY_SHARDS: Final = _gauge("pashe_relay_shards", "Shards this process relays")
CONSUMED: Final = _counter(
    "pashe_consumer_records",
    "Records by what became of them: handled, skipped, duplicate, parked",
    "consumer",
    "outcome",
)
CONSUMER_LAG: Final = _gauge(
    "pashe_consumer_lag_records", "Records not yet handled", "consumer", "topic"
)
CONSUMER_HELD: Final = _gauge(
    "pashe_consumer_held", "1 while a consumer waits for the world to come back", "consumer"
)
COMMIT_FAILURES: Final = _counter(
    "pashe_consumer_commit_failures", "Offset commits that failed", "consumer"
)
PARKED_WAITING: Final = _gauge("pashe_parked_waiting", "Records that wait for a person")
UNKNOWN_VALUES: Final = _counter(
    "pashe_unknown_values", "Open vocabulary values that this version does not know", "field"
)
SMS_ANSWERS: Final = _counter(
    "pashe_sms_answers", "Answers of providers by SMS keyword, and what they did", "verb", "outcome"
)
KAFKA_UP: Final = _gauge("pashe_kafka_connected", "1 while the broker's clients are started")
TIMERS_FIRED: Final = _counter("pashe_timers_fired", "Timers that fired", "kind", "outcome")
AUDIT_SIZE: Final = _gauge("pashe_audit_entries", "Entries in the log")
AUDIT_FLAGS: Final = _counter(
    "pashe_audit_flags", "Entries that are unsigned, wrongly signed, unreadable or gaps", "flag"
)
REFERRALS_WAITING: Final = _gauge("pashe_referrals_waiting", "Referrals that nobody serves")
WITHDRAWALS_UNACKNOWLEDGED: Final = _gauge(
    "pashe_withdrawals_unacknowledged", "Withdrawals that their provider has not acknowledged"
)


def setup(settings: Settings) -> None:
    """Send logs to stderr as JSON, and spans to the collector if one is named. Once a process."""
    logs.setup_logs(settings.service, settings.log_level, tracing.current_trace_id)
    tracing.setup(settings)


SUBSCRIPTIONS: Final = _gauge(
    "pashe_webhook_subscriptions", "Webhook subscriptions; alert on any that are dead", "standing"
)
SUBSCRIPTIONS_ENDED: Final = _counter(
    "pashe_webhook_subscriptions_ended", "Subscriptions that ended by their receiver", "reason"
)
WEBHOOK_SECONDS: Final = Histogram(
    "pashe_webhook_duration_seconds",
    "Time of one attempt, by what came of it",
    ("answer",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
NOTICE_DELAY: Final = Histogram(
    "pashe_notice_delay_seconds",
    "Time from an event to its delivered notice",
    ("notifier",),
    buckets=(*_SECONDS, 300, 3600, 86400),
    registry=REGISTRY,
)
AUDIT_SEQUENCER: Final = _gauge("pashe_audit_sequencer", "1 while this process writes the log")
AUDIT_SIGNED: Final = _gauge("pashe_audit_signed_entries", "Entries under the last checkpoint")
AUDIT_FINDINGS: Final = _gauge(
    "pashe_audit_findings", "What the monitor finds wrong with the history now", "kind"
)
AUDIT_WALKED: Final = _gauge(
    "pashe_audit_walked_timestamp_seconds", "When the monitor last saw all of the history"
)
WITNESSED: Final = _gauge(
    "pashe_audit_witnessed_entries", "Entries under the last cosigned checkpoint", "witness"
)
WITNESS_REFUSES: Final = _gauge(
    "pashe_audit_witness_contradicts", "1 while a witness contradicts our log", "witness"
)
AUDIT_REFUSED: Final = _gauge(
    "pashe_audit_refused", "1 while the database contradicts the checkpoint kept outside of it"
)
REFERRALS_NOW: Final = _gauge(
    "pashe_referrals_now", "Referrals that are not at their end, by state", "state", "need"
)
REFERRALS_UNANSWERED: Final = _gauge(
    "pashe_referrals_unanswered",
    "Referrals whose provider owes an answer or a first contact since the time set for it",
    "owed",
    "urgency",
)
ESCALATIONS: Final = _counter(
    "pashe_referral_escalations", "Silences that somebody was told of", "silence", "level"
)
REPLIES: Final = _counter("pashe_channel_replies", "Replies of a channel, by state", "state")
TASKS_UNNAMED: Final = _counter(
    "pashe_desk_tasks_unnamed", "Tasks opened while nobody was on duty at their level", "level"
)
PAGES: Final = _counter(
    "pashe_duty_pages", "Pages at T0: paged, unanswered in time, nobody left to page", "outcome"
)
TASKS_OPEN: Final = _gauge("pashe_desk_tasks", "Tasks that are not done", "kind", "urgency")
T0_UNSEEN: Final = _gauge(
    "pashe_t0_unseen_seconds", "Age of the oldest open T0 case that no person has looked at"
)
BLIND_LOOKUPS: Final = _counter(
    "pashe_blind_lookups", "Look-ups of like cases by blind marks, by outcome", "outcome"
)
KEYS_REWRAPPED: Final = _counter(
    "pashe_keys_rewrapped", "Data keys of subjects that were wrapped under a newer key"
)
RETENTION_DUE: Final = _gauge(
    "pashe_retention_due",
    "What was kept long enough, by kind, and whether a hold keeps it",
    "kind",
    "state",
)
GUESSES: Final = _counter(
    "pashe_receipt_guesses", "Receipts that do not exist, and look-ups refused for them", "outcome"
)
ATTACHMENTS: Final = _counter(
    "pashe_attachments", "Files that came with reports, by kind, and how they were opened", "what"
)
ERASURES: Final = _counter("pashe_erasures", "Erasures carried out", "subject", "asked_by")
ERASURES_UNLISTED: Final = _gauge(
    "pashe_erasures_unlisted", "Erasures that are not in the list kept outside the database"
)
UNOPENED: Final = _gauge("pashe_submissions_unopened", "Submissions without a case, overdue")
EVENTS_DECIDED: Final = _counter(
    "pashe_events_decided", "Events appended to the outbox: the funnel", "stream", "type"
)
FEED_GAPS: Final = _gauge(
    "pashe_feed_gaps", "Providers' feeds that wait for a missing entry for more than 5 s; alert"
)
FEED_GAP_SECONDS: Final = _gauge("pashe_feed_gap_oldest_seconds", "Age of the oldest such gap")
FEED_GAPS_PASSED: Final = _counter(
    "pashe_feed_gaps_passed", "Gaps passed over: what is missing is parked, or too late", "why"
)
FEED_LATE: Final = _counter("pashe_feed_late_entries", "Entries that came after they were passed")
SMS_SECONDS: Final = Histogram(
    "pashe_sms_duration_seconds",
    "Time of one exchange with the SMS gateway, by what came of it",
    ("outcome",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
SMS_OLDEST_DUE: Final = _gauge(
    "pashe_sms_oldest_due_seconds",
    "How long the oldest notice to a person is due and not sent",
    "notifier",
)
SMS_BRAKED: Final = _gauge(
    "pashe_sms_gateway_braked",
    "1 while nothing is sent because the gateway does not answer",
    "notifier",
)
