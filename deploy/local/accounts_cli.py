"""`pashe sign-in` and `pashe client`: who may sign in, and which systems have tokens."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from deploy.local.accounts import url_of
from deploy.local.database import with_role
from deploy.local.errors import StackError
from deploy.local.home import find_home, find_state, load_passwords
from deploy.local.keys import ACCOUNTS
from deploy.local.parked import admin_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.local.issuer.grants import Grants
    from deploy.local.issuer.people import People
    from shared.vocabulary import Role as AnyRole

T = TypeVar("T")

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{2,39}")

client = typer.Typer(no_args_is_help=True, help="Partners' and providers' systems.")

Role = Annotated[str, typer.Argument(help="As whom, e.g. coordinator")]
Provider = Annotated[str | None, typer.Option(help="The provider's (or partner's) key")]


def sign_in(
    role: Role,
    name: Annotated[str | None, typer.Option(help="The name to sign in with")] = None,
    provider: Provider = None,
    place: Annotated[list[str] | None, typer.Option(help="P-code; may be given again")] = None,
    head: Annotated[bool, typer.Option("--head", help="Leads the team of a provider")] = False,  # noqa: FBT002  (typer's way)
) -> None:
    """Print a one-time link by which somebody enrols, with password and phone; good for a day.

    For a name that is known the link is for the same account: password and phone are chosen anew.
    """
    from deploy.local.issuer.store import Account  # noqa: PLC0415  (slow, needed here only)
    from shared.access import PROVIDERS  # noqa: PLC0415
    from shared.vocabulary import Role as Known  # noqa: PLC0415

    known = _role(role)
    if known in {Known.SERVICE, Known.PROVIDER_SYSTEM}:
        message = f"nobody signs in as {role}: a system has a client (`pashe client add`)"
        raise StackError(message)
    if known in PROVIDERS and not provider:
        message = f"signing in as {role} needs --provider KEY"
        raise StackError(message)
    login = name or f"{role.replace('_', '-')}-{secrets.randbelow(9000) + 1000}"
    if not NAME.fullmatch(login):
        raise StackError("a name is 3 to 40 of a-z, 0-9, dot, hyphen, underscore")
    places = _places(place or [])
    member_of = _memberships(known, places, head=head)
    account = Account(secrets.token_hex(6), login, role, provider, places, member_of)

    async def work(people: People, _: Grants) -> str:
        return await people.invite(account)

    link = _run(work)
    typer.echo(f"{url_of(_origin())}/enrol/{link}")


@client.command("add")
def add(
    role: Role,
    jwk: Annotated[Path, typer.Option(help="A file with its public key (JWK)")],
    provider: Provider = None,
) -> None:
    """Register a system with its public key; again to change the key. Print its client id."""
    from shared.vocabulary import Role as Known  # noqa: PLC0415  (slow, needed here only)

    known = _role(role)
    if known not in {Known.PROVIDER_SYSTEM, Known.PARTNER}:
        raise StackError("a system is a provider_system or a partner")
    if not provider or not NAME.fullmatch(provider):
        raise StackError("a system needs --provider KEY: whose it is")
    public = _public_key(jwk)
    client_id = f"{known.value.replace('_', '-')}:{provider}"

    async def work(_: People, grants: Grants) -> None:
        await grants.add_client(client_id, str(known), provider, public)

    _run(work)
    typer.echo(json.dumps({"client_id": client_id, "issuer": url_of(_origin())}))


def _role(word: str) -> AnyRole:
    from shared.vocabulary import Role as Known  # noqa: PLC0415  (slow, needed here only)

    try:
        return Known(word)
    except ValueError:
        message = f"there is no role {word}: one of {', '.join(Known)}"
        raise StackError(message) from None


def _places(given: list[str]) -> tuple[str, ...]:
    from shared.places import find  # noqa: PLC0415  (slow, needed here only)

    if wrong := [place for place in given if find(place) is None]:
        message = f"{wrong[0]} is the P-code of no place"
        raise StackError(message)
    return tuple(given)


def _memberships(
    role: AnyRole, places: tuple[str, ...], *, head: bool
) -> tuple[dict[str, Any], ...]:
    """A committee's member is one where they work, from today on; so is who leads a team."""
    today = datetime.now(UTC).date().isoformat()
    if role == "provider_worker" and head:
        return ({"kind": "provider_head", "place": None, "from": today, "until": None},)
    if role != "committee_member":
        return ()
    return tuple(
        {"kind": "ctc_member", "place": place, "from": today, "until": None} for place in places
    )


def _public_key(path: Path) -> dict[str, Any]:
    """Read a public key that a client may sign with: Ed25519, P-256, or RSA of 2048 bits and more.

    Raises:
        StackError: it is another thing, or a private key.

    """
    from cryptography.hazmat.primitives.asymmetric.ec import (  # noqa: PLC0415
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415

    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        key = PyJWK(found).key
    except (OSError, ValueError, PyJWTError, KeyError, TypeError, AttributeError):
        message = f"{path} is not a public key as JWK"
        raise StackError(message) from None
    if "d" in found:
        message = f"{path} holds a private key: give the public one only, and make a new pair"
        raise StackError(message)
    fits = (
        isinstance(key, Ed25519PublicKey)
        or (isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1")
        or (isinstance(key, RSAPublicKey) and key.key_size >= 2048)  # noqa: PLR2004  (bits)
    )
    if not fits:
        raise StackError("a system's key is Ed25519, P-256, or RSA of at least 2048 bits")
    return found


def _origin() -> str:
    state = find_state(find_home())
    if state is None:
        raise StackError("the stack is not up: start it with `pashe up`")
    return state.origin


def _run(work: Callable[[People, Grants], Awaitable[T]]) -> T:
    """Run work on the running stack's issuer.

    Raises:
        StackError: the stack is not up, has another issuer, or its database does not answer.

    """
    import asyncpg  # noqa: PLC0415  (slow, needed here only)

    from deploy.local.issuer.grants import Grants as AllGrants  # noqa: PLC0415
    from deploy.local.issuer.main import read_secrecy  # noqa: PLC0415
    from deploy.local.issuer.people import People as AllPeople  # noqa: PLC0415
    from deploy.local.issuer.secrecy import Passwords  # noqa: PLC0415
    from deploy.local.issuer.store import Store  # noqa: PLC0415

    home = find_home()
    state = find_state(home)
    if state is None or ACCOUNTS not in state.parts:
        raise StackError("the stack's own issuer is not up: start it with `pashe up`")
    secrecy = read_secrecy(home.keys / ACCOUNTS)
    url = with_role(admin_url(), ACCOUNTS, load_passwords(home)[ACCOUNTS])

    async def go() -> T:
        async with asyncpg.create_pool(url, min_size=0, max_size=1, command_timeout=10) as pool:
            people = AllPeople(Store(pool, secrecy), secrecy, Passwords())
            return await work(people, AllGrants(pool, secrecy))

    try:
        return asyncio.run(go())
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        message = f"the database does not answer: {type(error).__name__}"
        raise StackError(message) from error
