"""The keys that partners seal reports to: intake publishes the newest and opens with all it has.

A private key is 32 bytes beside the key-encryption keys (`INTAKE_KEYS`), a P-256 scalar; its `kid`
is the thumbprint of its public half (RFC 7638). The newest is the last. An older one opens what was
sealed to it for as long as it is kept: longer than a partner's topic keeps a message.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.intake.keys.ring import FRESH
from shared.errors import RecordInvalid, SettingsError
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ALGORITHMS: Final = ("ECDH-ES", "ECDH-ES+A256KW")
CONTENT: Final = "A256GCM"

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (SEC 2): a scalar is from 1 to one below it."""

_KNOWS: Final = jwe.JWERegistry(
    algorithms=[*ALGORITHMS, CONTENT],
    strict_check_header=False,
)
_PARTS: Final = 4
"""Parts of a compact JWE after its header."""

_log = Log("seals")


def private_key(secret: bytes) -> ECKey:
    """Return the key of 32 secret bytes."""
    scalar = int.from_bytes(secret, "big") % (_ORDER - 1) + 1
    key = ECKey.import_key(ec.derive_private_key(scalar, ec.SECP256R1()))
    key.ensure_kid()
    return key


def seal(key: ECKey, plain: bytes, header: Mapping[str, str]) -> str:
    """Seal bytes to a public key; return a compact JWE (RFC 7516) with these protected members."""
    protected = {"alg": ALGORITHMS[1], "enc": CONTENT, "kid": key.kid, **header}
    return str(jwe.encrypt_compact(protected, plain, key, registry=_KNOWS))


class Seals:
    """The private keys of all rotations that still count, in memory only.

    `load` returns keys of 32 bytes, the oldest first, or raises `SettingsError`.
    """

    def __init__(
        self, load: Callable[[], Sequence[bytes]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Load the keys.

        Raises:
            SettingsError: there is none, or they cannot be read.

        """
        self._load = load
        self._clock = clock
        self._keys: dict[str, ECKey] = {}
        self._looked = 0.0
        self._read()

    def _read(self) -> None:
        self._looked = self._clock()
        self._keys = {str(key.kid): key for key in map(private_key, self._load())}

    def _look(self, *, now: bool = False) -> None:
        """Look where the keys are kept when time is up; they stay as they are if that fails."""
        if now or self._clock() - self._looked > FRESH:
            try:
                self._read()
            except SettingsError as error:
                _log.error("seals-not-readable", error)

    def published(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517): the one key to seal to now."""
        self._look()
        use = {"use": "enc", "alg": ALGORITHMS[1]}
        return {"keys": [{**self._newest().as_dict(private=False), **use}]}

    def _newest(self) -> ECKey:
        return list(self._keys.values())[-1]

    def keep(self, plain: bytes, header: Mapping[str, str]) -> bytes:
        """Seal to ourselves what may not lie in clear."""
        return seal(self._newest(), plain, header).encode("ascii")

    def open(self, sealed: str) -> tuple[Mapping[str, Any], bytes]:
        """Open a compact JWE; return its protected header and what was sealed.

        Raises:
            RecordInvalid: `not-sealed` (no JWE), `wrong-key` (sealed to none of ours) or
                `seal-broken` (another algorithm, or changed on the way).

        """
        kid = _kid_of(sealed)
        self._look()
        if kid not in self._keys:
            self._look(now=self._clock() - self._looked > 1)
        key = self._keys.get(kid)
        if key is None:
            raise RecordInvalid("wrong-key", "kid names no key of ours")
        try:
            found = jwe.decrypt_compact(sealed, key, registry=_KNOWS)
        except (JoseError, ValueError, KeyError, TypeError):
            raise RecordInvalid("seal-broken", "it does not open with the key it names") from None
        return found.headers(), found.plaintext or b""


def _kid_of(sealed: str) -> str:
    """Return which key a compact JWE names; empty when it names none."""
    first, *others = sealed.split(".")
    try:
        padded = first.encode("ascii") + b"=" * (-len(first) % 4)
        header = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        header = None
    if len(others) != _PARTS or not isinstance(header, dict):
        raise RecordInvalid("not-sealed", "data is no compact JWE")
    return str(header.get("kid", ""))
