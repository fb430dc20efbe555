"""Bodies of the directory's interface, checked before anything is touched."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from services.referral.calendars import check_schedule
from shared.bodies import Model
from shared.vocabulary import Enrolment, Need, Reach, Sex, Support

Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")]
Text = Annotated[str, Field(max_length=300)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]
Age = Annotated[int, Field(ge=0, le=120, strict=True)]
Places = Annotated[int, Field(ge=0, le=100_000, strict=True)]


def _known_schedule(schedule: str) -> str:
    check_schedule(schedule)
    return schedule


Schedule = Annotated[str, Field(max_length=300), AfterValidator(_known_schedule)]


class ProviderIn(Model):
    """A body that gives services."""

    kind: Kind
    kinds: list[Kind] = Field([], max_length=10)
    name_en: Text
    name_bn: Text
    note: Text = ""


class OfferIn(Model):
    """What a provider offers, where, for whom; null is unknown."""

    provider_id: Key
    needs: list[Need] = Field(min_length=1, max_length=28)
    area_level: Literal[
        "country", "division", "district", "city_corporation", "upazila", "metro_thana", "union"
    ]
    area_pcode: str = Field(max_length=20)
    min_age: Age | None = None
    max_age: Age | None = None
    sex: Literal["any", "female", "male"] = "any"
    hours: Text = ""
    note: Text = ""
    enrolment: Enrolment = Enrolment.LISTED
    reach: Reach = Reach.NONE
    mode: Literal["in_person", "phone", "online"] = "in_person"
    languages: list[Language] = Field([], max_length=30)
    accepting: bool = True
    serves_hijra: bool | None = None
    accepts_children: bool | None = None
    max_boy_age_with_mother: Age | None = None
    step_free: bool | None = None
    sign_language: bool | None = None
    court_order: bool = False
    schedules: list[Schedule] = Field([], max_length=20)
    latitude: float | None = Field(None, ge=-90, le=90, allow_inf_nan=False)
    longitude: float | None = Field(None, ge=-180, le=180, allow_inf_nan=False)
    trained_until: date | None = None
    accredited_until: date | None = None
    places_total: Places | None = None
    places_free: Places | None = None


class CapacityIn(Model):
    """How many places are free now, and how many there are; null is unknown."""

    places_free: Places | None
    places_total: Places | None = None


class PreviewIn(Model):
    """A case that is, or facts as they might be; nothing is changed."""

    need: Need
    case_id: UUID | None = None
    place: str | None = Field(None, max_length=20)
    age: Age | None = None
    sex: Sex = Sex.UNKNOWN
    places_needed: int = Field(1, ge=1, le=100, strict=True)
    excluded: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=50)
    languages: list[Language] = Field([], max_length=30)
    support: list[Support] = Field([], max_length=20)
    boys_with: list[Age] = Field([], max_length=20)
    policy: dict[str, Any] | None = None


class ReplayIn(Model):
    """A policy, as a period of `routing.toml` has it, to try on the last days; none: today's."""

    days: int = Field(30, ge=1, le=3660, strict=True)
    need: Need | None = None
    policy: dict[str, Any] | None = None
    lines: Literal["changed", "all", "none"] = "changed"


class KeyIn(Model):
    """A provider's key in a path."""

    key: Key
