"""What the words of the language of Pashe are called on a screen (PRODUCT, Words on screens).

The English stands here, the Bangla in `locale/bn.po` under the same text. A template says
`{{ code | word("need") }}`; a code without a name is shown as it is, without its underscores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from gettext import NullTranslations


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for a text that is translated later)
    """Mark a text for the catalogue."""
    return text


CONCERNS: Final = {
    "child_trafficking": N_("A child taken away or sold"),
    "adult_trafficking": N_("An adult taken away or sold"),
    "child_sexual_exploitation": N_("A child used for sex"),
    "online_sexual_exploitation": N_("Sexual harm online"),
    "child_sexual_abuse": N_("Sexual abuse of a child"),
    "child_labour": N_("A child made to work"),
    "hazardous_child_labour": N_("A child in dangerous work"),
    "forced_labour": N_("Forced to work"),
    "forced_begging": N_("Forced to beg"),
    "child_marriage": N_("Marriage of a child"),
    "organ_removal": N_("Taking of a kidney or other organ"),
    "missing_child": N_("A child is missing"),
    "physical_violence": N_("Beating or other violence"),
    "neglect": N_("Not cared for"),
    "self_harm_risk": N_("May hurt themselves"),
    "unsafe_migration": N_("An unsafe journey for work"),
    "smuggling": N_("Taken over the border in secret"),
    "other": N_("Something else"),
    "unsure": N_("I don't know"),
}

NEEDS: Final = {
    "rescue": N_("Getting out of danger"),
    "medical": N_("Doctor"),
    "shelter": N_("A safe place to stay"),
    "missing_child_alert": N_("Search for a missing child"),
    "psychosocial": N_("Somebody to talk to"),
    "mental_health": N_("Care for the mind"),
    "safety_planning": N_("A plan to be safe"),
    "legal_aid": N_("Help with the law"),
    "court_support": N_("Company in court"),
    "case_management": N_("A worker at your side"),
    "child_labour_removal": N_("Out of work, into safety"),
    "family_tracing": N_("Finding the family"),
    "family_support": N_("Help for the family"),
    "alternative_care": N_("Care in another family"),
    "age_assessment": N_("Finding out the age"),
    "repatriation": N_("Coming home from abroad"),
    "reintegration": N_("Starting again at home"),
    "education": N_("School"),
    "livelihood": N_("Work and income"),
    "cash_assistance": N_("Money for what is urgent"),
    "food_and_items": N_("Food and things"),
    "transport": N_("Travel"),
    "civil_documents": N_("Birth certificate and papers"),
    "safe_migration": N_("Safe work abroad"),
    "disability_support": N_("Help with a disability"),
    "online_content_removal": N_("Taking pictures off the internet"),
    "interpreter": N_("Somebody who speaks the language"),
    "information": N_("Information"),
}

URGENCIES: Final = {
    "T0": N_("Danger now"),
    "T1": N_("Within a day"),
    "T2": N_("Within three days"),
    "T3": N_("Within a week"),
}

SEXES: Final = {
    "female": N_("Girl or woman"),
    "male": N_("Boy or man"),
    "hijra": N_("Hijra"),
    "not_said": N_("I would rather not say"),
    "unknown": N_("I don't know"),
}

STATES: Final = {
    "planned": N_("Planned"),
    "waiting": N_("Nobody found yet"),
    "assigned": N_("Asked, no answer yet"),
    "accepted": N_("Said yes"),
    "waitlisted": N_("Said yes, waiting for a place"),
    "declined": N_("Said no"),
    "expired": N_("No answer in time"),
    "in_service": N_("Help has begun"),
    "on_hold": N_("On hold"),
    "delivered": N_("Help was given"),
    "failed": N_("Help could not be given"),
    "withdrawn": N_("Taken back"),
    "entered_in_error": N_("Entered by mistake"),
}

REASONS: Final = {
    "no_capacity": N_("No free place"),
    "not_eligible_age": N_("Not for this age"),
    "not_eligible_sex": N_("Only for women or only for men"),
    "not_eligible_other": N_("Not for this person, for another reason"),
    "out_of_area": N_("Too far away"),
    "service_not_offered": N_("We do not give this help"),
    "missing_documents": N_("Papers are missing"),
    "insufficient_information": N_("We know too little"),
    "unsafe_to_serve": N_("It would not be safe"),
    "conflict_of_interest": N_("We know those involved"),
    "person_not_found": N_("The person was not found"),
    "referred_onward": N_("Sent on to others"),
    "duplicate": N_("The same as another"),
    "consent_withdrawn": N_("The person no longer wants it"),
    "other": N_("Another reason"),
}

ROLES: Final = {
    "partner": N_("Partner"),
    "committee_member": N_("Committee member"),
    "operator": N_("Operator"),
    "coordinator": N_("Coordinator"),
    "supervisor": N_("Supervisor"),
    "provider_worker": N_("Worker of a place of help"),
    "provider_system": N_("System of a place of help"),
    "auditor": N_("Auditor"),
    "operations": N_("Operations"),
}

CHANNELS: Final = {
    "web": N_("Web page"),
    "sms": N_("SMS"),
    "ussd": N_("Phone menu"),
    "voice": N_("Phone call"),
    "whatsapp": N_("WhatsApp"),
    "openrosa": N_("Form on a phone"),
    "committee": N_("Committee"),
    "helpline": N_("Helpline"),
    "partner": N_("Partner"),
}

REPORTERS: Final = {
    "self": N_("The person"),
    "relative": N_("A relative"),
    "neighbour": N_("A neighbour"),
    "teacher": N_("A teacher"),
    "ctc_member": N_("Committee member"),
    "helpline_operator": N_("Operator"),
    "partner_worker": N_("Worker of a partner"),
    "police": N_("The police"),
    "employer": N_("The employer"),
    "other": N_("Somebody else"),
    "unknown": N_("I don't know"),
}

FEEDBACK: Final = {
    "yes": N_("I got help"),
    "partly": N_("Partly"),
    "no": N_("I got no help"),
    "harmed": N_("It did harm"),
}

SUPPORTS: Final = {
    "step_free": N_("A way without steps"),
    "sign_language": N_("Sign language"),
    "sight": N_("Sees little"),
    "hearing": N_("Hears little"),
    "speech": N_("Speaks with difficulty"),
    "learning": N_("Understands slowly"),
    "attendant": N_("Somebody to go along"),
    "medication": N_("Takes medicine"),
    "pregnant": N_("Is pregnant"),
    "infant": N_("Has a baby along"),
    "cannot_read": N_("Does not read"),
}

DAYS: Final = {
    "mo": N_("Monday"),
    "tu": N_("Tuesday"),
    "we": N_("Wednesday"),
    "th": N_("Thursday"),
    "fr": N_("Friday"),
    "sa": N_("Saturday"),
    "su": N_("Sunday"),
}

LANGUAGES: Final = {
    "bn": N_("Bangla"),
    "en": N_("English"),
    "rhg": N_("Rohingya"),
    "ctg": N_("Chittagonian"),
    "syl": N_("Sylheti"),
    "ccp": N_("Chakma"),
    "rmz": N_("Marma"),
    "grt": N_("Garo"),
    "sat": N_("Santali"),
    "trp": N_("Tripura"),
}

KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "channel": CHANNELS,
    "concern": CONCERNS,
    "day": DAYS,
    "feedback": FEEDBACK,
    "language": LANGUAGES,
    "need": NEEDS,
    "reason": REASONS,
    "reporter": REPORTERS,
    "role": ROLES,
    "sex": SEXES,
    "state": STATES,
    "support": SUPPORTS,
    "urgency": URGENCIES,
}


def word(texts: NullTranslations, code: str, kind: str) -> str:
    """Return what a code of a kind is called in the language of these texts."""
    found = KINDS[kind].get(str(code))
    return texts.gettext(found) if found else str(code).replace("_", " ")
