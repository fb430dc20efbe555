"""Logs, metrics and traces; none of them ever holds personal data or an id in a label.

Logs are `shared.logs`. Metrics are declared here, all of them, so that a name exists once; what a
declaration means is said in `shared.metrics`, who may see which figure in `docs/operations.md`.
Traces are OpenTelemetry, redacted as they leave; the outbox stores the W3C `traceparent`, so that
one trace runs from the channel to the audit entry.

Figures of people have at most one of need, urgency and division beside a state: all three together
would single out a child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared import errors, logs, metrics, tracing
from shared.metrics import EVERY, LONG, REGISTRY, SECONDS, counter, gauge, histogram, info, reading
from shared.vocabulary import Channel, Need, Reason, ReferralState, Urgency

if TYPE_CHECKING:
    from shared.settings import Settings

__all__ = ["REGISTRY"]

describe, where = errors.describe, errors.where
span, current_traceparent = tracing.span, tracing.current_traceparent
batch_span, SpanKind = tracing.batch_span, tracing.SpanKind
keep_trace, sampled = tracing.keep, tracing.sampled
flush_spans = tracing.flush_spans
Log = logs.Log

# --- Values of labels -------------------------------------------------------------------------

UNKNOWN: Final = "unknown"
_CHANNELS: Final = tuple(Channel)
_NEEDS: Final = tuple(Need)
_URGENCIES: Final = tuple(Urgency)
_STATES: Final = tuple(ReferralState)
DIVISIONS: Final = {
    "BD10": "barishal",
    "BD20": "chattogram",
    "BD30": "dhaka",
    "BD40": "khulna",
    "BD45": "mymensingh",
    "BD50": "rajshahi",
    "BD55": "rangpur",
    "BD60": "sylhet",
}
"""Divisions by the first four signs of every P-code in them."""

_LEVELS: Final = (
    *("coordinator", "supervisor", "district_focal_person", "safeguarding_focal_person"),
)
NOTIFIERS: Final = (
    *("webhook", "kafka"),
    *("sms", "page", "provider", "digest", "whatsapp", "voice", "push", "email"),
)
"""Every notifier, as `services.notification.notifiers` has them."""

_PEOPLE: Final = NOTIFIERS[2:]
_CONSUMERS: Final = "the groups that a service wires, and no other"
_TOPICS: Final = "the streams, and one name for all topics of partners, one for all of providers"
_ROUTES: Final = "the routes of a service as templates, `none` for any other path"

# --- What a timer reads -----------------------------------------------------------------------

KERNEL: Final = reading("kernel")
"""Outbox and parked records, from the own database."""
LAG: Final = reading("lag")
"""Ends of the topics, from Kafka."""
DESK: Final = reading("desk")
"""What waits for a person, from intake's database."""
WORKLOAD: Final = reading("workload")
"""Who has how many cases, every few minutes, from intake's database."""
FUNNEL: Final = reading("funnel")
"""Referrals that are not at their end, from referral's database."""
NOTIFYING: Final = reading("notifying")
"""Subscriptions and due notices, from notification's database."""
LISTED: Final = reading("erasures")
"""Erasures that are not in the list yet."""
KEPT: Final = reading("retention")
"""What was kept long enough; once a day."""
SIGNING: Final = reading("history")
"""Log and checkpoint, by the process that writes the log."""
WALKING: Final = reading("monitor")
"""What the monitor of the history finds."""

# --- Every process ----------------------------------------------------------------------------

