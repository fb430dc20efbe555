"""What the committee's page says while it works, in English; `locale/bn.po` has the Bangla."""

from __future__ import annotations

from typing import Final

from shared.pages.words import N_

WORDS: Final = {
    "working": N_("One moment …"),
    "sending": N_("Sending …"),
    "sent": N_("Sent."),
    "some-came-back": N_("Something came back: look at it below."),
    "nothing-waits": N_("Nothing waits to be sent."),
    "kept": N_("Kept on this phone, locked."),
    "no-network": N_("The centre cannot be reached now. What you wrote stays here and goes later."),
    "not-sent": N_("That did not work. What you wrote stays here; try again later."),
    "not-kept": N_("This page could not be kept for when there is no network."),
    "sign-in-first": N_("Sign in first: then what waits is sent."),
    "locked-offline": N_("Unlocking needs the network. You can still write a report."),
    "pins-differ": N_("The two PINs are not the same."),
    "wrong-pin": N_("That PIN is wrong. Tries left: {n}"),
    "phone-ended": N_(
        "This phone can no longer open what lies here. Everything that waits is still sent."
        " Choose a new PIN."
    ),
    "begun": N_("This phone is ready, also without a network."),
    "not-readable": N_(
        "This was written with an earlier PIN and cannot be read here. It is still sent."
    ),
    "answered": N_("Thank you. The coordinator sees it."),
    "removed": N_("Everything was removed from this phone."),
    "report": N_("Report"),
    "addition": N_("Addition"),
    "read": N_("Read or change"),
    "discard": N_("Remove from the phone"),
    "add-more": N_("Add something"),
    "state-waiting": N_("Waits to be sent"),
    "state-refused": N_("Came back: look at it"),
    "result-stored": N_("Arrived"),
    "result-repeated": N_("Had arrived before"),
    "receipt-locked": N_("Unlock to see its secret number."),
    "receipt-once": N_("The secret number, shown only now. Give it to the person if that is safe."),
    "decide-version": N_(
        "Something was added to this report while you were away. Both are kept, and a"
        " coordinator puts them together."
    ),
    "decide-risk": N_("What you said about danger is before a coordinator: a person decides it."),
    "decide-place": N_("The new place is before a coordinator: a person decides it."),
    "decide-safe_contact": N_("The new contact is before a coordinator: a person decides it."),
    "why-no own report has this id": N_("The centre does not know the report that this adds to."),
    "why-this id had another content": N_(
        "An earlier version had already arrived. Add to that report instead."
    ),
    "why-wrong-key": N_(
        "It was locked with a key that the centre no longer has. Open and keep it again."
    ),
    "why-other": N_(
        "The centre could not take it as it is. Open it and look again, or ask a coordinator."
    ),
    "case-open": N_("With the centre"),
    "case-closed": N_("Ended"),
    "task-accompany": N_("Go along with somebody"),
    "task-confirm_arrival": N_("See whether somebody arrived"),
    "task-leave_message": N_("Leave a message"),
    "outcome-done": N_("Done"),
    "outcome-could_not": N_("I could not"),
    "outcome-not_safe": N_("It was not safe"),
    "module-kept": N_("Kept. It is looked at when there is a network."),
    "module-passed": N_("Passed."),
    "module-again": N_("{n} were not right; beside them stands why. Answer again."),
    "talk-kept": N_("Kept. It is counted when there is a network."),
    "talk-counted": N_("Counted. Thank you."),
    "talk-refused": N_("The centre could not count it like this. Look at it and keep it again."),
    "talk-no-place": N_("The centre does not know your upazila. Tell the coordinator the count."),
    "ask-discard": N_("Remove this from the phone? The centre does not have it."),
    "ask-remove": N_("Remove everything from this phone?"),
    "ask-remove-unsent": N_(
        "{n} have NOT reached the centre and would be lost. Remove them anyway?"
    ),
}
"""Names that the scripts know, and their texts; `{n}` is a number."""

LESSONS: Final = (
    (
        N_("When somebody tells you"),
        (
            N_("Listen. Believe. Do not ask for details: that is for people who learned it."),
            N_("Say: it is not your fault. It is good that you told me."),
            N_(
                "Promise nothing that you cannot keep. Say what you will do next, and do only that."
            ),
        ),
    ),
    (
        N_("Keep it safe"),
        (
            N_("Never call or visit unless the person said that it is safe."),
            N_("Tell nobody else: no neighbour, no chairman, no other member."),
            N_("Take no pictures of the person. Write no names on paper."),
        ),
    ),
    (
        N_("A child is never to blame"),
        (
            N_("A child cannot agree to be sold, used for sex, or made to do dangerous work."),
            N_("Do not bring the child back to whoever may have harmed it, not even to talk."),
            N_("In danger now: call 999 or 1098, then report here."),
        ),
    ),
    (
        N_("Look after yourself"),
        (
            N_("Do not go alone. Tell somebody when you will be back."),
            N_("You may say no to any task. It is not held against you."),
            N_("If what you hear stays with you, speak to your coordinator."),
        ),
    ),
)
"""Short lessons: a heading, and what to remember."""

CONCERNS: Final = (
    *("child_trafficking", "missing_child", "child_sexual_exploitation", "child_sexual_abuse"),
    *("hazardous_child_labour", "child_labour", "child_marriage", "adult_trafficking"),
    *("forced_labour", "unsafe_migration", "physical_violence", "other"),
)
"""What the form offers, of the vocabulary."""
