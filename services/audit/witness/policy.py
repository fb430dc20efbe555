"""Whom to trust, as a text file (C2SP tlog-policy): keys of logs, keys and addresses of witnesses.

One line each: `log VKEY [URL]`, `witness NAME VKEY [URL]`, and `quorum NAME` or `quorum none`: the
one witness without whose cosignature a checkpoint is not believed. Empty lines and those that
begin with `#` say nothing, and `service NAME HEX` (who signs events) is for verifiers. Groups of
witnesses are not read yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.audit.checkpoint import COSIGNATURE, NoteInvalid, VerifierKey, parse_vkey

if TYPE_CHECKING:
    from pathlib import Path


class PolicyInvalid(Exception):  # noqa: N818  (it says what is wrong with the file)
    """The file cannot be read as a policy; the message names the line."""


@dataclass(frozen=True, slots=True)
class KnownWitness:
    """A witness by its short name; `url` is where `/add-checkpoint` lies below, if it is known."""

    name: str
    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The logs and witnesses that are known, and the witness that must have cosigned, if any."""

    logs: tuple[VerifierKey, ...] = ()
    witnesses: tuple[KnownWitness, ...] = ()
    quorum: KnownWitness | None = None


def parse_policy(text: str) -> Policy:
    """Read a policy.

    Raises:
        PolicyInvalid: a line is none, names a witness twice, or asks for one that is not known.

    """
    logs: list[VerifierKey] = []
    witnesses: dict[str, KnownWitness] = {}
    quorum: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            match words:
                case ["service", _, _]:
                    continue
                case ["log", vkey] | ["log", vkey, _]:
                    logs.append(parse_vkey(vkey))
                case ["witness", name, vkey, *url] if len(url) <= 1 and name not in witnesses:
                    address = url[0].rstrip("/") if url else ""
                    witnesses[name] = KnownWitness(name, _witness_key(vkey), address)
                case ["quorum", name] if quorum is None and (name in witnesses or name == "none"):
                    quorum = name
                case _:
                    raise NoteInvalid("not understood")  # noqa: TRY301  (one message for all)
        except NoteInvalid as error:
            message = f"line {number} of the policy: {error}"
            raise PolicyInvalid(message) from None
    return Policy(tuple(logs), tuple(witnesses.values()), witnesses.get(quorum or "none"))


def _witness_key(vkey: str) -> VerifierKey:
    key = parse_vkey(vkey)
    if key.algorithm != COSIGNATURE:
        raise NoteInvalid("the key of a witness is not one for cosignatures")
    return key


def read_policy(path: Path) -> Policy:
    """Read a policy from a file.

    Raises:
        PolicyInvalid: see `parse_policy`; or there is no such file.

    """
    try:
        return parse_policy(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        message = f"the policy {path.name} cannot be read"
        raise PolicyInvalid(message) from None
