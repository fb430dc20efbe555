"""What only audit is told: the log's name and key, who may sign events, where its state lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from services.audit.checkpoint import NoteInvalid, NoteSigner
from services.audit.domain import Signers
from services.audit.reopening import find_origin
from services.audit.witness.policy import PolicyInvalid, read_policy
from services.audit.witness.rules import WitnessBroken, open_witness
from shared.errors import SettingsError
from shared.settings import read_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.audit.witness.policy import KnownWitness
    from services.audit.witness.rules import Witness
    from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The name and key of the log, the public keys of the services, and the folder for state.

    `witnesses` cosign our checkpoints; `witness` is this service as a witness of other logs.
    """

    signer: NoteSigner
    signers: Signers
    state_dir: Path
    witnesses: Sequence[KnownWitness] = ()
    witness: Witness | None = None

    @property
    def trusted(self) -> str:
        """The public keys that a verifier must trust (`services.audit.check_proof`)."""
        lines = [f"log {self.signer.vkey}"]
        lines += [f"witness {each.name} {each.key}" for each in self.witnesses]
        lines += [f"service {name} {key.hex()}" for name, key in self.signers.keys.items()]
        return "".join(f"{line}\n" for line in lines)


def load_audit_settings(settings: Settings, env: Mapping[str, str] | None = None) -> AuditSettings:
    """Read what only audit is told.

    `AUDIT_ORIGIN` names the log (default: the name under which a restore began it anew, else host
    of the public URL, then `/pashe`). `AUDIT_STATE_DIR`
    is the folder outside the database for the last checkpoint (default: `state` beside the keys).
    `AUDIT_WITNESSES` names a policy file with the witnesses that are asked (default: `witnesses`
    in that folder, if it is there), `AUDIT_WITNESS_FOR` one with the logs that this service
    witnesses itself, from the folder `witness` there (default: none).

    Raises:
        SettingsError: a variable or key file is missing or wrong; the message names it.

    """
    source = os.environ if env is None else env
    host = urlsplit(settings.public_url).hostname or "localhost"
    folder = source.get("AUDIT_STATE_DIR") or settings.keys_dir / ".." / "state"
    state = Path(folder).resolve()
    origin = source.get("AUDIT_ORIGIN") or find_origin(state) or f"{host}/pashe"
    try:
        signer = NoteSigner(origin, read_key(settings, "log.key"))
    except NoteInvalid:
        message = "AUDIT_ORIGIN must be a name without spaces and plus signs"
        raise SettingsError(message) from None
    try:
        raw = (settings.keys_dir / "signers.json").read_bytes()
        keys = msgspec.json.decode(raw, type=dict[str, str])
        signers = Signers({name: bytes.fromhex(key) for name, key in keys.items()})
    except (OSError, msgspec.MsgspecError, ValueError):
        message = "key file signers.json is missing or does not hold public keys in hex"
        raise SettingsError(message) from None
    told = source.get("AUDIT_WITNESSES")
    path = Path(told) if told else state / "witnesses"
    try:
        asked = read_policy(path).witnesses if told or path.exists() else ()
        witness = None
        if source.get("AUDIT_WITNESS_FOR"):
            logs = read_policy(Path(source["AUDIT_WITNESS_FOR"])).logs
            witness = open_witness(state / "witness", f"{origin}/witness", logs)
    except (PolicyInvalid, WitnessBroken, OSError) as error:
        message = f"AUDIT_WITNESSES or AUDIT_WITNESS_FOR: {error}"
        raise SettingsError(message) from None
    return AuditSettings(signer, signers, state, asked, witness)
