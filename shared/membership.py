"""What somebody is or has learned, and until which day: memberships, and training."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Membership:
    """A dated membership: `kind` as in `exclude` (`ctc_member`), `place` a P-code or None.

    It holds on the days from `begins` to `until`, both included; None is without a bound.
    """

    kind: str
    place: str | None = None
    begins: date | None = None
    until: date | None = None

    def holds(self, day: date) -> bool:
        """Whether it holds on a day; one that has ended or not begun counts for nothing."""
        begun = self.begins is None or self.begins <= day
        return begun and (self.until is None or day <= self.until)

    @classmethod
    def of(cls, claim: Mapping[str, Any]) -> Membership:
        """Read one item of a token's claim `member_of`.

        Raises:
            ValueError, TypeError, KeyError: it is not one.

        """
        kind, place = claim["kind"], claim.get("place")
        if not isinstance(kind, str) or not (place is None or isinstance(place, str)):
            raise TypeError
        days = [claim.get(name) for name in ("from", "until")]
        begins, until = (None if day is None else date.fromisoformat(day) for day in days)
        return cls(kind, place, begins, until)

    @classmethod
    def read(cls, text: str) -> Membership:
        """Read `KIND:PLACE[:FROM[:UNTIL]]`; an empty part is none.

        Raises:
            ValueError: it is not that.

        """
        kind, *rest = text.split(":")
        parts = [part or None for part in rest]
        if not kind or not 1 <= len(parts) <= 3:  # noqa: PLR2004  (place, from, until)
            raise ValueError
        names = ("place", "from", "until")
        return cls.of({"kind": kind, **dict(zip(names, parts, strict=False))})

    def claim(self) -> dict[str, str | None]:
        """Return it as an item of the claim `member_of`."""
        begins = None if self.begins is None else self.begins.isoformat()
        until = None if self.until is None else self.until.isoformat()
        return {"kind": self.kind, "place": self.place, "from": begins, "until": until}


@dataclass(frozen=True, slots=True)
class Training:
    """A module that somebody passed; it holds until a day of Dhaka, that day included."""

    module: str
    until: date

    @classmethod
    def of(cls, claim: Mapping[str, Any]) -> Training:
        """Read one item of a session's claim `trained`.

        Raises:
            ValueError, TypeError, KeyError: it is not one.

        """
        if not isinstance(claim["module"], str):
            raise TypeError
        return cls(claim["module"], date.fromisoformat(claim["until"]))

    def claim(self) -> dict[str, str]:
        """Return it as an item of the claim `trained`."""
        return {"module": self.module, "until": self.until.isoformat()}
