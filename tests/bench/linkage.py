"""How well like cases are found, on made sets with known truth: `python -m tests.bench.linkage`.

`--fit` finds the weights and thresholds on the training sets and writes them into
`services/intake/alike/weights.toml`; without it they are judged on another set. Runs no server: the
marks, facts and comparisons are the service's own, what is compared is what its query takes.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from services.intake.alike import comparing
from services.intake.alike.blocks import are_compared
from services.intake.alike.comparing import CROWD, Model, levels_of, models
from services.intake.alike.features import Features, features_of, phones
from services.intake.domain import open_cases
from services.intake.preparing import Secrets, prepare
from services.intake.report import ReportIn
from services.intake.vault import Vault
from tests.bench.weighing import weigh
from tests.support.alike_set import make_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.support.alike_set import Told

TRAINING: Final = (20261, 20264, 20265)
JUDGING: Final = 20262
LOOKS: Final = 3 / 5
"""Of the pairs a person looks at, how many at least must be worth it (on the training sets)."""

LEVELS: Final = {
    "phone": ("own", "shared", "crowded", "alleged", "other"),
    "name": ("whole", "word", "sound", "part", "other"),
    "age": ("same", "near", "far", "other"),
    "sex": ("same", "other"),
    "place": ("upazila", "district", "other"),
    "time": ("days", "week", "weeks", "month", "months", "other"),
    "happened": ("days", "week", "month", "other"),
    "concern": ("same", "kin", "other"),
    "alleged": ("same", "other"),
}
QUESTIONS: Final = (comparing.PERSON, comparing.INCIDENT)

UNSEEN: Final = (("phone", "alleged", "shared"),)
"""Levels that no made set has, each with the level whose weight it gets."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two reports that are compared, and the truth."""

    levels: Mapping[str, str]
    person: bool
    incident: bool
    household: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """How well one question is answered: pairs that are so, compared, found, and looked at."""

    so: int
    compared: int
    found: int
    looked: int

    @property
    def precision(self) -> float:
        return self.found / self.looked if self.looked else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.so if self.so else 1.0


def features_in(told: Sequence[Told]) -> list[Features]:
    """Return what is compared of reports, as the service itself makes it."""
    vault = Vault(b"v" * 32)
    secrets = Secrets(b"p" * 32, b"i" * 32, b"r" * 32, "http://test")
    return [_features(one, vault, secrets) for one in told]


def _features(one: Told, vault: Vault, secrets: Secrets) -> Features:
    report = ReportIn.model_validate(one.body)
    made = prepare(
        report, channel=report.channel, caller=None, vault=vault, secrets=secrets, at=one.at
    )
    ((case_id, facts, _),) = open_cases(made.submission, None, one.at)
    case = {
        "case_id": case_id,
        "submission_id": made.submission_id,
        "person_ref": made.person_refs[0],
        "received_at": one.at,
        "facts": {name: getattr(facts, name) for name in facts.__struct_fields__},
    }
    subjects = [
        {"kind": s.kind, "case_id": s.case_id, "ref": s.ref, "alike": s.marks.alike}
        for s in made.subjects
    ]
    return features_of(case, made.submission.report, subjects)


def crowded_in(known: Iterable[Features]) -> frozenset[str]:
    """Return the numbers that more reports came with than one family's would."""
    counts = Counter(mark for one in known for mark in phones(one.own | one.near))
    return frozenset(mark for mark, many in counts.items() if many > CROWD)


