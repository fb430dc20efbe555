"""What the interface says of a refusal, as far as the desk says it in both languages."""

from __future__ import annotations

from typing import Final

from shared.pages.words import N_

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
