"""The dashboard of the history: is it provable, how soon, what was forgotten."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Board, Panel, by, one, quantiles

HISTORY: Final = Board(
    "pashe-history",
    "History",
    (
        (
            "Is it provable",
            (
                one("Entries", "max(pashe_audit_entries)"),
                one(
                    "Not under a checkpoint for",
                    "time() - max(pashe_audit_covered_timestamp_seconds)",
                    "s",
                    300,
                ),
                one("Found wrong", "sum(pashe_audit_findings)", alarm=1),
                one("Contradicts the checkpoint outside", "max(pashe_audit_refused)", alarm=1),
                one(
                    "Whole history last seen, ago",
                    "time() - max(pashe_audit_walked_timestamp_seconds)",
                    "s",
                    3600,
                ),
                one("Processes that write the log", "sum(pashe_audit_sequencer)"),
            ),
        ),
        (
            "How soon, and what came",
            (
                quantiles("From event to entry", "pashe_audit_delay_seconds"),
                Panel(
                    "Written and signed, a second",
                    (
                        ("max(deriv(pashe_audit_entries[5m]))", "written"),
                        ("max(deriv(pashe_audit_signed_entries[5m]))", "signed"),
                    ),
                ),
                by(
                    "Entries with a flag, a day",
                    "sum by (flag) (increase(pashe_audit_flags_total[1d]))",
                    "flag",
                ),
                by(
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
                by(
                    "Erasures, 30 days",
                    "sum by (subject) (increase(pashe_erasures_total[30d]))",
                    "subject",
                ),
                one("Erased and not listed outside", "max(pashe_erasures_unlisted)", alarm=1),
                Panel(
                    "Kept long enough",
                    (("max by (kind, state) (pashe_retention_due)", "{{kind}} {{state}}"),),
                ),
            ),
        ),
    ),
)
