"""Explanations of routing, purely: what is stored with a decision, read out, or decided again.

An explanation is complete: each offer considered stands in it once, with `in` or the rules that put
it out. Its `version` names the policy; the measures of those that are in (or would be, with places)
are kept, so that the winner follows from the stored lines alone, under this policy or another. A
conflict is told, last in the list, and not with whom.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.referral.eligibility import CONFLICT, IN, NO_PLACE, OPEN_TO_PERSONS
from services.referral.ranking import Measures, Policy, points, tie, total
from shared.pages.languages import digits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.referral.eligibility import Question
    from services.referral.routing import Considered, Decision
    from shared.pages.languages import Language

_WORDS: Final = Path(__file__).parent / "data" / "reasons.toml"
LANGUAGES: Final[tuple[Language, ...]] = ("bn", "en")


def explain(decision: Decision, question: Question, at: datetime) -> dict[str, Any]:
    """Return the explanation that is stored and read: facts, verdicts and the ranking.

    Ids and coarse facts only. `beyond` are offers that only their area puts out, nearest first.
    """
    chosen, suggested = decision.chosen, decision.suggested
    return {
        "version": decision.policy.version,
        "at": at,
        "need": question.need,
        "facts": {
            "areas": list(question.areas),
            "place_known": question.place_known,
            "age": question.age,
            "sex": question.sex,
            "places_needed": question.places_needed,
            "agreed_providers": None if question.agreed is None else sorted(question.agreed),
            "languages": sorted(question.languages),
            "support": sorted(question.support),
            "boys": sorted(question.boys),
        },
        "considered": [
            _line(c, decision.policy)
            for c in sorted(decision.considered, key=lambda c: (c.verdict == CONFLICT, bool(c.out)))
        ],
        "ranking": [offer.offer_id for offer in decision.ranking],
        "beyond": [offer.offer_id for offer in decision.beyond],
        "chosen": chosen.offer_id if chosen else None,
        "suggested": suggested.offer_id if suggested else None,
        "open_to_persons": decision.open_to_persons,
    }


def _line(considered: Considered, policy: Policy) -> dict[str, Any]:
    offer = considered.offer
    if considered.verdict == CONFLICT:
        return {"verdict": CONFLICT}
    line: dict[str, Any] = {
        "offer_id": offer.offer_id,
        "provider_id": offer.provider_id,
        "area_level": offer.area_level,
        "area_pcode": offer.area_pcode,
        "places_free": offer.places_free,
        "places_at": offer.capacity_at,
        "open_referrals": offer.open_referrals,
        "verdict": considered.verdict,
    }
    if considered.out:
        line["out"] = list(considered.out)
    if set(considered.out) <= {NO_PLACE}:
        line["measures"] = asdict(considered.measures)
        line["points"] = {**points(considered.measures, policy)}
        line["total"] = total(considered.measures, policy)
    return line


# --- The decision taken again from what was stored ------------------------------------------------


@dataclass(frozen=True, slots=True)
class Again:
    """What a stored decision comes to under a policy: the ranking, and whether somebody may wait.

    `waits` is true where no machine and no person would find anybody.
    """

    ranking: tuple[str, ...]
    waits: bool

    @property
    def chosen(self) -> str | None:
        """The offer that would win."""
        return self.ranking[0] if self.ranking else None


def decide_again(told: Mapping[str, Any], policy: Policy) -> Again:
    """Decide from a stored explanation as it stood then, under this policy.

    What a policy cannot change (need, age, conflict …) stands as it was written down; whether a
    number of free places counts, and the ranking, are worked out anew.

    Raises:
        KeyError, TypeError, ValueError: it was stored by a version that kept no measures.

    """
    at, needed = _time(told["at"]), told["facts"]["places_needed"]
    ranked: list[tuple[float, tuple[str, str]]] = []
    persons = False
    for line in told["considered"]:
        out = [rule for rule in line.get("out", ()) if rule != NO_PLACE]
        if line["verdict"] == CONFLICT:
            continue
        known = _counts(line, at, policy.stale_after)
        if known and line["places_free"] < needed:
            continue
        if out:
            persons |= out[0] in OPEN_TO_PERSONS
            continue
        measures = Measures(**{**line["measures"], "free_known": known})
        ranked.append((total(measures, policy), tie(line["provider_id"], line["offer_id"])))
    ranked.sort()
    ranking = tuple(offer_id for _, (_, offer_id) in ranked)
    open_ = bool(ranking) or persons or not told["facts"]["place_known"]
    return Again(ranking, waits=not open_)


def _counts(line: Mapping[str, Any], at: datetime, stale_after: timedelta) -> bool:
    if line["places_free"] is None or line["places_at"] is None:
        return False
    return at - _time(line["places_at"]) <= stale_after


def _time(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


# --- In words -------------------------------------------------------------------------------------


@cache
def reasons() -> Mapping[str, Mapping[str, str]]:
    """Return what each verdict, fact and sentence is called, by its key, in both languages."""
    return tomllib.loads(_WORDS.read_text("utf-8"))


def providers_in(told: Mapping[str, Any]) -> set[str]:
    """Return the keys of the providers that an explanation names."""
    return {line["provider_id"] for line in told["considered"] if "provider_id" in line}


def read_out(
    told: Mapping[str, Any], names: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    """Return an explanation in sentences, Bangla and English, one for each offer and the outcome.

    `names` are the providers' names by their key, `{"bn": …, "en": …}`; a key stands for itself.
    """
    return {language: _sentences(told, names, language) for language in LANGUAGES}


def _sentences(
    told: Mapping[str, Any], names: Mapping[str, Mapping[str, str]], language: Language
) -> list[str]:
    words = {key: said[language] for key, said in reasons().items()}
    by_offer = {line.get("offer_id"): line for line in told["considered"]}

    def figure(value: float) -> str:
        return digits(f"{value:g}", language)

    def name(offer_id: str) -> str:
        provider = by_offer[offer_id]["provider_id"]
        return names.get(provider, {}).get(language) or str(provider)

    chosen, beyond = told["chosen"], told.get("beyond", [])
    if chosen is not None:
        said = [words["chosen"].format(name=name(chosen))]
    elif told["suggested"] is not None and told["suggested"] in by_offer:
        said = [words["suggested"].format(name=name(told["suggested"]))]
    else:
        said = [words["nobody"].format(count=figure(len(told["considered"])))]
    if chosen is None and beyond:
        said.append(words["beyond"].format(name=name(beyond[0])))
    place = {offer_id: number for number, offer_id in enumerate(told["ranking"], 1)}
    for line in told["considered"]:
        if line["verdict"] == CONFLICT:
            said.append(words[CONFLICT])
        elif line["verdict"] == IN:
            lost = line.get("points", {})
            facts = ", ".join(
                f"{words[fact]} {figure(value)}" for fact, value in lost.items() if value
            )
            said.append(
                words["ranked"].format(
                    name=name(line["offer_id"]),
                    place=figure(place[line["offer_id"]]),
                    total=figure(line.get("total", 0)),
                    facts=facts or words["nothing"],
                )
            )
        else:
            why = "; ".join(words.get(rule, rule) for rule in line.get("out", [line["verdict"]]))
            said.append(words["out"].format(name=name(line["offer_id"]), why=why))
    return said
