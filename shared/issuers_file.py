"""The file of issuers (`PASHE_ISSUERS`, TOML): whom we believe, what of them becomes our role.

docs/sign-in.md has an example.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from shared.errors import SettingsError
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ALLOWED: Final = frozenset(
    {"EdDSA", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)
"""Signatures that an issuer may be allowed: with a key pair, never `none`, never a secret."""


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The names of the issuer's claims that say what somebody is."""

    role: str = "role"
    org: str = "org"
    places: str = "places"
    member_of: str = "member_of"


class IssuerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One issuer of the file."""

    name: str
    """In the address of signing in: `/sign-in?issuer=name`."""
    issuer: str
    """Its `iss`, exactly; its metadata is below it."""
    roles: dict[str, Role]
    """A value of the role's claim, and our role for it; nothing else gives one."""
    algorithms: tuple[str, ...] = ("RS256",)
    audience: str = ""
    """The `aud` of its access tokens for systems; empty: none are taken."""
    client_id: str = ""
    """As which client people sign in; empty: they do not."""
    client_secret_file: str = ""
    """Read by intake alone."""
    own_subjects: bool = False
    """Its subjects are our pseudonyms already."""
    claims: Claims = Claims()
    factors: dict[str, list[str]] = {}
    """What an `acr` stands for as `amr`, where the issuer says no `amr`."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    issuers: list[IssuerSettings] = []


def read_issuers(path: Path | None) -> list[IssuerSettings]:
    """Read the file; none without one.

    Raises:
        SettingsError: it is missing or wrong; the message says what, never a value that is secret.

    """
    if path is None:
        return []
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File).issuers
    except OSError:
        message = "the file that PASHE_ISSUERS names cannot be read"
        raise SettingsError(message) from None
    except (ValueError, msgspec.ValidationError) as error:
        message = f"the file that PASHE_ISSUERS names is not right: {error}"
        raise SettingsError(message) from None
    for one in found:
        if problem := _problem_of(one):
            message = f"issuer {one.name} in the file that PASHE_ISSUERS names: {problem}"
            raise SettingsError(message)
    _check_together(found)
    return found


def _problem_of(one: IssuerSettings) -> str | None:
    parts = urlsplit(one.issuer)
    loopback = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        return "it is not https"
    if not one.algorithms or not ALLOWED.issuperset(one.algorithms):
        return f"algorithms are some of {', '.join(sorted(ALLOWED))}"
    if Role.SERVICE in one.roles.values():
        return "nobody outside is a service"
    if one.client_id and one.audience == one.client_id:
        return "audience and client_id are the same: a sign-in would be an access token"
    if bool(one.client_id) != bool(one.client_secret_file):
        return "client_id and client_secret_file come together"
    return None


def _check_together(found: Sequence[IssuerSettings]) -> None:
    if len({one.name for one in found}) < len(found) or len({one.issuer for one in found}) < len(
        found
    ):
        raise SettingsError("the file that PASHE_ISSUERS names has an issuer twice")
    if sum(one.own_subjects for one in found) > 1:
        raise SettingsError("own_subjects is for one issuer only: two could name the same person")
