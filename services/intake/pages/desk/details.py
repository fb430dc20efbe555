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
        N_("they are linked or merged: take that back first"),
        N_("one of them is merged already: take that back first"),
        N_("it was merged: the other case is worked on"),
        N_("a place is not a person: link them"),
        N_("nobody agreed that they learn who this is"),
        N_("offer the case to them first"),
        N_("there is no way set up to give it to them"),
        N_("find out first whether the reporter could be the danger"),
        N_("a supervisor decides this"),
        N_("the line is for children"),
        N_("the police still look for the child: take the notice down first"),
    )
}
"""What the interface says of a refusal, as far as the desk says it in both languages."""
