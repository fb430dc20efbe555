"""The dashboard of the flow: in, through, and the ground it stands on."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Board, Panel, by, one, quantiles

FLOW: Final = Board(
    "pashe-flow",
    "Flow",
    (
        (
            "In",
            (
                by(
                    "Reports taken, a minute",
                    'sum by (channel) (rate(pashe_submissions_total{outcome="stored"}'
                    "[$__rate_interval])) * 60",
                    "channel",
                ),
                by(
                    "Not taken, by why",
                    "sum by (why) (rate(pashe_submission_rejections_total[$__rate_interval]))",
                    "why",
                ),
                quantiles("From receipt to case", "pashe_time_to_case_seconds"),
                quantiles("HTTP", "pashe_http_request_duration_seconds"),
                by(
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
                by(
                    "Not yet in Kafka",
                    "max by (service) (pashe_outbox_unsent_rows)",
                    "service",
                ),
                by(
                    "Oldest not yet in Kafka",
                    "max by (service) (pashe_outbox_oldest_unsent_seconds)",
                    "service",
                    "s",
                ),
                quantiles("From commit to Kafka", "pashe_relay_delay_seconds"),
                by(
                    "Consumers that are behind most",
                    "topk(10, sum by (consumer) (pashe_consumer_lag_records))",
                    "consumer",
                ),
                by(
                    "Records handled, a second",
                    "sum by (outcome) (rate(pashe_consumer_records_total[$__rate_interval]))",
                    "outcome",
                    says="A duplicate came twice and was dropped by the inbox",
                ),
                one("Parked", "sum(max by (service) (pashe_parked_waiting))", alarm=1),
                one("Oldest parked", "max(pashe_parked_oldest_seconds)", "s", 900),
                one("Consumers that hold", "sum(pashe_consumer_held)", alarm=1),
            ),
        ),
        (
            "The ground",
            (
                by(
                    "How old the figures are",
                    "max by (reading) (pashe_reading_age_seconds)",
                    "reading",
                    "s",
                    "Grows while PostgreSQL or Kafka is down; the panels then show what was",
                ),
                by("Kafka answers", "min by (service) (pashe_kafka_connected)", "service"),
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