def pairs_of(told: Sequence[Told]) -> tuple[list[Pair], Counter[str]]:
    """Return the pairs that are compared, and how many pairs are so at all, compared or not."""
    known = features_in(told)
    crowded = crowded_in(known)
    pairs = [
        Pair(
            levels_of(known[a], known[b], crowded),
            told[a].person == told[b].person,
            told[a].incident == told[b].incident,
            told[a].household == told[b].household,
        )
        for a, b in combinations(range(len(told)), 2)
        if are_compared(known[a], known[b])
    ]
    so: Counter[str] = Counter()
    for key in QUESTIONS:
        sizes = Counter(getattr(one, key) for one in told)
        so[key] = sum(n * (n - 1) // 2 for n in sizes.values())
    both = Counter((one.person, one.incident) for one in told)
    so["either"] = so.total() - sum(n * (n - 1) // 2 for n in both.values())
    return pairs, so


def fit(pairs: Sequence[Pair], key: str) -> dict[str, dict[str, float]]:
    """Return the weight of each level for a question."""
    weights = weigh([(pair.levels, getattr(pair, key)) for pair in pairs], LEVELS)
    for name, level, like in UNSEEN:
        weights[name][level] = weights[name][like]
    return weights


def choose(pairs: Sequence[Pair], model: Model, key: str) -> float:
    """Return the lowest threshold at which `LOOKS` of what is looked at is so."""
    scored = sorted(((model.score(p.levels), getattr(p, key)) for p in pairs), reverse=True)
    found, best = 0, math.inf
    for n, (score, so) in enumerate(scored, start=1):
        found += so
        if found / n >= LOOKS:
            best = score
    return round(best - 0.005, 2)


def judge(
    pairs: Iterable[Pair], so: Mapping[str, int], given: tuple[Model, Model]
) -> dict[str, Figures]:
    """Return the figures of both questions, and of what a person looks at in all."""
    person, incident = given
    looks = [
        (
            person.score(p.levels) >= person.look,
            incident.score(p.levels) >= incident.look,
            p,
        )
        for p in pairs
    ]
    either = [p for one, two, p in looks if one or two]
    return {
        "person": Figures(
            so["person"],
            sum(p.person for _, _, p in looks),
            sum(a and p.person for a, _, p in looks),
            sum(a for a, _, _ in looks),
        ),
        "incident": Figures(
            so["incident"],
            sum(p.incident for _, _, p in looks),
            sum(b and p.incident for _, b, p in looks),
            sum(b for _, b, _ in looks),
        ),
        "either": Figures(
            so["either"],
            sum(p.person or p.incident for _, _, p in looks),
            sum(p.person or p.incident for p in either),
            len(either),
        ),
    }


def write(file: Path, fitted: Mapping[str, tuple[Mapping[str, Any], float]]) -> None:
    """Write weights and thresholds into the file of weights; its words stay."""
    whole = file.read_text("utf-8")
    begin = whole.index("[person]")
    lines = []
    for key, (weights, look) in fitted.items():
        lines += [f"[{key}]", f"look = {look}", f"[{key}.weights]"]
        for name, levels in weights.items():
            inside = ", ".join(f"{level} = {value}" for level, value in levels.items())
            lines.append(f"{name} = {{ {inside} }}")
        lines.append("")
    file.write_text(whole[:begin] + "\n".join(lines).rstrip() + "\n", "utf-8")


def report(seed: int, say: Callable[[str], None] = print) -> dict[str, Figures]:
    """Judge the weights as they stand on a made set, and say how it went."""
    told = make_set(seed)
    pairs, so = pairs_of(told)
    figures = judge(pairs, so, models())
    all_pairs = len(told) * (len(told) - 1) // 2
    say(f"seed {seed}: {len(told)} reports, {all_pairs} pairs, {len(pairs)} of them compared")
    for name, one in figures.items():
        say(
            f"{name:9} so {one.so:5}  compared {one.compared:5}  looked at {one.looked:5}"
            f"  found {one.found:5}  precision {one.precision:.3f}  recall {one.recall:.3f}"
        )
    person = models()[0]
    kin = [p for p in pairs if p.household and not p.person]
    taken = sum(person.score(p.levels) >= person.look for p in kin)
    say(f"of {len(kin)} pairs of twins and siblings {taken} are shown as perhaps one person")
    say(f"a person looks at {figures['either'].looked / len(told):.2f} pairs a report")
    return figures


def main() -> None:
    """Fit if asked, then judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.linkage", description=__doc__)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--seed", type=int, default=JUDGING)
    given = parser.parse_args()
    if given.fit:
        pairs = [pair for seed in TRAINING for pair in pairs_of(make_set(seed))[0]]
        fitted = {}
        for key in QUESTIONS:
            weights = fit(pairs, key)
            fitted[key] = (weights, choose(pairs, Model(weights, 0), key))
        write(comparing.FILE, fitted)
        print(f"fitted on seeds {TRAINING}")
        return
    report(given.seed)


if __name__ == "__main__":
    main()
