"""Who is compared with ours, and how what came is judged. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.rows import OURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Rival:
    """One way to do it: `kind` of `rivals`, and how many processes of it run at once."""

    subject: str
    kind: str
    what: str
    replicas: int = 1

    @property
    def name(self) -> str:
        return f"{self.what}: {self.subject}"


CONSUMER = "a consumer killed 3 times, shaken, given 10 % twice and odd headers"
RELAY = "a relay killed 3 times, 20 writers at once"

RIVALS = (
    Rival(OURS, "ours", CONSUMER),
    Rival("FastStream's default policy", "default", CONSUMER),
    Rival("FastStream ACK", "ack", CONSUMER),
    Rival("FastStream NACK_ON_ERROR", "nack", CONSUMER),
    Rival(OURS, "ours", RELAY, 2),
    Rival("an id cursor", "cursor", RELAY),
    Rival("SKIP LOCKED × 4", "skip-locked", RELAY, 4),
)


@dataclass(frozen=True, slots=True)
class Came:
    """One delivery: an effect, or a record in the log, in the order of coming."""

    subject: str
    sequence: int
    event_id: str


def compare(wanted: Iterable[str], came: Sequence[Came]) -> tuple[int, int, int]:
    """Return how many events never came, how many came again, and how many came too early.

    A case's event that comes for the first time after a later one of that case is an inversion.
    """
    seen = Counter(one.event_id for one in came)
    lost = sum(1 for event_id in wanted if event_id not in seen)
    again = sum(seen.values()) - len(seen)
    met: set[str] = set()
    last: dict[str, int] = {}
    inverted = 0
    for one in came:
        if one.event_id in met:
            continue
        met.add(one.event_id)
        inverted += one.sequence < last.get(one.subject, 0)
        last[one.subject] = max(one.sequence, last.get(one.subject, 0))
    return lost, again, inverted
