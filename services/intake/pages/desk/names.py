"""What the codes of case work are called on the desk; the Bangla is in `locale/bn.po`."""

from __future__ import annotations

from typing import Final

from shared.pages.words import N_

GROUPS: Final = {
    "danger": N_("Danger"),
    "silence": N_("Silence"),
    "decide": N_("To decide"),
    "words": N_("New words"),
    "follow": N_("Follow up"),
}

TASKS: Final = {
    "triage": N_("Look at this report"),
    "unseen": N_("Nobody looked at it yet"),
    "contact_unsafe": N_("Contact was not safe"),
    "contact_stopped": N_("Contact was stopped from the phone"),
    "visit_overdue": N_("Somebody is not back from a visit"),
    "silent_calls": N_("Silent calls from one number"),
    "harmed": N_("The help did harm"),
    "safety_plan": N_("Make a safety plan"),
    "page_not_sent": N_("The page did not reach whoever is on duty"),
    "nobody_on_duty": N_("Nobody is on duty"),
    "flagged_attachment": N_("A picture that nobody opens any more"),
    "no_answer": N_("A place of help does not answer"),
    "no_first_contact": N_("Said yes, but nobody called yet"),
    "not_delivered": N_("Help was not given in time"),
    "nobody_serves": N_("Nobody found who can help"),
    "release_late": N_("Waits too long for your decision"),
    "waitlisted_long": N_("Waits long for a place"),
    "withdrawal_unacknowledged": N_("Not confirmed that it was taken back"),
    "notice_withheld": N_("A message was held back: reach the person yourself"),
    "notice_unknown": N_("Not known whether a message arrived"),
    "notice_failed": N_("A message did not arrive"),
    "provider_not_told": N_("A place of help was not told: tell it yourself"),
    "contact_bounced": N_("The number does not reach the person"),
    "parked": N_("A step of the system did not work"),
    "release": N_("Let a request for help go out"),
    "choose_offer": N_("Choose a place of help"),
    "call_office": N_("Call this office"),
    "verify": N_("Check what was said"),
    "assign": N_("Give it to a worker"),
    "assess": N_("Assess the risk"),
    "reassign": N_("Give it to another worker"),
    "approve_closing": N_("Agree to the closing"),
    "approve_erasure": N_("Agree to erasing"),
    "original_asked": N_("Somebody asks for an original"),
    "risk_lowered": N_("A risk was set lower"),
    "review_closing": N_("Look at the closing again"),
    "handover_answer": N_("Ask whether they take it over"),
    "handover_declined": N_("They do not take it over"),
    "close_handed_over": N_("Close what was taken over"),
    "new_words": N_("New words from the reporter"),
    "addition": N_("An addition from the committee"),
    "feedback": N_("What the person says of the help"),
    "call_back": N_("Somebody asks to be called back"),
    "new_attachment": N_("A picture or voice note came"),
    "follow_up": N_("Ask how the person is"),
    "periodic_review": N_("Review of three months"),
    "check_after_closing": N_("A look after the end"),
    "review": N_("Everything was answered: is it the end?"),
    "debrief": N_("Talk with whoever took the danger"),
    "ask_again_at_18": N_("Turned 18: ask the person again"),
}

OF_NEED: Final = frozenset(
    {
        "release", "choose_offer", "call_office", "nobody_serves", "no_answer", "release_late",
        "no_first_contact", "not_delivered", "waitlisted_long",
    }
)  # fmt: skip
"""Kinds whose detail is a need."""

LEVELS: Final = {
    "coordinator": N_("Coordinator"),
    "supervisor": N_("Supervisor"),
    "district_focal_person": N_("District focal person"),
    "safeguarding_focal_person": N_("Safeguarding focal person"),
}

STEPS: Final = {
    "triage": N_("Looked at"),
    "assign": N_("Given to a worker"),
    "verify": N_("Checked"),
    "assess": N_("Risk assessed"),
    "safety-plan": N_("Safety plan made"),
    "plan": N_("Plan agreed"),
    "contacts": N_("Contact"),
    "close": N_("Closed"),
    "reopen": N_("Opened again"),
    "split": N_("Persons told apart"),
    "link": N_("Linked"),
    "unlink": N_("Link taken back"),
    "handover": N_("Handover"),
    "feedback": N_("The person's own word"),
    "harm": N_("The help did harm"),
    "visit": N_("Visit"),
    "visit-back": N_("Back from the visit"),
    "errand": N_("A committee member was asked"),
    "errand-back": N_("The committee member answered"),
    "page": N_("Paged"),
    "claim": N_("Taken on"),
    "debrief": N_("Talked about it"),
}

DO: Final = {
    "triage": N_("Look at it: urgency, place, needs"),
    "assign": N_("Give it to a worker"),
    "verify": N_("Write down what was checked"),
    "assess": N_("Assess the risk"),
    "safety-plan": N_("Make a safety plan"),
    "plan": N_("Agree on a plan"),
    "contacts": N_("Note a contact"),
    "visits": N_("Note a visit"),
    "committee-tasks": N_("Ask a committee member for something"),
    "consent": N_("Write down what the person agreed to"),
    "split": N_("Tell persons apart"),
    "handover": N_("Hand over"),
    "feedback": N_("Note the person's own word"),
    "close": N_("Close"),
    "reopen": N_("Open again"),
}

SAID: Final = {
    "done": N_("It is written down."),
    "claimed": N_("It is yours now."),
    "ended": N_("That is done."),
    "waits": N_("A supervisor must agree before it is closed."),
    "asked": N_("The question waits behind the secret number."),
    "flagged": N_("Nobody opens it any more; a supervisor decides."),
    "original": N_("Another person must ask for it too."),
}

