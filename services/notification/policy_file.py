"""Reads the table of `policy.toml`, and checks that what it names is there."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from services.notification.hours import parse_window
from services.notification.policy import WAYS, Policy
from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection

TABLE: Final = Path(__file__).parent / "policy.toml"


def parse_policy(text: str, templates: Collection[str], languages: Collection[str]) -> Policy:
    """Read the table, and check that what it names is there.

    Raises:
        SettingsError: it cannot be read, or a row contradicts itself.

    """
    try:
        policy = msgspec.convert(tomllib.loads(text), Policy)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"the table of notices is wrong: {error}"
        raise SettingsError(message) from None
    for number, row in enumerate(policy.row, 1):
        sends = row.then == "send"
        if sends != bool(row.by and row.template) or sends == (row.reason is not None):
            message = f"row {number} of the table of notices: send by what, or withhold why?"
            raise SettingsError(message)
        if "any" in (row.consent, row.safe_contact, row.hours) and row.is_to_somebody:
            message = f"row {number} of the table of notices: only staff is told whatever they said"
            raise SettingsError(message)
        if row.fallback and row.is_to_somebody:
            message = f"row {number} of the table of notices: one safe way makes no other safe"
            raise SettingsError(message)
        if not set(row.by) <= set(WAYS):
            message = f"row {number} of the table of notices: there is no such notifier"
            raise SettingsError(message)
        if (sends and row.template not in templates) or not row.useful_for or not row.why:
            message = f"row {number} of the table of notices: no such template, no days or no why"
            raise SettingsError(message)
    if not set(policy.languages.values()) <= set(languages) or "otherwise" not in policy.languages:
        raise SettingsError("the table of notices names a language that no template has")
    if not policy.hours.otherwise or None in map(parse_window, policy.hours.otherwise):
        raise SettingsError("the table of notices names hours that cannot be read")
    return policy
