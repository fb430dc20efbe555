"""What the page of a case shows, collected from the interface as whoever looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.intake.pages.desk.frame import short_of
from shared.inside import Refused
from shared.pages.languages import show_place
from shared.pages.refusals import pass_on
from shared.pages.words import N_

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from starlette.requests import Request

    from services.intake.pages.desk.frame import Frame
    from shared.pages.languages import Language

LOOKS: Final = {"persons": "who", "notes": "line-head", "messages": "said"}
"""What stays closed until somebody asks to see it, and where on the page it stands."""

_SHOWN: Final = {
    "name": N_("Name"),
    "phone": N_("Number"),
    "age": N_("Age"),
    "sex": N_("Girl or boy, woman or man"),
    "places": N_("Where"),
    "relation_to_reporter": N_("To whoever reported"),
    "narrative": N_("In their words"),
    "safe_contact": N_("How to be in contact"),
    "support": N_("What the person needs to be served"),
    "relation": N_("To the person"),
    "office": N_("Office"),
    "kind": N_("Who it is"),
}
"""What is shown of somebody who is opened, in this order."""

_GROUPS: Final = (
    ("persons", N_("The person")),
    ("reporter", N_("Whoever reported")),
    ("alleged", N_("Said to do the harm")),
)

_PLAIN: Final = ("erased", "closed")


class CaseView:
    """Collects a case; `opened` has what somebody asked to see."""

    def __init__(self, frame: Frame, request: Request, case_id: UUID) -> None:
        """Take the page's frame, who asks, and which case."""
        self._inside = frame.inside(request)
        self._request = request
        self._case_id = case_id
        self._at = f"/intake/v1/cases/{case_id}"
        self._language = frame.pages.language(request)

    async def get(self, path: str, **query: Any) -> Any:  # noqa: ANN401
        """Read from the interface; a refusal is the page's.

        Raises:
            NotFound, Unauthenticated, StepUpNeeded, Forbidden, Unavailable: see `pass_on`.

        """
        try:
            return await self._inside.get(self._request, path, **query)
        except Refused as refused:
            pass_on(refused)
            raise

    async def case(self) -> dict[str, Any]:
        """Return the coarse facts. Raises as `get`."""
        found: dict[str, Any] = await self.get(self._at)
        return found

    async def show(self) -> dict[str, Any]:
        """Return what the page shows to everybody who reaches the case. Raises as `get`."""
        case = await self.case()
        if case["facts"] is None:
            return {"case": case}
        work = await self.get(f"{self._at}/work")
        tasks = (await self.get("/intake/v1/tasks", case_id=str(self._case_id)))["items"]
        steps = list(reversed(work["steps"]))
        back = {s["detail"].get("visit") for s in steps if s["kind"] == "visit-back"}
        return {
            "case": case,
            "short": short_of(self._case_id),
            "tasks": tasks,
            "steps": steps,
            "due": work["due"],
            "previous": work["previous"],
            "has_notes": any(step["has_note"] for step in steps),
            "visits": [s for s in steps if s["kind"] == "visit" and s["step_id"] not in back],
            "verbs": verbs_of(case, work["next"], {task["kind"] for task in tasks}),
            "consents": (await self.get(f"{self._at}/consent"))["items"],
            "documents": await self._documents(),
            "team": await self._team(case),
            "instruments": (await self.get("/intake/v1/risk-instruments"))["items"],
        } | dict.fromkeys(LOOKS)

    async def _documents(self) -> Sequence[dict[str, Any]]:
        """Return what came with the report; nothing where another of its cases is not reached."""
        try:
            found = await self._inside.get(self._request, f"{self._at}/attachments")
        except Refused:
            return ()
        return list(found["items"])

    async def _team(self, case: dict[str, Any]) -> list[str]:
        """Return pseudonyms of the centre that a form proposes."""
        loads = (await self.get("/intake/v1/caseload"))["items"]
        duty = (await self.get("/intake/v1/duty"))["items"]
        work = case["facts"]["work"]
        known = [work["worker"], work["supervisor"], *(one["who"] for one in loads)]
        known += [one["person"].rpartition(":")[2] for one in duty]
        return [name for name in dict.fromkeys(known) if name]

    async def look(self, what: str, reason: str, also: Sequence[str]) -> Any:  # noqa: ANN401
        """Open what is closed: who it is, the notes, what was said.

        Raises:
            Refused: the interface says no, and the page can say so. Others as `get`.

        """
        match what:
            case "persons":
                told = await self._ask(f"{self._at}/persons", reason=reason, also=list(also))
                return _people(told, also, self._language)
            case "notes":
                told = await self._ask(f"{self._at}/notes", reason=reason)
                return {one["step_id"]: one["said"] for one in told["items"]}
            case _:
                case = await self.case()
                path = f"/intake/v1/submissions/{case['submission_id']}/messages"
                return (await self._ask(path, reason=reason))["items"]

    async def _ask(self, path: str, **query: Any) -> Any:  # noqa: ANN401
        try:
            return await self._inside.get(self._request, path, **query)
        except Refused as refused:
            pass_on(refused)
            raise


def verbs_of(case: dict[str, Any], following: Sequence[str], waiting: set[str]) -> list[str]:
    """Return what may be done with a case now, most wanted first."""
    facts = case["facts"]
    if case["status"] in _PLAIN:
        return [verb for verb in following if case["status"] == "closed"]
    more = ["triage", "notes", "visits", "committee-tasks", "handover", "feedback"]
    if facts["about"] == "person" and (facts["count"] > 1 or facts.get("count_max")):
        more.append("split")
    first = ["triage"] if "triage" in waiting or not facts["entitled"] else []
    last = ["close"] if "close" in following else []
    middle = [verb for verb in following if verb != "close"]
    return list(dict.fromkeys([*first, *middle, *more, *last]))


def _people(
    told: dict[str, Any], also: Sequence[str], language: Language
) -> list[tuple[str, list[Any]]]:
    shown = []
    for key, name in _GROUPS:
        if key == "persons" or key in also:
            found = told.get(key) or []
            people = found if isinstance(found, list) else [found]
            shown.append((name, [_terms(one, language) for one in people]))
    return shown


def _terms(person: dict[str, Any], language: Language) -> list[tuple[str, str]]:
    """Return what is known of somebody, as pairs of a name and a text."""
    known = {key: person[key] for key in _SHOWN if person.get(key)}
    if "places" in known:
        known["places"] = [
            ", ".join(filter(None, (one.get("text"), show_place(one.get("pcode"), language))))
            for one in known["places"]
        ]
    return [(_SHOWN[key], _said(value)) for key, value in known.items()]


def _said(value: Any) -> str:  # noqa: ANN401  (any JSON value)
    if isinstance(value, dict):
        parts = [
            f"{key.replace('_', ' ')}: {_said(one)}"
            for key, one in value.items()
            if one not in (None, [], "", False)
        ]
        return "; ".join(parts)
    if isinstance(value, list):
        return ", ".join(_said(one) for one in value)
    return str(value)