BUILD: Final = info(EVERY, "pashe_build", "Version of the program, service and Python")
LOOP_LAG: Final = histogram(
    EVERY,
    "pashe_loop_lag_seconds",
    "How late the event loop turned; two looks a second",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
POOL: Final = gauge(
    EVERY,
    "pashe_database_pool_connections",
    "Connections to the database: `used` now, and `size`, the most there may be",
    pool=("flow", "web"),
    state=("used", "size"),
)
HTTP_REQUESTS: Final = counter(
    EVERY,
    "pashe_http_requests",
    "HTTP requests answered",
    method="methods of HTTP",
    route=_ROUTES,
    status="statuses of HTTP",
)
HTTP_SECONDS: Final = histogram(
    EVERY,
    "pashe_http_request_duration_seconds",
    "Time to answer an HTTP request",
    SECONDS,
    route=_ROUTES,
)
KAFKA_UP: Final = gauge(EVERY, "pashe_kafka_connected", "1 while the broker answers this process")
OUTBOX_UNSENT: Final = gauge(
    EVERY, "pashe_outbox_unsent_rows", "Events committed and not yet in Kafka", read=KERNEL
)
OUTBOX_OLDEST: Final = gauge(
    EVERY,
    "pashe_outbox_oldest_unsent_seconds",
    "Age of the oldest event not yet in Kafka",
    read=KERNEL,
)
EVENTS_DECIDED: Final = counter(
    EVERY,
    "pashe_events_decided",
    "Events appended to the outbox",
    stream=_TOPICS,
    type="the types of events",
)
RELAY_SENT: Final = counter(EVERY, "pashe_relay_events", "Events the relay sent", topic=_TOPICS)
RELAY_DELAY: Final = histogram(
    EVERY,
    "pashe_relay_delay_seconds",
    "Time from an event's commit to Kafka's acknowledgement; the oldest of each batch",
    SECONDS,
)
RELAY_FAILURES: Final = counter(
    EVERY, "pashe_relay_failures", "Batches that Kafka did not acknowledge"
)
RELAY_SHARDS: Final = gauge(EVERY, "pashe_relay_shards", "Shards this process relays")
CONSUMED: Final = counter(
    EVERY,
    "pashe_consumer_records",
    "Records by what became of them; a duplicate was absorbed by the inbox",
    consumer=_CONSUMERS,
    outcome=("handled", "skipped", "duplicate", "parked"),
)
CONSUMER_LAG: Final = gauge(
    EVERY,
    "pashe_consumer_lag_records",
    "Records not yet handled",
    read=LAG,
    consumer=_CONSUMERS,
    topic=_TOPICS,
    partition="the partitions of a stream, from 0",
)
CONSUMER_HELD: Final = gauge(
    EVERY,
    "pashe_consumer_held",
    "1 while a consumer waits for the world to come back",
    consumer=_CONSUMERS,
)
COMMIT_FAILURES: Final = counter(
    EVERY,
    "pashe_consumer_commit_failures",
    "Offset commits that failed",
    consumer=_CONSUMERS,
)
PARKED_WAITING: Final = gauge(
    EVERY, "pashe_parked_waiting", "Records that wait for a person", read=KERNEL
)
PARKED_OLDEST: Final = gauge(
    EVERY, "pashe_parked_oldest_seconds", "Age of the oldest of them", read=KERNEL
)
TIMERS_FIRED: Final = counter(
    EVERY,
    "pashe_timers_fired",
    "Timers that fired",
    kind="the kinds of timers that a service wires",
    outcome=("fired", "failed"),
)
UNKNOWN_VALUES: Final = counter(
    EVERY,
    "pashe_unknown_values",
    "Open vocabulary values that this version does not know",
    field=("need", "answer"),
)

# --- intake: channels -------------------------------------------------------------------------

SUBMISSIONS_STORED: Final = counter(
    "intake",
    "pashe_submissions",
    "Submissions stored, repeated, or added to an own report",
    channel=_CHANNELS,
    outcome=("stored", "repeated", "addition"),
)
REJECTIONS: Final = counter(
    "intake",
    "pashe_submission_rejections",
    "What a channel was sent and did not take, by why",
    channel=_CHANNELS,
    why=("invalid", "not_allowed", "conflict", "too_many", "unavailable", "other"),
)
CHANNEL_FAILURES: Final = counter(
    "intake",
    "pashe_channel_failures",
    "What a channel could not do for a reason of its own: start, a request, in time, for want of"
    " room",
    channel=_CHANNELS,
    what=("start", "request", "time", "room"),
)
CALLS: Final = counter(
    "intake",
    "pashe_helpline_calls",
    "Calls that helplines took, by kind",
    kind=("report", "silent", "prank", "test", "hang_up", "wrong_number"),
)
REPLIES: Final = counter(
    "intake",
    "pashe_channel_replies",
    "Replies of a channel, by state",
    state="the states of a reply",
)
AWARENESS_MESSAGES: Final = counter(
    "intake",
    "pashe_awareness_messages",
    "Notices of awareness to those who asked, by what became of each",
    state=("sent", "failed", "unknown"),
)
ATTACHMENTS: Final = counter(
    "intake",
    "pashe_attachments",
    "Files that came with reports, by kind, and how they were opened",
    what="the kinds of files, and of copies",
)
GUESSES: Final = counter(
    "intake",
    "pashe_receipt_guesses",
    "Receipts that do not exist, and look-ups refused for them",
    outcome=("wrong", "refused"),
)
TIME_TO_CASE: Final = histogram(
    "intake",
    "pashe_time_to_case_seconds",
    "Time from a submission's receipt to its case; for what came by machine",
    SECONDS,
    channel=_CHANNELS,
)
UNOPENED: Final = gauge(
    "intake", "pashe_submissions_unopened", "Submissions without a case, overdue", read=DESK
)

# --- intake: people ---------------------------------------------------------------------------

STAGE_SECONDS: Final = histogram(
    "intake",
    "pashe_report_stage_seconds",
    "Time from a report to the first look of a person, and to each step of its referrals",
    LONG,
    stage=("first_human", "assigned", "accepted", "first_contact", "delivered"),
    urgency=_URGENCIES,
)
REPORTS_DUE: Final = counter(
    "intake",
    "pashe_reports_due",
    "Reports whose time to be before a person or assigned is over, and whether they were by then",
    urgency=_URGENCIES,
    outcome=("in_time", "late"),
)
T0_UNSEEN: Final = gauge(
    "intake",
    "pashe_t0_unseen_seconds",
    "Age of the oldest open T0 case that no person has looked at",
    read=DESK,
)
T0_UNCLAIMED: Final = gauge(
    "intake", "pashe_t0_unclaimed", "T0 cases with a task that nobody has claimed", read=DESK
)
TASKS_OPEN: Final = gauge(
    "intake",
    "pashe_desk_tasks",
    "Tasks that are not done",
    read=DESK,
    kind="the kinds of tasks",
    urgency=f"{', '.join(_URGENCIES)}, none",
)
TASKS_UNNAMED: Final = counter(
    "intake",
    "pashe_desk_tasks_unnamed",
    "Tasks opened while nobody was on duty at their level",
    level=_LEVELS,
)
DUTY: Final = gauge(
    "intake", "pashe_duty_persons", "Persons on duty now, by level", read=DESK, level=_LEVELS
)
PAGES: Final = counter(
    "intake",
    "pashe_duty_pages",
    "Pages at T0: paged, unanswered in time, nobody left to page",
    outcome=("paged", "unanswered", "nobody"),
)
REOPENED: Final = counter(
    "intake",
    "pashe_cases_reopened",
    "Closed cases that were opened again, by how soon after their closing",
    after=("within_90_days", "later"),
)
CASELOAD: Final = gauge(
    "intake",
    "pashe_workers_over_caseload",
    "Workers with more open cases than the rules warn at",
    read=WORKLOAD,
)
BLIND_LOOKUPS: Final = counter(
    "intake",
    "pashe_blind_lookups",
    "Look-ups of like cases by blind marks, by outcome",
    outcome=("done", "refused"),
)
KEYS_REWRAPPED: Final = counter(
    "intake", "pashe_keys_rewrapped", "Data keys of subjects that were wrapped under a newer key"
)
RETENTION_DUE: Final = gauge(
    "intake",
    "pashe_retention_due",
    "What was kept long enough, by kind, and whether a hold keeps it",
    read=KEPT,
    kind=("closed", "noise", "test"),
    state=("due", "held"),
)
ERASURES: Final = counter(
    "intake",
    "pashe_erasures",
    "Erasures carried out",
    subject="`case`, or the kind of one subject",
    asked_by="who may ask for one",
)
ERASURES_UNLISTED: Final = gauge(
    "intake",
    "pashe_erasures_unlisted",
    "Erasures that are not in the list kept outside the database",
    read=LISTED,
)

# --- referral ---------------------------------------------------------------------------------

REFERRAL_STATES: Final = counter(
    "referral",
    "pashe_referral_transitions",
    "Referrals that reached a state, by need",
    state=_STATES,
    need=_NEEDS,
)
REFERRALS_BY_URGENCY: Final = counter(
    "referral",
    "pashe_referral_urgency_transitions",
    "Referrals that reached a state, by urgency",
    state=_STATES,
    urgency=_URGENCIES,
)
REFERRALS_BY_DIVISION: Final = counter(
    "referral",
    "pashe_referral_division_transitions",
    "Referrals that reached a state, by division of the case",
    state=_STATES,
    division=(*DIVISIONS.values(), UNKNOWN),
)
DECLINED: Final = counter(
    "referral",
    "pashe_referral_declines",
    "Referrals that a provider declined, by reason",
    reason=tuple(Reason),
)
REFERRALS_NOW: Final = gauge(
    "referral",
    "pashe_referrals_now",
    "Referrals that are not at their end, by state",
    read=FUNNEL,
    state="the states that are no end",
    need=_NEEDS,
)
REFERRALS_UNANSWERED: Final = gauge(
    "referral",
    "pashe_referrals_unanswered",
    "Referrals whose provider owes an answer or a first contact since the time set for it",
    read=FUNNEL,
    owed=("respond", "first_contact"),
    urgency=_URGENCIES,
)
REFERRALS_WAITING: Final = gauge(
    "referral", "pashe_referrals_waiting", "Referrals that nobody serves", read=FUNNEL
)
WITHDRAWALS_UNACKNOWLEDGED: Final = gauge(
    "referral",
    "pashe_withdrawals_unacknowledged",
    "Withdrawals that their provider has not acknowledged",
    read=FUNNEL,
)
ESCALATIONS: Final = counter(
    "referral",
    "pashe_referral_escalations",
    "Silences that somebody was told of",
    silence="the silences that a rule knows",
    level="the levels of the desk",
)
SMS_ANSWERS: Final = counter(
    "referral",
    "pashe_sms_answers",
    "Answers of providers by SMS keyword, and what they did",
    verb="the verbs that an SMS may say",
    outcome=("done", "nothing"),
)

# --- notification -----------------------------------------------------------------------------

NOTICES: Final = counter(
    "notification",
    "pashe_notices",
    "Notices by notifier and state",
    notifier=NOTIFIERS,
    state=(*("waiting", "in_flight", "sent", "delivered", "failed", "unknown", "withheld"),),
)
NOTICE_DELAY: Final = histogram(
    "notification",
    "pashe_notice_delay_seconds",
    "Time from an event to its delivered notice",
    (*SECONDS, 300, 3600, 86_400),
    notifier=NOTIFIERS,
)
NOTICES_OLDEST: Final = gauge(
    "notification",
    "pashe_notices_oldest_due_seconds",
    "How long the oldest delivery to a provider's webhook is due and not tried",
    read=NOTIFYING,
)
SUBSCRIPTIONS: Final = gauge(
    "notification",
    "pashe_webhook_subscriptions",
    "Webhook subscriptions",
    read=NOTIFYING,
    standing=("active", "dead", "disabled"),
)
SUBSCRIPTIONS_ENDED: Final = counter(
    "notification",
    "pashe_webhook_subscriptions_ended",
    "Subscriptions that ended by their receiver",
    reason="why a subscription ends",
)
WEBHOOK_SECONDS: Final = histogram(
    "notification",
    "pashe_webhook_duration_seconds",
    "Time of one attempt, by what came of it",
    SECONDS,
    answer="what may come of an attempt",
)
FEED_GAPS: Final = gauge(
    "notification",
    "pashe_feed_gaps",
    "Providers' feeds that wait for a missing entry for more than 5 s",
)
FEED_GAP_SECONDS: Final = gauge(
    "notification", "pashe_feed_gap_oldest_seconds", "Age of the oldest such gap"
)
FEED_GAPS_PASSED: Final = counter(
    "notification",
    "pashe_feed_gaps_passed",
    "Gaps passed over: what is missing is parked, or too late",
    why=("parked", "time"),
)
FEED_LATE: Final = counter(
    "notification", "pashe_feed_late_entries", "Entries that came after they were passed"
)
SMS_SECONDS: Final = histogram(
    "notification",
    "pashe_sms_duration_seconds",
    "Time of one exchange with a gateway, by what came of it",
    SECONDS,
    outcome="what may come of an exchange",
)
SMS_OLDEST_DUE: Final = gauge(
    "notification",
    "pashe_sms_oldest_due_seconds",
    "How long the oldest notice to a person is due and not sent",
    notifier=_PEOPLE,
)
SMS_BRAKED: Final = gauge(
    "notification",
    "pashe_sms_gateway_braked",
    "1 while nothing is sent because the gateway does not answer",
    notifier=_PEOPLE,
)

# --- audit ------------------------------------------------------------------------------------

AUDIT_SIZE: Final = gauge("audit", "pashe_audit_entries", "Entries in the log", read=SIGNING)
AUDIT_SIGNED: Final = gauge(
    "audit", "pashe_audit_signed_entries", "Entries under the last checkpoint", read=SIGNING
)
AUDIT_COVERED: Final = gauge(
    "audit",
    "pashe_audit_covered_timestamp_seconds",
    "When a signed checkpoint last covered the whole log",
    read=SIGNING,
)
AUDIT_DELAY: Final = histogram(
    "audit",
    "pashe_audit_delay_seconds",
    "Time from an event to its entry in the log; the oldest of each batch",
    (*SECONDS, 300, 3600, 86_400),
)
AUDIT_SEQUENCER: Final = gauge(
    "audit", "pashe_audit_sequencer", "1 while this process writes the log"
)
AUDIT_REFUSED: Final = gauge(
    "audit",
    "pashe_audit_refused",
    "1 while the database contradicts the checkpoint kept outside of it",
)
AUDIT_FLAGS: Final = counter(
    "audit",
    "pashe_audit_flags",
    "Entries that are unsigned, wrongly signed, unreadable or gaps",
    flag=(
        *("unreadable", "unsigned", "bad-signature", "wrong-owner", "gap", "inversion"),
        *("repeated-sequence", "other-bytes", "refused"),
    ),
)
AUDIT_FINDINGS: Final = gauge(
    "audit",
    "pashe_audit_findings",
    "What the monitor finds wrong with the history now",
    read=WALKING,
    kind="the kinds of findings",
)
AUDIT_WALKED: Final = gauge(
    "audit",
    "pashe_audit_walked_timestamp_seconds",
    "When the monitor last saw all of the history",
    read=WALKING,
)
WITNESSES: Final = gauge("audit", "pashe_audit_witnesses", "Witnesses that are asked to cosign")
WITNESSED: Final = gauge(
    "audit",
    "pashe_audit_witnessed_entries",
    "Entries under the last cosigned checkpoint",
    witness="the witnesses that are configured",
)
WITNESS_REFUSES: Final = gauge(
    "audit",
    "pashe_audit_witness_contradicts",
    "1 while a witness contradicts our log",
    witness="the witnesses that are configured",
)


def division_of(pcode: str | None) -> str:
    """Return the division that a place lies in, as a label says it."""
    return DIVISIONS.get((pcode or "")[:4], UNKNOWN)


def setup(settings: Settings) -> None:
    """Send logs to stderr as JSON, and spans to the collector if one is named. Once a process."""
    logs.setup_logs(settings.service, settings.log_level, tracing.current_trace_id)
    tracing.setup(settings)
    metrics.begin(settings.service)
