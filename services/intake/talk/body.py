"""Makes a report of a conversation's answers, purely; what was not said stays unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.intake.talk.engine import RECORDED, UNSAID, UNSURE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.intake.talk.definition import Definition, Question
    from services.intake.talk.engine import Talk


def report_of(
    talk: Talk, definition: Definition, *, channel: str, phone: str | None, pcode: str | None
) -> dict[str, Any]:
    """Return the body of a report; `pcode` is the place that the answer names, if it names one."""
    given = {name: said for name, said in talk.given.items() if said not in (UNSURE, UNSAID)}
    report: dict[str, Any] = {
        "channel": channel,
        "language": talk.language,
        "reporter": {"kind": given.get("reporter", "unknown"), "phone": phone},
        "external_refs": [{"system": "media", "value": url} for url in recordings_of(talk)],
    }
    if given.get("call_back") == "yes":
        report["reporter"]["safe_contact"] = {"allowed": True, "channel": "call"}
    if "danger_now" in given:
        report["danger_now"] = given["danger_now"] == "yes"
    if "age" in given:
        low, _, high = given["age"].partition("-")
        age = {"min": int(low), "max": int(high) if high else None, "basis": "stated"}
        report["persons"] = [{"ref": "a", "age": age}]
    if given.get("reporter") or "age" in given:
        report["about"] = "people"
    if (place := given.get("place")) and not place.startswith(RECORDED):
        report["places"] = [{"role": "now", "text": place[:2000], "pcode": pcode}]
    if words := words_of(talk, definition):
        report["narrative"] = words
    return report


def words_of(talk: Talk, definition: Definition) -> str | None:
    """Return what was said in own words: to the open question, beside questions, and to notes."""
    said = [*talk.said]
    if talk.given.get("words") not in (None, UNSURE, UNSAID):
        said.append(talk.given["words"])
    for question in definition.question:
        answer = talk.given.get(question.id, UNSAID)
        if question.fills == "note" and answer not in (UNSURE, UNSAID):
            told = next(
                (a.of(talk.language) for a in question.answers if a.value == answer), answer
            )
            said.append(f"{question.of(talk.language)} {told}")
    return "\n".join(s for s in said if s and not s.startswith(RECORDED)) or None


def _told(question: Question, answer: str, language: str) -> str:
    """Return a question and its answer as the desk reads them."""
    said = next((a.of(language) for a in question.answers if a.value == answer), answer)
    return f"{question.of(language)} {said}"


def recordings_of(talk: Talk) -> list[str]:
    """Return the addresses of what was recorded instead of written."""
    said: Iterable[str] = (*talk.given.values(), *talk.said)
    return [s.removeprefix(RECORDED)[:200] for s in said if s.startswith(RECORDED)]


def further_words(talk: Talk, before: Talk, definition: Definition) -> str | None:
    """Return, for the desk, what a conversation says beyond what was stored of it before."""
    lines = []
    for question in definition.question:
        key = question.id if question.fills == "note" else question.fills
        answer = talk.given.get(key)
        if answer is None or answer == before.given.get(key) or answer in (UNSURE, UNSAID):
            continue
        lines.append(_told(question, answer, talk.language))
    lines += talk.said[len(before.said) :]
    return "\n".join(lines) or None
