"""Compares what was tried with what is true, in the words of Jepsen's Kafka workload.

*lost*: told 2xx, and not in the history (or without the cases it was told of); *unseen*: stored as
an event, and never seen by the history or by a listener; *duplicate effect*: something exists twice
that was asked for once; *duplicate absorbed*: it came twice and changed nothing; *phantom*: nobody
made it; *inversion*: a later event of one case stands before an earlier one; *gap*: a sequence
number is missing; *G1a*: seen, though its attempt definitively failed; *flagged*: audit itself
holds something against an entry. Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.faults.attempts import EVENT_OF, SUBMITS, Attempt, Kind, Outcome
from tests.faults.truth import PEOPLE, Submission, Truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faults.truth import Entry, Heard

SHOWN = 5
"""Examples kept of each anomaly."""

FATAL = (
    "lost",
    "unseen",
    "duplicate effect",
    "phantom",
    "inversion",
    "gap",
    "G1a",
    "flagged",
    "unsettled",
    "invalid log",
)
"""Anomalies of which a run may show none."""


@dataclass(slots=True)
class Verdict:
    """Anomalies with examples, and how many duplicates were `absorbed`."""

    anomalies: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    attempts: Counter[tuple[Kind, Outcome]] = field(default_factory=Counter)
    absorbed: int = 0

    def blame(self, word: str, what: str) -> None:
        self.anomalies[word].append(what)

    def count(self, word: str) -> int:
        return len(self.anomalies.get(word, ()))

    @property
    def fatal(self) -> dict[str, list[str]]:
        return {w: self.anomalies[w][:SHOWN] for w in FATAL if self.anomalies.get(w)}


def since(before: Verdict, now: Verdict) -> Verdict:
    """Return what a verdict has that an earlier one of the same run had not.

    What is counted by living processes may have begun anew: it never goes below zero.
    """
    new = Verdict(absorbed=max(0, now.absorbed - before.absorbed))
    for word, rows in now.anomalies.items():
        fresh = Counter(rows) - Counter(before.anomalies.get(word, ()))
        if fresh:
            new.anomalies[word] = list(fresh.elements())
    new.attempts = now.attempts - before.attempts
    return new


def check(attempts: Sequence[Attempt], truth: Truth) -> Verdict:
    """Return every anomaly that the attempts and the truth show."""
    verdict = Verdict(absorbed=truth.absorbed)
    verdict.attempts.update((a.kind, a.outcome) for a in attempts)
    _check_reports(attempts, truth, verdict)
    _check_changes(attempts, truth, verdict)
    _check_entries(attempts, truth, verdict)
    _check_order(truth.entries, verdict)
    _check_doubles(truth, verdict)
    _check_heard(truth, verdict)
    if truth.unsent or truth.lag:
        verdict.blame("unsettled", f"outbox {truth.unsent}, lag {truth.lag}")
    if not truth.audit_valid:
        verdict.blame("invalid log", "the audit log does not verify")
    return verdict


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the history shows of submissions; `late` is the word for what it does not show."""

    submitted: frozenset[str]
    created: frozenset[str]
    late: str

    @classmethod
    def of(cls, truth: Truth) -> _Seen:
        waiting = truth.events.keys() - {e.event_id for e in truth.entries}
        return cls(
            frozenset(e.submission_id for e in truth.entries if e.type == "report-submitted"),
            frozenset(e.subject for e in truth.entries if e.type == "case-created"),
            "unseen" if waiting else "lost",
        )


def _check_reports(attempts: Sequence[Attempt], truth: Truth, verdict: Verdict) -> None:
    stored: dict[str, list[Submission]] = defaultdict(list)
    for submission in truth.submissions:
        stored[submission.mark].append(submission)
    seen = _Seen.of(truth)
    for attempt in attempts:
        if attempt.kind not in SUBMITS:
            continue
        found = stored.pop(attempt.mark, [])
        if attempt.answers > 1:
            verdict.blame("duplicate effect", f"{attempt.mark}: one key, {attempt.answers} answers")
        if len(found) > 1:
            verdict.blame("duplicate effect", f"{attempt.mark}: {len(found)} submissions")
        if attempt.outcome is Outcome.FAIL and found:
            verdict.blame("G1a", f"{attempt.mark}: refused, yet stored")
        if attempt.outcome is Outcome.OK and not found:
            verdict.blame("lost", f"{attempt.mark}: told 2xx, no submission")
        elif attempt.outcome is Outcome.OK:
            _check_report(attempt, found[0], seen, verdict)
    for mark, found in stored.items():
        verdict.blame("phantom", f"{mark}: {len(found)} submissions nobody made")


def _check_report(attempt: Attempt, stored: Submission, seen: _Seen, verdict: Verdict) -> None:
    """Check one report that was told 2xx."""
    if attempt.case_ids and set(attempt.case_ids) != set(stored.case_ids):
        verdict.blame("lost", f"{attempt.mark}: told other cases than are stored")
    if stored.submission_id not in seen.submitted:
        verdict.blame(seen.late, f"{attempt.mark}: submission not in the history")
    if stored.state == "received" or (stored.state == "no_case" and attempt.case_ids):
        verdict.blame("lost", f"{attempt.mark}: no case within the bound")
    elif stored.state == "opened":
        for case_id in set(stored.case_ids) - seen.created:
            verdict.blame(seen.late, f"{case_id}: case not in the history")


