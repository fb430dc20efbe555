"""What an event, and what is wrong with one, is called for people of the centre.

The English stands here, the Bangla in `locale/bn.po`. An event without a name is shown as its type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for a text that is translated later)
    """Mark a text for the catalogue."""
    return text


EVENTS: Final[Mapping[str, str]] = {
    "report-submitted": N_("A report came in"),
    "provider-answered": N_("A place of help answered"),
    "case-created": N_("Work on it was opened"),
    "case-updated": N_("Something about it was changed"),
    "case-triaged": N_("A coordinator looked at how soon help is needed"),
    "case-assigned": N_("A worker was made responsible"),
    "case-verified": N_("What was said was checked"),
    "risk-assessed": N_("The danger was assessed"),
    "safety-plan-made": N_("A safety plan was made"),
    "plan-agreed": N_("The plan of help was agreed"),
    "contact-recorded": N_("A contact, or a try, was written down"),
    "follow-up-due": N_("A follow-up became due"),
    "duty-paged": N_("The person on duty was called"),
    "digest-due": N_("A supervisor was told how much waits"),
    "case-split": N_("It was divided into several"),
    "cases-linked": N_("It was linked with another"),
    "cases-unlinked": N_("A link with another was undone"),
    "cases-merged": N_("It was merged with another of the same person"),
    "cases-unmerged": N_("A merge with another was undone"),
    "cases-told-apart": N_("Somebody said that another is a different matter"),
    "cases-not-told-apart": N_("That another is a different matter was taken back"),
    "packet-made": N_("A packet was made for another centre"),
    "packet-acknowledged": N_("Another centre confirmed a packet"),
    "reference-noted": N_("A number of another office was written down"),
    "missing-alert-made": N_("A notice of a missing child was made for the police"),
    "missing-alert-taken-down": N_("The notice of a missing child was taken down"),
    "handover-offered": N_("It was offered to another centre"),
    "handover-accepted": N_("Another centre took it on"),
    "handover-declined": N_("Another centre did not take it on"),
    "feedback-received": N_("The person said how the help was"),
    "consent-given": N_("What the person agrees to was written down"),
    "consent-withdrawn": N_("The person took an agreement back"),
    "identity-disclosed": N_("A place of help was told who the person is"),
    "person-data-read": N_("Somebody looked at who the person is"),
    "case-closed": N_("It was closed"),
    "case-reopened": N_("It was opened again"),
    "case-erased": N_("All that names the person was erased"),
    "subject-erased": N_("What names one of the persons was erased"),
    "referral-planned": N_("A help was planned"),
    "referral-released": N_("A help was released"),
    "referral-waiting": N_("Nobody was found for a help yet"),
    "referral-assigned": N_("A place of help was asked"),
    "referral-accepted": N_("A place of help said yes"),
    "referral-declined": N_("A place of help said no"),
    "referral-expired": N_("A place of help did not answer in time"),
    "referral-escalated": N_("Silence was brought before somebody higher"),
    "first-contact-made": N_("A place of help made its first contact"),
    "service-started": N_("Help began"),
    "referral-on-hold": N_("A help was put on hold"),
    "appointment-changed": N_("An appointment was made or moved"),
    "referred-onward": N_("A place of help sent it on to another"),
    "milestone-reached": N_("A step of a long help was reached"),
    "service-delivered": N_("Help was given"),
    "service-failed": N_("A help did not happen"),
    "referral-withdrawn": N_("A help was taken back"),
    "withdrawal-acknowledged": N_("A place of help confirmed that it was taken back"),
    "capacity-changed": N_("Free places were changed"),
    "offer-listed": N_("An offer of help was listed or changed"),
    "directory-exported": N_("The directory was given out"),
    "notice-sent": N_("A message was sent"),
    "notice-delivered": N_("A message arrived"),
    "notice-failed": N_("A message could not be sent"),
    "notice-withheld": N_("A message was held back, because it was not safe"),
    "subscription-disabled": N_("Messages to a system were stopped"),
    "event-parked": N_("Something could not be handled and was kept aside"),
    "history-read": N_("Somebody read this history"),
    "log-continued": N_("The log was begun anew after a restore"),
    "unreadable": N_("Something that cannot be read"),
}

FLAGS: Final[Mapping[str, str]] = {
    "unreadable": N_("It cannot be read; it is kept as it came."),
    "unsigned": N_("Nobody signed it: it proves nothing."),
    "bad-signature": N_("Its signature does not hold: it proves nothing."),
    "wrong-owner": N_("Another part of the centre should have sent it."),
    "gap": N_("Something before it has not arrived."),
    "inversion": N_("It came later than its place."),
    "repeated-sequence": N_("Something else has its number."),
    "other-bytes": N_("It contradicts what was recorded before."),
    "refused": N_("It could not be stored as it is; its bytes are kept."),
}
"""By `services.audit.flags.names_of`."""

PROGRAM: Final = N_("A program of the centre")
"""Who did something, where no person did."""