CODES: Final = {
    # findings, risks
    "substantiated": N_("It is so"),
    "not_substantiated": N_("It is not so"),
    "unknown": N_("Not known"),
    "high": N_("High"),
    "medium": N_("Medium"),
    "low": N_("Low"),
    # means
    "visit": N_("A visit"),
    "phone": N_("By phone"),
    "in_person": N_("In person"),
    "sms": N_("SMS"),
    "online": N_("Online"),
    "letter": N_("By letter"),
    "through_someone": N_("Through somebody"),
    # results of a contact
    "reached": N_("Reached"),
    "no_answer": N_("No answer"),
    "refused": N_("Did not want to"),
    "wrong_person": N_("Somebody else answered"),
    "unsafe": N_("Not safe to speak"),
    "not_found": N_("Not found"),
    "message_left": N_("A word was left"),
    # who
    "person": N_("The person"),
    "caregiver": N_("Whoever cares for the person"),
    "reporter": N_("Whoever reported"),
    "other": N_("Somebody else"),
    "third_party": N_("A third person"),
    "decision_body": N_("A body that decides"),
    "alleged": N_("Said to do the harm"),
    # how
    "spoken": N_("Spoken"),
    "written": N_("Written"),
    "thumbprint": N_("Thumbprint"),
    "recorded": N_("Recorded"),
    # consent
    "given": N_("Given"),
    "changed": N_("Changed"),
    "withdrawn": N_("Taken back"),
    "expired": N_("Ended by itself"),
    "current": N_("Holds"),
    "consent": N_("Agreed"),
    "assent_and_caregiver": N_("The child and whoever cares for it"),
    "assent_and_trusted_adult": N_("The child and an adult it trusts"),
    "best_interest": N_("In the best interest of the child"),
    "legal_duty": N_("A duty by law"),
    "none": N_("No"),
    "probation_officer": N_("Probation officer"),
    "child_welfare_board": N_("Child Welfare Board"),
    "court": N_("Court"),
    # closing, opening again
    "goals_met_and_safe": N_("The goals are met and the person is safe"),
    "person_declined": N_("The person does not want it"),
    "turned_18_handed_over": N_("Turned 18 and was handed over"),
    "handed_over": N_("Handed over"),
    "could_not_be_found": N_("Could not be found"),
    "duplicate": N_("The same as another"),
    "died": N_("The person died"),
    "entered_in_error": N_("Entered by mistake"),
    "new_incident": N_("It happened again"),
    "returned_to_harm": N_("Back where the harm is"),
    "new_information": N_("There is something new"),
    # links
    "same_person": N_("The same person"),
    "same_incident": N_("The same incident"),
    "same_household": N_("The same household"),
    # state of a case
    "submitted": N_("Just came"),
    "open": N_("Open"),
    "review_due": N_("To be reviewed"),
    "closed": N_("Closed"),
    "erased": N_("Erased"),
    # what a committee member is asked for
    "accompany": N_("To go with the person"),
    "confirm_arrival": N_("To see that the person arrived"),
    "leave_message": N_("To leave a word"),
    # answers, attachments
    "yes": N_("Yes"),
    "no": N_("No"),
    "unsure": N_("I don't know"),
    "offered": N_("Offered"),
    "accepted": N_("Taken over"),
    "declined": N_("Not taken over"),
    "image": N_("Picture"),
    "audio": N_("Voice note"),
    "video": N_("Video"),
    "kept": N_("Kept"),
    "flagged": N_("Closed"),
    # what was said behind a receipt
    "question": N_("A question of ours"),
    "words": N_("Words of the reporter"),
    "end": N_("We said that it has ended for now"),
    # falls due
    "case-follow-up": N_("Ask how the person is"),
    "case-review": N_("Review of three months"),
    "case-check": N_("A look after the end"),
    "case-debrief": N_("Talk with whoever took the danger"),
    "case-page": N_("Page the next on duty"),
    # ways of a page
    "desk": N_("Looks at the desk"),
    "call": N_("By a call"),
    "push": N_("On their device"),
    # about whom
    "service": N_("The help"),
    "staff": N_("Somebody who works there"),
    "committee": N_("The committee"),
    "us": N_("Us"),
    "people": N_("Persons"),
    "place": N_("A place"),
    # calls
    "report": N_("A report"),
    "silent": N_("Silent"),
    "prank": N_("A joke"),
    "test": N_("A trial"),
    "hang_up": N_("Hung up"),
    "wrong_number": N_("Wrong number"),
    "calm": N_("Calm"),
    "distressed": N_("Upset"),
    "in_danger": N_("In danger now"),
    "child_alone": N_("A child alone"),
}

DETAILS: Final = {
    text: text
    for text in (
        N_("the case is about a place: split it when persons are known"),
        N_("the case has no worker yet"),
        N_("the risk was not assessed yet"),
        N_("worker and supervisor are two persons"),
        N_("this person cannot have the case"),
        N_("this person cannot visit"),
        N_("a goal is due before today"),
        N_("a caregiver is alleged: nothing is agreed with one"),
        N_("the case is not open"),
        N_("the case is not closed"),
        N_("expected back in the past"),
        N_("they are linked already"),
        N_("it is offered or handed over already"),
        N_("they cannot have the case"),
        N_("it was not offered to them"),
        N_("too many heavy cases for one person: a supervisor can say why it is to be"),
        N_("another supervisor must enter you"),
        N_("another person took this step: read it and name its version in If-Match"),
        N_("the call has ended"),
        N_("a later save is stored"),
        N_("Wait an hour, then try again"),
        N_("Wait a minute, then try again"),
    )
}
"""What the interface says of a refusal, as far as the desk says it in both languages."""
