"""The words of Pashe as closed enums of our own and open enums on the wire (DECISIONS 5).

Source: the product dictionary. A consumer that meets a value it does not know skips and counts it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


class Channel(StrEnum):
    """How a report reached us."""

    WEB = "web"
    SMS = "sms"
    USSD = "ussd"
    VOICE = "voice"
    WHATSAPP = "whatsapp"
    OPENROSA = "openrosa"
    COMMITTEE = "committee"
    HELPLINE = "helpline"
    PARTNER = "partner"


class Concern(StrEnum):
    """What is suspected; several may hold; `unsure` is allowed."""

    CHILD_TRAFFICKING = "child_trafficking"
    ADULT_TRAFFICKING = "adult_trafficking"
    CHILD_SEXUAL_EXPLOITATION = "child_sexual_exploitation"
    ONLINE_SEXUAL_EXPLOITATION = "online_sexual_exploitation"
    CHILD_SEXUAL_ABUSE = "child_sexual_abuse"
    CHILD_LABOUR = "child_labour"
    HAZARDOUS_CHILD_LABOUR = "hazardous_child_labour"
    FORCED_LABOUR = "forced_labour"
    FORCED_BEGGING = "forced_begging"
    CHILD_MARRIAGE = "child_marriage"
    ORGAN_REMOVAL = "organ_removal"
    MISSING_CHILD = "missing_child"
    PHYSICAL_VIOLENCE = "physical_violence"
    NEGLECT = "neglect"
    SELF_HARM_RISK = "self_harm_risk"
    UNSAFE_MIGRATION = "unsafe_migration"
    SMUGGLING = "smuggling"
    OTHER = "other"
    UNSURE = "unsure"


class Need(StrEnum):
    """What a case requires: a service code."""

    RESCUE = "rescue"
    MEDICAL = "medical"
    SHELTER = "shelter"
    MISSING_CHILD_ALERT = "missing_child_alert"
    PSYCHOSOCIAL = "psychosocial"
    MENTAL_HEALTH = "mental_health"
    SAFETY_PLANNING = "safety_planning"
    LEGAL_AID = "legal_aid"
    COURT_SUPPORT = "court_support"
    CASE_MANAGEMENT = "case_management"
    CHILD_LABOUR_REMOVAL = "child_labour_removal"
    FAMILY_TRACING = "family_tracing"
    FAMILY_SUPPORT = "family_support"
    ALTERNATIVE_CARE = "alternative_care"
    AGE_ASSESSMENT = "age_assessment"
    REPATRIATION = "repatriation"
    REINTEGRATION = "reintegration"
    EDUCATION = "education"
    LIVELIHOOD = "livelihood"
    CASH_ASSISTANCE = "cash_assistance"
    FOOD_AND_ITEMS = "food_and_items"
    TRANSPORT = "transport"
    CIVIL_DOCUMENTS = "civil_documents"
    SAFE_MIGRATION = "safe_migration"
    DISABILITY_SUPPORT = "disability_support"
    ONLINE_CONTENT_REMOVAL = "online_content_removal"
    INTERPRETER = "interpreter"
    INFORMATION = "information"


class Urgency(StrEnum):
    """T0 danger now … T3 within seven days; a smaller text is more urgent."""

    T0 = "T0"
    T1 = "T1"
    T2 = "T2"
    T3 = "T3"


class Sex(StrEnum):
    """Sex as said; routing never excludes on `not_said` or `unknown`."""

    FEMALE = "female"
    MALE = "male"
    HIJRA = "hijra"
    NOT_SAID = "not_said"
    UNKNOWN = "unknown"


class Support(StrEnum):
    """What a person may need to be served at all; other words for it stay sealed in intake."""

    STEP_FREE = "step_free"
    SIGN_LANGUAGE = "sign_language"
    SIGHT = "sight"
    HEARING = "hearing"
    SPEECH = "speech"
    LEARNING = "learning"
    ATTENDANT = "attendant"
    MEDICATION = "medication"
    PREGNANT = "pregnant"
    INFANT = "infant"
    CANNOT_READ = "cannot_read"


_SUPPORT: Final = frozenset(Support)


def supports_in(words: Iterable[str]) -> list[str]:
    """Return the codes among what was said; a sentence about somebody's body is none."""
    return [word for word in dict.fromkeys(words) if word in _SUPPORT]


class ReporterKind(StrEnum):
    """Who reports."""

    SELF = "self"
    RELATIVE = "relative"
    NEIGHBOUR = "neighbour"
    TEACHER = "teacher"
    CTC_MEMBER = "ctc_member"
    HELPLINE_OPERATOR = "helpline_operator"
    PARTNER_WORKER = "partner_worker"
    POLICE = "police"
    EMPLOYER = "employer"
    OTHER = "other"
    UNKNOWN = "unknown"


class ReferralState(StrEnum):
    """The states of a referral, in the words that providers understand."""

    PLANNED = "planned"
    WAITING = "waiting"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    WAITLISTED = "waitlisted"
    DECLINED = "declined"
    EXPIRED = "expired"
    IN_SERVICE = "in_service"
    ON_HOLD = "on_hold"
    DELIVERED = "delivered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    ENTERED_IN_ERROR = "entered_in_error"


class Reason(StrEnum):
    """Why a provider declined, failed or withdrew."""

    NO_CAPACITY = "no_capacity"
    NOT_ELIGIBLE_AGE = "not_eligible_age"
    NOT_ELIGIBLE_SEX = "not_eligible_sex"
    NOT_ELIGIBLE_OTHER = "not_eligible_other"
    OUT_OF_AREA = "out_of_area"
    SERVICE_NOT_OFFERED = "service_not_offered"
    MISSING_DOCUMENTS = "missing_documents"
    INSUFFICIENT_INFORMATION = "insufficient_information"
    UNSAFE_TO_SERVE = "unsafe_to_serve"
    CONFLICT_OF_INTEREST = "conflict_of_interest"
    PERSON_NOT_FOUND = "person_not_found"
    REFERRED_ONWARD = "referred_onward"
    DUPLICATE = "duplicate"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    OTHER = "other"


EXCLUDED: Final = "excluded"
"""Why a referral was withdrawn when its case named its provider, who must not hear of that."""


class Enrolment(StrEnum):
    """Whether a provider of an offer uses Pashe; only `active` offers are assigned by machine."""

    LISTED = "listed"
    INVITED = "invited"
    ACTIVE = "active"


class Reach(StrEnum):
    """How the provider of an offer is told."""

    SYSTEM = "system"
    LINK = "link"
    SMS = "sms"
    CALL = "call"
    LETTER = "letter"
    NONE = "none"


class Role(StrEnum):
    """Who is calling."""

    PARTNER = "partner"
    COMMITTEE_MEMBER = "committee_member"
    OPERATOR = "operator"
    COORDINATOR = "coordinator"
    SUPERVISOR = "supervisor"
    PROVIDER_WORKER = "provider_worker"
    PROVIDER_SYSTEM = "provider_system"
    AUDITOR = "auditor"
    OPERATIONS = "operations"
    SERVICE = "service"
