"""The body of a report, as the interface takes it: what is missing is unknown, never guessed.

Limits: ages 0–120 whole years, texts as noted per field, lists of at most 50 entries.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from services.intake.naming import provider_key
from shared import places
from shared.bodies import Model, many
from shared.text import normalise
from shared.vocabulary import Channel, Concern, Need, ReporterKind, Sex

Short = Annotated[str, Field(max_length=200), AfterValidator(normalise)]
Text = Annotated[str, Field(max_length=50_000), AfterValidator(normalise)]
Tri = Literal["yes", "no", "unsure"]
MAX_LIST = 50


def _known_place(pcode: str) -> str:
    if places.find(pcode) is None:
        message = "unknown place"
        raise ValueError(message)
    return pcode


def _a_key(said: str) -> str:
    if provider_key(said) != said:
        message = "no key of a provider"
        raise ValueError(message)
    return said


ProviderKey = Annotated[str, Field(max_length=100), AfterValidator(_a_key)]
"""A provider's key, or a kind, as staff name it; a report may say anything, which is sealed."""

Pcode = Annotated[str, Field(max_length=20), AfterValidator(_known_place)]
Ref = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,20}$")]
Lang = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class SafeContact(Model):
    """When and how one person's phone may be used; the default is never."""

    allowed: bool = False
    channel: Short | None = None
    number: Short | None = None
    days: list[Literal["mo", "tu", "we", "th", "fr", "sa", "su"]] = many(7)
    hours: list[Short] = many(14)
    ask_for: Short | None = None
    say_we_are: Short | None = None
    safe_word: Short | None = None
    voicemail: bool = False
    shared_phone: bool | None = None
    valid_until: datetime | None = None


class Reporter(Model):
    """Who reports; `identity` says whether others may learn it."""

    kind: ReporterKind = ReporterKind.UNKNOWN
    identity: Literal["hidden", "shared", "anonymous"] = "hidden"
    name: Short | None = None
    phone: Short | None = None
    safe_contact: SafeContact = Field(default_factory=SafeContact)


class Age(Model):
    """An age range in whole years, and how it is known."""

    min: int | None = Field(None, ge=0, le=120, strict=True)
    max: int | None = Field(None, ge=0, le=120, strict=True)
    basis: Literal["stated", "document", "estimated", "assessed"] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Age:
        if self.min is not None and self.max is not None and self.min > self.max:
            message = "min is above max"
            raise ValueError(message)
        return self


class With(Model):
    """Somebody who belongs to this person."""

    ref: Ref
    as_: Short | None = Field(None, alias="as")
    keep_together: bool = False


class PersonIn(Model):
    """A person of the report."""

    ref: Ref | None = None
    role: Literal["at_risk", "accompanying"] = "at_risk"
    count: int = Field(1, ge=1, le=1000, strict=True)
    count_max: int | None = Field(None, ge=1, le=1000, strict=True)
    name: Short | None = None
    phone: Short | None = None
    age: Age | None = None
    sex: Sex = Sex.UNKNOWN
    languages: list[Lang] = many(MAX_LIST)
    support: list[Short] = many(MAX_LIST)
    relation_to_reporter: Short | None = None
    aware_of_report: Tri | None = None
    lives_with_alleged: Tri | None = None
    with_: list[With] = Field(
        default_factory=list,
        alias="with",
        max_length=MAX_LIST,
        json_schema_extra={"default": []},
    )
    safe_contact: SafeContact | None = None

    @model_validator(mode="after")
    def _counted(self) -> PersonIn:
        if self.count_max is not None and self.count_max < self.count:
            message = "count_max is below count"
            raise ValueError(message)
        return self


class AllegedIn(Model):
    """Who is said to do the harm; sealed, never in events."""

    relation: Short | None = None
    office: Short | None = None
    provider_id: Annotated[str, Field(max_length=100)] | None = None
    name: Short | None = None
    near_person: bool | None = None


class Exclude(Model):
    """Who must not hear of it."""

    providers: list[Annotated[str, Field(max_length=100)]] = many(MAX_LIST)
    kinds: list[Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]] = many(MAX_LIST)
    area: Pcode | None = None


class PlaceIn(Model):
    """A place with its role; the text is sealed, the code is coarse."""

    role: Literal["event", "now", "home", "last_seen", "destination"] = "event"
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "BD"
    pcode: Pcode | None = None
    site: Short | None = None
    text: Annotated[str, Field(max_length=2000), AfterValidator(normalise)] | None = None
    confirmed: bool = False


class Happened(Model):
    """When it happened, as far as known."""

    from_: datetime | None = Field(None, alias="from")
    to: datetime | None = None
    precision: Short | None = None
    ongoing: Tri | None = None


class Told(Model):
    """Who was told before."""

    who: Short
    reference: Short | None = None
    when: datetime | None = None


class ConsentIn(Model):
    """One consent, as it was given."""

    person: Ref | None = None
    given_by: Literal["person", "caregiver", "third_party", "decision_body"] = "third_party"
    giver_relation: Short | None = None
    how: Literal["spoken", "written", "thumbprint", "recorded"] | None = None
    witness: Short | None = None
    recorded_by: Short | None = None
    explained: bool = False
    allows: list[Literal["refer", "share_identity", "contact"]] = many(10)
    purposes: list[Need] = many(MAX_LIST)
    providers: list[Annotated[str, Field(max_length=100)]] = many(MAX_LIST)
    fields: list[Short] | None = Field(None, max_length=MAX_LIST)
    basis: Literal[
        "consent",
        "assent_and_caregiver",
        "assent_and_trusted_adult",
        "best_interest",
        "legal_duty",
        "none",
    ] = "none"
    at: datetime | None = None
    expires_at: datetime | None = None


class ExternalRef(Model):
    """A reference in another system, such as an NRM number."""

    system: Annotated[str, Field(pattern=r"^[a-z0-9_.-]{1,40}$")]
    value: Short


class ReportIn(Model):
    """The whole body of `POST /intake/v1/reports`; only `channel` must be there."""

    channel: Channel
    language: Lang | None = None
    about: Literal["people", "place", "service_wanted", "unsure"] = "unsure"
    device_time: datetime | None = None
    observed_at: datetime | None = None
    reporter: Reporter = Field(default_factory=Reporter)
    persons: list[PersonIn] = many(MAX_LIST)
    alleged: list[AllegedIn] = many(MAX_LIST)
    exclude: Exclude = Field(default_factory=Exclude)
    places: list[PlaceIn] = many(MAX_LIST)
    happened: Happened = Happened()
    danger_now: bool | None = None
    concerns: list[Concern] = many(MAX_LIST)
    needs: list[Need] = many(MAX_LIST)
    told_before: list[Told] = many(MAX_LIST)
    missing: dict[str, Any] | None = None
    narrative: Text | None = None
    consent: list[ConsentIn] = many(MAX_LIST)
    external_refs: list[ExternalRef] = many(MAX_LIST)
    test: bool = False
