"""The dashboard of people: who waits, how soon people were helped, the funnel, the desk."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Board, Panel, by, one, reached

HELPED: Final = Board(
    "pashe-helped",
    "Are people being helped",
    (
        (
            "Now",
            (
                one("T0 nobody has looked at", "max(pashe_t0_unseen_seconds)", "s", 900),
                one("T0 nobody has claimed", "max(pashe_t0_unclaimed)", alarm=1),
                one(
                    "Coordinators on duty",
                    'max(pashe_duty_persons{level="coordinator"})',
                ),
                one("Reports that are no case yet", "max(pashe_submissions_unopened)", alarm=1),
                one("Needs that nobody serves", "max(pashe_referrals_waiting)", alarm=1),
                one(
                    "Withdrawals not acknowledged", "max(pashe_withdrawals_unacknowledged)", alarm=1
                ),
                one("Workers with too many cases", "max(pashe_workers_over_caseload)", alarm=1),
                one(
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
                by(
                    "Late by urgency, a day",
                    'sum by (urgency) (increase(pashe_reports_due_total{outcome="late"}[1d]))',
                    "urgency",
                ),
            ),
        ),
        (
            "From the report to …",
            (
                reached("first_human", "… the first look of a person"),
                reached("assigned", "… a provider asked"),
                reached("accepted", "… a provider's yes"),
                reached("first_contact", "… the first contact"),
                reached("delivered", "… the service delivered"),
            ),
        ),
        (
            "The funnel",
            (
                by(
                    "Referrals that reached a state, an hour",
                    "sum by (state) (increase(pashe_referral_urgency_transitions_total[1h]))",
                    "state",
                ),
                by(
                    "Delivered by division, a week",
                    "sum by (division)"
                    ' (increase(pashe_referral_division_transitions_total{state="delivered"}[7d]))',
                    "division",
                    says="Weeks and divisions: never finer, for a small cell is a person",
                ),
                by(
                    "Declined by reason, a week",
                    "sum by (reason) (increase(pashe_referral_declines_total[7d]))",
                    "reason",
                ),
                by(
                    "Where they are now",
                    "sum by (state) (max by (state, need) (pashe_referrals_now))",
                    "state",
                ),
                by(
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
                by("Open tasks by kind", "max by (kind) (pashe_desk_tasks)", "kind"),
                by(
                    "Pages at T0, a day",
                    "sum by (outcome) (increase(pashe_duty_pages_total[1d]))",
                    "outcome",
                ),
                by(
                    "Tasks opened with nobody on duty, a day",
                    "sum by (level) (increase(pashe_desk_tasks_unnamed_total[1d]))",
                    "level",
                ),
                by(
                    "Silences that somebody was told of, a day",
                    "sum by (silence) (increase(pashe_referral_escalations_total[1d]))",
                    "silence",
                ),
            ),
        ),
    ),
)
