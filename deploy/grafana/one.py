"""The dashboard of one channel, rule or notifier, whichever is chosen."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Board, Panel, by, one, quantiles

ONE: Final = Board(
    "pashe-one",
    "One channel, rule, notifier",
    (
        (
            "Channel $channel",
            (
                by(
                    "Taken",
                    'sum by (outcome) (rate(pashe_submissions_total{channel="$channel"}'
                    "[$__rate_interval]))",
                    "outcome",
                ),
                by(
                    "Not taken",
                    'sum by (why) (rate(pashe_submission_rejections_total{channel="$channel"}'
                    "[$__rate_interval]))",
                    "why",
                ),
                by(
                    "Failures of its own",
                    'sum by (what) (increase(pashe_channel_failures_total{channel="$channel"}'
                    "[1h]))",
                    "what",
                ),
                quantiles(
                    "From receipt to case", "pashe_time_to_case_seconds", 'channel="$channel"'
                ),
            ),
        ),
        (
            "Consumer $consumer",
            (
                by(
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
                one("Holds", 'max(pashe_consumer_held{consumer="$consumer"})', alarm=1),
                one(
                    "Commits that failed, a day",
                    'sum(increase(pashe_consumer_commit_failures_total{consumer="$consumer"}[1d]))',
                ),
            ),
        ),
        (
            "Notifier $notifier",
            (
                by(
                    "Notices",
                    'sum by (state) (rate(pashe_notices_total{notifier="$notifier"}'
                    "[$__rate_interval]))",
                    "state",
                ),
                quantiles(
                    "From event to notice", "pashe_notice_delay_seconds", 'notifier="$notifier"'
                ),
                one(
                    "Oldest due and not sent",
                    'max(pashe_sms_oldest_due_seconds{notifier="$notifier"})',
                    "s",
                    300,
                ),
                one(
                    "Its gateway does not answer",
                    'max(pashe_sms_gateway_braked{notifier="$notifier"})',
                    alarm=1,
                ),
                by(
                    "Providers' systems",
                    "max by (standing) (pashe_webhook_subscriptions)",
                    "standing",
                ),
                one(
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
