"""What the dashboards show: a title, a question in PromQL, a unit; nothing of one person.

Who may see them is said in `docs/operations.md`: operations alone, for small numbers tell much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries` are pairs of PromQL and legend; `kind` is `time` or `stat`."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "time"
    says: str = ""
    alarm: float | None = None
    """From this value on it is red; only for `stat`."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: rows of panels. `choices` are variables: name and PromQL of its values."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    choices: tuple[tuple[str, str], ...] = ()


def _one(title: str, query: str, unit: str = "short", alarm: float | None = None) -> Panel:
    return Panel(title, ((query, ""),), unit, "stat", alarm=alarm)


def _by(title: str, query: str, label: str, unit: str = "short", says: str = "") -> Panel:
    return Panel(title, ((query, f"{{{{{label}}}}}"),), unit, says=says)


def _quantiles(title: str, metric: str, chosen: str = "", unit: str = "s") -> Panel:
    return Panel(
        title,
        tuple(
            (
                (
                    f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{{chosen}}}"
                    "[$__rate_interval])))"
                ),
                f"p{round(q * 100)}",
            )
            for q in (0.5, 0.95, 0.99)
        ),
        unit,
    )


def _reached(stage: str, title: str) -> Panel:
    return Panel(
        title,
        (
            (
                (
                    "histogram_quantile(0.9, sum by (urgency, le)"
                    f' (increase(pashe_report_stage_seconds_bucket{{stage="{stage}"}}[1d])))'
                ),
                "{{urgency}}",
            ),
        ),
        "s",
        says="Nine of ten were faster, over a day",
    )


