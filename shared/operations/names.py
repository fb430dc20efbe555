"""Why a record was set aside, in words; the code stands beside them, for the runbook."""

from __future__ import annotations

from typing import Final

from shared.pages.words import N_

PARKED: Final = {
    "bug": N_("A fault of this program"),
    "behind": N_("Waits behind another of the same kind"),
    "newer-version": N_("From a newer version than this"),
    "unreadable": N_("It cannot be read"),
    "unknown-type": N_("Nobody here knows this kind of event"),
    "invalid-schema": N_("What it holds does not fit its kind"),
    "invalid-subject": N_("It names nothing that it could be about"),
    "invalid-number": N_("A number in it is out of range"),
    "invalid-time": N_("A time in it is not whole"),
    "invalid-report": N_("A report in it is not whole"),
    "not-an-event": N_("It is no event"),
    "not-json": N_("It cannot be read"),
    "not-sealed": N_("It was not sealed to us"),
    "seal-broken": N_("Its seal does not open"),
    "wrong-key": N_("It was sealed with a key that is not ours"),
    "wrong-id": N_("Its seal belongs to another"),
    "another-partner": N_("It names another partner"),
    "too-large": N_("It is too large"),
    "empty": N_("There is nothing in it"),
}
"""Names of reasons; one without a name is shown by its code alone."""
