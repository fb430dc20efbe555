"""What every page of the desk has: rooms, words, lists to choose from, the interface."""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from babel.dates import format_timedelta

from services.intake.casework.review import ClosingReason
from services.intake.pages.desk import names
from shared import places
from shared.clock import now
from shared.inside import Inside
from shared.pages.kept import Kept
from shared.pages.languages import digits, show_place
from shared.pages.pages import Pages
from shared.pages.words import KINDS, N_
from shared.settings import read_key
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from shared.access import Caller
    from shared.pages.languages import Language
    from shared.runtime import Service

HERE: Final = Path(__file__).parent
DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)
TAKES: Final = (Role.OPERATOR, *DESK)

MEANS: Final = ("phone", "visit", "in_person", "sms", "online", "letter", "through_someone")

REASONS: Final = {
    "triage": N_("to see what it is"),
    "contact": N_("to be in contact"),
    "safety": N_("for the person's safety"),
    "plan": N_("for the plan"),
    "referral": N_("for a place of help"),
    "consent": N_("to ask for a yes"),
    "review": N_("to review it"),
    "legal": N_("for a court"),
}
"""Why somebody of the desk reads what is closed."""

_UNDER: Final = (
    places.Level.DISTRICT,
    places.Level.UPAZILA,
    places.Level.CITY_CORPORATION,
    places.Level.THANA,
)


def make_frame(service: Service) -> Frame:
    """Make the frame of the desk's pages, with their texts and files."""
    settings = service.settings
    kept = Kept(read_key(settings, "signing.key"), settings.public_url)
    return Frame(Pages("intake", HERE), kept)


def short_of(case_id: object) -> str:
    """Return the short number of a case, as a page shows it and people say it."""
    text = str(case_id).upper()
    return f"{text[:4]} {text[4:8]}"


def moment(value: str | datetime) -> datetime:
    """Return a time of the interface."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


@cache
def place_options(language: Language) -> tuple[tuple[str, str], ...]:
    """Return districts and what lies in them, each with its district's name, in order of name."""
    found = []
    for place in places.all_places().values():
        if place.level in _UNDER:
            name = show_place(place.pcode, language)
            district = places.district_of(place.pcode)
            inside = (
                "" if district in (None, place.pcode) else f", {show_place(district, language)}"
            )
            found.append((place.pcode, name + inside))
    return tuple(sorted(found, key=lambda one: one[1]))


@cache
def district_options(language: Language) -> tuple[tuple[str, str], ...]:
    """Return the districts in order of name."""
    districts = [p for p in places.all_places().values() if p.level is places.Level.DISTRICT]
    return tuple(sorted(((p.pcode, show_place(p.pcode, language)) for p in districts), key=_named))


def _named(option: tuple[str, str]) -> str:
    return option[1]


class Frame:
    """Shows pages of the desk, and asks the interface for them."""

    def __init__(self, pages: Pages, kept: Kept) -> None:
        """Take the pages, and what keeps for the next of them what no address may hold."""
        self.pages = pages
        self.kept = kept

    @staticmethod
    def inside(request: Request) -> Inside:
        """Return the interface of this process."""
        return Inside(request.app)

    def words(
        self, request: Request, kind: str, codes: Iterable[str] = ()
    ) -> list[tuple[str, str]]:
        """Return codes of a kind (all when none are named) with their texts."""
        known = KINDS[kind]
        return [(code, self.pages.text(request, known[code])) for code in (codes or known)]

    def show(
        self,
        request: Request,
        name: str,
        caller: Caller,
        status: int = 200,
        **values: Any,  # noqa: ANN401  (a template's values)
    ) -> Response:
        """Render a page with what all of them have."""
        language = self.pages.language(request)

        def coded(codes: Iterable[str]) -> list[tuple[str, str]]:
            known: Mapping[str, str] = names.CODES
            return [(code, self.pages.text(request, known.get(code, code))) for code in codes]

        values = {
            "problem": None,
            "said": None,
            "filled": {},
            "filled_form": "",
            "short_of": short_of,
            "moment": moment,
            "day": date.fromisoformat,
            "names": names,
            "once": lambda: str(uuid4()),
            "coded": coded,
            "reasons": tuple(REASONS.items()),
            "rooms": rooms_of(caller),
            "ago": _ago(language),
            "come_back": page_of(request),
        } | values
        return self.pages.show(request, f"{name}.html", status, me=caller, caller=caller, **values)

    def lists(self, request: Request) -> dict[str, Any]:
        """Return what forms choose from."""
        language = self.pages.language(request)
        return {
            "concerns": self.words(request, "concern"),
            "needs": self.words(request, "need"),
            "urgencies": self.words(request, "urgency"),
            "sexes": self.words(request, "sex", ("female", "male", "hijra", "not_said")),
            "helped": self.words(request, "feedback"),
            "reporters": self.words(request, "reporter"),
            "places": place_options(language),
            "districts": district_options(language),
            "closings": [str(reason) for reason in ClosingReason],
            "means": MEANS,
        }


def page_of(request: Request) -> str:
    """Return where a page can be had again that answered a form; empty where it has an address."""
    if request.method != "POST":
        return ""
    _, _, room, *more = request.url.path.split("/")
    if room == "cases" and more:
        below = "/erasure" if more[-1] in ("erase", "hold", "lift") else ""
        return f"/desk/cases/{more[0]}{below}"
    return "/desk" if room == "tasks" else f"/desk/{room}"


def _ago(language: Language) -> Callable[[datetime], str]:
    at = now()

    def ago(value: datetime) -> str:
        """Return how long ago it was, in one unit."""
        return digits(
            format_timedelta(at - value, locale=language, threshold=1.2, format="long"), language
        )

    return ago


def rooms_of(caller: Caller) -> list[tuple[str, str]]:
    """Return the rooms of the desk for a role: address and name."""
    call = [("/desk/calls", N_("A call"))]
    if caller.role not in DESK:
        return [*call, ("/desk/calls/mine", N_("My calls"))]
    return [
        ("/desk", N_("What waits")),
        ("/desk/search", N_("Search")),
        *call,
        ("/referral/pages/places", N_("Free places")),
        ("/desk/team", N_("Team")),
        ("/figures/running", N_("Figures")),
    ]