def _check_changes(attempts: Sequence[Attempt], truth: Truth, verdict: Verdict) -> None:
    made = Counter((e.mark, e.type) for e in truth.entries if e.role in PEOPLE)
    for attempt in attempts:
        wanted = EVENT_OF.get(attempt.kind)
        if wanted is None:
            continue
        seen = made[attempt.mark, wanted]
        if attempt.outcome is Outcome.OK and not seen:
            verdict.blame("lost", f"{attempt.kind} {attempt.mark}: told 2xx, not in the history")
        if attempt.outcome is Outcome.FAIL and seen:
            verdict.blame("G1a", f"{attempt.kind} {attempt.mark}: refused, yet in the history")
        if seen > 1:
            verdict.blame("duplicate effect", f"{attempt.kind} {attempt.mark}: {seen} events")


def _check_entries(attempts: Sequence[Attempt], truth: Truth, verdict: Verdict) -> None:
    known = {a.mark for a in attempts}
    submissions = {s.submission_id for s in truth.submissions}
    cases = {case_id for case_id, _ in truth.cases}
    for entry in truth.entries:
        if entry.flags:
            verdict.blame("flagged", f"{entry.type} {entry.index}: {', '.join(entry.flags)}")
        if entry.role in PEOPLE and entry.mark not in known:
            verdict.blame("phantom", f"{entry.type} {entry.event_id}: by nobody of the load")
        if entry.type == "report-submitted" and entry.submission_id not in submissions:
            verdict.blame("phantom", f"{entry.event_id}: a submission that does not exist")
        if entry.type == "case-created" and entry.subject not in cases:
            verdict.blame("phantom", f"{entry.event_id}: a case that does not exist")
    seen = {e.event_id for e in truth.entries}
    for event_id, stream in truth.events.items():
        if event_id not in seen:
            verdict.blame("unseen", f"{stream} {event_id}: committed, not in the history")
    if truth.events:
        for event_id in seen - truth.events.keys():
            verdict.blame("phantom", f"{event_id}: in the history, in no outbox")


def _check_order(entries: Iterable[Entry], verdict: Verdict) -> None:
    tails: dict[tuple[str, str], list[int]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: e.index):
        tails[entry.stream, entry.subject].append(entry.sequence)
    for (stream, subject), sequences in tails.items():
        _check_row(f"{stream} {subject}", sequences, verdict)


def _check_row(name: str, numbers: Sequence[int], verdict: Verdict) -> None:
    for before, after in pairwise(numbers):
        if after < before:
            verdict.blame("inversion", f"{name}: {after} after {before}")
        if after == before:
            verdict.blame("duplicate effect", f"{name}: {after} twice")
    missing = set(range(1, max(numbers, default=0) + 1)) - set(numbers)
    if missing:
        verdict.blame("gap", f"{name}: {sorted(missing)[:SHOWN]} missing")


def _check_doubles(truth: Truth, verdict: Verdict) -> None:
    rows: tuple[tuple[str, Iterable[object]], ...] = (
        ("audit entries of one event", (e.event_id for e in truth.entries)),
        ("entries at one index", (e.index for e in truth.entries)),
        ("openings of one case", (e.subject for e in truth.entries if e.type == "case-created")),
        ("cases of one person", (person for _, person in truth.cases)),
        (
            "referrals of one (case, need, attempt)",
            ((r.case_id, r.need, r.attempt) for r in truth.referrals),
        ),
        (
            "plans of one referral",
            ((e.subject, e.sequence) for e in truth.entries if e.type == "referral-planned"),
        ),
    )
    for name, items in rows:
        for item, count in Counter(items).items():
            if count > 1:
                verdict.blame("duplicate effect", f"{count} {name}: {item}")


def _check_heard(truth: Truth, verdict: Verdict) -> None:
    by_listener: dict[str, list[Heard]] = defaultdict(list)
    for heard in truth.heard:
        by_listener[heard.who].append(heard)
    for who, row in by_listener.items():
        _check_listener(who, row, verdict)
        _check_subjects(who, row, verdict)
    for who, expected in truth.expected.items():
        heard_ids = {h.event_id for h in by_listener.get(who, ())}
        for event_id in heard_ids - set(expected):
            verdict.blame("phantom", f"{who} {event_id}: heard, not in the feed")
        for event_id in expected:
            if event_id not in heard_ids:
                verdict.blame("unseen", f"{who} {event_id}: in the feed, never heard")


def _check_listener(who: str, row: Sequence[Heard], verdict: Verdict) -> None:
    """Check that each place comes in order, and that a repeat says the same."""
    bodies: dict[str, str] = {}
    places: set[int] = set()
    for heard in row:
        if bodies.setdefault(heard.event_id, heard.body) != heard.body:
            verdict.blame("duplicate effect", f"{who} {heard.event_id}: two bodies")
        elif heard.place in places:
            verdict.absorbed += 1
        elif places and heard.place < max(places):
            verdict.blame("inversion", f"{who}: place {heard.place} after {max(places)}")
        places.add(heard.place)


def _check_subjects(who: str, row: Sequence[Heard], verdict: Verdict) -> None:
    """What a listener hears for the first time about one case is in that case's order."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    for heard in row:
        if heard.event_id in seen or not heard.sequence:
            continue
        seen.add(heard.event_id)
        if heard.sequence < last.get(heard.subject, 0):
            verdict.blame("inversion", f"{who} {heard.subject}: {heard.sequence} late")
        last[heard.subject] = max(heard.sequence, last.get(heard.subject, 0))