HELPED: Final = Board(
    "pashe-helped",
    "Are people being helped",
    (
        (
            "Now",
            (
                _one("T0 nobody has looked at", "max(pashe_t0_unseen_seconds)", "s", 900),
                _one("T0 nobody has claimed", "max(pashe_t0_unclaimed)", alarm=1),
                _one(
                    "Coordinators on duty",
                    'max(pashe_duty_persons{level="coordinator"})',
                ),
                _one("Reports that are no case yet", "max(pashe_submissions_unopened)", alarm=1),
                _one("Needs that nobody serves", "max(pashe_referrals_waiting)", alarm=1),
                _one(
                    "Withdrawals not acknowledged", "max(pashe_withdrawals_unacknowledged)", alarm=1
                ),
                _one("Workers with too many cases", "max(pashe_workers_over_caseload)", alarm=1),
                _one(
                    "Opened again within 90 days, of 30 days",
                    'sum(increase(pashe_cases_reopened_total{after="within_90_days"}[30d]))',
                ),
            ),
        ),
        (
            "The objective: 99.9 % before a person, or assigned, in time",
            (
                Panel(
                    "Late, of those whose time was over",
                    (
                        ("pashe:reports_late:ratio_1h", "1 h"),
                        ("pashe:reports_late:ratio_1d", "1 day"),
                        ("pashe:reports_late:ratio_3d", "3 days"),
                    ),
                    "percentunit",
                ),
                _by(
                    "Late by urgency, a day",
                    'sum by (urgency) (increase(pashe_reports_due_total{outcome="late"}[1d]))',
                    "urgency",
                ),
            ),
        ),
        (
            "From the report to …",
            (
                _reached("first_human", "… the first look of a person"),
                _reached("assigned", "… a provider asked"),
                _reached("accepted", "… a provider's yes"),
                _reached("first_contact", "… the first contact"),
                _reached("delivered", "… the service delivered"),
            ),
        ),
        (
            "The funnel",
            (
                _by(
                    "Referrals that reached a state, an hour",
                    "sum by (state) (increase(pashe_referral_urgency_transitions_total[1h]))",
                    "state",
                ),
                _by(
                    "Delivered by division, a week",
                    "sum by (division)"
                    ' (increase(pashe_referral_division_transitions_total{state="delivered"}[7d]))',
                    "division",
                    says="Weeks and divisions: never finer, for a small cell is a person",
                ),
                _by(
                    "Declined by reason, a week",
                    "sum by (reason) (increase(pashe_referral_declines_total[7d]))",
                    "reason",
                ),
                _by("Where they are now", "sum by (state) (pashe_referrals_now)", "state"),
                _by(
                    "Needs most wanted, a week",
                    "topk(10, sum by (need)"
                    ' (increase(pashe_referral_transitions_total{state="planned"}[7d])))',
                    "need",
                ),
                Panel(
                    "Answers and first contacts that are overdue",
                    (
                        (
                            "max by (owed, urgency) (pashe_referrals_unanswered)",
                            "{{owed}} {{urgency}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "The desk",
            (
                _by("Open tasks by kind", "max by (kind) (pashe_desk_tasks)", "kind"),
                _by(
                    "Pages at T0, a day",
                    "sum by (outcome) (increase(pashe_duty_pages_total[1d]))",
                    "outcome",
                ),
                _by(
                    "Tasks opened with nobody on duty, a day",
                    "sum by (level) (increase(pashe_desk_tasks_unnamed_total[1d]))",
                    "level",
                ),
                _by(
                    "Silences that somebody was told of, a day",
                    "sum by (silence) (increase(pashe_referral_escalations_total[1d]))",
                    "silence",
                ),
            ),
        ),
    ),
)

FLOW: Final = Board(
    "pashe-flow",
    "Flow",
    (
        (
            "In",
            (
                _by(
                    "Reports taken, a minute",
                    'sum by (channel) (rate(pashe_submissions_total{outcome="stored"}'
                    "[$__rate_interval])) * 60",
                    "channel",
                ),
                _by(
                    "Not taken, by why",
                    "sum by (why) (rate(pashe_submission_rejections_total[$__rate_interval]))",
                    "why",
                ),
                _quantiles("From receipt to case", "pashe_time_to_case_seconds"),
                _quantiles("HTTP", "pashe_http_request_duration_seconds"),
                _by(
                    "Answers of 500 and more",
                    'sum by (route) (rate(pashe_http_requests_total{status=~"5.."}'
                    "[$__rate_interval]))",
                    "route",
                ),
            ),
        ),
        (
            "Through",
            (
                _by(
                    "Not yet in Kafka",
                    "max by (service) (pashe_outbox_unsent_rows)",
                    "service",
                ),
                _by(
                    "Oldest not yet in Kafka",
                    "max by (service) (pashe_outbox_oldest_unsent_seconds)",
                    "service",
                    "s",
                ),
                _quantiles("From commit to Kafka", "pashe_relay_delay_seconds"),
                _by(
                    "Consumers that are behind most",
                    "topk(10, sum by (consumer) (pashe_consumer_lag_records))",
                    "consumer",
                ),
                _by(
                    "Records handled, a second",
                    "sum by (outcome) (rate(pashe_consumer_records_total[$__rate_interval]))",
                    "outcome",
                    says="A duplicate came twice and was dropped by the inbox",
                ),
                _one("Parked", "sum(max by (service) (pashe_parked_waiting))", alarm=1),
                _one("Oldest parked", "max(pashe_parked_oldest_seconds)", "s", 900),
                _one("Consumers that hold", "sum(pashe_consumer_held)", alarm=1),
            ),
        ),
        (
            "The ground",
            (
                _by(
                    "How old the figures are",
                    "max by (reading) (pashe_reading_age_seconds)",
                    "reading",
                    "s",
                    "Grows while PostgreSQL or Kafka is down; the panels then show what was",
                ),
                _by("Kafka answers", "min by (service) (pashe_kafka_connected)", "service"),
                Panel(
                    "Connections in use, of those there may be",
                    (
                        (
                            (
                                "max by (service, pool)"
                                ' (pashe_database_pool_connections{state="used"}'
                                ' / ignoring (state) pashe_database_pool_connections{state="size"})'
                            ),
                            "{{service}} {{pool}}",
                        ),
                    ),
                    "percentunit",
                ),
                Panel(
                    "How late the event loops turn (p99)",
                    (
                        (
                            (
                                "histogram_quantile(0.99, sum by (service, le)"
                                " (rate(pashe_loop_lag_seconds_bucket[$__rate_interval])))"
                            ),
                            "{{service}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "What runs",
                    (("count by (service, version, python) (pashe_build_info)", "{{service}}"),),
                ),
            ),
        ),
    ),
)

ONE: Final = Board(
    "pashe-one",
    "One channel, rule, notifier",
    (
        (
            "Channel $channel",
            (
                _by(
                    "Taken",
                    'sum by (outcome) (rate(pashe_submissions_total{channel="$channel"}'
                    "[$__rate_interval]))",
                    "outcome",
                ),
                _by(
                    "Not taken",
                    'sum by (why) (rate(pashe_submission_rejections_total{channel="$channel"}'
                    "[$__rate_interval]))",
                    "why",
                ),
                _by(
                    "Failures of its own",
                    'sum by (what) (increase(pashe_channel_failures_total{channel="$channel"}'
                    "[1h]))",
                    "what",
                ),
                _quantiles(
                    "From receipt to case", "pashe_time_to_case_seconds", 'channel="$channel"'
                ),
            ),
        ),
        (
            "Consumer $consumer",
            (
                _by(
                    "Records",
                    'sum by (outcome) (rate(pashe_consumer_records_total{consumer="$consumer"}'
                    "[$__rate_interval]))",
                    "outcome",
                ),
                Panel(
                    "Behind, by partition",
                    (
                        (
                            'pashe_consumer_lag_records{consumer="$consumer"}',
                            "{{topic}} {{partition}}",
                        ),
                    ),
                ),
                _one("Holds", 'max(pashe_consumer_held{consumer="$consumer"})', alarm=1),
                _one(
                    "Commits that failed, a day",
                    'sum(increase(pashe_consumer_commit_failures_total{consumer="$consumer"}[1d]))',
                ),
            ),
        ),
        (
            "Notifier $notifier",
            (
                _by(
                    "Notices",
                    'sum by (state) (rate(pashe_notices_total{notifier="$notifier"}'
                    "[$__rate_interval]))",
                    "state",
                ),
                _quantiles(
                    "From event to notice", "pashe_notice_delay_seconds", 'notifier="$notifier"'
                ),
                _one(
                    "Oldest due and not sent",
                    'max(pashe_sms_oldest_due_seconds{notifier="$notifier"})',
                    "s",
                    300,
                ),
                _one(
                    "Its gateway does not answer",
                    'max(pashe_sms_gateway_braked{notifier="$notifier"})',
                    alarm=1,
                ),
                _by(
                    "Providers' systems",
                    "max by (standing) (pashe_webhook_subscriptions)",
                    "standing",
                ),
                _one(
                    "Oldest webhook due and not tried",
                    "max(pashe_notices_oldest_due_seconds)",
                    "s",
                    300,
                ),
            ),
        ),
    ),
    (
        ("channel", "label_values(pashe_submissions_total, channel)"),
        ("consumer", "label_values(pashe_consumer_held, consumer)"),
        ("notifier", "label_values(pashe_notices_total, notifier)"),
    ),
)

HISTORY: Final = Board(
    "pashe-history",
    "History",
    (
        (
            "Is it provable",
            (
                _one("Entries", "max(pashe_audit_entries)"),
                _one(
                    "Not under a checkpoint for",
                    "time() - max(pashe_audit_covered_timestamp_seconds)",
                    "s",
                    300,
                ),
                _one("Found wrong", "sum(pashe_audit_findings)", alarm=1),
                _one("Contradicts the checkpoint outside", "max(pashe_audit_refused)", alarm=1),
                _one(
                    "Whole history last seen, ago",
                    "time() - max(pashe_audit_walked_timestamp_seconds)",
                    "s",
                    3600,
                ),
                _one("Processes that write the log", "sum(pashe_audit_sequencer)"),
            ),
        ),
        (
            "How soon, and what came",
            (
                _quantiles("From event to entry", "pashe_audit_delay_seconds"),
                Panel(
                    "Written and signed, a second",
                    (
                        ("max(deriv(pashe_audit_entries[5m]))", "written"),
                        ("max(deriv(pashe_audit_signed_entries[5m]))", "signed"),
                    ),
                ),
                _by(
                    "Entries with a flag, a day",
                    "sum by (flag) (increase(pashe_audit_flags_total[1d]))",
                    "flag",
                ),
                _by(
                    "Entries a witness has not cosigned",
                    "max(pashe_audit_signed_entries) - on () group_right ()"
                    " pashe_audit_witnessed_entries",
                    "witness",
                ),
            ),
        ),
        (
            "Forgetting",
            (
                _by(
                    "Erasures, 30 days",
                    "sum by (subject) (increase(pashe_erasures_total[30d]))",
                    "subject",
                ),
                _one("Erased and not listed outside", "max(pashe_erasures_unlisted)", alarm=1),
                Panel(
                    "Kept long enough",
                    (("max by (kind, state) (pashe_retention_due)", "{{kind}} {{state}}"),),
                ),
            ),
        ),
    ),
)

BOARDS: Final = (HELPED, FLOW, ONE, HISTORY)
