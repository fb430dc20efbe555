"""Words of a report that go on as keys: of persons inside it, and of providers. Pure.

A key stands in events and columns that name nobody. Whoever writes a report may put a name or a
number where a key belongs; that is sealed with the rest and never goes on as a key.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_A_KEY: Final = "not-in-directory"
"""Stands for a provider that was named otherwise: it is nobody's key, and a person must look."""

_PROVIDER: Final = re.compile(r"(?!.*[0-9]{9})[a-z0-9][a-z0-9_-]{0,99}")
_REF: Final = re.compile(r"[a-z]?[0-9]{0,2}")


def provider_key(said: str) -> str:
    """Return a provider's key, or a kind (`police`), as it was said; `NOT_A_KEY` for anything else.

    No telephone number is a key.
    """
    return said if _PROVIDER.fullmatch(said) else NOT_A_KEY


def rename_persons(body: dict[str, Any]) -> None:
    """Give persons of a report whose `ref` could be a name another one, wherever it stands.

    `a`, `1` and `p2` stay; others become the next free of `p1`, `p2` and so on.
    """
    said = [ref for ref in _refs(body) if ref is not None]
    free = (name for n in itertools.count(1) if (name := f"p{n}") not in said)
    new = {ref: next(free) for ref in dict.fromkeys(said) if not _REF.fullmatch(ref)}
    if not new:
        return
    for person in body["persons"]:
        person["ref"] = new.get(person["ref"], person["ref"])
        for other in person["with"]:
            other["ref"] = new.get(other["ref"], other["ref"])
    for consent in body["consent"]:
        consent["person"] = new.get(consent["person"], consent["person"])


def _refs(body: dict[str, Any]) -> Iterator[str | None]:
    for person in body["persons"]:
        yield person["ref"]
        yield from (other["ref"] for other in person["with"])
    yield from (consent["person"] for consent in body["consent"])
