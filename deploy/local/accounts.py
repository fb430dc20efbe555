"""The small issuer in a stack: how it is started, and the file that says whose tokens count."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.local.database import with_role
from deploy.local.errors import StackError
from deploy.local.home import HOST, Home, write_private
from deploy.local.keys import ACCOUNTS
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

DESK: Final = "pashe-desk"
"""The client by which people sign in."""

_OURS: Final = ("PASHE_", "DATABASE_", "KAFKA_", "HTTP_HOST", "HTTP_PORT", "KEYS_DIR")


def url_of(origin: str) -> str:
    """Return the small issuer's address: its `iss`."""
    return f"{origin}/{ACCOUNTS}"


def other_issuers(env: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of PASHE_ISSUERS, by which others are believed in the small one's place.

    Raises:
        StackError: there is no such file.

    """
    given = (os.environ if env is None else env).get("PASHE_ISSUERS")
    if not given:
        return None
    path = Path(given).expanduser().absolute()
    if not path.is_file():
        message = f"PASHE_ISSUERS names {path}, which is not a file"
        raise StackError(message)
    return path


def write_issuers(home: Home, origin: str) -> Path:
    """Write down that the small issuer is believed: its roles are ours by name."""
    roles = "\n".join(f'{role} = "{role}"' for role in Role if role is not Role.SERVICE)
    text = f"""[[issuers]]
name = "{ACCOUNTS}"
issuer = "{url_of(origin)}"
algorithms = ["EdDSA"]
audience = "pashe"
client_id = "{DESK}"
client_secret_file = '{home.keys / "intake" / "desk.secret"}'
own_subjects = true
[issuers.roles]
{roles}
"""
    write_private(home.issuers, text.encode())
    return home.issuers


def issuer_env(home: Home, admin: str, password: str, origin: str, port: int) -> dict[str, str]:
    """Return the environment of its process; `admin` is any address of the stack's database."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    return {
        **inherited,
        "ACCOUNTS_URL": url_of(origin),
        "DATABASE_URL": with_role(admin, ACCOUNTS, password),
        "KEYS_DIR": str(home.keys / ACCOUNTS),
        "PASHE_PUBLIC_URL": origin,
        "HTTP_HOST": HOST,
        "HTTP_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
