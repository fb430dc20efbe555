"""What a provider's page calls the code words of a referral that only it shows."""

from __future__ import annotations

from typing import Final

from shared.pages.words import N_
from shared.vocabulary import Reason

NO: Final = (
    *(Reason.NO_CAPACITY, Reason.OUT_OF_AREA, Reason.NOT_ELIGIBLE_AGE, Reason.NOT_ELIGIBLE_SEX),
    *(Reason.SERVICE_NOT_OFFERED, Reason.INSUFFICIENT_INFORMATION, Reason.UNSAFE_TO_SERVE),
    Reason.CONFLICT_OF_INTEREST,
)
"""Reasons of a no, as buttons."""

FAILED: Final = (
    *(Reason.PERSON_NOT_FOUND, Reason.UNSAFE_TO_SERVE, Reason.MISSING_DOCUMENTS),
    *(Reason.NO_CAPACITY, Reason.REFERRED_ONWARD, Reason.CONSENT_WITHDRAWN),
)
"""Reasons why help could not be given."""

APPOINTMENTS: Final = {
    "first_meeting": N_("First meeting"),
    "session": N_("Session"),
    "medical": N_("Doctor"),
    "legal": N_("Lawyer"),
    "court": N_("Court"),
    "home_visit": N_("Home visit"),
}

MILESTONES: Final[dict[str, str]] = {
    "identity_check": N_("Identity is checked"),
    "home_enquiry": N_("The home was looked at"),
    "court_order": N_("Order of the court"),
    "travel_permit": N_("Travel permit"),
    "exit_permit": N_("Exit permit"),
    "handover": N_("Handed over"),
    "reception": N_("Received"),
    "reunification": N_("With the family again"),
    "follow_up": N_("Looked after it again"),
}
