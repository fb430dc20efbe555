"""`pashe token`: a bearer token for scripts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from deploy.local.errors import StackError
from deploy.local.home import find_home, load_token_seed


def print_token(
    role: Annotated[str, typer.Argument(help="As whom, e.g. coordinator")],
    provider: Annotated[
        str | None, typer.Option(help="The provider's (or partner's) key in the directory")
    ] = None,
    place: Annotated[
        list[str] | None, typer.Option(help="P-code of where the centre works; may be repeated")
    ] = None,
    member: Annotated[
        list[str] | None, typer.Option(help="KIND:PLACE[:FROM[:UNTIL]], dates as 2026-01-31")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="How long it holds")] = 12,
) -> None:
    """Print a bearer token for scripts; a committee member's is of a member, unless --member."""
    from shared import places  # noqa: PLC0415  (slow, needed here only)
    from shared.access import PROVIDERS, make_token  # noqa: PLC0415  (likewise)
    from shared.access_rules import memberships_for  # noqa: PLC0415
    from shared.membership import Membership  # noqa: PLC0415
    from shared.vocabulary import Role as AnyRole  # noqa: PLC0415

    try:
        known = AnyRole(role)
    except ValueError:
        message = f"there is no role {role}: one of {', '.join(AnyRole)}"
        raise StackError(message) from None
    if known in PROVIDERS and not provider:
        message = f"a token for {role} needs --provider KEY"
        raise StackError(message)
    try:
        held = [Membership.read(text) for text in member or ()]
    except ValueError:
        raise StackError("--member is KIND:PLACE[:FROM[:UNTIL]], dates as 2026-01-31") from None
    for code in (*(place or ()), *(one.place for one in held if one.place)):
        if places.find(code) is None:
            message = f"there is no place {code}"
            raise StackError(message)
    seed = load_token_seed(find_home())
    made = make_token(
        seed,
        known,
        org=provider,
        places=place or (),
        memberships=held or memberships_for(known),
        valid=timedelta(hours=hours),
    )
    typer.echo(made)
