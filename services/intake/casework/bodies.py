"""The bodies of the steps, as the interface takes them; free texts are sealed with the person."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from services.intake.casework.course import Finding, Reopening
from services.intake.casework.risk import Risk
from services.intake.report import Age, Lang, SafeContact, Short, Text
from shared.bodies import Model
from shared.text import ascii_digits
from shared.vocabulary import Need, Sex

Pseudonym = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.-]{1,80}$")]


def _in_ascii_digits(value: object) -> object:
    return ascii_digits(value) if isinstance(value, str) else value


Key = Annotated[
    str, BeforeValidator(_in_ascii_digits), Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")
]
"""The key of a centre; a helpline's is its number, in the digits of any script."""

Means = Literal["visit", "phone", "in_person", "sms", "online", "letter", "through_someone"]


class AssignIn(Model):
    """Who works on a case and who looks after that, as pseudonyms.

    `reason`: why a supervisor gives a worker more heavy cases than the rules let.
    """

    worker: Pseudonym
    supervisor: Pseudonym
    reason: Text | None = None


class VerifyIn(Model):
    """What verifying found."""

    finding: Finding
    means: Means
    text: Text | None = None


class AssessIn(Model):
    """Answers to the questions of an instrument; `risk` if a person sets it otherwise."""

    instrument: Key
    answers: dict[Key, Literal["yes", "no", "unknown"]] = Field({}, max_length=50)
    risk: Risk | None = None
    reason: Text | None = None


class SafetyPlanIn(Model):
    """What the person does, and whom they go to, when it becomes dangerous."""

    text: Annotated[Text, Field(min_length=1)]


class GoalIn(Model):
    """One goal: for which need, in which words, who does it and by when."""

    need: Need
    who: Pseudonym
    by: date
    text: Text | None = None


class PlanIn(Model):
    """A plan and who agreed to it; a plan that nobody agreed to is none."""

    goals: list[GoalIn] = Field(min_length=1, max_length=50)
    agreed_by: Literal["person", "caregiver", "decision_body"]
    how: Literal["spoken", "written", "thumbprint", "recorded"]


class ContactIn(Model):
    """One attempt to be in contact."""

    means: Means
    result: Literal[
        "reached", "no_answer", "refused", "wrong_person", "unsafe", "not_found", "message_left"
    ]
    with_: Literal["person", "caregiver", "reporter", "other"] = Field("person", alias="with")
    text: Text | None = None


class NoteIn(Model):
    """What somebody of the centre wants to remember; it is sealed with the person."""

    text: Annotated[Text, Field(min_length=1)]


class ReopenIn(Model):
    """Why a closed case is open again."""

    reason: Reopening
    text: Text | None = None


class FoundIn(Model):
    """A person who became known, in a split; `household` is a label of those who stay together."""

    name: Short | None = None
    phone: Short | None = None
    age: Age | None = None
    sex: Sex = Sex.UNKNOWN
    languages: list[Lang] = Field([], max_length=50)
    support: list[Short] = Field([], max_length=50)
    needs: list[Need] = Field([], max_length=50)
    household: Annotated[str, Field(max_length=40)] | None = None
    keep_together: bool = False
    relation_to_reporter: Short | None = None
    lives_with_alleged: Literal["yes", "no", "unsure"] | None = None
    safe_contact: SafeContact | None = None


class SplitIn(Model):
    """The persons of a report who get a case each."""

    persons: list[FoundIn] = Field(min_length=1, max_length=50)
    keep_together: bool = False


class LinkIn(Model):
    """The other case, and in what they belong together."""

    case_id: UUID
    kind: Literal["same_person", "same_incident", "same_household"] = "same_incident"


class UnlinkIn(Model):
    """The case that it no longer belongs together with."""

    case_id: UUID


class HandoverIn(Model):
    """An offer to a centre or helpline by its key, or the answer that came from there."""

    to: Key
    answer: Literal["accepted", "declined"] | None = None
    by: Pseudonym | None = None
    reference: Short | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.answer is not None and self.by is None:
            message = "who answered"
            raise ValueError(message)
        return self


class SaidIn(Model):
    """The person's own word about the help, as somebody heard it."""

    helped: Literal["yes", "partly", "no", "harmed"]
    about: Literal["service", "staff", "committee", "us"] | None = None
    text: Text | None = None


class VisitIn(Model):
    """Who goes on a visit and when they are expected back."""

    who: Pseudonym
    expected_back: AwareDatetime


class BackIn(Model):
    """Which visit has ended."""

    visit_id: UUID
