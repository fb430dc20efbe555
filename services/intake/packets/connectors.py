"""The seam to other offices' systems: how a packet gets there, and how an answer comes back.

The first is a folder (`FileDrop`): the National Referral Mechanism has no public interface. What
lies in it is sealed to the receiver's own age key, under a name that tells nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol
from uuid import UUID

import msgspec
import pyrage

from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.intake.packets.packet import Made

Answer = Literal["received", "accepted", "declined"]
LARGEST: Final = 100_000
"""Bytes of an answer's file."""


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer as its file holds it: `by` names a person there, `reference` is their number."""

    packet_id: UUID
    answer: Answer
    by: str
    reference: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no answer is."""
        longest = 200
        if not self.by.strip() or len(self.by) > longest or len(self.reference or "") > longest:
            message = "by and reference are short texts"
            raise ValueError(message)


class Connector(Protocol):
    """One way to one receiver; both methods block and may be called again after a failure."""

    @property
    def key(self) -> str:
        """The receiver's key, as a handover names it."""

    def deliver(self, packet_id: UUID, made: Made) -> None:
        """Give a packet over. Raises OSError when that is not possible now."""

    def replies(self) -> Iterator[tuple[Reply, Path]]:
        """Give what came back and was not taken yet."""

    def taken(self, file: Path, *, known: bool) -> None:
        """Lay an answer aside: it was taken, or is about nothing that is known here."""


@dataclass(frozen=True, slots=True)
class FileDrop:
    """A folder that both sides read: packets in `out`, answers in `in`, what is done in `done`."""

    key: str
    folder: Path
    recipient: pyrage.x25519.Recipient

    def deliver(self, packet_id: UUID, made: Made) -> None:
        """Write the packet whole or not at all, readable by its owner and group alone."""
        out = self.folder / "out"
        out.mkdir(parents=True, exist_ok=True)
        part = out / f".{packet_id}"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
            file.write(pyrage.encrypt(made.raw, [self.recipient]))
            file.flush()
            os.fsync(file.fileno())
        part.replace(out / f"{packet_id}.{made.suffix}.age")

    def replies(self) -> Iterator[tuple[Reply, Path]]:
        """Give each answer that can be read; a file that is none is laid into `refused`."""
        for file in sorted((self.folder / "in").glob("*.json")):
            try:
                if file.stat().st_size > LARGEST:
                    raise msgspec.ValidationError
                reply = msgspec.json.decode(file.read_bytes(), type=Reply)
            except msgspec.MsgspecError:
                self.taken(file, known=False)
            else:
                yield reply, file

    def taken(self, file: Path, *, known: bool) -> None:
        """Move a file out of the way; nothing is deleted."""
        aside = self.folder / ("done" if known else "refused")
        aside.mkdir(parents=True, exist_ok=True)
        file.replace(aside / file.name)


def connectors_from(environ: Mapping[str, str]) -> dict[str, Connector]:
    """Return the connectors that are set up, by the key of the receiver.

    `INTAKE_NRM_DROP` names a folder, `INTAKE_NRM_RECIPIENT` the receiver's age public key.

    Raises:
        SettingsError: one of the two is missing or wrong.

    """
    folder, key = environ.get("INTAKE_NRM_DROP"), environ.get("INTAKE_NRM_RECIPIENT")
    if not folder and not key:
        return {}
    if not folder or not key:
        message = "INTAKE_NRM_DROP and INTAKE_NRM_RECIPIENT go together"
        raise SettingsError(message)
    try:
        recipient = pyrage.x25519.Recipient.from_str(key.strip())
    except pyrage.RecipientError:
        message = "INTAKE_NRM_RECIPIENT is no age public key (age1…)"
        raise SettingsError(message) from None
    return {"nrm": FileDrop("nrm", Path(folder), recipient)}
